"""Recording a focal stack from a rig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.stack_writer import PLANNED, SKIPPED, StackWriter
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import rig_to_plain
from visuomotor.types import FloatArray

MAX_PLANES = 10_000


def planes(low: float, high: float, step: float, limits: tuple[float, float]) -> FloatArray:
    """Positions from low to high, ``step`` apart, the last gap no larger.

    InputError if they leave the limits, or are fewer than 3 or more than 10,000.
    """
    if not (np.isfinite([low, high, step]).all() and step > 0 and low < high):
        raise InputError(
            f"record: expected low < high and a step above 0, got {low}, {high}, {step}"
        )
    if low < limits[0] or high > limits[1]:
        raise InputError(
            f"record: expected positions within the limits {limits[0]:g} to {limits[1]:g}, "
            f"got {low:g} to {high:g}"
        )
    count = int(np.ceil((high - low) / step - 1e-9)) + 1
    if not 3 <= count <= MAX_PLANES:
        raise InputError(f"record: expected 3 to {MAX_PLANES} planes, got {count}")
    return np.linspace(low, high, count)


def record(
    rig: Rig,
    positions: ArrayLike,
    path: str | Path,
    progress: Callable[[int, float], None] = lambda number, position: None,
) -> Sequence[float]:
    """Take a picture at each position and write them as OME-TIFF with the positions that the drive
    reports, the exposure, the rig, how many planes were planned, and how many of them were skipped
    because the drive came to a place where it had been.

    The drive goes one way, from the end it approaches from (see the rig file), and then back to
    where it stood. Whatever interrupts the sweep, the planes taken by then are a valid file, of
    which three are needed to load it as a stack, and the drive goes back. Returns the positions
    recorded. RigError where the rig fails; InputError, and nothing moves, where there is no place
    to write to or the drive stands outside its limits.
    """
    wanted = np.sort(np.atleast_1d(np.asarray(positions, np.float64)))
    if rig.config.focus.approach == "down":
        wanted = wanted[::-1]
    taken: list[float] = []
    stack = StackWriter(path, rig.config.focus.unit)  # refuses before anything is connected
    with rig:
        start = rig.focus.position()
        if not rig.focus.is_inside(start):
            low, high = rig.focus.limits
            raise InputError(
                f"{rig.config.name}: expected the focus within its limits {low:g} to {high:g} "
                f"{rig.config.focus.unit}, it stands at {start:g}; move it inside by hand"
            )
        stack.about |= {"exposure_ms": rig.exposure_ms, "rig": rig_to_plain(rig.config)}
        stack.about |= {PLANNED: len(wanted), SKIPPED: 0}
        try:
            with stack as writer:
                for target in wanted:
                    here = rig.focus.move_to(float(target))
                    if here in taken:  # a drive of coarse steps came to the same place again
                        stack.about[SKIPPED] += 1
                        continue
                    writer.add(rig.snap(), here)
                    taken.append(here)
                    progress(len(taken), here)
        finally:
            rig.focus.move_to(start)
    return taken
