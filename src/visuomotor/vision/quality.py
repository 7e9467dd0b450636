"""BRISQUE: how good a picture looks, without a reference. Lower is better.

Mittal, Moorthy & Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP 21
(2012): each pixel less its local mean, by its local deviation, and the products of neighbours; the
shapes of their distributions, at two scales, are 36 features; a support vector regression makes
them one number. Natural pictures lie near 0, spoilt ones at 100 and beyond.

The 36 are those of the ``brisque`` package (Apache-2.0), whose model scores them: it fits the
asymmetric distribution to single pixels too, takes what is outside the picture for black, and
halves the picture by a cubic filter. A test holds the two to each other. Where a picture is flat,
the package counts the signs of its own rounding errors; this does not.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from visuomotor.errors import InputError
from visuomotor.types import FloatArray, Frame, Frames
from visuomotor.vision._svm_model import Ranges, SvrModel, read_ranges, read_svr
from visuomotor.vision.exposure import white_level
from visuomotor.vision.gradients import Picture

FEATURES = 36
WORST = 100.0
MIN_SIDE_PX = 8
"""Less than this leaves no two scales."""
INSTALL = (
    'pip install "visuomotor[brisque]", or, as one file of it is all that is needed, '
    'pip install --no-deps "brisque>=0.2,<0.3"'
)
_RED_GREEN_BLUE = np.array([[0.2125, 0.7154, 0.0721]], np.float32)
"""Luma of Rec. 709, as scikit-image has it, which the package calls."""
_RADIUS_PX = 3
_WINDOW = cv2.getGaussianKernel(2 * _RADIUS_PX + 1, 7 / 6, cv2.CV_32F)
_WHITE = np.float32(255.0)
"""Pictures are brought to this white, where the constant below the deviation is 1."""
_ROUNDING = np.float32(2.5e-7)
"""By less than this share of it nothing differs from the local mean: that is float32 rounding."""
_STRIP_ROWS = 32
_SHAPES = np.arange(200, 10_001) / 1000
"""The authors' range of the shape parameter, 0.2 to 10; between them the table is linear."""
_RATIOS = np.exp(
    2 * special.gammaln(2 / _SHAPES) - special.gammaln(1 / _SHAPES) - special.gammaln(3 / _SHAPES)
)
"""(mean |x|)^2 / mean x^2 of a generalised Gaussian of each shape: rises with it."""

# The ranges of the 36 features over the LIVE pictures that the model was trained with, as in the
# authors' release (its file allrange); the package has the same numbers in a pickle.
_LIVE_MINIMUM = (
    *(0.336999, 0.019667),
    *(0.23, -0.125959, 0.000167, 0.000616, 0.231, -0.125873, 0.000165, 0.0006),
    *(0.241, -0.128814, 0.000179, 0.000386, 0.243, -0.13308, 0.000182, 0.000421),
    *(0.436998, 0.016929),
    *(0.247, -0.200231, 0.000104, 0.000834, 0.257, -0.200017, 0.000112, 0.000876),
    *(0.257, -0.155072, 0.000112, 0.000356, 0.258, -0.154374, 0.000117, 0.000351),
)
_LIVE_MAXIMUM = (
    *(9.999411, 0.807472),
    *(1.644021, 0.202917, 0.712384, 0.468672, 1.644021, 0.169548, 0.713132, 0.467896),
    *(1.553016, 0.101368, 0.687324, 0.533087, 1.554016, 0.101, 0.689177, 0.533133),
    *(3.639918, 0.800955),
    *(1.096995, 0.175286, 0.755547, 0.39927, 1.095995, 0.155928, 0.751488, 0.402398),
    *(1.041992, 0.093209, 0.623516, 0.532925, 1.042992, 0.093714, 0.621958, 0.534484),
)


@dataclass(frozen=True)
class Brisque:
    """A trained model: features of pictures to one number for each."""

    model: SvrModel
    ranges: Ranges

    @classmethod
    def load(cls, path: Path | str | None = None, ranges: Path | str | None = None) -> Brisque:
        """path: a model as libsvm writes it, without one that of the installed ``brisque`` package,
        of which nothing is imported. ranges: as svm-scale writes them, without them the authors'.

        InputError with the line that installs the model if there is none, and for a file that holds
        something else, with its line, what was expected there and what came.
        """
        known = Ranges(np.array(_LIVE_MINIMUM), np.array(_LIVE_MAXIMUM))
        if ranges is not None:
            known = read_ranges(Path(ranges), FEATURES)
        return cls(read_svr(Path(path) if path is not None else installed_model(), FEATURES), known)

    def score(self, frames: Frames, white: float | None = None) -> FloatArray:
        """(M, H, W[, 3]) uint8 or uint16 -> (M,); not clipped, best near 0 and below.

        white: the level at which the camera saturates, by default the highest of the type.
        InputError for pictures of another type, or a side below MIN_SIDE_PX.
        """
        return self.model.predict(self.ranges.scale(features(frames, white)))


def clipped(scores: FloatArray) -> FloatArray:
    """0 (best) to 100 (worst): B of anikina2021, equations (11) and (12)."""
    return np.clip(scores, 0.0, WORST)


def installed_model() -> Path:
    """The model of the installed ``brisque`` package; InputError with the line that installs it."""
    found = importlib.util.find_spec("brisque")  # looks, and imports nothing
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder, "models", "svm.txt")
        if path.is_file():
            return path
    raise InputError(
        f"BRISQUE: expected a path, or the model of the package brisque, found none; {INSTALL}"
    )


def features(frames: Frames, white: float | None = None) -> FloatArray:
    """(M, H, W[, 3]) uint8 or uint16 -> (M, 36).

    18 of the whole picture, then 18 of it at half its size: shape and variance of single pixels;
    then shape, mean, left and right variance of the products of neighbours side by side, one above
    the other, and along both diagonals. Always finite: a picture of nothing has variances of 0.
    """
    scale = _WHITE / np.float32(white_level(frames, white))
    if min(frames.shape[1:3]) < MIN_SIDE_PX:
        raise InputError(
            f"BRISQUE: expected pictures of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels, got "
            f"{frames.shape[1]} x {frames.shape[2]}"
        )
    found = np.empty((len(frames), 2, FEATURES // 2))
    for row, picture in zip(found, frames, strict=True):
        gray = _gray(picture, scale)
        half = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
        row[0], row[1] = (_fit(*_moments(np.asarray(p, np.float32))) for p in (gray, half))
    return found.reshape(-1, FEATURES)


def _gray(picture: Frame, scale: np.float32) -> Picture:
    """(H, W[, 3]) -> (H, W) from 0 to _WHITE."""
    if picture.ndim == 2:
        return np.multiply(picture, scale, dtype=np.float32, order="C")
    gray = np.empty(picture.shape[:2], np.float32)
    for first in range(0, len(gray), _STRIP_ROWS):  # three colours in float32 do not fit the cache
        rows = slice(first, first + _STRIP_ROWS)
        cv2.transform(picture[rows].astype(np.float32), scale * _RED_GREEN_BLUE, dst=gray[rows])
    return gray


def _moments(gray: Picture) -> tuple[FloatArray, FloatArray]:
    """Of normalised pixels and their four products: how many, (5,), and (5, 4) sums of sizes, of
    squares, of squares below 0, and how many are below 0.

    In strips that fit the cache. A column of zeros at the right end of each row lets neighbours of
    all directions be the same numbers so much further on: products with it add to no sum.
    """
    height, width = gray.shape
    wide = width + 1
    neighbours = ((0, 1), (0, wide), (0, wide + 1), (1, wide))
    pixels = np.zeros((_STRIP_ROWS + 2) * wide + 2, np.float32)
    product, below_zero = np.empty((2, _STRIP_ROWS, wide), np.float32)
    scratch = np.empty((4, _STRIP_ROWS + 1 + 2 * _RADIUS_PX, width), np.float32)
    sums = np.zeros((5, 4))
    for first in range(0, height, _STRIP_ROWS):
        last = min(height, first + _STRIP_ROWS)
        below = min(height, last + 1)  # the neighbours of the last row
        normal = pixels[: (below - first) * wide].reshape(-1, wide)
        _normalise(gray, first, below, scratch, normal[:, :width])
        if below == last:
            pixels[normal.size :] = 0
        rows = last - first

        def part(offset: int, rows: int = rows) -> Picture:
            return pixels[offset : offset + rows * wide].reshape(rows, wide)

        sums[0] += _sums(part(0), below_zero[:rows])
        for row, (one, other) in zip(sums[1:], neighbours, strict=True):
            cv2.multiply(part(one), part(other), dst=product[:rows])
            row += _sums(product[:rows], below_zero[:rows])
    down, right = height - 1, width - 1
    counts = (height * width, height * right, down * width, down * right, down * right)
    return np.array(counts, np.float64), sums


def _normalise(gray: Picture, first: int, last: int, scratch: Picture, out: Picture) -> None:
    """Rows first to last less their local mean, by their local deviation and one grey level."""
    top, bottom = max(0, first - _RADIUS_PX), min(len(gray), last + _RADIUS_PX)
    source, inner = gray[top:bottom], slice(first - top, last - top)
    mean, square, spread, detail = scratch[:, : bottom - top]
    _blur(source, mean)
    cv2.multiply(source, source, dst=square)
    _blur(square, spread)
    mean, square, spread, detail = mean[inner], square[inner], spread[inner], detail[inner]
    cv2.multiply(mean, mean, dst=square)
    cv2.absdiff(spread, square, dst=spread)
    np.sqrt(spread, out=spread)
    spread += 1
    np.subtract(source[inner], mean, out=detail)
    mean *= _ROUNDING
    np.copyto(detail, 0, where=np.abs(detail, out=square) < mean)
    np.divide(detail, spread, out=out)


def _blur(source: Picture, out: Picture) -> None:
    zeros = cv2.BORDER_CONSTANT
    cv2.sepFilter2D(source, cv2.CV_32F, _WINDOW, _WINDOW, dst=out, borderType=zeros)


def _sums(values: Picture, below: Picture) -> tuple[float, ...]:
    cv2.threshold(values, 0, 0, cv2.THRESH_TOZERO_INV, dst=below)
    return (
        cv2.norm(values, cv2.NORM_L1),
        cv2.norm(values, cv2.NORM_L2SQR),
        cv2.norm(below, cv2.NORM_L2SQR),
        cv2.countNonZero(below),
    )


def _fit(counts: FloatArray, sums: FloatArray) -> FloatArray:
    """18 features: asymmetric generalised Gaussians by moments, Lasmar, Stitou & Berthoumieu, ICIP
    2009, as in section III.A of the paper."""
    sizes, squares, left_squares, left_counts = sums.T
    left = _ratio(left_squares, left_counts)  # (5,) variances
    right = _ratio(np.maximum(squares - left_squares, 0), counts - left_counts)
    left_sigma, right_sigma = np.sqrt(left), np.sqrt(right)
    smaller, larger = np.sort([left_sigma, right_sigma], axis=0)
    skew = _ratio(smaller, larger)  # its inverse gives the same
    ratio = _ratio((sizes / counts) ** 2, squares / counts)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = np.interp(ratio, _RATIOS, _SHAPES)
    first, second, third = (special.gammaln(k / shape) for k in (1, 2, 3))
    mean = (right_sigma - left_sigma) * np.exp(second - (first + third) / 2)
    products: NDArray[Any] = np.stack([shape, mean, left, right], 1)[1:]
    return np.concatenate([[shape[0], (left[0] + right[0]) / 2], products.ravel()])


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """0 where there is nothing."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
