"""How much of a picture is noise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.types import FloatArray, Frames
from visuomotor.vision.transforms import to_gray

SIGNAL_OVER_NOISE = 1.5
"""A sample shows at least this many times the sharpness of pure noise."""
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MASK_GAIN = 6.0
"""Root of the sum of the mask's squares: white noise of sigma 1 comes out with sigma 6."""
_NORMAL_MAD = 0.6745
_FEW_LEVELS = 3
"""A median response below says little where grey levels are whole numbers."""
_TWO_PIXELS = 8
"""Response to two neighbours that stand out by one grey level: more is no small noise."""
_CROP_PX = 256
_NOISE_PX = 128
"""So many pixels of noise tell its sharpness to 1 %."""
_SHADING_PX = 32
"""Side to which a picture is averaged before shading is read off."""


def noise_sigma(frames: Frames) -> FloatArray:
    """Standard deviation of the white noise of each picture, (M, H, W[, 3]) -> (M,) grey levels.

    Immerkaer's mask (Computer Vision and Image Understanding 64, 1996), which is blind to planes
    and edges along the axes, with the median of the absolute response in place of its mean, so
    that texture counts little. Read off the middle 256 x 256 pixels.
    """
    gray = to_gray(_middle(frames))
    sigmas = np.empty(len(gray))
    whole = frames.dtype.kind in "ui"
    for i, picture in enumerate(gray):
        filtered = cv2.filter2D(picture.astype(np.float32), cv2.CV_32F, _MASK)[1:-1, 1:-1]
        response: NDArray[np.float32] = np.abs(filtered)
        median = _median(response)
        if whole and median < _FEW_LEVELS:
            # Whole grey levels hide small noise from a median: single pixels stand out by one.
            # Their energy still counts, and that of detail next to nothing.
            spread = float(np.sqrt(np.square(np.minimum(response, _TWO_PIXELS)).mean()))
        else:
            spread = median / _NORMAL_MAD
        sigmas[i] = spread / _MASK_GAIN
    return sigmas


def noise_sharpness(frames: Frames, measure: Callable[[Frames], FloatArray]) -> FloatArray:
    """The sharpness that ``measure`` would find in each picture if it held only its noise and its
    shading: (M,).

    It is what both add to a flat picture, in which a measure of brightness finds its light.
    """
    whole = to_gray(frames)
    gray = _middle(whole)
    sigmas = noise_sigma(frames)
    white = _white_noise(*(min(side, _NOISE_PX) for side in gray.shape[1:]))
    sharpness = np.empty(len(gray))
    pair = np.empty((2, *white.shape), np.float32)
    for i, (picture, sigma) in enumerate(zip(gray, sigmas, strict=True)):
        pair[:] = picture.mean()
        pair[0] += np.float32(sigma) * white
        noisy, flat = measure(pair)
        plain = np.full((1, *whole.shape[1:]), pair[1, 0, 0])
        shaded = measure(shading(whole[i])[None]) - measure(plain)
        sharpness[i] = noisy - flat + max(0.0, float(shaded[0]))
    return sharpness


def shading(gray: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W) -> (H, W) how light falls on an empty field: the quadratic in both coordinates that is
    nearest to the picture. No sample is so smooth."""
    height, width = gray.shape
    small = cv2.resize(gray.astype(np.float32), (_SHADING_PX,) * 2, interpolation=cv2.INTER_AREA)
    bend = _quadratic_fit() @ small.reshape(-1).astype(np.float64)
    y = _middles(height).astype(np.float32)[:, None]
    x = _middles(width).astype(np.float32)
    one, by_y, by_x, by_yy, by_xy, by_xx = bend.astype(np.float32)
    found: NDArray[np.float32] = (one + by_y * y + by_yy * y**2) + (by_x + by_xy * y) * x
    found += by_xx * x**2
    return found


def _middles(count: int) -> FloatArray:
    """(count,) of pixels, on a side from -1 to 1."""
    middles: FloatArray = (np.arange(count) + 0.5) / count * 2 - 1
    return middles


@functools.lru_cache(maxsize=1)
def _quadratic_fit() -> FloatArray:
    """(6, N) from the N pixels of a small picture to 1, y, x, y^2, x y, x^2."""
    y, x = np.meshgrid(_middles(_SHADING_PX), _middles(_SHADING_PX), indexing="ij")
    terms = np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], -1).reshape(-1, 6)
    found: FloatArray = np.linalg.pinv(terms)
    return found


def _median(values: NDArray[np.float32]) -> float:
    """Of all values. With one place to find, ``np.partition`` is five times as fast as with two."""
    middle = values.size // 2
    parted = np.partition(values, middle, axis=None)
    below = parted[middle] if values.size % 2 else parted[:middle].max()
    return (float(below) + float(parted[middle])) / 2


@functools.lru_cache(maxsize=4)
def _white_noise(height: int, width: int) -> NDArray[np.float32]:
    """(height, width) of standard deviation 1, always the same."""
    return np.random.default_rng(0).standard_normal((height, width), dtype=np.float32)


def _middle(frames: Frames) -> Frames:
    height, width = frames.shape[1:3]
    top, left = max(0, height - _CROP_PX) // 2, max(0, width - _CROP_PX) // 2
    return frames[:, top : top + _CROP_PX, left : left + _CROP_PX]
