"""How much of a picture is noise."""

from __future__ import annotations

import functools
from collections.abc import Callable

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
_CROP_PX = 256
_NOISE_PX = 128
"""So many pixels of noise tell its sharpness to 1 %."""


def noise_sigma(frames: Frames) -> FloatArray:
    """Standard deviation of the white noise of each picture, (M, H, W[, 3]) -> (M,) grey levels.

    Immerkaer's mask (Computer Vision and Image Understanding 64, 1996), which is blind to planes
    and edges along the axes, with the median of the absolute response in place of its mean, so
    that texture counts little. Read off the middle 256 x 256 pixels.
    """
    gray = to_gray(_middle(frames))
    sigmas = np.empty(len(gray))
    for i, picture in enumerate(gray):
        response = cv2.filter2D(picture.astype(np.float32), cv2.CV_32F, _MASK)[1:-1, 1:-1]
        median = _median(np.abs(response))
        # Whole grey levels can hide small noise from a median; the mean still sees it.
        spread = median / _NORMAL_MAD if median > 0 else float(np.abs(response).mean()) * 1.2533
        sigmas[i] = spread / _MASK_GAIN
    return sigmas


def noise_sharpness(frames: Frames, measure: Callable[[Frames], FloatArray]) -> FloatArray:
    """The sharpness that ``measure`` would find in each picture if it held only its noise: (M,).

    It is what noise adds to a flat picture, in which a measure of brightness finds its light.
    """
    gray = to_gray(_middle(frames))
    sigmas = noise_sigma(frames)
    white = _white_noise(*(min(side, _NOISE_PX) for side in gray.shape[1:]))
    sharpness = np.empty(len(gray))
    pair = np.empty((2, *white.shape), np.float32)
    for i, (picture, sigma) in enumerate(zip(gray, sigmas, strict=True)):
        pair[:] = picture.mean()
        pair[0] += np.float32(sigma) * white
        noisy, flat = measure(pair)
        sharpness[i] = noisy - flat
    return sharpness


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
