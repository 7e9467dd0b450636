"""What looks are worth: rewards (11) and (12) of anikina2021.

Pure functions over N looks. B is a quality between 0 (good) and 100 (bad), in the paper BRISQUE.
"""

from __future__ import annotations

import numpy as np

from visuomotor.types import BoolArray, FloatArray, IntArray
from visuomotor.vision.exposure import is_usable, is_visible

WORST_QUALITY = 100.0
BLUR_WEIGHT = 10.0
"""A true blur of a pixel counts as so much of B: ten pixels are the worst."""


def exposure_reward(level: IntArray, quality: FloatArray) -> FloatArray:
    """(N,) anikina2021, equation (11): 1 for a good exposure, -0.01 B where something shows, else
    -1. level: P; quality: B of the whole picture."""
    shown = np.where(is_visible(level), -0.01 * quality, -1.0)
    return np.where(is_usable(level), 1.0, shown)


def focus_reward(detected: BoolArray, quality: FloatArray) -> FloatArray:
    """(N,) anikina2021, equation (12): -0.01 B of what was detected, -1 where nothing was."""
    return np.where(detected, -0.01 * quality, -1.0)


def quality_of_blur(blur_px: FloatArray) -> FloatArray:
    """(N,) B in place of BRISQUE's, where a simulator knows the diameter of the blur."""
    return np.minimum(WORST_QUALITY, BLUR_WEIGHT * np.abs(blur_px))
