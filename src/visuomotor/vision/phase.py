"""Phase detection: how far the pictures through two halves of the pupil are shifted apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visuomotor.types import FloatArray, Frames

LARGEST_SHIFT_PX = 40
"""Shifts beyond which none is looked for."""


def phase_shift_px(halves: Frames) -> FloatArray:
    """(M, 2, H, W) -> (M,) by how many pixels along a row the right half's picture fits the left
    half's best, by normalised correlation of the rows' gradients, between whole pixels by a
    parabola; 0 where there is nothing to see."""
    left, right = (_gradients(halves[:, half]) for half in (0, 1))
    width = halves.shape[-1]
    largest = min(LARGEST_SHIFT_PX, width // 3)
    shifts = np.arange(-largest, largest + 1)
    score = np.stack([_overlap(left, right, int(shift)) for shift in shifts], 1)  # (M, S)
    best = score.argmax(1).clip(1, len(shifts) - 2)
    every = np.arange(len(score))
    before, at, after = (score[every, best + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    fine = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    found: FloatArray = shifts[best] + fine.clip(-0.5, 0.5)
    return np.where(score.max(1) > 0, found, 0.0)


def _gradients(frames: Frames) -> NDArray[np.float32]:
    """(M, H, W - 1) along rows."""
    return np.diff(frames.astype(np.float32), axis=-1)


def _overlap(left: NDArray[np.float32], right: NDArray[np.float32], shift: int) -> FloatArray:
    """(M,) correlation where both are, the right one moved by ``shift``."""
    width = left.shape[-1]
    first, last = max(0, shift), min(width, width + shift)
    one, other = left[..., first:last], right[..., first - shift : last - shift]
    joint = np.einsum("mhw,mhw->m", one, other, dtype=np.float64)
    norm = np.einsum("mhw,mhw->m", one, one, dtype=np.float64)
    norm = norm * np.einsum("mhw,mhw->m", other, other, dtype=np.float64)
    return np.where(norm > 0, joint / np.sqrt(np.where(norm > 0, norm, 1.0)), 0.0)
