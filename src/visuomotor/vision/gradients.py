"""What focus measures share: gradients of one grey picture, in strips that fit the cache."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""(H, W) grey levels."""
STRIP_ROWS = 64
LARGE_PX = 500_000
"""From here on a second thread is worth its while."""


class _Scratch(threading.local):
    """Float32 arrays that a thread uses again and again."""

    def __init__(self) -> None:
        self._kept = np.empty((0,), np.float32)

    def arrays(self, shape: tuple[int, ...]) -> Picture:
        if self._kept.shape != shape:
            self._kept = np.empty(shape, np.float32)
        return self._kept


_scratch = _Scratch()


@functools.lru_cache(maxsize=1)
def _helper(process: int) -> ThreadPoolExecutor:
    """The second thread. A process that was forked has none of its parent's."""
    return ThreadPoolExecutor(1, "gradients")


def gradient_energy(picture: NDArray[Any]) -> float:
    """Mean of Gx^2 + Gy^2 (Sobel) of one picture (H, W), grey levels squared.

    2 megapixels: uint8, whose gradients fit int16, 1.3 ms (in one piece 3-8 ms, and
    cv2.spatialGradient is no faster); float32 3.5 ms (in one piece 20-37 ms).
    """
    total = 0.0
    for rows, inner in _strips(picture):
        for x, y in ((1, 0), (0, 1)):  # one at a time: two do not fit the cache
            total += cv2.norm(_sobel(rows, x, y)[inner], cv2.NORM_L2SQR)
    return total / picture.size


def smoothed_gradient_energy(picture: NDArray[Any], sigma_px: float) -> tuple[float, float]:
    """``gradient_energy`` and mean of one picture (H, W) after a Gaussian of sigma_px.

    Both go at once over strips that fit the cache, in arrays that are used again, since what costs
    most is fresh memory: for 2 megapixels half the time of smoothing all and then measuring.
    """
    taps = round(8 * sigma_px + 1) | 1  # as cv2.GaussianBlur has it for float32
    kernel = cv2.getGaussianKernel(taps, sigma_px, cv2.CV_32F)
    source = picture if picture.dtype in (np.uint8, np.uint16) else picture.astype(np.float32)
    height, width = source.shape

    def some(firsts: range) -> list[tuple[float, float]]:
        rows_of, slopes_of = _scratch.arrays((2, STRIP_ROWS + 2 + 2 * (taps // 2), width))
        found = []
        for first in firsts:
            last = min(height, first + STRIP_ROWS)
            above, below = max(0, first - 1), min(height, last + 1)
            top, bottom = max(0, above - taps // 2), min(height, below + taps // 2)
            raw = np.ascontiguousarray(source[top:bottom])
            cv2.sepFilter2D(raw, cv2.CV_32F, kernel, kernel, dst=rows_of[: bottom - top])
            rows, inner = rows_of[above - top : below - top], slice(first - above, last - above)
            energy = 0.0
            for x, y in ((1, 0), (0, 1)):
                slopes = cv2.Sobel(rows, cv2.CV_32F, x, y, dst=slopes_of[: below - above])
                energy += cv2.norm(slopes[inner], cv2.NORM_L2SQR)
            found.append((energy, cv2.sumElems(rows[inner])[0]))
        return found

    strips = range(0, height, STRIP_ROWS)
    if picture.size < LARGE_PX:
        found = some(strips)
    else:
        half = (len(strips) + 1) // 2
        others = _helper(os.getpid()).submit(some, strips[half:])
        found = some(strips[:half]) + others.result()
    energies, sums = zip(*found, strict=True)
    return sum(energies) / picture.size, sum(sums) / picture.size


def gradient_magnitude(picture: NDArray[Any]) -> float:
    """Mean of the root of Gx^2 + Gy^2 (Sobel) of one picture (H, W), grey levels."""
    total = 0.0
    for rows, inner in _strips(picture.astype(np.float32, copy=False)):
        total += sum_of_lengths(_sobel(rows, 1, 0)[inner], _sobel(rows, 0, 1)[inner])
    return total / picture.size


def sum_of_lengths(along: NDArray[Any], across: NDArray[Any]) -> float:
    """Sum of the root of along^2 + across^2; both are overwritten, as fresh memory costs most.

    cv2.magnitude rounds by where in memory its arrays happen to lie: the same picture would not
    measure the same twice.
    """
    np.square(along, out=along)
    np.square(across, out=across)
    along += across
    return float(cv2.norm(np.sqrt(along, out=along), cv2.NORM_L1))


def mean_square(values: NDArray[Any]) -> float:
    """Of all values, summed in double precision."""
    return float(cv2.norm(np.ascontiguousarray(values), cv2.NORM_L2SQR)) / values.size


def _sobel(rows: NDArray[Any], x: int, y: int) -> NDArray[Any]:
    return cv2.Sobel(rows, cv2.CV_16S if rows.dtype == np.uint8 else cv2.CV_32F, x, y)


def _strips(picture: NDArray[Any]) -> Iterator[tuple[NDArray[Any], slice]]:
    """Some rows with their neighbours, which a gradient needs, and which of them are meant."""
    height = len(picture)
    for first in range(0, height, STRIP_ROWS):
        last = min(height, first + STRIP_ROWS)
        above, below = max(0, first - 1), min(height, last + 1)
        rows = picture[above:below]
        kind = np.uint8 if rows.dtype == np.uint8 else np.float32
        rows = np.ascontiguousarray(rows, kind)
        yield rows, slice(first - above, last - above)
