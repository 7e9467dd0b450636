"""Real recordings, read once, the large ones made smaller."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from visuomotor import FocalStack


@functools.cache
def real_stack(path: Path, largest_px: int) -> FocalStack:
    """The stack of this folder; halved once, by means over 2 x 2 pixels, if it is higher."""
    files = list(path.glob("*.tif"))
    stack = FocalStack.load(files[0] if len(files) == 1 else path)
    if stack.frames.shape[1] <= largest_px:
        return stack
    planes = stack.planes(np.arange(stack.num_positions))
    half = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in planes]
    return FocalStack(np.stack(half), stack.positions, stack.unit, stack.name)
