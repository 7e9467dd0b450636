"""Focusing inside Micro-Manager: overhead, acquisitions with a drifting stage, faults."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from visuomotor.benchmarks.measuring import Measured
from visuomotor.configs import check_range, to_plain
from visuomotor.errors import MissingExtraError
from visuomotor.instruments.recorded.focal_stack import FocalStack

WHAT_IS_TOLD = {"verdict", "reason", "position", "exposures", "curve", "correction", "clipped"}
"""Of each frame's metadata."""
PLACES_UM = [(x, y) for y in (0.0, 600.0, 1200.0) for x in (0.0, 600.0, 1200.0)]


@dataclass(frozen=True)
class MicromanagerBenchConfig:
    """How much is measured."""

    policy: str = "search:brent"
    """What focuses; it is compared with the two-stage sweep."""
    height_px: int = 1080
    width_px: int = 1920
    """Of the pictures of the overhead."""
    steps: int = 60
    times: int = 3
    """Time points of the acquisition."""
    drift_um: float = 0.01
    """Of the stage, with every frame."""
    exposure_s: float = 0.01
    """Of the emulated camera in the acquisition."""
    first_calls: int = 8
    """Faults are provoked from each of the first so many calls on."""

    def __post_init__(self) -> None:
        some = (1, 10_000)
        check_range(self, height_px=some, width_px=some, steps=some, times=some, first_calls=some)
        check_range(self, drift_um=(-10, 10), exposure_s=(0, 10))


CONFIG = MicromanagerBenchConfig


class Benchmark:
    """Each public method is a row. The microscope is emulated, the core is Micro-Manager's."""

    def __init__(
        self, stack: FocalStack, config: MicromanagerBenchConfig, rows: Collection[str] = ()
    ) -> None:
        """stack: not used; the emulated microscope has pictures of its own."""
        try:
            from visuomotor.benchmarks import _emulated, _faults
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), "micromanager") from None
        self._config = config
        self._emulated, self._faults = _emulated, _faults

    def overhead_ms_2mp(self) -> Measured:
        """One step of a focus run beside exposure and motion, pictures of 2 megapixels."""
        from visuomotor.benchmarks import _overhead

        c, began = self._config, time.perf_counter()
        times = _overhead.milliseconds(c.height_px, c.width_px, c.steps)
        settings = {"shape_px": [c.height_px, c.width_px]}
        return self._measured(median(times), "ms", len(times), began, settings)

    def thumbnail_ms_2mp(self) -> Measured:
        """What a learned policy adds to that, beside its decision: a small view of the picture."""
        from visuomotor.benchmarks import _overhead

        c, began = self._config, time.perf_counter()
        times = _overhead.thumbnail_milliseconds(c.height_px, c.width_px, c.steps)
        settings = {"shape_px": [c.height_px, c.width_px]}
        return self._measured(median(times), "ms", len(times), began, settings)

    def mda_worst_error_um(self) -> Measured:
        """Farthest that a z-stack's middle lay from focus: 9 places, 3 time points, 2 channels."""
        errors, seconds, note = self._acquired[0], self._acquired[2], self._acquired[3]
        return Measured(max(errors), "um", len(errors), seconds, self._plain, note=note)

    def mda_seconds_a_position(self) -> Measured:
        """Seconds that focusing adds to each position and time point of that acquisition."""
        _, added, seconds, _ = self._acquired
        return Measured(median(added), "s", len(added), seconds, self._plain)

    def mda_seconds_a_position_two_stage(self) -> Measured:
        """The same with the two-stage sweep over the same range."""
        _, added, seconds, _ = self._two_stage
        return Measured(median(added), "s", len(added), seconds, self._plain)

    def mda_ratio_to_two_stage(self) -> Measured:
        """How many times as long the two-stage sweep takes."""
        ratio = median(self._two_stage[1]) / median(self._acquired[1])
        seconds = self._acquired[2] + self._two_stage[2]
        return Measured(ratio, "times", len(self._acquired[1]), seconds, self._plain)

    def fault_camera_hangs(self) -> Measured:
        """A picture that does not come in time."""
        return self._provoked("camera_hangs")

    def fault_camera_disconnected(self) -> Measured:
        """A camera that answers nothing but errors."""
        return self._provoked("camera_disconnected")

    def fault_frames_never_change(self) -> Measured:
        """A camera that gives its last picture again and again."""
        return self._provoked("frames_never_change")

    def fault_stage_refuses(self) -> Measured:
        """A stage that refuses to move."""
        return self._provoked("stage_refuses")

    def fault_stage_hangs(self) -> Measured:
        """A stage that does not arrive in time."""
        return self._provoked("stage_hangs")

    def fault_stage_misses(self) -> Measured:
        """A stage that says it came somewhere else than it was sent."""
        return self._provoked("stage_misses")

    def fault_stage_pretends(self) -> Measured:
        """A stage that says it moved, and stands still."""
        return self._provoked("stage_pretends")

    def fault_ctrl_c(self) -> Measured:
        """Ctrl-C while a picture is taken."""
        return self._provoked("ctrl_c")

    def fault_ctrl_c_moving(self) -> Measured:
        """Ctrl-C while the stage moves."""
        return self._provoked("ctrl_c_moving")

    def fault_ctrl_c_leaving(self) -> Measured:
        """Ctrl-C while the camera is put back."""
        return self._provoked("ctrl_c_leaving")

    def fault_ctrl_c_twice(self) -> Measured:
        """Ctrl-C while a picture is taken, and again on the way back."""
        return self._provoked("ctrl_c_twice")

    def fault_policy_raises(self) -> Measured:
        """An exception in the policy."""
        return self._provoked("policy_raises")

    def fault_killed(self) -> Measured:
        """Kill -9 in the middle of a picture."""
        return self._provoked("killed")

    # -- measurements ----------------------------------------------------------------------------

    @cached_property
    def _acquired(self) -> tuple[list[float], list[float], float, str]:
        return self._acquire(self._config.policy)

    @cached_property
    def _two_stage(self) -> tuple[list[float], list[float], float, str]:
        return self._acquire("search:two-stage-sweep")

    def _acquire(self, policy: str) -> tuple[list[float], list[float], float, str]:
        """Errors of every z-stack's middle (um), seconds of every focus, of all, and a note."""
        import useq

        from visuomotor.integrations.micromanager_mda import METADATA, AutofocusEngine
        from visuomotor.zoo import load_policy

        c, began = self._config, time.perf_counter()
        microscope = self._emulated.EmulatedMicroscope(tilt=(0.004, -0.003))
        core = microscope.core
        engine = AutofocusEngine(core, microscope.rig(), load_policy(policy), window=20.0)
        core.mda.set_engine(engine)
        errors: list[float] = []
        told: list[dict[str, Any]] = []

        def look(image: Any, event: Any, meta: Any) -> None:
            told.append(dict(meta["extra"][METADATA]))
            if event.index["z"] == 1:
                errors.append(
                    abs(microscope.stage.at - microscope.focus_at(event.x_pos, event.y_pos))
                )
            microscope.drift_um += c.drift_um

        core.mda.events.frameReady.connect(look)
        microscope.camera.delay_s = c.exposure_s
        plan = {
            "axis_order": "tpcz",
            "stage_positions": [{"x": x, "y": y, "z": 0.0} for x, y in PLACES_UM],
            "time_plan": {"interval": 0, "loops": c.times},
            "channels": [{"group": "Channel", "config": name} for name in ("DAPI", "FITC")],
            "z_plan": {"range": 4, "step": 2},
            "autofocus_plan": {"axes": ("t", "p")},
        }
        thread = core.run_mda(useq.MDASequence.model_validate(plan))
        thread.join()
        microscope.close()
        results = [result for _, result in engine.results]
        focuses, stacks = len(PLACES_UM) * c.times, 2 * len(PLACES_UM) * c.times
        whole = sum(set(one) >= WHAT_IS_TOLD for one in told)
        if (len(results), len(errors), whole) != (focuses, stacks, 3 * stacks):
            raise RuntimeError(
                f"expected {focuses} focuses, {stacks} stacks and metadata with each of "
                f"{3 * stacks} frames, got {len(results)}, {len(errors)} and {whole}"
            )
        verdicts = Counter(str(result.verdict) for result in results)
        exposures = sum(result.exposures for result in results) / len(results)
        note = (
            f"{dict(verdicts)}, {exposures:.1f} exposures each; "
            f"the stage drifted {microscope.drift_um:.1f} um"
        )
        seconds = time.perf_counter() - began
        return errors, [result.seconds for result in results], seconds, note

    def _provoked(self, fault: str) -> Measured:
        """Of the runs with this fault, those that kept to everything; see ``_faults``."""
        from visuomotor.zoo import load_policy

        began, calls = time.perf_counter(), range(self._config.first_calls)
        if fault == "killed":
            with tempfile.TemporaryDirectory() as folder:
                ends = [self._faults.kill(Path(folder) / "hardware.json", at) for at in calls]
        else:
            microscope = self._emulated.EmulatedMicroscope()
            policy = load_policy(self._faults.POLICY)
            ends = [self._faults.provoke(microscope, fault, at, policy) for at in calls]
            microscope.close()
        good = sum(not end.complaints for end in ends)
        note = ", ".join(f"{at}: {end.verdict}" for at, end in zip(calls, ends, strict=True))
        bad = [text for end in ends for text in end.complaints]
        note += f"; {'; '.join(bad)}" if bad else ""
        settings = {"policy": self._faults.POLICY, "time_out_ms": self._faults.TIMEOUT_MS}
        return self._measured(float(good), f"of {len(ends)} runs", len(ends), began, settings, note)

    @property
    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(replace(self._config))
        return plain

    def _measured(
        self,
        value: float,
        unit: str,
        n: int,
        began: float,
        settings: dict[str, Any],
        note: str = "",
    ) -> Measured:
        return Measured(value, unit, n, time.perf_counter() - began, settings, note=note)
