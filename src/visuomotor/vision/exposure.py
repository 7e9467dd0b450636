"""What a histogram says about the exposure of a picture: pure functions on batches of pictures.

Pictures are (M, H, W) or (M, H, W, 3), uint8 or uint16. All are read as 256 levels from black to
white; colours as their luma. ``white`` is the level at which the camera saturates: by default the
highest that the type holds, for a camera of 12 bits in uint16 it is 4095.

The bands are those of anikina2021, equation (11).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from visuomotor.errors import InputError
from visuomotor.types import BoolArray, ByteArray, FloatArray, Frame, Frames, IntArray

LEVELS = 256
USABLE = (50, 150)
"""Where the fullest level of a well exposed picture lies, both ends included."""
BEST_LEVEL = 100
"""Of P: the middle of what is usable."""
VISIBLE = (25, 175)
"""Where that of a picture lies that still shows something."""
COARSE_BINS = 10
DARK_LEVEL = 4
"""Of 256. Up to here a pixel shows hardly more than a sensor's offset and noise."""
_EXACT_PX = 2**24
"""cv2.calcHist counts in float32, which holds every whole number up to here."""


def histogram(frames: Frames, white: float | None = None) -> IntArray:
    """(M, H, W[, 3]) -> (M, 256): how many pixels have each level."""
    counts = np.zeros((len(frames), LEVELS), np.int64)
    for row, picture in zip(counts, frames, strict=True):
        levels = _levels(picture, white_level(frames, white))
        rows = max(1, _EXACT_PX // levels.shape[1])
        for first in range(0, len(levels), rows):
            part = cv2.calcHist([levels[first : first + rows]], [0], None, [LEVELS], [0, LEVELS])
            row += part[:, 0].astype(np.int64)
    return counts


def fullest_level(frames: Frames, white: float | None = None) -> IntArray:
    """(M, H, W[, 3]) -> (M,): the level, of 256, that most pixels have; the darkest of equals.

    The peak P of anikina2021, equation (11).
    """
    return np.asarray(histogram(frames, white).argmax(1))


def coarse_histogram(frames: Frames, white: float | None = None) -> tuple[FloatArray, FloatArray]:
    """(M, H, W[, 3]) -> shares (M, 10), which sum to 1, and edges (M, 11) in levels of 256.

    Ten bins from the darkest to the brightest level of each picture, as ``numpy.histogram`` has
    them: each holds its lower edge, the last its upper one too, and those of a picture of one level
    reach half a level to either side. ``val`` and ``bin`` of observation (10) of anikina2021.
    """
    counts = histogram(frames, white)
    filled = counts > 0
    lowest = filled.argmax(1).astype(np.float64)
    highest = LEVELS - 1.0 - filled[:, ::-1].argmax(1)
    flat = lowest == highest
    lowest, highest = np.where(flat, lowest - 0.5, lowest), np.where(flat, highest + 0.5, highest)
    span = (highest - lowest)[:, None]
    bins = np.floor((np.arange(LEVELS) - lowest[:, None]) * COARSE_BINS / span)  # (M, 256)
    bins = np.clip(bins, 0, COARSE_BINS - 1).astype(np.int64)
    cells = bins + COARSE_BINS * np.arange(len(counts))[:, None]
    summed = np.bincount(cells.ravel(), counts.ravel(), COARSE_BINS * len(counts))
    shares = summed.reshape(-1, COARSE_BINS) / counts.sum(1, keepdims=True)
    edges = lowest[:, None] + span * np.arange(COARSE_BINS + 1) / COARSE_BINS
    return shares, edges


def is_usable(peak: IntArray) -> BoolArray:
    """(M,) fullest levels -> (M,): within USABLE."""
    return np.asarray((peak >= USABLE[0]) & (peak <= USABLE[1]))


def is_visible(peak: IntArray) -> BoolArray:
    """(M,) fullest levels -> (M,): within VISIBLE; the usable are visible too."""
    return np.asarray((peak >= VISIBLE[0]) & (peak <= VISIBLE[1]))


def saturated_share(frames: Frames, white: float | None = None) -> FloatArray:
    """(M, H, W[, 3]) -> (M,): the share of pixels that are white in any colour."""
    return 1 - _share_up_to(frames, math.ceil(white_level(frames, white)) - 1)


def dark_share(
    frames: Frames, white: float | None = None, dark_level: float = DARK_LEVEL
) -> FloatArray:
    """(M, H, W[, 3]) -> (M,): the share of pixels above ``dark_level``, of 256, in no colour."""
    limit = dark_level * white_level(frames, white) / (LEVELS - 1)
    return _share_up_to(frames, math.floor(limit))


def white_level(frames: Frames, white: float | None = None) -> float:
    """The level of white in these pictures. InputError if they are of a wrong type or size, or
    white is no level of theirs."""
    if frames.dtype not in (np.uint8, np.uint16):
        raise InputError(f"pictures: expected uint8 or uint16, got {frames.dtype}")
    if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[3] != 3):
        raise InputError(f"pictures: expected (M, H, W) or (M, H, W, 3), got {frames.shape}")
    if 0 in frames.shape[1:]:
        raise InputError(f"pictures: expected at least one pixel, got {frames.shape}")
    highest = float(np.iinfo(frames.dtype).max)
    if white is not None and not 1 <= white <= highest:
        raise InputError(f"white: expected 1 to {highest:g} for {frames.dtype}, got {white:g}")
    return highest if white is None else float(white)


def _levels(picture: Frame, white: float) -> ByteArray:
    """(H, W[, 3]) -> (H, W) uint8: equal steps from black to white, what is above is white."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    if picture.dtype == np.uint8 and white == LEVELS - 1:
        return np.ascontiguousarray(picture)
    steps = np.arange(np.iinfo(picture.dtype).max + 1) * (LEVELS / (white + 1))
    table = np.minimum(steps, LEVELS - 1).astype(np.uint8)
    return np.ascontiguousarray(table[picture])


def _share_up_to(frames: Frames, level: int) -> FloatArray:
    """(M, H, W[, 3]) -> (M,): the share of pixels with no colour above this level."""
    lower, upper = np.zeros(4), np.full(4, float(level))  # cv2 takes four, whatever the colours
    counts = [
        cv2.countNonZero(cv2.inRange(np.ascontiguousarray(picture), lower, upper))
        for picture in frames
    ]
    return np.array(counts) / float(frames.shape[1] * frames.shape[2])
