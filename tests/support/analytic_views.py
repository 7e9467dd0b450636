"""Views whose contrast is known in closed form: Gaussian blur of specimens with random spectra."""

from __future__ import annotations

import numpy as np

from visuomotor.training.simulated_views import DEFOCUS, Views
from visuomotor.vision.contrast import ABSENT, BRIGHTNESS, EDGES, NOISE, OCTAVES, SIZE

PRESENT = 6
"""Octaves of a picture of 128 px."""


def gaussian_views(count: int, seed: int) -> Views:
    """Octave k falls by exp(-(defocus / (4 * 2^k))^2) to a floor, edges as octave 1 does."""
    rng = np.random.default_rng(seed)
    contrast = np.full((count, len(DEFOCUS), SIZE), ABSENT, np.float32)
    scale = 4 * 2.0 ** np.arange(PRESENT)
    detail = np.exp(rng.normal(0, 0.7, (count, 1, PRESENT)) - 0.5 * np.arange(PRESENT))
    blur = np.exp(-((DEFOCUS[None, :, None] / scale) ** 2)) + 1e-4
    energy = 1e4 * detail * blur
    contrast[..., :PRESENT] = np.log(energy)
    contrast[..., EDGES] = np.log(60 * energy[..., 1])
    contrast[..., NOISE] = np.log(1e-3 * energy[..., 0] + 1e-6)
    contrast[..., BRIGHTNESS] = np.log(100.0)
    return Views(contrast, (60 * energy[..., 1] / 100**2).astype(np.float32))


assert OCTAVES >= PRESENT
