"""Running a camera control policy for a person: rollout, the way back, verdict."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.configs import from_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.protocols import Axis, ExposureInstrument
from visuomotor.rollout import Rollout
from visuomotor.tasks import camera_control
from visuomotor.tasks.camera_judging import (
    EXPLANATIONS,
    GOOD_ENDS,
    LARGEST_BLANK,
    CameraLook,
    CameraResult,
    CameraVerdict,
    judge_camera,
)
from visuomotor.tasks.focus_result import in_words
from visuomotor.vision.exposure import VISIBLE


def control_camera(
    instrument: Any, policy: Policy, seed: int = 0, start: float | None = None
) -> list[CameraResult]:
    """Set exposure and lens of every cell of an instrument, whichever of them the policy is for.

    Where that ends in anything but a good picture, exposure and lens go back to where they were.
    Before a cell is called dark or saturated, the longest or the shortest exposure is tried.
    Failures are verdicts, not exceptions; wrong input raises InputError.
    """
    config = _config(policy)
    task = camera_control.CameraControlTask(config, for_a_person=True)
    began = time.perf_counter()
    if not isinstance(instrument, ExposureInstrument):
        task.bind(instrument)  # says what is missing
    results: list[CameraResult] = []
    try:
        with instrument:
            run = _Run(Rollout(policy, VisuomotorEnv(instrument, task), _random(seed)), task)
            run.to_the_end(start, seed)
            results += [run.result(cell) for cell in range(instrument.num_cells)]
    except (RigError, KeyboardInterrupt) as error:  # in the rig's own coming and going
        missing = instrument.num_cells - len(results)
        results = [_spoiled(result, error) for result in results]
        results += [_failed(instrument.focus.unit, error)] * missing
    seconds = time.perf_counter() - began
    return [replace(result, seconds=seconds) for result in results]


def _random(seed: int) -> np.random.Generator:
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    return np.random.default_rng(seed)


def _config(policy: Policy) -> camera_control.CameraControlConfig:
    """What the policy was made for; InputError if that is not this."""
    spec = policy.spec
    if (spec.task, spec.version) != (camera_control.NAME, camera_control.VERSION):
        raise InputError(
            f"control_camera: expected a policy for {camera_control.NAME} version "
            f"{camera_control.VERSION}, got one for {spec.task} version {spec.version}"
        )
    return from_plain(camera_control.CameraControlConfig, spec.config, "policy")


class _Run:
    """A policy's way to its end, the way back, and the verdict."""

    def __init__(self, rollout: Rollout, task: camera_control.CameraControlTask) -> None:
        self._rollout = rollout
        self._task = task
        self._rig: ExposureInstrument = rollout.env.instrument
        self._looks: list[list[CameraLook]] = [[] for _ in range(self._rig.num_cells)]
        self._failure = ""
        self._event = ""

    def to_the_end(self, start: float | None, seed: int) -> None:
        """Reset and step to the end, noting every look."""
        try:
            self._rollout.reset(seed=seed, start=start)
            self._note(np.zeros(self._rig.num_cells, np.int64))
            while not self._rollout.finished:
                before = self._rollout.info["exposures"]
                self._rollout.step()
                self._note(before)
        except KeyboardInterrupt as error:
            self._failure, self._event = in_words(error) or "aborted", "aborted"
        except InputError as error:
            if not any(self._looks):
                raise  # a bad start is the caller's mistake; what comes later is not
            self._failure, self._event = in_words(error), "error"
        except Exception as error:  # a rig or a policy may fail in any way; the verdict says so
            self._failure, self._event = in_words(error), "error"

    def result(self, cell: int) -> CameraResult:
        """Of a cell, after the way back where one is due."""
        info, looks = self._task.info(), self._looks[cell]
        exposures = int(info["exposures"][cell])
        succeeded = bool(info["success"][cell])
        # What befell another cell does not spoil an end of this one's own.
        ended = bool(succeeded or info["unusable"][cell] or info["out_of_steps"][cell])
        events = set() if ended and looks else {self._event} - {""}
        events = {"error"} if info["failed"][cell] else events
        failure = self._failure
        if not succeeded and not events and looks:
            try:
                exposures += self._try_the_ends(cell)
            except KeyboardInterrupt as error:
                failure, events = in_words(error), {"aborted"}
            except Exception as error:
                failure, events = in_words(error), {"error"}
        asked = self._task.config
        verdict = judge_camera(looks, asked.control, succeeded, events, asked.sharp_px)
        returned = False
        if verdict not in GOOD_ENDS and looks:
            try:
                returned = self._return(cell)
            except Exception as error:  # the rig refuses the way back: say so, keep the rest
                failure, verdict = in_words(error), CameraVerdict.ERROR
        reason = EXPLANATIONS[verdict]
        top, left, height, width = (int(value) for value in info["box"][cell])
        return CameraResult(
            verdict=verdict,
            exposure_us=_where(self._rig.exposure, cell),
            lens=_where(self._rig.focus, cell),
            unit=self._rig.focus.unit,
            steps=int(info["steps"][cell]),
            exposures=exposures,
            detected=bool(info["detected"][cell]),
            box=(top, left, height, width),
            looks=tuple(looks),
            returned=returned,
            reason=f"{reason}: {failure}" if failure and verdict not in GOOD_ENDS else reason,
        )

    def _note(self, before: Any) -> None:
        info = self._rollout.info
        for cell in np.flatnonzero(info["exposures"] > before):
            self._looks[cell].append(_look(info, int(cell)))

    def _try_the_ends(self, cell: int) -> int:
        """The longest exposure where all looks were dark, the shortest where all were white;
        returns how many pictures that took."""
        looks, (shortest, longest) = self._looks[cell], self._task.config.exposure_range_us
        dark = all(look.level < VISIBLE[0] for look in looks)
        white = all(look.saturated > LARGEST_BLANK for look in looks)
        wanted = longest if dark else shortest
        if not (dark or white) or any(np.isclose(look.exposure_us, wanted) for look in looks):
            return 0
        self._task.visit(exposure_us=wanted, cell=cell)
        looks.append(_look(self._task.info(), cell))
        return 1

    def _return(self, cell: int) -> bool:
        """Exposure and lens to where they were found."""
        first, at = self._looks[cell][0], np.array([cell])
        self._rig.exposure.move_to(np.array([first.exposure_us]), at)
        self._rig.focus.move_to(np.array([first.lens]), at)
        return True


def _look(info: dict[str, Any], cell: int) -> CameraLook:
    """The newest look of a cell."""
    return CameraLook(
        exposure_us=float(info["exposure_us"][cell]),
        lens=float(info["position"][cell]),
        level=int(info["level"][cell]),
        dark=float(info["dark"][cell]),
        saturated=float(info["saturated"][cell]),
        detected=bool(info["detected"][cell]),
        blur_px=float(info["blur_px"][cell]),
    )


def _where(axis: Axis, cell: int) -> float:
    """Where an axis stands; not a number where it does not answer, rather than a guess."""
    try:
        return float(axis.position[cell])
    except Exception:
        return float("nan")


def _failed(unit: str, error: BaseException) -> CameraResult:
    """Of a run that could not begin: nothing is known but why."""
    nan = float("nan")
    verdict = CameraVerdict.ABORTED if _is_abort(error) else CameraVerdict.ERROR
    reason = f"{EXPLANATIONS[verdict]}: {in_words(error)}"
    nothing = (0, 0, 0, 0)
    return CameraResult(verdict, nan, nan, unit, 0, 0, False, nothing, (), False, reason)


def _spoiled(result: CameraResult, error: BaseException) -> CameraResult:
    """A result whose instrument failed while it was left."""
    failed = _failed(result.unit, error)
    return replace(result, verdict=failed.verdict, reason=failed.reason)


def _is_abort(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt)
