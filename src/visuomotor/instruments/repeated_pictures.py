"""Noticing a camera that gives one picture again and again."""

from __future__ import annotations

import math

import numpy as np

from visuomotor.types import Frame

PLACES = 3
"""One picture at so many positions in a row is no new picture."""
WORDS = (
    f"the camera repeats one picture: at {PLACES} positions in a row it is the same to the last bit"
)
_THINNED_PX = 4096
"""So many pixels tell pictures apart, nearly always."""


class RepeatedPictures:
    """Looks of one camera in a row: whether they are still of what is there.

    Even an empty field has noise, so the same bytes at different positions are an old buffer. Two
    positions prove nothing where there is no noise: a simulated view may look the same on both
    sides of focus. Nor do pictures of one grey level, black or saturated.
    """

    def __init__(self, apart: float) -> None:
        """apart: positions no farther from each other than this, in the axis' unit, are one."""
        self._apart = apart
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._few: Frame | None = None
        self._whole: Frame | None = None
        self._places: list[float] = []

    def saw(self, picture: Frame, here: float) -> bool:
        """Note a look at a picture (H, W) or (H, W, 3); True if it has been the same one at so many
        positions. Copies what it keeps: a camera may use its buffer again."""
        stride = max(1, math.isqrt(picture.shape[0] * picture.shape[1] // _THINNED_PX))
        few = picture[::stride, ::stride]
        same = self._few is not None and np.array_equal(few, self._few)
        if same and self._whole is not None:  # whole pictures only where there is a suspicion
            same = np.array_equal(picture, self._whole)
        if not same:
            self._places.clear()
            self._whole = None
            self._few = few.copy()
        elif self._whole is None:
            self._whole = picture.copy()
        if all(abs(here - place) > self._apart for place in self._places):
            self._places.append(here)
        if len(self._places) < PLACES:
            return False
        self.forget()
        return bool(picture.min() < picture.max())
