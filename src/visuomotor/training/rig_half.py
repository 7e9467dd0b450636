"""The real half of every batch: what a rig did, from its episode log.

Every action on the rig is one real step, the stop included. It is in the log before anything is
learned from it; a sitting that was cut short begins with what the log has. Reward (2) of yu2018 is
read off the rig's own pictures, sharpness relative to the maximum that the recording had: a rig
knows no better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.env import VisuomotorEnv
from visuomotor.episode_log import EpisodeLog
from visuomotor.frames import FrameRing
from visuomotor.instruments.protocols import HasFocusTruth
from visuomotor.replay import ROW, Batch, Replay
from visuomotor.rollout import Rollout, Step
from visuomotor.tasks.autofocus import AutofocusTask
from visuomotor.training.picture_numbers import PictureNumbers
from visuomotor.training.recorded_half import Extract, Numbers
from visuomotor.types import FloatArray, IntArray

SERIOUS = 0.5
"""An episode that ends below this share of the maximum failed seriously (yu2018 has no number)."""


@dataclass(frozen=True)
class Check:
    """Fresh episodes on the rig, greedy, from which nothing is learned. Judged on the truth where
    the instrument knows it (a rehearsal), else on the rig's own pictures."""

    success: float
    """Share that stopped above the task's success fraction of the maximum."""
    serious: float
    """Share that ended below half of it."""
    mean_steps: float
    steps: int
    """Actions in all."""


class RigHalf:
    """One rig: its real steps, their log, and its checks."""

    def __init__(
        self,
        env: VisuomotorEnv,
        maximum: float,
        margin: float,
        log: EpisodeLog,
        capacity: int,
        extract: Extract,
    ) -> None:
        """env: of one cell, for a person, the rig open. maximum: sharpness F_max of the recording.
        margin: added to the task's success fraction in the reward. capacity: real steps at most."""
        assert isinstance(env.task, AutofocusTask)
        self._env, self._task = env, env.task.config
        self._checked = env
        if isinstance(env.instrument, HasFocusTruth):
            self._checked = VisuomotorEnv(env.instrument, AutofocusTask(env.task.config))
        self._maximum = maximum
        self._enough = min(1.0, self._task.success_fraction + margin)
        self._log, self._extract = log, extract
        size = self._task.frame_size_px
        # Each step has at most one new picture, and so has the start of its episode.
        self._ring = FrameRing(2 * capacity + 2, (size, size))
        self._replay = Replay(Numbers(), capacity + 1, 1, self._task.history)
        self._pictures = PictureNumbers(self._ring, log, 1)
        self._features: list[NDArray[np.float32]] = []
        self._rollout: Rollout | None = None
        self.steps = 0
        """Real steps, those of former sittings included."""
        self.best_look = 0.0
        """The sharpest picture of this sitting's training, as a share of the maximum."""

    def refill(self) -> None:
        """Take up what the log has. An episode that was cut short is cut off there."""
        self._pictures.refill()
        self._read_new()
        waiting: NDArray[Any] | None = None
        for row in self._log.read_rows():
            if waiting is not None:
                self._add(waiting, cut=bool(row["age"][0] == 0))
            waiting = row
        if waiting is not None:
            self._add(waiting, cut=True)
            self._pictures.seen(waiting)

    @property
    def between_episodes(self) -> bool:
        return self._rollout is None or self._rollout.finished

    def step(self, policy: Policy, draws: np.random.Generator) -> None:
        """One real step with ``policy``, whose extras say what was ``random``; where an episode is
        over, another begins first, anywhere in the range."""
        if self._rollout is None:
            self._rollout = Rollout(policy, self._env, draws)
        if self._rollout.finished:
            self._rollout.reset(seed=_seed(draws), start=self._anywhere(draws))
        step = self._rollout.step()
        row = self._row(step)
        self._log.append(row)
        self._add(row, cut=False)
        self._read_new()
        looks = (step.info["sharpness"][0], step.next_info["sharpness"][0])
        self.best_look = max(self.best_look, *(float(look) / self._maximum for look in looks))

    def sample(self, draws: np.random.Generator, size: int, n_step: int, gamma: float) -> Batch:
        """``size`` transitions; ``frames`` are features (U, D) float32."""
        batch = self._replay.sample(draws, size, n_step, gamma)
        features = np.stack([self._features[number] for number in batch.frames.tolist()])
        return batch._replace(frames=features)

    def check(self, policy: Policy, starts: int, draws: np.random.Generator) -> Check:
        """Run a policy from fresh starts. An episode of training that is under way is cut off."""
        rollout = Rollout(policy, self._checked, draws)
        ends, counts, good = [], [], 0
        for _ in range(starts):
            rollout.reset(seed=_seed(draws), start=self._anywhere(draws))
            while not rollout.finished:
                info = rollout.step().next_info
            ends.append(self._relative(info))
            counts.append(int(info["steps"][0]))
            good += bool(info["stopped"][0]) and ends[-1] > self._task.success_fraction
        self._rollout = None
        serious = float(np.mean(np.array(ends) < SERIOUS))
        return Check(good / starts, serious, float(np.mean(counts)), sum(counts))

    def _relative(self, info: dict[str, Any]) -> float:
        """Sharpness as a share of the maximum: the true one where it is known."""
        if "truth" not in info:
            return float(info["sharpness"][0]) / self._maximum
        seen = info.get("true_sharpness", info["sharpness"])
        return float(seen[0] / info["maximum"][0])

    def _anywhere(self, draws: np.random.Generator) -> FloatArray:
        low, high = self._env.instrument.focus.limits
        return draws.uniform(low, high, 1)

    def _row(self, step: Step) -> NDArray[Any]:
        info, after = step.info, step.next_info
        row = np.zeros(1, ROW)
        row["frame"], row["next_frame"] = self._pictures.of(step, None)
        row["came_by"] = step.observation["past_actions"][:, 0]
        row["action"], row["executed"] = step.action, after["executed"][:, 0]
        row["reward"] = self._reward(after)
        row["terminated"], row["truncated"] = step.terminated, step.truncated
        row["random"], row["age"] = step.extras["random"], info["steps"]
        return row

    def _reward(self, info: dict[str, Any]) -> FloatArray:
        """yu2018, equation (2)."""
        relative: FloatArray = info["sharpness"] / self._maximum
        failed = info["left_range"] | info["out_of_steps"] | info["stopped"]
        end = np.where(info["stopped"] & (relative > self._enough), 1.0, np.where(failed, -1.0, 0))
        reward: FloatArray = (
            self._task.reward_scale * (relative - 1.0) + self._task.reward_end * end
        )
        return reward

    def _add(self, row: NDArray[Any], cut: bool) -> None:
        """To the replay; cut: what follows it there is another episode."""
        if cut and not row["terminated"][0]:
            row = row.copy()
            row["truncated"] = True
        self._replay.add(row)
        self.steps += 1

    def _read_new(self) -> None:
        """Features of the pictures that are new in the ring."""
        new: IntArray = np.arange(len(self._features), self._ring.count)
        if len(new):
            self._features += list(self._extract(self._ring.get(new)))


def _seed(draws: np.random.Generator) -> int:
    """Of the environment, whose instrument may draw from it."""
    return int(draws.integers(2**31))


Making = Callable[[EpisodeLog], RigHalf]
