"""Chooses what most probably ends an episode well, and not what was found not to.

A policy that PPO trained gives every value a probability, and greedily takes the single most
probable one; where that did not end the episode, it may well take it again, and again. Here a
value's worth is the probability of everything that it would show good, its neighbours to either
side; and around values that were tried in this episode, and did not end it, there is none left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visuomotor.agents import ppo
from visuomotor.agents.base import PolicySpec
from visuomotor.configs import check_range, from_plain
from visuomotor.errors import InputError
from visuomotor.types import Act, BoolArray, IntArray, Observation

NAME = "untried"
FINE = 100
"""Values of the second component, hundredths, where an action has two."""
COARSE = 4
"""So many of the first component's values, the most probable ones, are looked into, where there
are two."""
REMEMBERED = 32
"""Values of an episode; more are forgotten, the first ones first."""


@dataclass(frozen=True)
class UntriedConfig:
    """How far a value reaches, and what the policy was trained with."""

    reach: int = 5
    """Values to either side of one that are as good as it: hundredths, where an action has two
    components. 0: each is for itself."""
    ppo: ppo.PpoConfig = field(default_factory=ppo.PpoConfig)

    def __post_init__(self) -> None:
        check_range(self, reach=(0, 1000))


class UntriedPolicy:
    """Remembers what it tried. ``trained`` chooses one of several values, or the two components of
    one value, integer part and hundredths."""

    def __init__(self, trained: ppo.PpoPolicy, config: UntriedConfig) -> None:
        choices = trained.network.choices
        self._single = choices.ndim == 0
        if not self._single and (len(choices) != 2 or int(choices[1]) != FINE):
            raise InputError(
                f"{NAME}: expected a policy of one choice, or of integer parts and hundredths, got "
                f"one of {choices.tolist()}"
            )
        self.spec = trained.spec
        self.trained = trained
        self.config = config

    def begin(self, state: IntArray | None, fresh: BoolArray) -> IntArray:
        """(B, REMEMBERED) values, newest first; far below 0 where there is none."""
        nothing = -10 * (self.config.reach + 1)
        tried = np.full((len(fresh), REMEMBERED), nothing) if state is None else state.copy()
        tried[fresh] = nothing
        return tried

    def act(self, observation: Observation, state: IntArray, generator: np.random.Generator) -> Act:
        reach = self.config.reach
        left = self.probabilities(observation)  # (B, N)
        place, gone = np.arange(left.shape[1]), np.zeros(left.shape, np.bool_)
        for tried in state.T:
            gone |= np.abs(place - tried[:, None]) <= reach
        gone &= ~gone.all(1, keepdims=True)  # once all were tried, all may be tried again
        left[gone] = 0.0
        # Of windows of the same mass the one whose middle is itself probable.
        worth = _within(left, reach) + 1e-6 * left
        worth[gone] = -1.0
        chosen = worth.argmax(1)
        tried = np.concatenate([chosen[:, None], state[:, :-1]], 1)
        action = chosen if self._single else np.stack([chosen // FINE, chosen % FINE], 1)
        return Act(action, tried, {})

    @torch.inference_mode()
    def probabilities(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N) of each value; of two components, C * FINE of those whose integer part is a
        probable one."""
        network = self.trained.network
        hidden, _ = network(torch.from_numpy(self.trained.read(observation)))
        cells = len(hidden)
        if self._single:
            (logits,) = network.logits(hidden, torch.zeros(cells, 1, dtype=torch.long))
            return logits.softmax(1).double().numpy()
        coarse = network.logits(hidden, torch.zeros(cells, 2, dtype=torch.long))[0].softmax(1)
        likely = coarse.topk(min(COARSE, coarse.shape[1]), 1)
        found = np.zeros((cells, coarse.shape[1], FINE))
        every = np.arange(cells)
        for column in range(likely.indices.shape[1]):
            part = likely.indices[:, column]
            given = torch.stack([part, torch.zeros_like(part)], 1)
            fine = network.logits(hidden, given)[1].softmax(1)
            shares: Tensor = likely.values[:, column, None] * fine
            found[every, part.numpy()] = shares.double().numpy()
        return found.reshape(cells, -1)


def load_policy(
    spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> UntriedPolicy:
    """The policy of a checkpoint; InputError names the first weight that does not fit."""
    settings = from_plain(UntriedConfig, config, f"{where}: agent")
    trained = ppo.load_policy(spec, config.get("ppo", {}), weights, where)
    return UntriedPolicy(trained, settings)


def _within(shares: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """(B, N) sums over windows of 2 reach + 1 around each place."""
    padded = np.pad(shares, ((0, 0), (reach + 1, reach)))
    summed = padded.cumsum(1)
    sums: NDArray[np.float64] = summed[:, 2 * reach + 1 :] - summed[:, : -2 * reach - 1]
    return sums
