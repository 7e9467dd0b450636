"""How blurred the edges of a picture are, without a reference."""

from __future__ import annotations

import math

import cv2
import numpy as np

from visuomotor.types import Frame
from visuomotor.vision.transforms import to_gray

_SMOOTH_PX = 0.7
"""Sigma against noise."""
_OWN_PX = 3.2
"""What is found of a step edge between pixels: that smoothing, the pixels, and the difference over
two of them."""
_LEAST_CONTRAST = 12.0
"""Grey levels between dark and bright below which no edge is measured."""


def edge_blur_px(picture: Frame) -> float:
    """Diameter in pixels of the disc that blurs the sharpest edges of a picture (H, W[, 3]).

    A step of height h that a disc of diameter d blurs is at most 4 h / (pi d) steep. Infinite where
    there is no contrast. Meant for things with step edges, as markers, in a picture that shows
    little else.
    """
    gray = to_gray(picture[None])[0].astype(np.float32)
    calm = cv2.GaussianBlur(gray, (0, 0), _SMOOTH_PX)
    dark, bright = np.percentile(calm, (3, 97))
    if bright - dark < _LEAST_CONTRAST or min(calm.shape) < 4:
        return math.inf
    down, right = np.gradient(calm)
    slope = float(np.percentile(np.hypot(down, right), 99))
    if slope <= 0:
        return math.inf
    width = 4 / math.pi * float(bright - dark) / slope
    return math.sqrt(max(0.0, width**2 - _OWN_PX**2))
