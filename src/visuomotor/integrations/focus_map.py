"""Focus over a slide: a plane through what was focused on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from visuomotor.errors import InputError
from visuomotor.types import FloatArray

FLAT = 1e-6
"""Points whose spread across their line is below this share of that along it tell no plane."""


@dataclass(frozen=True)
class FocusMap:
    """z = a x + b y + c, by least squares through three or more points."""

    points: tuple[tuple[float, float, float], ...]
    """(x, y, z) in the stages' units."""

    def __post_init__(self) -> None:
        xyz = np.array(self.points, np.float64)
        if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) < 3 or not np.isfinite(xyz).all():
            raise InputError(
                f"focus map: expected three or more points of x, y and z, got {self.points}"
            )
        spread = np.linalg.svd(xyz[:, :2] - xyz[:, :2].mean(0), compute_uv=False)
        if spread[1] <= FLAT * spread[0] or spread[0] == 0:
            raise InputError("focus map: expected points that do not all lie on one line")

    @classmethod
    def through(cls, points: Iterable[tuple[float, float, float]]) -> FocusMap:
        """The map of these points."""
        return cls(tuple((float(x), float(y), float(z)) for x, y, z in points))

    @property
    def plane(self) -> tuple[float, float, float]:
        """a, b, c."""
        xyz = np.array(self.points, np.float64)
        centre = xyz.mean(0)  # a slide far from the stage's origin loses no digits
        slopes, *_ = np.linalg.lstsq(xyz[:, :2] - centre[:2], xyz[:, 2] - centre[2], rcond=None)
        a, b = (float(slope) for slope in slopes)
        return a, b, float(centre[2] - a * centre[0] - b * centre[1])

    def z_at(self, x: float, y: float) -> float:
        """Where focus should be at this place."""
        a, b, c = self.plane
        return a * x + b * y + c

    @property
    def residuals(self) -> FloatArray:
        """(N,) how far each point lies above the plane: a slide that is not flat shows here."""
        return np.array([z - self.z_at(x, y) for x, y, z in self.points])
