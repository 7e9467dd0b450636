"""The one loop that steps policies through environments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.env import VisuomotorEnv
from visuomotor.types import BoolArray, FloatArray, Observation


class Step(NamedTuple):
    """One step of B cells. ``info`` belongs to ``observation``, ``next_info`` to the one after."""

    observation: Observation
    info: dict[str, Any]
    active: BoolArray  # (B,) cells that took part; the others were frozen
    action: NDArray[Any]  # (B, ...)
    extras: dict[str, NDArray[Any]]
    reward: FloatArray  # (B,)
    terminated: BoolArray  # (B,)
    truncated: BoolArray  # (B,)
    next_observation: Observation
    next_info: dict[str, Any]


class Rollout:
    """A policy and an environment, stepped together.

    It remembers where it is, so collecting for training (``keep_going``: cells that are done start
    again) and running to the end (evaluation, a person's rig) are the same loop.
    """

    def __init__(
        self,
        policy: Policy,
        env: VisuomotorEnv,
        generator: np.random.Generator,
        keep_going: bool = False,
        reveal: tuple[str, ...] = (),
    ) -> None:
        """reveal: keys of ``info`` shown to the policy beside the observation (``expert``, for
        guided exploration). Only collectors for training pass any."""
        self.policy = policy
        self.env = env
        self._generator = generator
        self._keep_going = keep_going
        self._reveal = reveal
        self._state: Any = None
        self._done: BoolArray = np.ones(env.num_envs, np.bool_)

    def reset(
        self,
        seed: int | None = None,
        mask: BoolArray | None = None,
        start: FloatArray | float | None = None,
    ) -> None:
        """Begin episodes in the cells of ``mask`` (all by default), at ``start`` (B,) if given."""
        fresh = np.ones(self.env.num_envs, np.bool_) if mask is None else mask
        options: dict[str, Any] = {"reset_mask": fresh}
        if start is not None:
            options["start"] = start
        self._observation, self._info = self.env.reset(seed=seed, options=options)
        self._state = self.policy.begin(self._state, fresh)
        self._done = np.where(fresh, False, self._done)

    @property
    def finished(self) -> bool:
        return bool(self._done.all())

    @property
    def info(self) -> dict[str, Any]:
        """Of the newest observation."""
        return self._info

    def step(self, override: NDArray[Any] | None = None) -> Step:
        """One step of every cell. ``override``: actions to take instead of the policy's (a log
        that is played again); the policy is asked all the same, so its randomness goes on."""
        if self._keep_going and self._done.any():
            self.reset(mask=self._done)
        observation, info, active = self._observation, self._info, ~self._done
        shown = observation | {key: info[key] for key in self._reveal if key in info}
        act = self.policy.act(shown, self._state, self._generator)
        action = act.action if override is None else override
        self._observation, reward, terminated, truncated, self._info = self.env.step(action)
        self._state = act.state
        self._done = terminated | truncated
        before = (observation, info, active, action, act.extras)
        return Step(*before, reward, terminated, truncated, self._observation, self._info)

    def state_dict(self) -> dict[str, Any]:
        """Where a collection stands. Only for policies without memory (their state is None)."""
        return {
            "env": self.env.state_dict(),
            "done": self._done.copy(),
            "random": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.load_state_dict(state["env"])
        self._done = np.array(state["done"], np.bool_)
        self._generator.bit_generator.state = state["random"]
        self._observation, self._info = self.env.current()
        self._state = self.policy.begin(None, np.ones(self.env.num_envs, np.bool_))
