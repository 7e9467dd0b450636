"""Running searchers on views: a case is a view with its truth and where its episodes begin."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from visuomotor.instruments.disturbances import DisturbanceConfig, Disturbed
from visuomotor.instruments.protocols import DeadReckons
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.runner import focus_cells
from visuomotor.studies.generalisation.scoring import (
    Row,
    TimeConfig,
    Truth,
    noise_of,
    score,
    truth_of_view,
)
from visuomotor.studies.generalisation.searchers import looks_in_motion, searcher
from visuomotor.studies.generalisation.unseen import STEPS_PER_DEPTH, View, simulator
from visuomotor.tasks.autofocus import AutofocusTask
from visuomotor.tasks.focus_result import FocusResult
from visuomotor.types import FloatArray, FocusCurve

Item = TypeVar("Item")
Found = TypeVar("Found")
NEAR_STEPS, FAR_STEPS = 30, 20
"""The truth of a wide range: every position so near to focus, and one in so many elsewhere."""
WIDE_COARSE = 0.25
"""Share of a wide range that counts as one coarse step: nine fine steps show nothing there."""
NOISE_LOOKS = 12
"""At a far position of a wide range, to see what noise does to its sharpness."""


@dataclass(frozen=True)
class Case:
    """A view to focus."""

    number: int
    name: str
    truth: Truth
    starts: FloatArray
    """(B,) where its episodes begin, in the axis' unit."""
    instrument: Callable[[int], Any]
    """A ``FocusInstrument`` of so many cells on this view."""
    group: str = ""
    """The set of recordings it is of."""


def results_of(case: Case, name: str, instrument: Any = None) -> list[FocusResult]:
    """A searcher from every start of a case, guarded as for a person."""
    rig = case.instrument(len(case.starts)) if instrument is None else instrument
    return focus_cells(rig, searcher(name), seed=case.number, start=case.starts)


def rows_of_case(
    case: Case, names: Sequence[str], time: TimeConfig, disturbance: DisturbanceConfig | None = None
) -> dict[str, list[Row]]:
    """Every searcher from every start of a case; disturbed, each with the same random numbers."""
    rows: dict[str, list[Row]] = {}
    for name in names:
        instrument = case.instrument(len(case.starts))
        if disturbance is not None:
            instrument = Disturbed(instrument, disturbance, seed=case.number)
        results = results_of(case, name, instrument)
        ends: list[float | None] = [None] * len(results)
        if isinstance(instrument, DeadReckons):  # its drive only believes where it is
            ends = list(instrument.true_position)
        rows[name] = [
            score(result, case.truth, time, case.number, looks_in_motion(name), end)
            for result, end in zip(results, ends, strict=True)
        ]
    return rows


def recorded_case(config: View, number: int, start_steps: FloatArray) -> Case:
    """A simulated view as a recording with noise, at positions a fine step apart; starts (B,) in
    fine steps from its lower limit. Searchers move among these positions, as in yu2018."""
    renderer = simulator(config)
    stack = renderer.stack(name=f"unseen-{number}")
    at = stack.positions
    clean = renderer.pictures(np.zeros(len(at), np.int64), at, None)
    measure = AutofocusTask().measure
    sharpness, noisy = measure(clean), measure(stack.frames)
    truth = truth_of_view(
        FocusCurve(at, sharpness),
        noise_of(noisy, sharpness),
        float((noisy - sharpness).mean()),
        config.fine_step,
        STEPS_PER_DEPTH * config.fine_step,
    )
    starts = at[0] + start_steps * config.fine_step
    return Case(number, stack.name, truth, starts, instrument_of(stack))


def clean_case(config: View, number: int, start_steps: FloatArray, away_steps: float = 0) -> Case:
    """The same free of noise, and free to go between its positions: what disturbances are put on.

    away_steps: shifts the range so that focus lies so far outside it, beyond its nearer end; the
    truth is then that end, and an honest searcher says ``at_limit``. 0 leaves it where it is.
    """
    drive = config.drive
    end = 0
    if away_steps:
        end = 1 if drive.focus > (drive.first + drive.last) / 2 else -1
        near = drive.last if end > 0 else drive.first
        shift = drive.focus - near - end * away_steps * config.fine_step
        drive = replace(drive, first=drive.first + shift, last=drive.last + shift)
        config = replace(config, drive=drive)
    renderer = simulator(config)
    at = config.positions
    frames = renderer.pictures(np.zeros(len(at), np.int64), at, None)
    stack = FocalStack(frames, at, drive.unit, f"unseen-{number}-clean")
    curve = FocusCurve(at, AutofocusTask().measure(frames))
    depth, step = STEPS_PER_DEPTH * config.fine_step, config.fine_step
    truth = truth_of_view(curve, np.zeros(len(at)), 0.0, step, depth)
    if end:
        there = float(at[-1] if end > 0 else at[0])
        focus = ((there - depth, there + depth),)
        truth = replace(truth, focus=focus, fraction=0.0, end=end, beyond=True)
    starts = at[0] + start_steps * step
    return Case(
        number, stack.name, truth, starts, lambda cells: stack.instrument(None, step, None, cells)
    )


def in_processes(
    work: Callable[[Item], Found], items: Sequence[Item], processes: int
) -> Iterator[Found]:
    """``work`` on every item, in their order, by so many processes; by this one if it is one."""
    if processes == 1:
        yield from map(work, items)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _one_thread) as pool:
        yield from pool.map(work, items)


def _one_thread() -> None:
    torch.set_num_threads(1)


def instrument_of(stack: FocalStack) -> Callable[[int], Any]:
    """Instruments that move among a stack's own positions."""
    return lambda cells: stack.instrument(cells=cells, continuous=False)


def wide_case(config: View, number: int, start_steps: FloatArray) -> Case:
    """A simulated view over a wide range: every look is rendered when it is taken, with noise of
    its own, and the truth near focus and here and there besides."""
    renderer = simulator(config)
    at, drive, step = config.positions, config.drive, config.fine_step
    steps_away = np.rint(np.abs(at - drive.focus) / step)
    known = (steps_away <= NEAR_STEPS) | (np.arange(len(at)) % FAR_STEPS == 0)
    known[-1] = True
    measure = AutofocusTask().measure
    view = np.zeros(int(known.sum()), np.int64)
    sharpness = measure(renderer.pictures(view, at[known], None))
    far = np.full(NOISE_LOOKS, at[0] if steps_away[0] > steps_away[-1] else at[-1])
    generator = renderer.generator(config.noise_seed)
    looks = measure(renderer.pictures(view[:NOISE_LOOKS], far, generator))
    curve = FocusCurve(at[known], sharpness)
    floor = float(looks.mean()) - float(curve.at(far[:1])[0])
    noise = np.full(len(curve.positions), looks.std(ddof=1))
    coarse = WIDE_COARSE * (len(at) - 1)
    truth = truth_of_view(curve, noise, floor, step, STEPS_PER_DEPTH * step, coarse)
    starts = at[0] + start_steps * step
    seed = config.noise_seed + 1
    return Case(
        number, f"wide-{number}", truth, starts, lambda cells: renderer.instrument(cells, seed)
    )
