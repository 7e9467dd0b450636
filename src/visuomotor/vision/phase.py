"""Phase detection: how far the pictures through two halves of the pupil are shifted apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from visuomotor.types import FloatArray, Frames, IntArray

LARGEST_SHIFT_PX = 40
"""Shifts beyond which none is looked for."""
LEAST_CORRELATION = 0.1
NOISE = 5.0
"""Over the square root of a picture's pixels: what the best of all shifts may have by noise alone;
0.03 for 160 x 160, where LEAST_CORRELATION is the greater one."""
LEAST_OVERLAP = 1e-3
"""Share of the pictures' squared gradients that must be where both are."""


def phase_shift_px(halves: Frames) -> FloatArray:
    """(M, 2, H, W) -> (M,) by how many pixels along a row the right half's picture fits the left
    half's best, by normalised correlation of the rows' gradients, between whole pixels by a
    parabola; 0 where nothing fits, as far from focus."""
    left, right = (_gradients(halves[:, half]) for half in (0, 1))
    largest = min(LARGEST_SHIFT_PX, halves.shape[-1] // 3)
    shifts = np.arange(-largest, largest + 1)
    score = _correlations(left, right, shifts)  # (M, S)
    best = score.argmax(1).clip(1, len(shifts) - 2)
    every = np.arange(len(score))
    before, at, after = (score[every, best + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    fine = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    found: FloatArray = shifts[best] + fine.clip(-0.5, 0.5)
    least = max(LEAST_CORRELATION, NOISE / math.sqrt(left[0].size))
    return np.where(score.max(1) > least, found, 0.0)


def _gradients(frames: Frames) -> NDArray[np.float32]:
    """(M, H, W - 1) along rows."""
    return np.diff(frames.astype(np.float32), axis=-1)


def _correlations(
    left: NDArray[np.float32], right: NDArray[np.float32], shifts: IntArray
) -> FloatArray:
    """(M, S) correlations where both are, the right one moved by each of the shifts.

    The products are read off the rows' spectra, and the norms off running sums: a tenth of the time
    of going through the pictures once for each shift.
    """
    width = left.shape[-1]
    length = fft.next_fast_len(width + int(np.abs(shifts).max(initial=0)), real=True)
    spectra = fft.rfft(left, length) * np.conj(fft.rfft(right, length))  # (M, H, F)
    joint = fft.irfft(spectra.sum(1), length)[:, shifts].astype(np.float64)
    one, other = _running_squares(left), _running_squares(right)
    first, last = np.maximum(0, shifts), np.minimum(width, width + shifts)
    norm = one[:, last] - one[:, first]
    norm = norm * (other[:, last - shifts] - other[:, first - shifts])
    whole = one[:, -1:] * other[:, -1:]
    there = norm > LEAST_OVERLAP**2 * whole  # below it, the spectra's rounding would be divided up
    return np.where(there, joint / np.sqrt(np.where(there, norm, 1.0)), 0.0)


def _running_squares(gradients: NDArray[np.float32]) -> FloatArray:
    """(M, H, W) -> (M, W + 1): the sum of squares left of each column."""
    columns = np.einsum("mhw,mhw->mw", gradients, gradients, dtype=np.float64)
    sums: FloatArray = np.cumsum(np.pad(columns, ((0, 0), (1, 0))), 1)
    return sums
