"""Sharpness as tasks read it: a focus measure of smoothed pictures, so that noise counts little."""

from __future__ import annotations

import math

import numpy as np

from visuomotor.types import FloatArray, Frames
from visuomotor.vision import focus
from visuomotor.vision.gradients import smoothed_gradient_energy
from visuomotor.vision.transforms import smooth, to_gray


def smoothed(name: str, sigma_px: float) -> focus.Measure:
    """A measure by its name, read off pictures that a Gaussian of sigma_px was laid over (0: none).
    The reference measure does both in one."""
    of_smooth = focus.measure(name)
    if sigma_px == 0:
        return of_smooth
    if of_smooth is not focus.tenengrad:
        return lambda frames: of_smooth(smooth(frames, sigma_px))

    def both(frames: Frames) -> FloatArray:
        gray = to_gray(frames)
        values = np.zeros(len(gray))
        for i, picture in enumerate(gray):
            energy, level = smoothed_gradient_energy(picture, sigma_px)
            if math.isfinite(level) and level > 0:
                values[i] = energy / level**2
        return values

    return both
