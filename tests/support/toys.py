"""Small instruments and stacks whose truth is known by construction."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from visuomotor import FocalStack


def blur_stack(
    count: int = 31, best: float = 12.0, size: int = 48, step: float = 1.0, seed: int = 0
) -> FocalStack:
    """A texture that is blurred with the distance from ``best``: along x above it, along y below,
    so that the two sides can be told apart. Positions 0, step, 2 step ... in um."""
    texture = ndimage.gaussian_filter(
        np.random.default_rng(seed).standard_normal((size, size)), 0.9, mode="wrap"
    )  # no optics passes single pixels
    texture = 128 + 40 * texture / texture.std()
    planes = []
    for plane in range(count):
        away = plane - best
        sigma = (0.3 + 0.12 * max(0.0, -away), 0.3 + 0.12 * max(0.0, away))
        planes.append(ndimage.gaussian_filter(texture, sigma, mode="wrap"))
    frames = np.clip(np.rint(planes), 0, 255).astype(np.uint8)
    return FocalStack(frames, step * np.arange(count), unit="um", name="toy")


def flat_stack(count: int = 31, size: int = 48) -> FocalStack:
    """No sample: every plane the same grey."""
    return FocalStack(np.full((count, size, size), 90, np.uint8), np.arange(count, dtype=float))


def noise_stack(count: int = 31, size: int = 64, seed: int = 0) -> FocalStack:
    """No sample: every plane its own camera noise."""
    noise = np.random.default_rng(seed).normal(100, 5, (count, size, size))
    return FocalStack(np.rint(noise).astype(np.uint8), np.arange(count, dtype=float))
