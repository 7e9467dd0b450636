"""Small decision tasks without an instrument, whose best policies are known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from visuomotor.env import VisuomotorEnv
from visuomotor.tasks.base import PolicySpec
from visuomotor.types import Command


class Cells:
    """Stands where an instrument would."""

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells

    def __exit__(self, *error: object) -> None:
        return


class Decisions:
    """What the toys share: a hidden goal for each cell, and an end."""

    version = 1
    frames = None
    max_steps = 1
    observed: tuple[str, ...] = ("seen",)

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(self.name, self.version, self.observed, {})

    def bind(self, instrument: Cells) -> None:
        count = instrument.num_cells
        self.state = np.zeros((count, self.width), np.int64)
        self.steps = np.zeros(count, np.int64)
        self.won = np.zeros(count, bool)
        self.last_reward = np.zeros(count)

    def reset(self, cells, generator, start) -> None:
        self.state[cells] = self.draw(generator, len(cells))
        for array in (self.steps, self.won, self.last_reward):
            array[cells] = 0

    def decode(self, action) -> Command:
        return Command(np.zeros((len(action), 1)), np.zeros(len(action), bool))

    def apply(self, action, command, cells) -> None:
        self.last_reward[cells] = self.act(np.asarray(action)[cells], cells)
        self.steps[cells] += 1

    def reward(self):
        return self.last_reward.copy()

    def done(self):
        return self.won | (self.steps >= self.max_steps)

    def success(self):
        return self.won.copy()

    def info(self) -> dict[str, Any]:
        return {"success": self.success(), "expert": self.expert()}

    def state_dict(self) -> dict[str, Any]:
        kept = (self.state, self.steps, self.won, self.last_reward)
        return {str(k): value.copy() for k, value in enumerate(kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        kept = [np.array(state[str(k)]) for k in range(4)]
        self.state, self.steps, self.won, self.last_reward = kept


class Bandit(Decisions):
    """One arm pays; which one, what is seen tells."""

    name = "bandit"
    width = 1

    def __init__(self, arms: int = 6) -> None:
        self.arms = arms
        self.observation_space = gym.spaces.Dict({"seen": gym.spaces.Box(-1, 9, (arms,))})
        self.action_space = gym.spaces.Discrete(arms)

    def draw(self, generator, count: int):
        return generator.integers(0, self.arms, (count, 1))

    def observe(self):
        return {"seen": np.eye(self.arms, dtype=np.float32)[self.state[:, 0]]}

    def act(self, action, cells):
        self.won[cells] = action == self.expert()[cells]
        return self.won[cells].astype(float)

    def expert(self):
        return (self.state[:, 0] * 5 + 2) % self.arms


class Corridor(Decisions):
    """Walk to the end that a sign shows, which is at first far away; every step costs."""

    name = "corridor"
    width = 2
    max_steps = 30
    observed = ("place", "sign", "picture")

    def __init__(self, length: int = 9) -> None:
        self.length = length
        self.observation_space = gym.spaces.Dict(
            {
                "place": gym.spaces.Box(0, length, ()),
                "sign": gym.spaces.Box(-1, 1, (2,), np.float64),
                "picture": gym.spaces.Box(0, 255, (3, 3), np.uint8),
            }
        )
        self.action_space = gym.spaces.Discrete(3)  # back, wait, on

    def draw(self, generator, count: int):
        places = generator.integers(2, self.length - 2, count)
        return np.stack([places, generator.integers(0, 2, count)], 1)

    def observe(self):
        sign = np.where(self.state[:, 1:] == 1, (1.0, -1.0), (-1.0, 1.0))
        picture = np.zeros((len(self.state), 3, 3), np.uint8)
        return {"place": self.state[:, 0].astype(float), "sign": sign, "picture": picture}

    def act(self, action, cells):
        self.state[cells, 0] = (self.state[cells, 0] + action - 1).clip(0, self.length - 1)
        self.won[cells] = self.state[cells, 0] == self.goal()[cells]
        return np.where(self.won[cells], 1.0, -0.02)

    def goal(self):
        return np.where(self.state[:, 1] == 1, self.length - 1, 0)

    def expert(self):
        return np.where(self.state[:, 1] == 1, 2, 0)


class TwoDigits(Decisions):
    """A number of two digits that is one of few, nobody sees which: 0.9, 1.0 or 1.1. The digits
    belong together: 1 is the likeliest first and 9 the likeliest second, but 1.9 is never right."""

    name = "two_digits"
    width = 2
    PAIRS = ((0, 9), (1, 0), (1, 1))
    SHARES = (0.4, 0.3, 0.3)

    def __init__(self, pays: float = 0.0) -> None:
        self.pays = pays
        self.observation_space = gym.spaces.Dict({"seen": gym.spaces.Box(-1, 1, (1,))})
        self.action_space = gym.spaces.MultiDiscrete([2, 10])

    def draw(self, generator, count: int):
        return np.array(self.PAIRS)[generator.choice(3, count, p=self.SHARES)]

    def observe(self):
        return {"seen": np.zeros((len(self.state), 1), np.float32)}

    def act(self, action, cells):
        pairs = np.array(self.PAIRS)
        self.won[cells] = (action[:, None] == pairs).all(2).any(1)
        return self.pays * self.won[cells]

    def expert(self):
        return self.state.copy()


class CutShort(VisuomotorEnv):
    """Its task's step limit is not the task's: it truncates, and ends nothing."""

    def step(self, actions):
        observation, reward, done, _, info = super().step(actions)
        terminated = self.task.won.copy()
        return observation, reward, terminated, done & ~terminated, info


def toy_env(task: Decisions, cells: int, kind: type[VisuomotorEnv] = VisuomotorEnv):
    return kind(Cells(cells), task)
