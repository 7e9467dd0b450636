"""The fixed shapes that travel between layers. B is the number of cells, M a selection of them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]
Frames = NDArray[Any]
"""Pictures, (M, H, W) or (M, H, W, 3), uint8 or uint16."""

Frame = NDArray[Any]
"""One picture, (H, W) or (H, W, 3), uint8 or uint16."""

Observation = dict[str, NDArray[Any]]
"""What a policy may see: arrays by name, first axis B."""


class ROI(NamedTuple):
    """A region of interest in pixels of the full picture."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, frames: Frames) -> Frames:
        """(M, H, W[, 3]) -> (M, height, width[, 3])."""
        return frames[:, self.top : self.top + self.height, self.left : self.left + self.width]


RoiChoice = ROI | tuple[int, int, int, int] | Literal["auto"] | None
"""A region as a person gives it: None is the whole picture, "auto" the one with the most detail."""


class Command(NamedTuple):
    """Move or stop, for every cell: what a task makes of an agent's action.

    target: (B, D) where each axis shall go, in the axis' unit.
    stop:   (B,) the cell stops actively; its target is where it is.
    """

    target: FloatArray
    stop: BoolArray


class Act(NamedTuple):
    """What a policy answers.

    action: (B, ...) as the task's action space has it.
    state:  the policy's memory, to be handed back with the next observation.
    extras: (B, ...) arrays for logs and learners (Q-values, log-probabilities).
    """

    action: NDArray[Any]
    state: Any
    extras: dict[str, NDArray[Any]]


class FocusCurve(NamedTuple):
    """Sharpness over position of one view.

    positions: (P,) ascending, in the axis' unit.
    sharpness: (P,).
    """

    positions: FloatArray
    sharpness: FloatArray

    @property
    def best_position(self) -> float:
        return float(self.positions[int(np.argmax(self.sharpness))])

    @property
    def maximum(self) -> float:
        return float(self.sharpness.max())

    @property
    def range(self) -> float:
        """Maximum minus minimum: the scale on which "blurrier" is judged."""
        return float(self.sharpness.max() - self.sharpness.min())

    def at(self, positions: FloatArray) -> FloatArray:
        """Sharpness at any positions, linear between the known ones."""
        return np.interp(positions, self.positions, self.sharpness)
