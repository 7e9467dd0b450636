"""Faults of rigs, provoked for real: from one call on, a device does not do what it should."""

from __future__ import annotations

import _thread
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from visuomotor.agents.base import Policy
from visuomotor.benchmarks._emulated import STAGE, EmulatedMicroscope
from visuomotor.instruments.drivers.micromanager import on_core
from visuomotor.instruments.driving import Connection
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import RigConfig, SafeConfig
from visuomotor.instruments.workcells import Workcells
from visuomotor.runner import focus
from visuomotor.tasks.judging import Verdict
from visuomotor.types import Frame
from visuomotor.zoo import load_policy

POLICY = "search:hill-climb"
TIMEOUT_MS = 300.0
EXPOSURE_MS = 5.0
WAITS = 6
"""Time-outs that a run may need one after the other: the call that fails, where the stage stands,
the way back, the safe position, the camera's settings, the shutter."""
CALL_S = 0.05
"""Allowed for each call that works."""
HANG_S = 4.0
"""How long a device hangs that hangs: far longer than all of these."""
START_UM, SAFE_UM = 12.0, -20.0
LIE = 7.3
"""How far from the truth a drive is that lies."""


class Faulty:
    """A connection whose devices work until call number ``at`` of ``fault``, and not any more.

    Calls are counted over a run: pictures, moves. ``mend`` makes everything work again.
    """

    def __init__(self, inner: Connection, fault: str = "none", at: int = 0) -> None:
        self.unit = ""
        self.pictures = self.moves = 0
        self.came = False
        """The fault has shown."""
        self._inner = inner
        self._fault = fault
        self._at = at
        self._old: Frame | None = None
        self._pretended: float | None = None
        self._interrupts = 2 if fault == "ctrl_c_twice" else 1

    def mend(self) -> None:
        self._fault = "none"
        self._pretended = None

    def _comes(self, fault: str, count: int) -> bool:
        """Whether this fault is there at call number ``count``."""
        comes = self._fault == fault and count >= self._at
        self.came = self.came or comes
        return comes

    def _interrupt(self, fault: str, count: int) -> None:
        """What Ctrl-C does; devices are called from another thread."""
        if self._comes(fault, count) and self._interrupts > 0:
            self._interrupts -= 1
            _thread.interrupt_main()

    # -- connection

    def camera(self, device: str) -> Faulty:
        self._camera = self._inner.camera(device)
        return self

    def axis(self, device: str) -> Faulty:
        self._drive = self._inner.axis(device)
        self.unit = self._drive.unit
        return self

    def close(self) -> None:
        self._inner.close()

    # -- camera

    def _connected(self) -> None:
        """Once it is gone, no method of it works."""
        if self._comes("camera_disconnected", self.pictures):
            raise OSError("camera: device not found on the bus")

    def display_range(self) -> tuple[float, float]:
        self._connected()
        return self._camera.display_range()

    def found(self) -> dict[str, Any]:
        self._connected()
        return self._camera.found()

    def prepare(self, exposure_ms: float | None, roi: Any) -> None:
        self._connected()
        self._camera.prepare(exposure_ms, roi)

    def restore(self, found: Mapping[str, Any]) -> None:
        self._connected()
        self._interrupt("ctrl_c_leaving", self.pictures)
        self._camera.restore(found)

    def darken(self) -> None:
        self._connected()
        self._camera.darken()

    def snap(self) -> Frame:
        self._connected()
        now, self.pictures = self.pictures, self.pictures + 1
        self._interrupt("ctrl_c", now)
        self._interrupt("ctrl_c_twice", now)
        if self._comes("camera_hangs", now):
            time.sleep(HANG_S)
        if self._old is not None and self._comes("frames_never_change", now):
            return self._old
        self._old = self._camera.snap()
        return self._old

    # -- motor

    def travel(self) -> tuple[float, float] | None:
        return self._drive.travel()

    def read(self) -> float:
        if self._pretended is not None:
            return self._pretended
        return self._drive.read()

    def move(self, target: float) -> None:
        now, self.moves = self.moves, self.moves + 1
        self._interrupt("ctrl_c_moving", now)
        if self._comes("stage_refuses", now):
            raise OSError("stage: command rejected")
        if self._comes("stage_hangs", now):
            time.sleep(HANG_S)
            return
        if self._comes("stage_misses", now):
            self._drive.move(target)
            self._pretended = self._drive.read() - LIE
            return
        if self._comes("stage_pretends", now):
            self._pretended = target  # it says it went, and stands still
            return
        self._drive.move(target)

    def is_moving(self) -> bool:
        return self._drive.is_moving()

    def halt(self) -> None:
        self._drive.halt()


FAULTS: dict[str, str] = {
    "camera_hangs": "a picture that does not come in time, from then on",
    "camera_disconnected": "a camera that answers nothing but errors, whatever it is asked",
    "frames_never_change": "a camera that gives its last picture again and again",
    "stage_refuses": "a stage that refuses to move",
    "stage_hangs": "a stage that does not arrive in time",
    "stage_misses": "a stage that says it came somewhere else than it was sent",
    "stage_pretends": "a stage that says it moved, and stands still",
    "ctrl_c": "Ctrl-C while a picture is taken",
    "ctrl_c_moving": "Ctrl-C while the stage moves",
    "ctrl_c_leaving": "Ctrl-C while the camera is put back",
    "ctrl_c_twice": "Ctrl-C while a picture is taken, and again on the way back",
    "policy_raises": "an exception in the policy",
    "killed": "kill -9 in the middle of a picture",
}
STAGE_IS_AWRY = ("stage_refuses", "stage_hangs", "stage_misses", "stage_pretends")
"""Nobody can bring such a stage to its safe position."""


class Breaking:
    """A policy that raises at its decision number ``at``."""

    def __init__(self, policy: Any, at: int) -> None:
        self.spec = policy.spec
        self.came = False
        self._policy, self._at, self._count = policy, at, 0

    def begin(self, state: Any, fresh: Any) -> Any:
        return self._policy.begin(state, fresh)

    def act(self, observation: Any, state: Any, generator: Any) -> Any:
        now, self._count = self._count, self._count + 1
        if now == self._at:
            self.came = True
            raise ZeroDivisionError("in the policy, on purpose")
        return self._policy.act(observation, state, generator)


class Episode(NamedTuple):
    """How one run with a fault ended."""

    verdict: str
    complaints: list[str]
    """What a rig must keep to and did not; empty is good."""


def provoke(microscope: EmulatedMicroscope, fault: str, at: int, policy: Policy) -> Episode:
    """One run with a fault from call ``at`` on, and one after it with the fault mended.

    Asked of the first: that the fault came; a verdict within the time-outs, while what hangs
    still hangs; the stage inside its limits, and at its safe position unless it is the stage that
    fails; exposure, region, live mode and shutter as they were, at the latest once the device
    answers again. Of the next: focused. Every other run begins in live mode with an open shutter.
    """
    core, config = microscope.core, rig_for_faults(microscope)
    core.setPosition(STAGE, START_UM)
    _begin_live(core, live=at % 2 == 1)
    before = state_of(core)
    connection = Faulty(on_core(core)["micromanager"], fault, at)
    breaking = Breaking(policy, at)
    rig = Workcells([Rig(config, connections={"micromanager": connection})])
    began = time.perf_counter()
    try:
        result = focus(rig, breaking if fault == "policy_raises" else policy)
        verdict = str(result.verdict)
    except BaseException as error:  # that nothing comes out of a run but a verdict is the point
        verdict = f"raised {type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    complaints = []
    if not (connection.came or breaking.came):
        complaints.append("the fault did not come")
    if verdict not in set(Verdict):
        complaints.append(verdict)
    time_out_s = 1e-3 * (TIMEOUT_MS + EXPOSURE_MS)
    bound = (connection.pictures + connection.moves) * CALL_S + WAITS * time_out_s
    if seconds > bound:
        complaints.append(f"took {seconds:.1f} s, more than {bound:.1f} s")
    if fault.endswith("hangs"):
        time.sleep(max(0.0, began + seconds + HANG_S - time.perf_counter()) + 2 * time_out_s)
    complaints += _astray(microscope, config, fault)
    if fault != "camera_disconnected" and (after := state_of(core)) != before:
        complaints.append(f"found {before}, left {after}")
    connection.mend()
    core.setPosition(STAGE, START_UM)
    again = focus(rig, policy)
    if again.verdict is not Verdict.FOCUSED or abs(again.position - microscope.focus_um) > 1.0:
        complaints.append(f"the next run: {again.verdict} at {again.position:g}: {again.reason}")
    if (after := state_of(core)) != before:
        complaints.append(f"found {before}, the next run left {after}")
    _begin_live(core, live=False)
    return Episode(verdict, complaints)


def _begin_live(core: Any, live: bool) -> None:
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.setAutoShutter(not live)
    core.setShutterOpen(live)
    if live:
        core.startContinuousSequenceAcquisition(0)


def _astray(microscope: EmulatedMicroscope, config: RigConfig, fault: str) -> list[str]:
    """Where the stage stands that should not stand there."""
    (low, high), at = config.focus.limits, microscope.stage.at
    if not low <= at <= high:
        return [f"stage at {at:g}, outside {low:g} to {high:g}"]
    if fault not in STAGE_IS_AWRY and at not in (SAFE_UM, START_UM):
        return [f"stage at {at:g}, not at its safe position"]
    return []


def state_of(core: Any) -> dict[str, Any]:
    """What a run must leave as it was."""
    return {
        "exposure_ms": core.getExposure(),
        "roi": [int(n) for n in core.getROI()],
        "live": bool(core.isSequenceRunning()),
        "auto_shutter": core.getAutoShutter(),
        "shutter_open": core.getShutterOpen(),
    }


def rig_for_faults(microscope: EmulatedMicroscope) -> RigConfig:
    """Its rig with settings that have to be put back, a safe position, and short time-outs."""
    config = microscope.rig(timeout_ms=TIMEOUT_MS)
    camera = replace(
        config.camera, exposure_ms=EXPOSURE_MS, roi=(16, 16, 96, 96), timeout_ms=TIMEOUT_MS
    )
    return replace(config, camera=camera, safe=SafeConfig(position=SAFE_UM))


def die(memory: str, at: int) -> None:
    """Run in a process of its own, which is killed in the middle of its picture number ``at``."""
    microscope = EmulatedMicroscope(memory=Path(memory))
    pictures = iter(range(at, -1, -1))

    def exposing() -> None:
        if next(pictures) == 0:
            os.kill(os.getpid(), 9)

    microscope.camera.exposing = exposing
    rig = Rig(rig_for_faults(microscope), connections=dict(on_core(microscope.core)))
    focus(Workcells([rig]), load_policy(POLICY))


def kill(memory: Path, at: int) -> Episode:
    """Kill -9 in the middle of picture number ``at``, then a run in a program that starts anew.

    Asked: the stage within its limits; the next start reads where it truly stands, focuses, and
    leaves exposure, region and shutter as they were before the one that was killed.
    """
    first = EmulatedMicroscope(memory=memory)
    first.core.setPosition(STAGE, START_UM)
    before = state_of(first.core)
    first._remember()
    first.close()
    code = f"from visuomotor.benchmarks._faults import die; die({str(memory)!r}, {at})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    complaints = []
    if done.returncode not in (-9, 9):
        complaints.append(f"was not killed: {done.returncode}: {done.stderr.decode()[-300:]}")
    kept = json.loads(memory.read_text(encoding="utf-8"))
    if not kept["shutter_open"] or kept["exposure_ms"] != EXPOSURE_MS:
        complaints.append(f"was not killed in the middle of a picture: {kept}")
    next_start = EmulatedMicroscope(memory=memory)
    config = rig_for_faults(next_start)
    low, high = config.focus.limits
    if not low <= kept["z"] <= high:
        complaints.append(f"stage at {kept['z']:g}, outside {low:g} to {high:g}")
    rig = Workcells([Rig(config, connections=dict(on_core(next_start.core)))])
    result = focus(rig, load_policy(POLICY))
    if result.start != kept["z"]:
        complaints.append(f"the next start read {result.start:g}, the stage stood at {kept['z']:g}")
    if result.verdict is not Verdict.FOCUSED:
        complaints.append(f"the next run: {result.verdict}: {result.reason}")
    if (after := state_of(next_start.core)) != before:
        complaints.append(f"found {before}, left {after}")
    next_start.close()
    return Episode("killed", complaints)
