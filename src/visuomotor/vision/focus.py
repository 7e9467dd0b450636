"""Focus measures: how sharp a picture is, as one number.

Each public function here maps pictures (B, H, W) or (B, H, W, 3), any of uint8, uint16 or float, to
sharpness (B,). All are divided by the squared mean, so that a brighter picture of the same thing is
not a sharper one; a black picture has sharpness 0. To add a measure, add a function: ``measures``
finds it by its name.

Comparisons: Subbarao & Tyan, IEEE PAMI 20 (1998); Sun, Duthaler & Nelson, Microscopy Research and
Technique 65 (2004); Firestone et al., Cytometry 12 (1991).
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError, nearest
from visuomotor.types import FloatArray, Frames
from visuomotor.vision.transforms import to_gray

NYQUIST = 0.5
"""Cycles per pixel."""
Measure = Callable[[Frames], FloatArray]
Picture = NDArray[np.float32]
STRIP_ROWS = 64


def tenengrad(frames: Frames) -> FloatArray:
    """Mean squared Sobel gradient, sum of Gx^2 + Gy^2 over both directions, by the squared mean.

    Tenenbaum 1970; Krotkov 1987. The reference measure F of yu2018, section III.B.
    """
    return _each(frames, _gradient_energy)


def variance_of_laplacian(frames: Frames) -> FloatArray:
    """Variance of the 3 x 3 Laplacian, by the squared mean. Pech-Pacheco et al. 2000."""

    def energy(picture: Picture) -> float:
        _, deviation = cv2.meanStdDev(cv2.Laplacian(picture, cv2.CV_32F))
        return float(deviation[0, 0]) ** 2

    return _each(frames, energy)


def normalised_variance(frames: Frames) -> FloatArray:
    """Variance of the grey levels, by the squared mean. Groen, Young & Ligthart 1985."""

    def energy(picture: Picture) -> float:
        _, deviation = cv2.meanStdDev(picture)
        return float(deviation[0, 0]) ** 2

    return _each(frames, energy)


def brenner(frames: Frames) -> FloatArray:
    """Mean squared difference of pixels two apart, along both axes, by the squared mean.

    Brenner et al. 1976, who took one axis only; both make it indifferent to transposition.
    """

    def energy(picture: Picture) -> float:
        down, right = picture[2:] - picture[:-2], picture[:, 2:] - picture[:, :-2]
        return _mean_square(down) + _mean_square(right)

    return _each(frames, energy)


def vollath_f4(frames: Frames) -> FloatArray:
    """Autocorrelation at one pixel minus that at two, over both axes, by the squared mean.

    Vollath 1987, F4, as means rather than sums. Noise that differs from pixel to pixel cancels.
    """

    def energy(picture: Picture) -> float:
        centred = picture - picture.mean()

        def correlation(lag: int) -> float:
            down = np.mean(centred[:-lag] * centred[lag:], dtype=np.float64)
            right = np.mean(centred[:, :-lag] * centred[:, lag:], dtype=np.float64)
            return float(down + right)

        return correlation(1) - correlation(2)

    # Fine noise can push the difference below zero, where there is nothing to focus on.
    return np.maximum(_each(frames, energy), 0.0)


def fft_bandpass(frames: Frames) -> FloatArray:
    """Spectral energy between 2.5 and 14 % of the Nyquist frequency, by the squared mean.

    The band of OughtaFocus in Micro-Manager: above illumination and blur, below noise.
    """

    def energy(picture: Picture) -> float:
        height, width = picture.shape
        spectrum = np.fft.rfft2(picture)
        fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
        radius = np.hypot(fy, fx)
        band = (radius >= 0.025 * NYQUIST) & (radius <= 0.14 * NYQUIST)
        power = np.abs(spectrum) ** 2
        # The half spectrum holds every column but the first (and an even last) twice.
        power[:, 1 : (width + 1) // 2] *= 2
        return float(power[band].sum()) / picture.size**2

    return _each(frames, energy)


def measures() -> dict[str, Measure]:
    """Every focus measure of this module by name, in the order of the file."""
    module = sys.modules[__name__]
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == __name__
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), "") == "frames"
    }


def measure(name: str) -> Measure:
    """The focus measure of this name; InputError with the nearest known one otherwise."""
    known = measures()
    if name not in known:
        raise InputError(f"focus measure {name!r} is not known; {nearest(name, known)}")
    return known[name]


def _each(frames: Frames, energy: Callable[[Picture], float]) -> FloatArray:
    """``energy`` of each grey picture by its squared mean."""
    gray = to_gray(frames)
    values = np.zeros(len(gray))
    for i, raw in enumerate(gray):
        # Eight-bit pictures stay so for the gradients, which are twice as fast on them.
        picture = raw if energy is _gradient_energy else raw.astype(np.float32)
        mean = cv2.mean(picture)[0]
        if math.isfinite(mean) and mean > 0:  # else there is no light, or no picture
            values[i] = energy(picture) / mean**2
    return values


def _gradient_energy(picture: NDArray[Any]) -> float:
    """Mean of Gx^2 + Gy^2, in strips of rows, whose gradients stay in the processor's cache.

    2 megapixels: uint8, whose gradients fit int16, 1.3 ms (in one piece 3-8 ms, and
    cv2.spatialGradient is no faster); float32 3.5 ms (in one piece 20-37 ms).
    """
    bytes_only = picture.dtype == np.uint8
    depth = cv2.CV_16S if bytes_only else cv2.CV_32F
    height, total = len(picture), 0.0
    for first in range(0, height, STRIP_ROWS):
        last = min(height, first + STRIP_ROWS)
        above, below = max(0, first - 1), min(height, last + 1)  # a gradient needs its neighbours
        rows = picture[above:below]
        rows = np.ascontiguousarray(rows) if bytes_only else rows.astype(np.float32)
        for dx, dy in ((1, 0), (0, 1)):
            gradient = cv2.Sobel(rows, depth, dx, dy)[first - above : last - above]
            total += cv2.norm(gradient, cv2.NORM_L2SQR)
    return total / picture.size


def _mean_square(differences: Picture) -> float:
    contiguous = np.ascontiguousarray(differences)
    return float(cv2.norm(contiguous, cv2.NORM_L2SQR)) / differences.size
