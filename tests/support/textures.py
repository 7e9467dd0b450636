"""Random pictures with detail at a known scale."""

from __future__ import annotations

import cv2
import numpy as np

from visuomotor.types import Frames


def texture(seed: int, shape: tuple[int, ...] = (2, 48, 61), sigma: float = 2.0) -> Frames:
    """Smooth random pictures around 120, float32: detail without pixel noise."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    pictures = np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in noise])
    return (120 + 20 * pictures / pictures.std()).astype(np.float32)
