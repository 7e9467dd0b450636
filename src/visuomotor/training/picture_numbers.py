"""Numbers for the pictures of a step, so that each is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.episode_log import EpisodeLog
from visuomotor.frames import FrameBank, FrameRing, FrameSource
from visuomotor.rollout import Step
from visuomotor.types import ByteArray, IntArray


class PictureNumbers:
    """Files the pictures of B cells in a store and in the log, and says which are which.

    Where all pictures are known beforehand (``FrameBank``), the environment numbers them itself.
    """

    def __init__(self, frames: FrameSource, log: EpisodeLog, cells: int) -> None:
        self._frames, self._log = frames, log
        self._ids = np.zeros(cells, np.int64)
        if isinstance(frames, FrameBank) and log.frames == 0:
            log.append_frames(frames.frames)

    def refill(self) -> None:
        """Put the log's pictures back into the store."""
        if isinstance(self._frames, FrameRing):
            for block in self._log.read_frames():
                self._frames.put(block)

    def of(self, step: Step, logged: NDArray[Any] | None) -> tuple[IntArray, IntArray]:
        """(B,) numbers of the pictures before and after the step; new ones are stored. logged: the
        row of this step, when it is played again."""
        if "frame_id" in step.info:
            return step.info["frame_id"], step.next_info["frame_id"]
        if logged is not None:  # its pictures are in the log, and were stored by ``refill``
            self.seen(logged)
            return logged["frame"], self._ids
        fresh = step.info["steps"] == 0
        before = self._ids.copy()
        before[fresh] = self._store(step.observation["frames"][fresh, 0])
        after = before.copy()
        moved = step.next_info["exposures"] > step.info["exposures"]
        after[moved] = self._store(step.next_observation["frames"][moved, 0])
        self._ids = after.copy()
        return before, after

    def seen(self, row: NDArray[Any]) -> None:
        """The cells now show what they did after this row."""
        self._ids = row["next_frame"].astype(np.int64)

    def _store(self, frames: ByteArray) -> IntArray:
        self._log.append_frames(frames)
        return self._frames.put(frames)
