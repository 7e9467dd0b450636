"""The same task learned by stable-baselines3's DQN, unmodified. Needs the extra [sb3]."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from visuomotor.benchmarks._learning import Reached, reached
from visuomotor.configs import to_plain
from visuomotor.errors import MissingExtraError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.tasks.autofocus import AutofocusTask
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Examiner, Standing
from visuomotor.types import Act, BoolArray, Observation

try:
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
except ImportError:
    raise MissingExtraError("stable-baselines3", "sb3") from None

ENDLESS_STEPS = 10_000_000
"""The budget ends the run, not a number of steps."""


def settings(config: TrainConfig, buffer_size: int) -> dict[str, Any]:
    """stable-baselines3's defaults, except where the task says more or ours has a counterpart."""
    agent = config.agent
    return {
        "learning_starts": config.warmup_steps,
        "gamma": agent.gamma,
        "exploration_initial_eps": agent.epsilon,
        "exploration_final_eps": agent.epsilon_end,
        "exploration_fraction": agent.epsilon_steps / ENDLESS_STEPS,
        # It keeps each picture six times, with its history before and after the step.
        "buffer_size": buffer_size,
        # The default, 10,000, is for millions of steps.
        "target_update_interval": 1_000,
        "seed": config.seed,
        "device": "cpu",
    }


def learn(
    stack: FocalStack, config: TrainConfig, budget_s: float, settings: dict[str, Any]
) -> Reached:
    """Train with stable-baselines3 until the first evaluation that is perfect, or the budget."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    plain = gym.make("visuomotor/Autofocus-v0", stack=stack, **to_plain(config.task))
    # Ours learns rewards of order one, so theirs are too.
    unit = config.agent.reward_unit
    env = gym.wrappers.TransformReward(plain, lambda reward: float(reward) / unit)
    model = DQN("MultiInputPolicy", env, **settings)
    examining = _Examining(Examiner(config.task, stack, {}), _Greedy(model, config), config)
    examining.begin(budget_s)
    model.learn(ENDLESS_STEPS, callback=examining)
    env.close()
    return reached(examining.standing, examining.standing.seconds, budget_s)


class _Examining(BaseCallback):
    """Evaluates as our own training does, every so many steps, and ends the run."""

    def __init__(self, examiner: Examiner, policy: _Greedy, config: TrainConfig) -> None:
        super().__init__()
        self.standing = Standing()
        self._examiner, self._policy, self._every = examiner, policy, config.evaluate_every

    def begin(self, budget_s: float) -> None:
        """budget_s: of learning, evaluations left out."""
        self._budget_s = budget_s
        self._clock = time.perf_counter()

    def _on_step(self) -> bool:
        standing = self.standing
        standing.steps = self.num_timesteps
        if self.num_timesteps % self._every == 0:
            self._examiner.examine(self._policy, standing)
        standing.seconds = time.perf_counter() - self._clock
        learning = standing.seconds - standing.evaluation_seconds
        return standing.perfect_in_a_row == 0 and learning < self._budget_s


class _Greedy:
    """A model of stable-baselines3 as one of our policies."""

    def __init__(self, model: DQN, config: TrainConfig) -> None:
        self.spec = AutofocusTask(config.task).spec
        self._model = model

    def begin(self, state: Any, fresh: BoolArray) -> Any:
        return None

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        action, _ = self._model.predict(observation, deterministic=True)
        return Act(action, None, {})
