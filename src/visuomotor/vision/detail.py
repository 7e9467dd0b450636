"""Detail by octaves, at the places of a picture where there is most to see.

How blurred something is shows in how much its fine detail falls behind its coarse, whatever it is;
read over a whole picture that drowns in what is smooth, or lies at another depth. So each octave of
a Laplacian pyramid (Burt and Adelson 1983) is averaged over windows, and windows of strong coarse
contrast, which are edges, count by themselves.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.types import Frame, Frames
from visuomotor.vision.transforms import to_gray

OCTAVES = 5
SIZE = 3 * OCTAVES + 3 * (OCTAVES - 1)
"""Numbers for each picture."""
PLACES = 20
"""Windows along each side of the picture."""
_STRONGEST = PLACES
"""Windows of the strongest coarse contrast: a twentieth of all."""
_WINDOW = 0.25
"""Side of a window, as a share of the picture's smaller one."""
_LEAST = 0.3
"""Energy in squared grey levels, about that of rounding, below which there is no detail."""


def detail(frames: Frames) -> NDArray[np.float32]:
    """(M, H, W[, 3]) -> (M, SIZE): natural logarithms of the energy of each octave, fine to coarse,
    in strong windows, at most, and on average; then how much each octave exceeds the next coarser
    one, at most, in strong windows, and at most there."""
    grays = to_gray(frames)
    return np.stack([_one(gray) for gray in grays]) if len(grays) else np.zeros((0, SIZE), "f4")


def _one(gray: Frame) -> NDArray[np.float32]:
    level = gray.astype(np.float32)
    side = _WINDOW * min(level.shape)
    octaves = []
    for octave in range(OCTAVES):
        smooth = cv2.GaussianBlur(level, (0, 0), 1.0)
        window = max(3, round(side / 2**octave))
        energy = cv2.blur(np.square(level - smooth), (window, window))
        octaves.append(cv2.resize(energy, (PLACES, PLACES), interpolation=cv2.INTER_AREA))
        if min(smooth.shape) > 4:
            level = np.ascontiguousarray(smooth[::2, ::2])
    energies = np.log(np.stack(octaves).reshape(OCTAVES, -1) + _LEAST)  # (O, windows)
    strong = np.argsort(energies[-2] + energies[-1])[-_STRONGEST:]
    finer = energies[:-1] - energies[1:]  # (O - 1, windows)
    parts = [
        energies[:, strong].mean(1),
        energies.max(1),
        energies.mean(1),
        finer.max(1),
        finer[:, strong].mean(1),
        finer[:, strong].max(1),
    ]
    return np.concatenate(parts).astype(np.float32)
