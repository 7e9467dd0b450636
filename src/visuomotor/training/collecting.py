"""From steps of the environment to rows of the replay and the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.episode_log import EpisodeLog
from visuomotor.errors import InputError
from visuomotor.frames import FrameSource
from visuomotor.replay import ROW, Replay
from visuomotor.rollout import Rollout, Step
from visuomotor.training.picture_numbers import PictureNumbers


class Collector:
    """Steps a rollout, and files every row in the log first and in the replay then.

    After a kill it is opened on the same log: rows up to the checkpoint refill the replay
    (``refill``); rows after it are played again, their actions taken from the log, so nothing that
    was logged is lost and every row must come out as it was.
    """

    def __init__(
        self, rollout: Rollout, replay: Replay, log: EpisodeLog, frames: FrameSource
    ) -> None:
        self.rollout = rollout
        self.replay = replay
        self._log = log
        self._pictures = PictureNumbers(frames, log, rollout.env.num_envs)
        self._to_repeat: Iterator[NDArray[Any]] = iter(())

    def refill(self, rows: int) -> None:
        """Put the first ``rows`` of the log into the replay; ``step`` repeats the others."""
        logged = self._log.read_rows()
        self._pictures.refill()
        for _, row in zip(range(rows), logged, strict=False):
            self.replay.add(row)
            self._pictures.seen(row)
        self._to_repeat = logged

    def step(self) -> None:
        """One time step of every cell."""
        logged = next(self._to_repeat, None)
        taken = None if logged is None else logged["action"].astype(np.int64)
        row = self._row(self.rollout.step(override=taken), logged)
        if logged is None:
            self._log.append(row)
        elif not _same(row, logged):
            raise InputError(
                f"{self._log.path}: the run does not come out as logged; expected the stack and "
                f"config that it was started with"
            )
        else:
            row = logged
        self.replay.add(row)

    def _row(self, step: Step, logged: NDArray[Any] | None) -> NDArray[Any]:
        row = np.zeros(len(step.action), ROW)
        row["frame"], row["next_frame"] = self._pictures.of(step, logged)
        row["came_by"] = step.observation["past_actions"][:, 0]
        row["action"] = step.action
        row["executed"] = step.next_info["executed"][:, 0]
        row["reward"] = step.reward
        row["terminated"], row["truncated"] = step.terminated, step.truncated
        row["random"] = step.extras["random"]
        row["age"] = step.info["steps"]
        return row


def _same(row: NDArray[Any], logged: NDArray[Any]) -> bool:
    """Whether the environment answered as it did; who chose the action does not matter."""
    names = [name for name in ROW.names or () if name != "random"]
    return all(np.array_equal(row[name], logged[name]) for name in names)
