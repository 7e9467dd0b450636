"""Running a policy for a person: rollout, a guard that never leaves it blurrier, verdict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.configs import from_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.protocols import CanFail, CanGrow, ChoosesReading, FocusInstrument
from visuomotor.rollout import Rollout
from visuomotor.tasks import autofocus
from visuomotor.tasks.focus_fit import check_instrument
from visuomotor.tasks.focus_result import FocusResult, Trace, failed, in_words, reason, spoiled
from visuomotor.tasks.judging import SAME_PLACE, Verdict, is_blurrier, judge
from visuomotor.types import FloatArray

ABORTED = "aborted"


def focus(
    instrument: Any, policy: Policy, seed: int = 0, guard: bool = True, *, grow: int = 0
) -> FocusResult:
    """Focus an instrument of one cell with a policy.

    Never ends blurrier than it started: unless it stopped at what is at least as sharp as the
    sharpest look (within 2 % of the curve's range), it goes back to the sharpest position seen,
    and that look counts. Failures are verdicts, not exceptions; wrong input raises InputError.

    grow: how often at most, where the verdict would be ``at_limit``, the range is doubled towards
    that end (``protocols.CanGrow``) and focusing goes on from the sharpest position, all looks
    together being one run. The instrument keeps the range.
    """
    check_instrument(instrument)
    if instrument.num_cells != 1:
        raise InputError(
            f"focus: expected an instrument of one cell, got {instrument.num_cells}; "
            f"use focus_cells for several"
        )
    return focus_cells(instrument, policy, seed, guard, grow=grow)[0]


def focus_cells(
    instrument: Any,
    policy: Policy,
    seed: int = 0,
    guard: bool = True,
    start: Any = None,
    *,
    grow: int = 0,
) -> list[FocusResult]:
    """``focus`` for every cell of an instrument, at the positions ``start`` (B,) if given. The
    range of several cells does not grow: they share it."""
    check_instrument(instrument)
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    if grow < 0 or (grow > 0 and instrument.num_cells != 1):
        expected = "0 or more" if grow < 0 else f"0 with {instrument.num_cells} cells"
        raise InputError(f"grow: expected {expected}, got {grow}")
    config = _config(policy)
    if isinstance(instrument, ChoosesReading):
        config = from_plain(autofocus.AutofocusConfig, instrument.reading, "rig", config)
    task = autofocus.AutofocusTask(config, for_a_person=True)
    began = time.perf_counter()
    results: list[FocusResult] = []
    unit = instrument.focus.unit
    try:
        with instrument:  # a rig is found, and left as it was found
            env = VisuomotorEnv(instrument, task)
            run = _Run(Rollout(policy, env, np.random.default_rng(seed)), task, instrument, guard)
            run.to_the_end(start, seed)
            run.grow(grow)
            for cell in range(env.num_envs):
                results.append(run.result(cell))
    except (RigError, KeyboardInterrupt) as error:  # in the rig's own coming and going
        results += [failed(unit, error)] * (instrument.num_cells - len(results))
        results = [spoiled(result, error) for result in results]
    if isinstance(instrument, CanFail):
        results = [
            result if failure is None else spoiled(result, failure)
            for result, failure in zip(results, instrument.failures, strict=True)
        ]
    seconds = time.perf_counter() - began
    return [replace(result, seconds=seconds) for result in results]


def _config(policy: Policy) -> autofocus.AutofocusConfig:
    """What the policy was made for; InputError if that is not this."""
    spec = policy.spec
    if spec.task != autofocus.NAME:
        raise InputError(f"focus: expected an autofocus policy, got one for {spec.task!r}")
    if spec.version != autofocus.VERSION:
        raise InputError(
            f"focus: expected a policy for {spec.task} version {autofocus.VERSION}, "
            f"got one for version {spec.version}"
        )
    config = from_plain(autofocus.AutofocusConfig, spec.config, "policy")
    for key in spec.observation:
        if key not in config.observation:
            raise InputError(
                f"policy: it reads {key!r}, but its task offers {', '.join(config.observation)}"
            )
    return config


class _Run:
    """A policy's way to its end, the way back, and the verdict."""

    def __init__(
        self, rollout: Rollout, task: autofocus.AutofocusTask, rig: FocusInstrument, guard: bool
    ) -> None:
        self._rollout = rollout
        self._task = task
        self._rig = rig
        self._guard = guard
        self._traces = [Trace() for _ in range(rig.num_cells)]
        self._failure = ""
        """"aborted", or what went wrong in words."""

    def to_the_end(self, start: Any, seed: int | None = None) -> None:
        """Reset and step to the end, noting every look."""
        traces, rollout = self._traces, self._rollout
        try:
            rollout.reset(seed=seed, start=start)
            for cell in np.flatnonzero(rollout.info["exposures"]):  # a rig that failed has no look
                traces[cell].add(rollout.info, int(cell))
            while not rollout.finished:
                before = rollout.info["exposures"]
                info = rollout.step().next_info
                for cell in np.flatnonzero(info["exposures"] > before):
                    traces[cell].add(info, int(cell))
        except KeyboardInterrupt:
            self._failure = ABORTED
        except InputError as error:
            if not any(trace.positions for trace in traces):
                raise  # a bad start is the caller's mistake; what comes later is not
            self._failure = in_words(error)
        except Exception as error:  # a rig or a policy may fail in any way; the verdict says so
            self._failure = in_words(error)

    def grow(self, times: int) -> None:
        """Where it ended at a limit, search on beyond it, so many times at most; one cell only."""
        trace, axis = self._traces[0], self._rig.focus
        grown, refused = 0, ""
        while grown < times and not refused and self._verdict(0) is Verdict.AT_LIMIT:
            refused = self._why_not_grow(trace.direction(axis.limits))
            if not refused:
                grown += 1
                assert trace.best is not None  # it was at the limit
                best = float(np.clip(trace.positions[trace.best], *axis.limits))
                info = self._task.info()
                trace.exposures += int(info["exposures"][0])
                trace.travel += float(info["travel"][0] + abs(best - info["position"][0]))
                self.to_the_end(best)
        low, high = axis.limits
        count = "once" if grown == 1 else f"{grown} times"
        told = [f"the range grew {count}, to {low:g} to {high:g} {axis.unit}"] if grown else []
        trace.growth = "; ".join([*told, refused] if refused else told)

    def _why_not_grow(self, direction: int) -> str:
        """Grows the range; returns why it could not, if so."""
        if not isinstance(self._rig, CanGrow):
            return "the range could not grow: this instrument has no wider one"
        if not self._rig.grow(direction):
            return "the range could not grow: that is as far as the instrument may go"
        return ""

    def result(self, cell: int) -> FocusResult:
        """Of a cell, after the way back where one is due."""
        trace, info, config = self._traces[cell], self._task.info(), self._task.config
        events = self._events(info, cell)
        failure = (self._own_failure(cell) or self._failure) if events & {"error", ABORTED} else ""
        policy_position = self._where(cell)
        verdict = self._judge(trace, events)
        returned = False
        steps = int(info["steps"][cell])
        if self._guard and self._should_return(trace, verdict, policy_position):
            # What the policy did is judged; that the guard mended it makes it no better.
            failure = self._return(trace, cell) or failure
            returned = not self._is_at(self._where(cell), policy_position)
            if failure:
                verdict = self._judge(trace, {ABORTED if failure == ABORTED else "error"})
            info = self._task.info()
        looks = trace.sharpness or [float("nan")]
        at_limit = verdict is Verdict.AT_LIMIT
        direction = trace.direction(self._rig.focus.limits) if at_limit else 0
        impatient = config.patience if steps < config.max_steps else None
        fine_step = self._task.fine_step
        return FocusResult(
            position=self._where(cell),
            verdict=verdict,
            exposures=trace.exposures + int(info["exposures"][cell]),
            sharpness_start=looks[0],
            sharpness_end=looks[-1],
            curve=tuple(zip(trace.positions, trace.sharpness, strict=True)),
            seconds=0.0,
            start=trace.positions[0] if trace.positions else policy_position,
            unit=self._rig.focus.unit,
            travel=trace.travel + float(info["travel"][cell]),
            policy_position=policy_position,
            returned=returned,
            reason=reason(verdict, trace, failure, returned, direction, fine_step, impatient),
            direction=direction,
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
        return "" if failure is None else in_words(failure)

    def _events(self, info: dict[str, Any], cell: int) -> set[str]:
        """What happened to this cell; another cell's failure does not spoil an end of its own."""
        if self._own_failure(cell):
            return {"error"}
        names = {"stopped": "stopped", "left_range": "left_range", "out_of_steps": "step_limit"}
        own = {event for key, event in names.items() if info[key][cell]}
        if self._failure and not (own and self._traces[cell].positions):
            return {ABORTED if self._failure == ABORTED else "error"}
        return own

    def _verdict(self, cell: int) -> Verdict:
        """As things stand now."""
        return self._judge(self._traces[cell], self._events(self._task.info(), cell))

    def _judge(self, trace: Trace, events: set[str]) -> Verdict:
        (positions, sharpness), noise = trace.arrays, np.array(trace.noise)
        step = self._task.fine_step
        return judge(positions, sharpness, noise, self._rig.focus.limits, events, step)

    def _should_return(self, trace: Trace, verdict: Verdict, here: float) -> bool:
        if trace.best is None or self._is_at(here, trace.positions[trace.best]):
            return False
        sharpness: FloatArray = np.array(trace.sharpness)
        if verdict is Verdict.FOCUSED:
            # What the policy was asked for is reached; only never blurrier than at the start.
            return is_blurrier(float(sharpness[-1]), trace.sharpness[0], float(np.ptp(sharpness)))
        # A move whose picture failed counts too: what matters is where the axis stands.
        moved_since = not self._is_at(here, trace.positions[-1])
        return moved_since or float(sharpness[-1]) < sharpness[trace.best]

    def _return(self, trace: Trace, cell: int) -> str:
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
            return in_words(error)
        info = self._task.info()
        if info["exposures"][cell] > before:
            trace.add(info, cell)
        return failure
