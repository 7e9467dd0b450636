"""Contrast of rendered views at any defocus: tables with what lies between interpolated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from visuomotor.training.simulated_views import DEFOCUS, FARTHEST, Views
from visuomotor.vision.contrast import ABSENT, BANDS, BRIGHTNESS, NOISE

SHARP_FRACTION = 0.9
"""In focus is above this share of the maximum (yu2018, section III.B)."""
SHARPNESS, GRAIN, LIGHT = BANDS, BANDS + 1, BANDS + 2
"""Behind the energies of a view: sharpness, what detail adds to the noise, and brightness."""


class ViewCurves:
    """Log contrast and sharpness of all views, to be looked up at any defocus."""

    POINTS = 601

    def __init__(self, views: Views) -> None:
        contrast = torch.from_numpy(views.contrast)
        sharpness = torch.from_numpy(views.sharpness).clamp_min(1e-12).log()
        at = torch.from_numpy(DEFOCUS).float()
        light = contrast[..., BRIGHTNESS]
        most = sharpness.amax(1, keepdim=True)
        # By squared brightness, like sharpness, and relative to it in focus: views can be mixed.
        level = (2 * light + most)[..., None]
        energy = contrast[..., :BANDS]
        self.present = energy[:, 0] > ABSENT / 2  # (V, BANDS)
        energy = torch.where(self.present[:, None], energy - level, ABSENT)
        grain = contrast[..., NOISE : NOISE + 1] - level
        curves = torch.cat(
            [energy, (sharpness - most)[..., None], grain, light[..., None]], -1
        )  # (V, D, BANDS + 3)
        self.sharpest = at[sharpness.argmax(1)]  # (V,)
        self._reach = math.asinh(FARTHEST)
        even = torch.sinh(torch.linspace(-self._reach, self._reach, self.POINTS))
        low = (torch.searchsorted(at, even) - 1).clamp(0, len(at) - 2)
        share = ((even - at[low]) / (at[low + 1] - at[low]))[:, None]
        self._table = curves[:, low] * (1 - share) + curves[:, low + 1] * share
        self.width = self._widths()  # (V,)

    def at(self, view: Tensor, defocus: Tensor) -> Tensor:
        """(N,) views at (N,) defocuses in their own fine steps -> (N, BANDS + 3)."""
        place = (torch.asinh(defocus) / self._reach + 1) / 2 * (self.POINTS - 1)
        place = place.clamp(0, self.POINTS - 1.001)
        low = place.long()
        share = (place - low)[:, None]
        found: Tensor = self._table[view, low] * (1 - share) + self._table[view, low + 1] * share
        return found

    def _widths(self) -> Tensor:
        """(V,) how wide the zone above 0.9 of the maximum is."""
        step, views = 0.1, torch.arange(len(self.present))
        near = torch.arange(-60.0, 60.0, step)
        defocus = (self.sharpest[:, None] + near).reshape(-1)
        curve = self.at(views.repeat_interleave(len(near)), defocus)[:, SHARPNESS]
        sharp = curve.reshape(len(views), -1) > math.log(SHARP_FRACTION)
        return sharp.sum(1).clamp_min(1) * step
