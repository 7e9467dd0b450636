"""Focus measures: how sharp a picture is, as one number.

Each public function here maps pictures (B, H, W) or (B, H, W, 3), any of uint8, uint16 or float, to
sharpness (B,). Each is divided by the power of the mean that it grows with, so that a brighter
picture of the same thing is not a sharper one; a black picture has sharpness 0. To add a measure,
add a function: ``measures`` finds it by its name. A measure that cannot keep all that the others
promise says so by ``_keeps``, which the tests read.

Comparisons: Subbarao & Tyan, IEEE PAMI 20 (1998); Sun, Duthaler & Nelson, Microscopy Research and
Technique 65 (2004); Firestone et al., Cytometry 12 (1991).
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft, special

from visuomotor.errors import InputError, nearest
from visuomotor.types import FloatArray, Frames
from visuomotor.vision.gradients import (
    Picture,
    gradient_energy,
    gradient_magnitude,
    mean_square,
    sum_of_lengths,
)
from visuomotor.vision.transforms import to_gray

NYQUIST = 0.5
"""Cycles per pixel."""
PSF_WIDTH_PX = 3
"""Smallest width of a point that optics pass; finer than this there is only noise (royer2016)."""
JPEG_QUALITY = 75
JPEG_MEAN_LEVEL = 32
"""The mean of the 8-bit version of a picture: only above eight times as bright is cut off."""
Measure = Callable[[Frames], FloatArray]


@dataclass(frozen=True)
class Promises:
    """What a measure keeps of what a measure should keep. By default all; tests hold it to each."""

    ignores_light: bool = True
    """Brighter is not sharper, and a flat picture has sharpness 0. A measure that does not is one
    of brightness: it grows in proportion to the light."""
    falls_with_blur: bool = True
    """More blur is never sharper, on textures as smooth as optics make them."""
    slack: float = 0.0
    """Mirroring and brightness may change it by this share, in pictures of 24 pixels and more."""
    why: str = ""
    """The reason for what is not kept."""


def _keeps(promises: Promises) -> Callable[[Measure], Measure]:
    """Marks a measure that does not keep all promises."""

    def mark(measure: Measure) -> Measure:
        vars(measure)["promises"] = promises
        return measure

    return mark


def tenengrad(frames: Frames) -> FloatArray:
    """Mean squared Sobel gradient, sum of Gx^2 + Gy^2 over both directions, by the squared mean.

    Tenenbaum 1970; Krotkov 1987. The reference measure F of yu2018, section III.B.
    """
    return _each(frames, gradient_energy)


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
        return mean_square(down) + mean_square(right)

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


def edges(frames: Frames) -> FloatArray:
    """Mean length of the Sobel gradient, by the mean. "Edges" of OughtaFocus in Micro-Manager,
    whose gradients end at white; these do not."""
    return _each(frames, gradient_magnitude, power=1)


def sharp_edges(frames: Frames) -> FloatArray:
    """``edges`` of the picture after ImageJ's sharpening mask, by the mean. "SharpEdges" of
    OughtaFocus in Micro-Manager."""
    mask = np.full((3, 3), -0.25, np.float32)
    mask[1, 1] = 3.0

    def energy(picture: Picture) -> float:
        return gradient_magnitude(cv2.filter2D(picture, cv2.CV_32F, mask))

    return _each(frames, energy, power=1)


def median_edges(frames: Frames) -> FloatArray:
    """Mean length of the gradient along both diagonals after a 3 x 3 median, by the mean.

    "MedianEdges" of OughtaFocus in Micro-Manager, as a mean, and by the mean, which theirs is not.
    Single hot pixels do not count.
    """
    falling = np.array([[2, 1, 0], [1, 0, -1], [0, -1, -2]], np.float32)
    rising = np.ascontiguousarray(falling[:, ::-1])

    def energy(picture: Picture) -> float:
        calm = cv2.medianBlur(picture, 3)
        along, across = (cv2.filter2D(calm, cv2.CV_32F, mask) for mask in (falling, rising))
        return sum_of_lengths(along, across) / picture.size

    return _each(frames, energy, power=1)


def redondo(frames: Frames) -> FloatArray:
    """Mean square of the sum of the four neighbours less four times one of them, by the squared
    mean.

    The Laplacian with a neighbour in place of the centre: "Redondo" of OughtaFocus in
    Micro-Manager, after Redondo et al., J. Biomedical Optics 17 (2012). Theirs takes the left
    neighbour; the mean over all four makes it indifferent to mirroring.
    """

    def energy(picture: Picture) -> float:
        neighbours = (
            picture[1:-1, :-2],
            picture[1:-1, 2:],
            picture[:-2, 1:-1],
            picture[2:, 1:-1],
        )
        total = sum(neighbours[1:], start=neighbours[0])
        return sum(mean_square(total - 4 * one) for one in neighbours) / 4

    return _each(frames, energy)


def laplacian_energy(frames: Frames) -> FloatArray:
    """Mean squared Laplacian over all eight neighbours, by the squared mean.

    Energy of Laplacian with the mask (1 4 1, 4 -20 4, 1 4 1) / 6 of Subbarao, Choi & Nikzad,
    Optical Engineering 32 (1993). openflexure takes four neighbours.
    """
    mask = np.array([[1, 4, 1], [4, -20, 4], [1, 4, 1]], np.float32) / 6

    def energy(picture: Picture) -> float:
        return mean_square(cv2.filter2D(picture, cv2.CV_32F, mask))

    return _each(frames, energy)


def standard_deviation(frames: Frames) -> FloatArray:
    """Standard deviation of the grey levels, by the mean. "StdDev" of OughtaFocus in
    Micro-Manager; the root of ``normalised_variance``."""

    def energy(picture: Picture) -> float:
        return float(cv2.meanStdDev(picture)[1][0, 0])

    return _each(frames, energy, power=1)


def vollath_f5(frames: Frames) -> FloatArray:
    """Autocorrelation at one pixel less the squared mean, over both axes, by the squared mean.

    Vollath, J. Microscopy 151 (1988), F5, as means rather than sums; "Volath5" of OughtaFocus in
    Micro-Manager, which takes one axis. Noise that differs from pixel to pixel counts nothing.
    """

    def energy(picture: Picture) -> float:
        centred = picture - picture.mean()
        down = np.mean(centred[:-1] * centred[1:], dtype=np.float64)
        right = np.mean(centred[:, :-1] * centred[:, 1:], dtype=np.float64)
        return float(down + right)

    # Below zero neighbours differ more than strangers: noise, and nothing to focus on.
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


def dct_shannon_entropy(frames: Frames) -> FloatArray:
    """Mean of -c log c over the coefficients of the cosine transform that optics can pass, times
    the root of the number of pixels.

    Normalised DCT Shannon entropy, Royer et al., Nature Biotechnology 34 (2016): c are the sizes of
    the coefficients by their root of the sum of squares; counted are those in the triangle from
    zero frequency to 1 / ``PSF_WIDTH_PX`` of each axis. The root of the number of pixels, which
    royer2016 does not have, lets pictures of any size compare.
    """

    def energy(picture: Picture) -> float:
        height, width = picture.shape
        size = np.abs(fft.dctn(picture.astype(np.float64), norm="ortho"))
        y = np.arange(height)[:, None] * PSF_WIDTH_PX / height
        x = np.arange(width)[None, :] * PSF_WIDTH_PX / width
        passed = size[y + x < 1] / np.sqrt(np.sum(size**2))
        return float(special.entr(passed).mean()) * math.sqrt(picture.size)

    return _each(frames, energy, power=0)


@_keeps(Promises(slack=0.25, why="whole bytes, few in a small picture; blocks start at a corner"))
def jpeg_size(frames: Frames) -> FloatArray:
    """Bytes for each pixel of the picture as JPEG of quality 75, beyond those of a flat picture.

    openflexure focuses by the size of its video frames. Here the mean is first brought to grey
    level 32 of 255, so that a brighter picture does not need more bytes; of a dark one this shows
    the noise, so it is not for a few points in the dark.
    """

    def energy(picture: Picture) -> float:
        levels = np.rint(picture * (JPEG_MEAN_LEVEL / cv2.mean(picture)[0]))
        bytes_needed = _jpeg_bytes(np.clip(levels, 0, 255).astype(np.uint8))
        return (bytes_needed - _flat_jpeg_bytes(picture.shape)) / picture.size

    return _each(frames, energy, power=0)


@_keeps(Promises(ignores_light=False, falls_with_blur=False, why="blur loses no light"))
def mean(frames: Frames) -> FloatArray:
    """Mean grey level. "Mean" of OughtaFocus in Micro-Manager: for an instrument that gathers most
    light in focus, such as a confocal one."""
    return _each(frames, lambda picture: cv2.mean(picture)[0], power=0)


@_keeps(Promises(ignores_light=False, why="it is a grey level"))
def peak_brightness(frames: Frames) -> FloatArray:
    """The highest grey level: for points that shine in the dark. One hot pixel misleads it."""
    return _each(frames, lambda picture: float(picture.max()), power=0)


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


def promises(name: str) -> Promises:
    """What the measure of this name keeps."""
    kept: Promises = vars(measure(name)).get("promises", Promises())
    return kept


def _each(frames: Frames, energy: Callable[[Picture], float], power: int = 2) -> FloatArray:
    """``energy`` of each grey picture by this power of its mean."""
    gray = to_gray(frames)
    values = np.zeros(len(gray))
    for i, raw in enumerate(gray):
        # Eight-bit pictures stay so for the gradients, which are twice as fast on them.
        picture = raw if energy is gradient_energy else raw.astype(np.float32)
        level = cv2.mean(picture)[0]
        if math.isfinite(level) and level > 0:  # else there is no light, or no picture
            values[i] = energy(picture) / level**power
    return values


def _jpeg_bytes(levels: Frames) -> int:
    _, encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.size


@functools.lru_cache(maxsize=16)
def _flat_jpeg_bytes(shape: tuple[int, ...]) -> int:
    return _jpeg_bytes(np.full(shape, JPEG_MEAN_LEVEL, np.uint8))
