"""Running a policy for a person: rollout, a guard that never leaves it blurrier, verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.configs import from_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.instruments.protocols import FocusInstrument
from visuomotor.rollout import Rollout
from visuomotor.tasks import autofocus
from visuomotor.tasks.judging import (
    EXPLANATIONS,
    FOCUSED_FRACTION,
    Verdict,
    is_blurrier,
    judge,
    limit_direction,
)
from visuomotor.types import FloatArray


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
    def best(self) -> int:
        return int(np.argmax(self.sharpness))

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
    if policy.spec.task != autofocus.NAME:
        raise InputError(f"focus: expected an autofocus policy, got one for {policy.spec.task!r}")
    config = from_plain(autofocus.AutofocusConfig, policy.spec.config, "policy")
    task = autofocus.AutofocusTask(config, want_noise=True)
    env = VisuomotorEnv(instrument, task)
    began = time.perf_counter()
    traces: list[_Trace] = [_Trace([], [], []) for _ in range(env.num_envs)]
    failure = _run(Rollout(policy, env, np.random.default_rng(seed)), traces, seed, start)
    finish = _Finish(task, instrument, traces, failure, guard)
    results = [finish.cell(cell) for cell in range(env.num_envs)]
    seconds = time.perf_counter() - began
    return [replace(result, seconds=seconds) for result in results]


def _run(rollout: Rollout, traces: list[_Trace], seed: int, start: Any) -> str:
    """Step to the end, noting every look; returns "aborted", or the failure in words."""
    try:
        rollout.reset(seed=seed, start=start)
        for number, trace in enumerate(traces):
            trace.add(rollout.info, number)
        while not rollout.finished:
            before = rollout.info["exposures"]
            info = rollout.step().next_info
            for cell in np.flatnonzero(info["exposures"] > before):
                traces[cell].add(info, int(cell))
    except KeyboardInterrupt:
        return "aborted"
    except InputError:
        raise  # the caller's mistake, not the rig's
    except Exception as error:  # a rig or a policy may fail in any way; the verdict says so
        return f"{type(error).__name__}: {error}"
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
        limits = self._rig.focus.limits
        events = self._events(info, cell)
        failure = self._failure
        if not trace.positions:
            nowhere = float("nan")
            trace = _Trace([nowhere], [nowhere], [0.0])
        end = trace.positions[-1]
        verdict = self._judge(trace, limits, events)
        returned = False
        if self._guard and len(trace.positions) > 1 and self._should_return(trace, verdict):
            try:
                self._task.visit(np.array([trace.positions[trace.best]]), np.array([cell]))
                info = self._task.info()
                trace.add(info, cell)
                returned = True
            except Exception as error:  # the rig refuses the way back: say so, keep the rest
                failure, events = f"{type(error).__name__}: {error}", events | {"error"}
            verdict = self._judge(trace, limits, events)
        return FocusResult(
            position=trace.positions[-1],
            verdict=verdict,
            exposures=int(info["exposures"][cell]),
            sharpness_start=trace.sharpness[0],
            sharpness_end=trace.sharpness[-1],
            curve=tuple(zip(trace.positions, trace.sharpness, strict=True)),
            seconds=0.0,
            start=trace.positions[0],
            unit=self._rig.focus.unit,
            travel=float(info["travel"][cell]),
            policy_position=end,
            returned=returned,
            reason=_reason(verdict, trace, failure),
        )

    def _events(self, info: dict[str, Any], cell: int) -> set[str]:
        if self._failure:
            return {"aborted" if self._failure == "aborted" else "error"}
        names = {"stopped": "stopped", "left_range": "left_range", "out_of_steps": "step_limit"}
        return {event for key, event in names.items() if info[key][cell]}

    @staticmethod
    def _judge(trace: _Trace, limits: tuple[float, float], events: set[str]) -> Verdict:
        positions, sharpness = np.array(trace.positions), np.array(trace.sharpness)
        return judge(positions, sharpness, np.array(trace.noise), limits, events)

    @staticmethod
    def _should_return(trace: _Trace, verdict: Verdict) -> bool:
        sharpness: FloatArray = np.array(trace.sharpness)
        if not np.isfinite(sharpness).all() or trace.positions[-1] == trace.positions[trace.best]:
            return False
        best, end = float(sharpness[trace.best]), float(sharpness[-1])
        if verdict is Verdict.FOCUSED:
            # What the policy was asked for is reached; only never blurrier than at the start.
            return is_blurrier(end, trace.sharpness[0], float(np.ptp(sharpness)))
        return end < best


def _reason(verdict: Verdict, trace: _Trace, failure: str) -> str:
    if verdict is Verdict.ERROR and failure:
        return f"{EXPLANATIONS[verdict]}: {failure}"
    if verdict is Verdict.AT_LIMIT:
        up = limit_direction(np.array(trace.positions), np.array(trace.sharpness)) > 0
        return f"{EXPLANATIONS[verdict]} ({'above' if up else 'below'})"
    if verdict is Verdict.FOCUSED and trace.sharpness[-1] < max(trace.sharpness):
        return f"stopped within {1 - FOCUSED_FRACTION:.0%} of the sharpest picture that was seen"
    return EXPLANATIONS[verdict]
