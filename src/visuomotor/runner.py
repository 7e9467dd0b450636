"""Running a policy for a person: rollout, a guard that never leaves it blurrier, verdict."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.configs import from_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.protocols import CanFail, ChoosesReading, FocusInstrument
from visuomotor.rollout import Rollout
from visuomotor.tasks import autofocus
from visuomotor.tasks.judging import (
    EXPLANATIONS,
    FOCUSED_FRACTION,
    Verdict,
    is_blurrier,
    is_flat,
    judge,
    limit_direction,
)
from visuomotor.types import FloatArray

ABORTED = "aborted"
SAME_PLACE = 0.1
"""Positions closer than this share of a fine step are one."""


@dataclass(frozen=True)
class FocusResult:
    """How one focus run ended."""

    position: float
    verdict: Verdict
    exposures: int
    """Pictures taken, the first and those of the way back included."""
    sharpness_start: float
    sharpness_end: float
    curve: tuple[tuple[float, float], ...]
    """(position, sharpness) of every look in order."""
    seconds: float
    start: float
    unit: str
    travel: float
    """Distance moved, in ``unit``."""
    policy_position: float
    """Where the policy itself ended, before any way back."""
    returned: bool
    """The guard went back to a sharper position than the policy's end."""
    reason: str
    """One sentence for a person."""

    @property
    def path(self) -> tuple[float, ...]:
        """Positions of every look in order."""
        return tuple(position for position, _ in self.curve)


@dataclass
class _Trace:
    """Every look of one cell."""

    positions: list[float]
    sharpness: list[float]
    noise: list[float]

    @property
    def best(self) -> int | None:
        """Number of the sharpest look; None if no look could be measured."""
        if not np.isfinite(self.sharpness).any():
            return None
        return int(np.nanargmax(self.sharpness))

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Positions and sharpness of all looks."""
        return np.array(self.positions), np.array(self.sharpness)

    def add(self, info: dict[str, Any], cell: int) -> None:
        self.positions.append(float(info["position"][cell]))
        self.sharpness.append(float(info["sharpness"][cell]))
        self.noise.append(float(info["noise"][cell]))


def focus(instrument: Any, policy: Policy, seed: int = 0, guard: bool = True) -> FocusResult:
    """Focus an instrument of one cell with a policy.

    Never ends blurrier than it started: unless it stopped at what is at least as sharp as the
    sharpest look (within 2 % of the curve's range), it goes back to the sharpest position seen,
    and that look counts. Failures are verdicts, not exceptions; wrong input raises InputError.
    """
    if instrument.num_cells != 1:
        raise InputError(
            f"focus: expected an instrument of one cell, got {instrument.num_cells}; "
            f"use focus_cells for several"
        )
    return focus_cells(instrument, policy, seed, guard)[0]


def focus_cells(
    instrument: Any, policy: Policy, seed: int = 0, guard: bool = True, start: Any = None
) -> list[FocusResult]:
    """``focus`` for every cell of an instrument, at the positions ``start`` (B,) if given."""
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    if policy.spec.task != autofocus.NAME:
        raise InputError(f"focus: expected an autofocus policy, got one for {policy.spec.task!r}")
    config = from_plain(autofocus.AutofocusConfig, policy.spec.config, "policy")
    if isinstance(instrument, ChoosesReading):
        config = from_plain(autofocus.AutofocusConfig, instrument.reading, "rig", config)
    task = autofocus.AutofocusTask(config, for_a_person=True)
    began = time.perf_counter()
    results: list[FocusResult] = []
    unit = instrument.focus.unit
    try:
        with instrument:  # a rig is found, and left as it was found
            env = VisuomotorEnv(instrument, task)
            traces: list[_Trace] = [_Trace([], [], []) for _ in range(env.num_envs)]
            failure = _run(Rollout(policy, env, np.random.default_rng(seed)), traces, seed, start)
            finish = _Finish(task, instrument, traces, failure, guard)
            for cell in range(env.num_envs):
                results.append(finish.cell(cell))
    except (RigError, KeyboardInterrupt) as error:  # in the rig's own coming and going
        results += [failed(unit, error)] * (instrument.num_cells - len(results))
        results = [_spoiled(result, error) for result in results]
    if isinstance(instrument, CanFail):
        results = [
            result if failure is None else _spoiled(result, failure)
            for result, failure in zip(results, instrument.failures, strict=True)
        ]
    seconds = time.perf_counter() - began
    return [replace(result, seconds=seconds) for result in results]


def failed(unit: str, error: BaseException) -> FocusResult:
    """Of a run that could not begin: nothing is known but why."""
    nan = float("nan")
    verdict, reason = _ending(error)
    return FocusResult(
        position=nan,
        verdict=verdict,
        exposures=0,
        sharpness_start=nan,
        sharpness_end=nan,
        curve=(),
        seconds=0.0,
        start=nan,
        unit=unit,
        travel=0.0,
        policy_position=nan,
        returned=False,
        reason=reason,
    )


def _spoiled(result: FocusResult, error: BaseException) -> FocusResult:
    """A result after something went wrong besides; what it said of an earlier failure stays."""
    if result.verdict not in (Verdict.ERROR, Verdict.ABORTED):
        verdict, reason = _ending(error)
        return replace(result, verdict=verdict, reason=reason)
    parts = [part for part in _parts(error) if part not in result.reason]
    return replace(result, reason="; ".join([result.reason, *parts]))


def _ending(error: BaseException) -> tuple[Verdict, str]:
    if isinstance(error, KeyboardInterrupt):
        return Verdict.ABORTED, "; ".join([EXPLANATIONS[Verdict.ABORTED], *_parts(error)])
    return Verdict.ERROR, f"{EXPLANATIONS[Verdict.ERROR]}: {_in_words(error)}"


def _run(rollout: Rollout, traces: list[_Trace], seed: int, start: Any) -> str:
    """Step to the end, noting every look; returns "aborted", or the failure in words."""
    try:
        try:
            rollout.reset(seed=seed, start=start)
        except InputError:
            raise  # a bad start is the caller's mistake; later ones are the policy's or the rig's
        except Exception as error:
            return _in_words(error)
        for cell in np.flatnonzero(rollout.info["exposures"]):  # one whose rig failed has no look
            traces[cell].add(rollout.info, int(cell))
        while not rollout.finished:
            before = rollout.info["exposures"]
            info = rollout.step().next_info
            for cell in np.flatnonzero(info["exposures"] > before):
                traces[cell].add(info, int(cell))
    except KeyboardInterrupt:
        return ABORTED
    except InputError:
        if not any(trace.positions for trace in traces):
            raise
        return _in_words(sys.exception())
    except Exception as error:  # a rig or a policy may fail in any way; the verdict says so
        return _in_words(error)
    return ""


class _Finish:
    """The way back, and the verdict."""

    def __init__(
        self,
        task: autofocus.AutofocusTask,
        rig: FocusInstrument,
        traces: list[_Trace],
        failure: str,
        guard: bool,
    ) -> None:
        self._task = task
        self._rig = rig
        self._traces = traces
        self._failure = failure
        self._guard = guard

    def cell(self, cell: int) -> FocusResult:
        trace, info = self._traces[cell], self._task.info()
        events = self._events(info, cell)
        failure = (self._own_failure(cell) or self._failure) if events & {"error", ABORTED} else ""
        policy_position = self._where(cell)
        verdict = self._judge(trace, events)
        returned = False
        if self._guard and self._should_return(trace, verdict, policy_position):
            # What the policy did is judged; that the guard mended it makes it no better.
            failure = self._return(trace, cell) or failure
            returned = not self._is_at(self._where(cell), policy_position)
            if failure:
                verdict = self._judge(trace, {ABORTED if failure == ABORTED else "error"})
            info = self._task.info()
        looks = trace.sharpness or [float("nan")]
        return FocusResult(
            position=self._where(cell),
            verdict=verdict,
            exposures=int(info["exposures"][cell]),
            sharpness_start=looks[0],
            sharpness_end=looks[-1],
            curve=tuple(zip(trace.positions, trace.sharpness, strict=True)),
            seconds=0.0,
            start=trace.positions[0] if trace.positions else policy_position,
            unit=self._rig.focus.unit,
            travel=float(info["travel"][cell]),
            policy_position=policy_position,
            returned=returned,
            reason=_reason(
                verdict, trace, failure, returned, self._rig.focus.limits, self._task.fine_step
            ),
        )

    def _where(self, cell: int) -> float:
        """Where the axis stands; not a number where it does not answer, rather than a guess."""
        try:
            with self._asked_again(cell):
                where = float(self._rig.focus.position[cell])
                return float("nan") if self._own_failure(cell) else where
        except Exception:
            return float("nan")

    @contextlib.contextmanager
    def _asked_again(self, cell: int) -> Iterator[None]:
        """One rig of several that failed is left alone, but for the way back and for where it
        stands."""
        if not isinstance(self._rig, CanFail):
            yield
            return
        failures = self._rig.failures
        before, failures[cell] = failures[cell], None
        try:
            yield
        finally:
            failures[cell] = before or failures[cell]

    def _is_at(self, here: float, there: float) -> bool:
        return abs(here - there) <= SAME_PLACE * self._task.fine_step

    def _own_failure(self, cell: int) -> str:
        """What went wrong with this cell's rig among several."""
        failure = self._rig.failures[cell] if isinstance(self._rig, CanFail) else None
        return "" if failure is None else _in_words(failure)

    def _events(self, info: dict[str, Any], cell: int) -> set[str]:
        """What happened to this cell; another cell's failure does not spoil an end of its own."""
        if self._own_failure(cell):
            return {"error"}
        names = {"stopped": "stopped", "left_range": "left_range", "out_of_steps": "step_limit"}
        own = {event for key, event in names.items() if info[key][cell]}
        if self._failure and not (own and self._traces[cell].positions):
            return {ABORTED if self._failure == ABORTED else "error"}
        return own

    def _judge(self, trace: _Trace, events: set[str]) -> Verdict:
        (positions, sharpness), noise = trace.arrays, np.array(trace.noise)
        step = self._task.fine_step
        return judge(positions, sharpness, noise, self._rig.focus.limits, events, step)

    def _should_return(self, trace: _Trace, verdict: Verdict, here: float) -> bool:
        if trace.best is None or self._is_at(here, trace.positions[trace.best]):
            return False
        sharpness: FloatArray = np.array(trace.sharpness)
        if verdict is Verdict.FOCUSED:
            # What the policy was asked for is reached; only never blurrier than at the start.
            return is_blurrier(float(sharpness[-1]), trace.sharpness[0], float(np.ptp(sharpness)))
        # A move whose picture failed counts too: what matters is where the axis stands.
        moved_since = not self._is_at(here, trace.positions[-1])
        return moved_since or float(sharpness[-1]) < sharpness[trace.best]

    def _return(self, trace: _Trace, cell: int) -> str:
        """Back to the sharpest position seen; returns what went wrong, if anything."""
        assert trace.best is not None  # asked before
        before = int(self._task.info()["exposures"][cell])
        try:
            with self._asked_again(cell):
                self._task.visit(np.array([trace.positions[trace.best]]), np.array([cell]))
                failure = self._own_failure(cell)
        except KeyboardInterrupt:
            return ABORTED
        except Exception as error:  # the rig refuses the way back: say so, keep the rest
            return _in_words(error)
        info = self._task.info()
        if info["exposures"][cell] > before:
            trace.add(info, cell)
        return failure


def _in_words(error: BaseException | None) -> str:
    return "; ".join(_parts(error))


def _parts(error: BaseException | None) -> list[str]:
    """The error, and what was noted of it on its way, such as what could not be put back."""
    own = [] if isinstance(error, KeyboardInterrupt) else [f"{type(error).__name__}: {error}"]
    return [*own, *getattr(error, "__notes__", [])]


def _reason(
    verdict: Verdict,
    trace: _Trace,
    failure: str,
    returned: bool,
    limits: tuple[float, float],
    fine_step: float,
) -> str:
    text = EXPLANATIONS[verdict]
    if verdict is Verdict.ERROR and failure:
        text += f": {failure}"
    if verdict is Verdict.AT_LIMIT:
        up = limit_direction(np.array(trace.positions), np.array(trace.sharpness), limits) > 0
        text += f" ({'above' if up else 'below'})"
    if verdict is Verdict.NO_SAMPLE and not np.any(trace.sharpness):
        text = "every picture is of one grey level: see to lamp, shutter, exposure"
    if verdict is Verdict.UNSURE and is_flat(*trace.arrays, fine_step):
        text = "pictures hardly change over the positions that were looked at"
    if verdict is Verdict.FOCUSED and len(trace.positions) == 1:
        text = "the policy stopped at its first look; there is no other to compare it with"
    elif verdict is Verdict.FOCUSED and trace.sharpness[-1] < max(trace.sharpness):
        text = f"stopped within {1 - FOCUSED_FRACTION:.0%} of the sharpest picture that was seen"
    return text + ("; returned to the sharpest position seen" if returned else "")
