"""What the autofocus task remembers of each cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visuomotor.tasks.judging import is_sharper
from visuomotor.types import BoolArray, FloatArray, IntArray


@dataclass
class FocusCells:
    """The state of B cells."""

    position: FloatArray  # (B,)
    sharpness: FloatArray  # (B,) of the newest look
    maximum: FloatArray  # (B,) F_max: known, or the sharpest look so far
    noise: FloatArray  # (B,) what that picture's noise alone would measure
    mark: FloatArray  # (B,) the look that last brought progress
    lowest: FloatArray  # (B,) the least sharp look
    idle: IntArray  # (B,) looks since the last progress
    past_actions: IntArray  # (B, history), newest first
    past_moves: FloatArray  # (B, history) fine steps that were executed, newest first
    explored: FloatArray  # (B, 4) see ``explore``
    executed: FloatArray  # (B, 1) the last motion
    reward: FloatArray  # (B,) of the last step
    steps: IntArray  # (B,)
    exposures: IntArray  # (B,)
    travel: FloatArray  # (B,)
    stopped: BoolArray  # (B,)
    left_range: BoolArray  # (B,)
    out_of_steps: BoolArray  # (B,)

    @classmethod
    def empty(cls, cells: int, history: int) -> FocusCells:
        """Cells that are over, until they are reset."""
        return cls(
            position=np.zeros(cells),
            sharpness=np.zeros(cells),
            maximum=np.zeros(cells),
            noise=np.zeros(cells),
            mark=np.zeros(cells),
            lowest=np.zeros(cells),
            idle=np.zeros(cells, np.int64),
            past_actions=np.zeros((cells, history), np.int64),
            past_moves=np.zeros((cells, history)),
            explored=np.zeros((cells, 4)),
            executed=np.zeros((cells, 1)),
            reward=np.zeros(cells),
            steps=np.zeros(cells, np.int64),
            exposures=np.zeros(cells, np.int64),
            travel=np.zeros(cells),
            stopped=np.ones(cells, np.bool_),
            left_range=np.zeros(cells, np.bool_),
            out_of_steps=np.zeros(cells, np.bool_),
        )

    def note_progress(self, cells: IntArray, first: bool) -> None:
        """After a look of the cells named; first: it opens an episode."""
        now = self.sharpness[cells]
        self.lowest[cells] = now if first else np.minimum(self.lowest[cells], now)
        # Beside the look that last was progress, so that many small gains in a row are one.
        progress = first | is_sharper(now, self.mark[cells], self.lowest[cells])
        self.mark[cells] = np.where(progress, now, self.mark[cells])
        self.idle[cells] = np.where(progress, 0, self.idle[cells] + 1)

    def explore(self, cells: IntArray, moved: FloatArray, too_far: FloatArray) -> None:
        """After moves of the cells (M,) by (M,) fine steps: note how far the episode's looks reach
        below and above this place, and on which sides the range was found to end (1). too_far (M,):
        -1 or 1 where the move was cut short there, else 0."""
        explored = self.explored[cells]
        reach = explored[:, :2] + moved[:, None] * (1.0, -1.0)
        ends = np.maximum(explored[:, 2:], too_far[:, None] == (-1.0, 1.0))
        self.explored[cells] = np.concatenate([np.maximum(reach, 0.0), ends], 1)
