"""Devices that answer and do nothing: an axis that stands still, a camera that repeats itself.

What they raise of themselves needs nobody to watch. This is for any instrument: rigs guard their
pictures and motions before (``instruments.rig``, ``instruments.limits``), a user's own may not.
Only a recording (``FiniteCamera``) needs no watch: nothing in it can be dead, and its axis, which
snaps to the positions recorded, rightly stands still where they lie far apart. And who knows the
truth makes its pictures (``HasFocusTruth``): free of noise, they may repeat to the last bit.
"""

from __future__ import annotations

import numpy as np

from visuomotor.errors import RigError
from visuomotor.instruments.protocols import CanFail, FocusInstrument, HasFocusTruth
from visuomotor.instruments.repeated_pictures import WORDS, RepeatedPictures
from visuomotor.tasks.judging import SAME_PLACE
from visuomotor.types import FloatArray, Frames, IntArray

STUCK_MOVES = 3
"""An axis that did not move so many times in a row does not move."""
SENT_STEPS = 0.5
"""Sent this many fine steps away, an axis that works moves."""
ROUNDING = 1e-6


class DeviceWatch:
    """Watches the devices of B cells while a run goes on.

    What it finds is the cell's failure where an instrument keeps such (``CanFail``), else raised
    as RigError.
    """

    def __init__(self, instrument: FocusInstrument, fine_step: float) -> None:
        cells = instrument.num_cells
        self._axis, self._fine_step = instrument.focus, fine_step
        self._can_fail = instrument if isinstance(instrument, CanFail) else None
        self._is_made = isinstance(instrument, HasFocusTruth)
        apart = fine_step * (1 - ROUNDING)
        self._pictures = [RepeatedPictures(apart) for _ in range(cells)]
        self._stuck = np.zeros(cells, np.int64)

    def begin(self, cells: IntArray) -> None:
        """A run begins in the cells named."""
        self._stuck[cells] = 0
        for cell in cells:
            self._pictures[cell].forget()

    def moved(
        self, cells: IntArray, before: FloatArray, target: FloatArray, came_to: FloatArray
    ) -> None:
        """After a motion of the cells (M,) from before to target (M,), which came to (M,)."""
        step, unit = self._fine_step, self._axis.unit
        sent = np.abs(target.clip(*self._axis.limits) - before) >= (SENT_STEPS - ROUNDING) * step
        stood = np.abs(came_to - before) <= SAME_PLACE * step
        # A move that is too small to be seen says nothing either way.
        self._stuck[cells] = np.where(stood, self._stuck[cells] + sent, 0)
        for number, cell in enumerate(cells):
            if not np.isfinite(came_to[number]):
                self._tell(cell, "the focus axis does not say where it is")
            elif self._stuck[cell] >= STUCK_MOVES:
                self._tell(
                    cell,
                    f"the focus axis did not move, {STUCK_MOVES} times in a row: sent to "
                    f"{target[number]:.6g} {unit}, it says it is still at {came_to[number]:.6g}",
                )

    def saw(self, cells: IntArray, at: FloatArray, pictures: Frames) -> None:
        """After a look of the cells (M,), which stand at (M,), at pictures (M, H, W[, 3])."""
        if self._is_made:
            return
        for cell, here, picture in zip(cells, at, pictures, strict=True):
            if self._pictures[cell].saw(picture, float(here)):
                self._tell(cell, WORDS)

    def _tell(self, cell: int, words: str) -> None:
        error = RigError(words)
        if self._can_fail is None:
            raise error
        failures = self._can_fail.failures
        failures[cell] = failures[cell] or error  # what came first explains the most
