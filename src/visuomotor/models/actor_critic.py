"""A policy and a value of what is observed as vectors, for one or several discrete choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from visuomotor.configs import check_range
from visuomotor.errors import InputError

CLEARLY = 10.0
"""Standard deviations beyond which more says nothing."""


@dataclass(frozen=True)
class ActorCriticConfig:
    """Shape of the network; what comes in and goes out is the task's."""

    widths: tuple[int, ...] = (64, 64)
    """Of the hidden layers, one or more."""
    activation: Literal["tanh", "relu"] = "tanh"
    critic: Literal["separate", "shared"] = "separate"
    """The value has hidden layers of its own, or is one more head on the policy's."""
    heads: Literal["independent", "sequential"] = "independent"
    """independent: each component of an action is drawn for itself; sequential: each also depends
    on those before it, so that what belongs together (the coarse and the fine digit of one number)
    is chosen together."""
    embedding: int = 32
    """Numbers that stand for the value of an earlier component, in sequential heads."""

    def __post_init__(self) -> None:
        if not self.widths or not all(1 <= width <= 65_536 for width in self.widths):
            raise InputError(
                f"ActorCritic: widths: expected one or more of 1 to 65536, got {self.widths}"
            )
        check_range(self, embedding=(1, 65_536))


class RunningMoments(nn.Module):
    """Mean and variance of every component of all vectors that were ever taken in."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def take_in(self, values: Tensor) -> None:
        """Add vectors (N, size); Chan, Golub and LeVeque 1979, equation (2.1), for two samples."""
        new = values.double()
        total = self.count + len(new)
        away = new.mean(0) - self.mean
        spread = self.var * self.count + new.var(0, correction=0) * len(new)
        self.var.copy_((spread + away.square() * self.count * len(new) / total) / total)
        self.mean.add_(away * len(new) / total)
        self.count.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """(N, size) float32 -> the same in standard deviations from the mean, cut off far away."""
        deviation = self.var.sqrt()
        # What never changed is not magnified: its first change would drown everything else.
        constant = deviation <= 1e-6 * (1 + self.mean.abs())
        scale = torch.where(constant, 1.0, deviation)
        return ((values - self.mean.float()) / scale.float()).clamp(-CLEARLY, CLEARLY)


class ActorCritic(nn.Module):
    """Vectors (N, n) to the logits of each component of an action, and to a value.

    ``sizes`` (keys,) and ``choices``, () for one choice or (K,) for K components, are saved with
    the weights: they say what a network was made for.
    """

    sizes: Tensor
    choices: Tensor

    def __init__(
        self, sizes: Sequence[int], choices: int | Sequence[int], config: ActorCriticConfig
    ) -> None:
        """sizes: of the parts that make up a vector; choices: how many values each component of an
        action has, one number if an action is a single number."""
        super().__init__()
        self.register_buffer("sizes", torch.tensor(sizes))
        self.register_buffer("choices", torch.tensor(choices))
        counts = [choices] if isinstance(choices, int) else list(choices)
        width, chosen = config.widths[-1], config.embedding
        self.moments = RunningMoments(sum(sizes))
        self.trunk = _hidden_layers(sum(sizes), config)
        self.critic = _hidden_layers(sum(sizes), config) if config.critic == "separate" else None
        self.value = _linear(width, 1, 1.0)
        self.sequential = config.heads == "sequential"
        self.heads = nn.ModuleList()
        self.chosen = nn.ModuleList()
        for earlier, count in enumerate(counts):
            if self.sequential and earlier > 0:
                self.chosen.append(nn.Embedding(counts[earlier - 1], chosen))
                # A layer between: which value goes with an earlier one depends on what is seen.
                between = _linear(width + earlier * chosen, width, math.sqrt(2))
                head = nn.Sequential(between, _ACTIVATIONS[config.activation]())
                self.heads.append(head.append(_linear(width, count, 0.01)))
            else:
                self.heads.append(_linear(width, count, 0.01))  # nearly even at first

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(N, n) -> what the heads read (N, width), and values (N,)."""
        seen = self.moments(seen)
        hidden: Tensor = self.trunk(seen)
        value: Tensor = self.value(hidden if self.critic is None else self.critic(seen))
        return hidden, value[:, 0]

    def logits(self, hidden: Tensor, action: Tensor) -> list[Tensor]:
        """Of the values of each component, (N, values), where those before it are as in ``action``
        (N, K)."""
        return [self._component(k, hidden, action) for k in range(len(self.heads))]

    def choose(
        self, hidden: Tensor, pick: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """An action (N, K), one component after the other, and the logits it was picked from.
        ``pick`` takes logits (N, values) to one value each, (N,)."""
        action = torch.zeros(len(hidden), len(self.heads), dtype=torch.long)
        logits = []
        for k in range(len(self.heads)):
            logits.append(self._component(k, hidden, action))
            action[:, k] = pick(logits[k])
        return action, logits

    def _component(self, k: int, hidden: Tensor, action: Tensor) -> Tensor:
        if self.sequential:
            earlier = [embed(action[:, j]) for j, embed in enumerate(self.chosen) if j < k]
            hidden = torch.cat([hidden, *earlier], 1)
        logits: Tensor = self.heads[k](hidden)
        return logits


def log_prob_and_entropy(logits: Sequence[Tensor], action: Tensor) -> tuple[Tensor, Tensor]:
    """Of the action (N, K) as a whole, both (N,), from the logits of each component (N, values).

    Where later components depend on earlier ones, the entropy is that of each given the earlier
    ones taken: by the chain rule its mean over sampled actions is the whole action's. It is exact
    where components are independent.
    """
    log_probs = [component.log_softmax(1) for component in logits]
    taken = [p.gather(1, action[:, k : k + 1])[:, 0] for k, p in enumerate(log_probs)]
    entropy = [-(p.exp() * p).sum(1) for p in log_probs]
    return torch.stack(taken).sum(0), torch.stack(entropy).sum(0)


def cross_entropy_to(logits: Sequence[Tensor], best: Tensor, spread: Sequence[float]) -> Tensor:
    """(N,) of the best action (N, K), from the logits of each component (N, values), in which those
    before it are the best's.

    spread: for each component, or none: values that are ordered share the best one's credit as a
    Gaussian of this deviation has it, or neighbours would learn nothing from each other. 0: none.
    """
    total = torch.zeros(len(best))
    for k, component in enumerate(logits):
        deviation = spread[k] if spread else 0.0
        away = torch.arange(component.shape[1]) - best[:, k : k + 1]  # (N, values)
        if deviation > 0:
            credit = (-0.5 * (away / deviation).square()).softmax(1)
        else:
            credit = (away == 0).to(component.dtype)
        total = total - (credit * component.log_softmax(1)).sum(1)
    return total


_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def _hidden_layers(size: int, config: ActorCriticConfig) -> nn.Sequential:
    layers = nn.Sequential()
    for width in config.widths:
        layers.append(_linear(size, width, math.sqrt(2)))
        layers.append(_ACTIVATIONS[config.activation]())
        size = width
    return layers


def _linear(size: int, width: int, gain: float) -> nn.Linear:
    """Orthogonal weights, as policy gradients like them (Andrychowicz et al. 2021, section 3.2)."""
    layer = nn.Linear(size, width)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def vector_sizes(keys: Sequence[str], space: gym.spaces.Dict) -> list[int]:
    """How many numbers each observation of these keys is; 0 for pictures, which are not read."""
    parts = [space.spaces.get(key) for key in keys]
    sizes = [
        int(np.prod(part.shape)) if isinstance(part, gym.spaces.Box) and len(part.shape) < 2 else 0
        for part in parts
    ]
    if not any(sizes):
        raise InputError(f"ActorCritic reads numbers and vectors, but the task offers {space}")
    return sizes


def choices_of(space: gym.Space[Any]) -> int | list[int]:
    """How many values an action has, or each of its components."""
    if isinstance(space, gym.spaces.Discrete) and space.start == 0:
        return int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        counts, first = np.asarray(space.nvec), np.asarray(space.start)
        if counts.ndim == 1 and not first.any():
            return [int(count) for count in counts]
    raise InputError(
        f"ActorCritic chooses among discrete values counted from 0, but the task's actions are "
        f"{space}"
    )
