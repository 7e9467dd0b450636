"""Tenengrad of one large picture: ours, and as a textbook has it in SciPy."""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage

from visuomotor.benchmarks.measuring import Times
from visuomotor.types import Frames
from visuomotor.vision.focus import tenengrad

SHAPE_PX = (1080, 1920)


def tenengrad_ms(repeats: int) -> tuple[Times, Times]:
    """Milliseconds of a (1, 1080, 1920) uint8 picture, ours and SciPy's, by turns."""
    began = time.perf_counter()
    picture = np.random.default_rng(0).integers(0, 255, (1, *SHAPE_PX), dtype=np.uint8)
    if not np.isclose(tenengrad(picture)[0], _plain_tenengrad(picture), rtol=0.01):
        raise RuntimeError("the two do not measure the same thing")
    fast: list[float] = []
    slow: list[float] = []
    for _ in range(repeats):
        for function, times in ((tenengrad, fast), (_plain_tenengrad, slow)):
            start = time.perf_counter()
            function(picture)
            times.append(1000 * (time.perf_counter() - start))
    seconds = time.perf_counter() - began
    return Times(fast, seconds), Times(slow, seconds)


def _plain_tenengrad(frames: Frames) -> float:
    picture = frames[0].astype(np.float64)
    down, right = ndimage.sobel(picture, 0), ndimage.sobel(picture, 1)
    return float(np.mean(down**2 + right**2) / picture.mean() ** 2)
