"""Software autofocus inside a Micro-Manager acquisition in Python (pymmcore-plus).

    engine = AutofocusEngine(core, load_rig("rig.toml"))
    core.mda.set_engine(engine)
    core.mda.run(MDASequence(..., autofocus_plan=AxesBasedAF(axes=("t", "p"))))

Whatever asks for autofocus gets it: an ``AutofocusPlan`` of useq, or a custom action named
"autofocus". A focus that fails stops nothing: positions keep the correction they had, and each
frame's metadata tells.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from visuomotor.agents.base import Policy
from visuomotor.errors import InputError, MissingExtraError, nearest

try:
    from pymmcore_plus import CMMCorePlus
    from pymmcore_plus.mda import MDAEngine
    from useq import AxesBasedAF, CustomAction, HardwareAutofocus, MDAEvent, MDASequence
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "micromanager") from None

from visuomotor.files import finite
from visuomotor.instruments.drivers.micromanager import OFFSET, on_core
from visuomotor.instruments.driving import Worker
from visuomotor.instruments.limits import LimitedAxis, MissedError
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import RigConfig, SafeConfig
from visuomotor.instruments.workcells import Workcells
from visuomotor.integrations._planned_z import check_planes, home_z, planned_offset
from visuomotor.integrations.focus_map import FocusMap
from visuomotor.runner import focus_cells
from visuomotor.tasks.focus_result import FocusResult, failed
from visuomotor.tasks.judging import Verdict
from visuomotor.zoo import default_focus, load_policy

ACTION = "autofocus"
"""Name of the custom action that asks for focus; its data may hold "window"."""
METADATA = "visuomotor"
"""Under ``extra`` of each frame's metadata: its correction, and how its position was last
focused."""

Hardware = Literal["if_locked", "leave", "ignore"]
logger = logging.getLogger(__name__)


class AutofocusEngine(MDAEngine):
    """The engine of pymmcore-plus, which also focuses by pictures.

    The z of every event is its own plus three things: the correction of its position (from the
    last time it was focused; where it never was, from the focus map, or that of the position
    focused last), the offset of its channel from the rig file, and what a hardware autofocus found.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        rig: RigConfig,
        policy: Policy | None = None,
        window: float | None = None,
        channel: tuple[str, str] | None = None,
        focus_map: FocusMap | None = None,
        hardware: Hardware = "if_locked",
        grow: int = 0,
        **engine: Any,
    ) -> None:
        """policy: by default ``zoo.default_focus``, which needs no training. window: how far from
        where focus is expected it is looked for, each way; by default all of the rig's limits.
        channel: (group, preset) to focus in; by default the event's own.
        hardware: what becomes of ``AutofocusPlan`` where the core has a hardware autofocus:
        "if_locked" leaves the plan to it when it was locked at the beginning, unless the rig's
        focus is its offset; "leave" leaves it to it always; "ignore" never does. grow: how often
        at most the window doubles towards its end where the pictures are sharpest there. engine:
        options of ``MDAEngine``; without them it triggers no hardware sequences, whose z takes no
        corrections.

        InputError for a rig that is not this core's, with what there is.
        """
        super().__init__(core, **{"use_hardware_sequencing": False, **engine})
        _check_devices(core, rig)
        if hardware not in get_args(Hardware):
            known = get_args(Hardware)
            raise InputError(f"hardware: {hardware!r} is not known; {nearest(hardware, known)}")
        if channel is not None:
            _check_channel(core, channel)
        # Between two focuses the acquisition has the stage and the light; so it has at the end.
        self.rig = replace(rig, safe=SafeConfig())
        self.policy = load_policy(default_focus()[0]) if policy is None else policy
        self.window = None if window is None else _checked_window(window, rig)
        self.channel = channel
        self.focus_map = focus_map
        self.hardware = hardware
        if grow < 0:
            raise InputError(f"grow: expected 0 or more, got {grow}")
        self.grow = grow
        self.results: list[tuple[dict[str, int], FocusResult]] = []
        """(event index, result) of every focus of the present sequence, in order."""
        self._newest: dict[int | None, dict[str, Any]] = {}
        self._focused: dict[int | None, float] = {}
        self._clipped = self._missed = 0.0
        self._axis: LimitedAxis | None = None
        self._was_locked = False

    # -- the engine's protocol -----------------------------------------------------------------

    def setup_sequence(self, sequence: MDASequence) -> Any:
        """InputError where planned positions lie outside the rig's limits."""
        self.results, self._newest, self._focused = [], {}, {}
        self._let_go()
        self._clipped = self._missed = 0.0
        if not self._keeps_offset:
            check_planes(sequence, self.rig)
        for part in (sequence, *(place.sequence for place in sequence.stage_positions)):
            if part is not None and isinstance(part.autofocus_plan, AxesBasedAF):
                part.autofocus_plan._previous = {}  # or the same plan would not be focused again
        return super().setup_sequence(sequence)

    def teardown_sequence(self, sequence: MDASequence) -> None:
        try:
            super().teardown_sequence(sequence)
        finally:
            self._let_go()

    def exec_event(self, event: MDAEvent) -> Iterable[Any]:
        action = event.action
        asked = isinstance(action, CustomAction) and action.name == ACTION
        if isinstance(action, HardwareAutofocus):
            asked = not self._hardware_does_it()
        if asked:
            data = action.data if isinstance(action, CustomAction) else {}
            self.focus_now(event, data.get("window", self.window))
            return ()
        return super().exec_event(event)

    def get_frame_metadata(self, event: MDAEvent, *args: Any, **options: Any) -> Any:
        meta = super().get_frame_metadata(event, *args, **options)
        told: dict[str, Any] = {
            "correction": self.correction(event),
            "clipped": self._clipped,
            "missed": self._missed,
        }
        told.update(self._newest.get(event.index.get("p"), {}))
        meta["extra"] = {**meta.get("extra", {}), METADATA: told}
        return meta

    # -- focusing ------------------------------------------------------------------------------

    def focus_now(self, event: MDAEvent, window: float | None = None) -> FocusResult:
        """Focus, and keep the correction for the event's position. Whatever fails is the result's
        verdict; Ctrl-C ends the acquisition too."""
        place = event.index.get("p")
        home = home_z(event)
        offset = self._focus_offset(event)
        try:
            centre = None if home is None else home + self.correction(event) + offset
            result = self._focus(centre, window)
        except Exception as error:  # the acquisition goes on whatever happened here
            result = failed(self.rig.focus.unit, error)
        finally:
            if not self.mmcore.mda.is_running():
                self._let_go()
        focused = result.verdict is Verdict.FOCUSED
        if focused and home is not None and not self._keeps_offset:
            self._focused.pop(place, None)  # the newest one is the last
            self._focused[place] = result.position - home - offset
        if not focused:
            logger.warning("focus at %s: %s: %s", dict(event.index), result.verdict, result.reason)
        self.results.append((dict(event.index), result))
        self._newest[place] = {
            "verdict": str(result.verdict),
            "reason": result.reason,
            "direction": result.direction,
            "position": finite(result.position),
            "unit": result.unit,
            "exposures": result.exposures,
            "seconds": result.seconds,
            "curve": finite(result.curve),
            "focused_at": dict(event.index),
        }
        if result.verdict is Verdict.ABORTED:
            self.mmcore.mda.cancel()
        return result

    def correction(self, event: MDAEvent) -> float:
        """What is added to the z of the event's position."""
        place = event.index.get("p")
        if place in self._focused:
            return self._focused[place]
        home = home_z(event)
        if self.focus_map is not None and home is not None:
            return self.focus_map.z_at(*self._xy(event)) - home
        # Neighbours drift together: the newest correction is a better guess than none.
        return list(self._focused.values())[-1] if self._focused else 0.0

    def _focus(self, centre: float | None, window: float | None) -> FocusResult:
        """Around centre, or where it stands; the channel is put back."""
        core = self.mmcore
        if not self._keeps_offset and core.isContinuousFocusEnabled():
            # It would pull back what is focused here; it has the lens again at the end.
            core.enableContinuousFocus(False)
            self._was_locked = True
        if self._keeps_offset:
            centre = None  # of z, which is the hardware's
        if self.channel is None:
            return self._run(centre, window)
        before = list(core.getConfigGroupState(self.channel[0]))
        try:
            core.setConfig(*self.channel)
            core.waitForConfig(*self.channel)
            return self._run(centre, window)
        finally:
            for device, name, value in before:  # what was set may be none of the presets
                core.setProperty(device, name, value)
            core.waitForSystem()
            core._last_config = ("", "")  # as the engine does: the channel is not what was set last

    def _run(self, centre: float | None, window: float | None) -> FocusResult:
        within = None
        if window is not None:
            reach = _checked_window(window, self.rig)
            middle = self._limited().position() if centre is None else centre
            within = (middle - reach, middle + reach)
        rig = Rig(self.rig, connections=dict(on_core(self.mmcore)), window=within)
        start = None if centre is None else [min(max(centre, rig.limits[0]), rig.limits[1])]
        return focus_cells(Workcells([rig]), self.policy, start=start, grow=self.grow)[0]

    def _let_go(self) -> None:
        """At the end of an acquisition, or of a focus without one."""
        if self._axis is not None:
            self._worker.close()
            self._axis = None
        if self._was_locked:
            self._was_locked = False
            self.mmcore.enableContinuousFocus(True)

    def _limited(self) -> LimitedAxis:
        """The rig's focus behind its limits, as long as the sequence runs."""
        if self._axis is None:
            self._worker = Worker(self.rig.name)
            stage = on_core(self.mmcore)["micromanager"].axis(self.rig.focus.device)
            self._axis = LimitedAxis(stage, self.rig, self._worker)
        return self._axis

    def _hardware_does_it(self) -> bool:
        if self.hardware == "ignore" or not self.mmcore.getAutoFocusDevice():
            return False
        if self.hardware == "leave":
            return True
        return self._af_was_engaged and not self._keeps_offset

    @property
    def _keeps_offset(self) -> bool:
        """The rig moves the offset of a hardware autofocus, which corrects z by itself."""
        return self.rig.focus.device == OFFSET

    def _channel_offset(self, event: MDAEvent) -> float:
        return float(self.rig.channels.get(event.channel.config, 0.0)) if event.channel else 0.0

    def _focus_offset(self, event: MDAEvent) -> float:
        """How far the channel that is focused in lies from the position, by plan and rig file."""
        if self.channel is None:
            return self._channel_offset(event) + planned_offset(event, None)
        rig = float(self.rig.channels.get(self.channel[1], 0.0))
        return rig + planned_offset(event, self.channel)

    def _xy(self, event: MDAEvent) -> tuple[float, float]:
        x, y = self.mmcore.getXYPosition()
        return (
            x if event.x_pos is None else event.x_pos,
            y if event.y_pos is None else event.y_pos,
        )

    def _set_event_z(self, event: MDAEvent) -> None:
        """The one place where the engine of pymmcore-plus turns an event's z into a motion."""
        if self._keeps_offset or event.z_pos is None:
            super()._set_event_z(event)
            return
        by_hardware = self._z_correction.get(event.index.get("p"), 0.0)
        wanted = event.z_pos + self.correction(event) + self._channel_offset(event) + by_hardware
        end = self._limited().motion.clip(wanted)
        self._clipped = wanted - end
        if self._clipped:
            logger.warning(
                "z of %s: %g %s is outside the rig's limits, %g is taken",
                dict(event.index), wanted, self.rig.focus.unit, end,
            )  # fmt: skip
        self._missed = 0.0
        if self.mmcore.isContinuousFocusLocked():
            self.mmcore.setZPosition(end)  # the lock decides where it comes to rest
            return
        try:
            self._limited().move_to(end)
        except MissedError as error:  # worth telling, not worth losing the other frames
            self._missed = error.executed - end
            logger.warning("%s", error)


def _check_devices(core: CMMCorePlus, rig: RigConfig) -> None:
    """An event's z is meant for the core's own drive, so that must be the one that focuses."""
    if rig.camera.driver != "micromanager" or rig.focus.driver != "micromanager":
        raise InputError(
            f"AutofocusEngine: expected a rig of driver 'micromanager', got camera "
            f"{rig.camera.driver!r} and focus {rig.focus.driver!r}"
        )
    on_core(core)["micromanager"].camera(rig.camera.device)
    on_core(core)["micromanager"].axis(rig.focus.device)
    if rig.focus.device not in ("", OFFSET, core.getFocusDevice()):
        raise InputError(
            f"AutofocusEngine: expected the core's focus device, {core.getFocusDevice()!r}, as the "
            f"focus of the rig, got {rig.focus.device!r}: call core.setFocusDevice before"
        )


def _check_channel(core: CMMCorePlus, channel: tuple[str, str]) -> None:
    group, preset = channel
    groups = list(core.getAvailableConfigGroups())
    if group not in groups:
        raise InputError(f"channel: group {group!r} is not known; {nearest(group, groups)}")
    presets = list(core.getAvailableConfigs(group))
    if preset not in presets:
        raise InputError(f"channel: {preset!r} is not in {group!r}; {nearest(preset, presets)}")


def _checked_window(window: Any, rig: RigConfig) -> float:
    known = isinstance(window, (int, float)) and not isinstance(window, bool)
    if not known or not window >= rig.fine_step:
        raise InputError(
            f"window: expected a distance of at least a fine step, {rig.fine_step:g} "
            f"{rig.focus.unit}, got {window!r}"
        )
    return float(window)


def measure_focus_map(engine: AutofocusEngine, places: Sequence[tuple[float, float]]) -> FocusMap:
    """Focus at each (x, y) and lay a plane through what was focused; then go back to where the
    stage stood. InputError where fewer than three of them could be."""
    core = engine.mmcore
    group = core.getChannelGroup()
    channel = engine.channel[1] if engine.channel else group and core.getCurrentConfig(group)
    offset = float(engine.rig.channels.get(channel, 0.0))
    points: list[tuple[float, float, float]] = []
    here = core.getXYPosition()
    try:
        for place in places:
            core.setXYPosition(*place)
            core.waitForDevice(core.getXYStageDevice())
            result = engine._focus(None, engine.window)
            if result.verdict is Verdict.ABORTED:
                raise KeyboardInterrupt
            if result.verdict is Verdict.FOCUSED:
                points.append((*place, result.position - offset))
    finally:
        engine._let_go()
        core.setXYPosition(*here)
        core.waitForDevice(core.getXYStageDevice())
    if len(points) < 3:
        raise InputError(
            f"focus map: expected at least three places in focus, "
            f"got {len(points)} of {len(places)}"
        )
    return FocusMap.through(points)
