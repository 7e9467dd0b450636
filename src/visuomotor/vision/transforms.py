"""Pictures to smaller, greyer, smoother ones: pure functions on (M, H, W) or (M, H, W, 3)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.types import ROI, ByteArray, Frames

MIN_ROI_PX = 8
FEWER_ROWS = 4
"""With so many rows to one of the thumbnail they are summed first."""


def to_gray(frames: Frames) -> Frames:
    """(M, H, W[, 3]) -> (M, H, W): grey pictures as they are, RGB to luma (Rec. 601) float32."""
    if frames.ndim == 3:
        return frames
    weights = np.array([[0.299, 0.587, 0.114]], np.float32)
    gray: Frames = np.stack([cv2.transform(f.astype(np.float32), weights) for f in frames])
    return gray.reshape(frames.shape[:3])


def thumbnails(frames: Frames, size_px: int, display_range: tuple[float, float]) -> ByteArray:
    """Grey squares of 8 bit, (M, H, W[, 3]) -> (M, size_px, size_px) uint8.

    The picture is squeezed to a square (area means when shrinking), then ``display_range`` (black,
    white) is mapped to 0..255, clipped, and rounded once.
    """
    black, white = display_range
    small = np.empty((len(frames), size_px, size_px), np.float32)
    for i, picture in enumerate(to_gray(frames)):
        shrinking = min(picture.shape) >= size_px
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        rows = _fewer_rows(picture, size_px) if len(picture) >= FEWER_ROWS * size_px else picture
        small[i] = cv2.resize(
            rows.astype(np.float32, copy=False), (size_px, size_px), interpolation=method
        )
    scaled = np.rint((small - black) * (255.0 / (white - black)))
    levels: ByteArray = np.clip(scaled, 0, 255).astype(np.uint8)
    return levels


def _fewer_rows(picture: Frames, count: int) -> NDArray[np.float32]:
    """Area means along the columns, (H, W) -> (count, W): one after the other the two directions
    take a third of the time that ``cv2.resize`` takes for both."""
    height = len(picture)
    fewer = np.empty((count, picture.shape[1]), np.float32)
    for row in range(count):
        first, last = row * height / count, (row + 1) * height / count
        whole = math.ceil(first), math.floor(last)
        total = cv2.reduce(picture[slice(*whole)], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F)[0]
        if whole[0] > first:
            total += np.float32(whole[0] - first) * picture[whole[0] - 1]
        if last > whole[1]:
            total += np.float32(last - whole[1]) * picture[whole[1]]
        np.multiply(total, count / height, out=fewer[row])
    return fewer


def smooth(frames: Frames, sigma_px: float) -> Frames:
    """Gaussian of sigma_px over each grey picture, float32; 0 leaves the pictures as they are."""
    if sigma_px == 0:
        return frames
    gray = to_gray(frames)
    smoothed: Frames = np.empty(gray.shape, np.float32)
    for picture, out in zip(gray, smoothed, strict=True):  # straight into place: twice as fast
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma_px, dst=out)
    return smoothed


def percentile_range(frames: Frames, low: float = 0.1, high: float = 99.9) -> tuple[float, float]:
    """Grey levels of these percentiles over all pictures, white at least one level above black.

    Read off about a million pixels spread evenly over all of them.
    """
    pixels = frames.shape[0] * frames.shape[1] * frames.shape[2]
    stride = max(1, int(np.sqrt(pixels / 1e6)))
    black, white = np.percentile(to_gray(frames[:, ::stride, ::stride]), [low, high])
    return float(black), float(max(white, black + 1.0))


def content_roi(frames: Frames, fraction: float = 0.5) -> ROI:
    """The window, ``fraction`` of each side long, with the most gradient energy in any picture.

    yu2018 chooses a region of rich content by hand (section III.B); this does it for a stack.
    """
    height, width = frames.shape[1:3]
    rows, columns = max(MIN_ROI_PX, int(height * fraction)), max(MIN_ROI_PX, int(width * fraction))
    energy = np.zeros((height, width), np.float32)
    for picture in to_gray(frames):
        smoothed = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0)
        dx = cv2.Sobel(smoothed, cv2.CV_32F, 1, 0)
        dy = cv2.Sobel(smoothed, cv2.CV_32F, 0, 1)
        energy = np.maximum(energy, dx * dx + dy * dy)
    total = cv2.integral(energy)  # (H + 1, W + 1)
    windows = (total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns]) + total[
        :-rows, :-columns
    ]
    top, left = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return ROI(int(top), int(left), rows, columns)


def checked_roi(roi: tuple[int, int, int, int], height: int, width: int) -> ROI:
    """The region as ROI; InputError if it leaves the picture or is too small to judge."""
    region = ROI(*(int(value) for value in roi))
    inside = region.top >= 0 and region.left >= 0
    inside = inside and region.top + region.height <= height
    inside = inside and region.left + region.width <= width
    if not inside or min(region.height, region.width) < MIN_ROI_PX:
        raise InputError(
            f"roi: expected top, left, height, width of at least {MIN_ROI_PX} pixels inside "
            f"a picture of {height} x {width}, got {tuple(region)}"
        )
    return region


def augment(
    frames: ByteArray,
    generator: np.random.Generator,
    shift_px: int,
    brightness: float,
    jitter_px: int = 0,
) -> NDArray[Any]:
    """The pictures (U, h, w) of one batch, shifted together by up to shift_px, each by up to
    jitter_px besides, and each scaled in brightness by up to the given fraction. Float32 if
    anything was scaled, else uint8."""
    result: NDArray[Any] = frames
    if shift_px > 0 or jitter_px > 0:
        shift = generator.integers(-shift_px, shift_px + 1, 2)  # down, right
        count, height, width = frames.shape
        if jitter_px > 0:
            shifts = shift + generator.integers(-jitter_px, jitter_px + 1, (count, 2))
            rows = np.clip(np.arange(height) + shifts[:, :1], 0, height - 1)  # (U, h)
            columns = np.clip(np.arange(width) + shifts[:, 1:], 0, width - 1)  # (U, w)
            result = frames[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]
        else:
            rows = np.clip(np.arange(height) + shift[0], 0, height - 1)
            columns = np.clip(np.arange(width) + shift[1], 0, width - 1)
            result = frames[:, rows[:, None], columns]
    if brightness > 0:
        gains = generator.uniform(1 - brightness, 1 + brightness, (len(frames), 1, 1))
        result = result * gains.astype(np.float32)
    return result
