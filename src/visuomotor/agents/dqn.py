"""Deep Q-learning, as yu2018 uses it for focus, with what has been learned since.

``DQN`` is the learner, ``QPolicy`` acts greedily, ``Exploring`` wraps it for collecting. To follow
one gradient: ``training/local.py`` samples a batch, ``targets`` and ``update`` below do the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visuomotor.agents.base import PolicySpec
from visuomotor.agents.targets import LOSSES, double_q_targets, max_q_targets
from visuomotor.configs import check_range, from_plain
from visuomotor.errors import InputError
from visuomotor.frames import unique_frames
from visuomotor.models.precision import compute_type
from visuomotor.models.q_networks import QNetwork, QNetworkConfig, q_network
from visuomotor.models.weights import load_moments, load_weights
from visuomotor.replay import Batch
from visuomotor.types import Act, BoolArray, Observation

NAME = "dqn"


@dataclass(frozen=True)
class DQNConfig:
    """How DQN learns."""

    batch: int = 1024
    """Transitions a gradient step; cheap, because their pictures are encoded once."""
    learning_rate: float = 1e-3
    """Of Adam at the start; falls along a cosine to a share after ``decay_updates``."""
    decay_updates: int = 2500
    decay_to: float = 0.05
    gamma: float = 0.9
    """yu2018's author code has 0.99. At 0.9 stopping now and stopping later differ by ten times as
    much, so the network need not be as exact to get it right."""
    n_step: int = 3
    double: bool = True
    target_rate: float = 0.01
    target_every: int = 1
    """Share of the online network that the target network takes on, and every how many updates."""
    reward_unit: float = 100.0
    """Rewards are divided by this, so that values are of order one."""
    shift_px: int = 0
    jitter_px: int = 0
    brightness: float = 0.01
    """Augmentation of sampled pictures: a shift of all, of each, and gain of each. To bear a view
    that has moved takes 1 px and three times as long; jitter is for one that moves all the time."""
    guide: float = 0.5
    guide_end: float = 0.1
    """Probability of the expert's action while collecting: at the start, and after guide_steps."""
    guide_steps: int = 20_000
    epsilon: float = 0.1
    epsilon_end: float = 0.1
    epsilon_steps: int = 20_000
    """Probability of a random action while collecting: at the start, and after epsilon_steps."""
    loss: Literal["huber", "squared"] = "huber"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor multiplies it in hardware, else fp32."""
    network: QNetworkConfig = field(default_factory=QNetworkConfig)

    def __post_init__(self) -> None:
        share, one = (0, 1), (1, 1_000_000)
        check_range(self, batch=one, learning_rate=(0, 1), decay_updates=one, gamma=share)
        check_range(self, n_step=(1, 1000), target_rate=share, reward_unit=(1e-9, 1e9))
        check_range(self, shift_px=(0, 1000), jitter_px=(0, 1000), brightness=share, guide=share)
        check_range(self, guide_steps=(0, 1e12), guide_end=share, epsilon=share, epsilon_end=share)
        check_range(self, epsilon_steps=(0, 1e12), decay_to=share, target_every=one)


class DQN:
    """The learner; see ``agents.base.Learner``."""

    on_policy = False

    def __init__(self, spec: PolicySpec, config: DQNConfig, seed: int) -> None:
        self.spec = spec
        self.config = config
        with torch.random.fork_rng():  # initialise from our seed, leave the global state alone
            torch.manual_seed(seed)
            self.online = _network(spec, config.network)
            self.target = _network(spec, config.network)
        self.target.load_state_dict(self.online.state_dict())
        self.optimizer = torch.optim.Adam(
            self.online.parameters(), lr=config.learning_rate, fused=True
        )
        self.updates = 0
        self._dtype = compute_type(config.precision)

    def calibrate(self, frames: NDArray[Any]) -> None:
        """Measure the mean picture on sample pictures (U, h, w), once, before the first update."""
        for network in (self.online, self.target):
            network.calibrate(torch.from_numpy(frames))

    def targets(self, batch: Batch) -> Tensor:
        """(N,) n-step Bellman targets."""
        frames, index = torch.from_numpy(batch.frames), torch.from_numpy(batch.next_states)
        past = torch.from_numpy(batch.next_past_actions)
        reward = torch.from_numpy(batch.reward) / self.config.reward_unit
        discount = torch.from_numpy(batch.discount)
        self.online.eval()  # normalise by what was seen, not by this batch
        self.target.eval()
        with torch.no_grad(), self._autocast():
            next_target = self.target(frames, index, past).float()
            if not self.config.double:
                return max_q_targets(reward, discount, next_target)
            next_online = self.online(frames, index, past).float()
        return double_q_targets(reward, discount, next_online, next_target)

    def update(self, batch: Batch, targets: Tensor) -> dict[str, float]:
        """One step of Adam on the Bellman error, then the target network follows."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.online.train()
        with self._autocast():
            q = self.online(
                torch.from_numpy(batch.frames),
                torch.from_numpy(batch.states),
                torch.from_numpy(batch.past_actions),
            ).float()
        loss = LOSSES[self.config.loss](q, torch.from_numpy(batch.action), targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self._follow()
        return {"loss": float(loss.detach()), "q_mean": float(q.detach().mean())}

    @torch.no_grad()
    def _follow(self) -> None:
        quick = self.online.state_dict()
        for name, slow in self.target.state_dict().items():  # what batches were normalised by, too
            if slow.is_floating_point():
                slow.lerp_(quick[name], self.config.target_rate)

    def policy(self) -> QPolicy:
        """Greedy on the target network: the average of the last updates is steadier than any."""
        return QPolicy(self.spec, self.target)

    def acting_policy(self) -> QPolicy:
        """Greedy on the online network, for collecting."""
        return QPolicy(self.spec, self.online)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.target.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "online": self.online.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        load_moments(self.optimizer, state["optimizer"])
        self.updates = int(state["updates"])

    def _learning_rate(self) -> float:
        done = min(1.0, self.updates / self.config.decay_updates)
        share = max(self.config.decay_to, 0.5 * (1 + np.cos(np.pi * done)))
        return float(self.config.learning_rate * share)

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._dtype is torch.bfloat16)


class QPolicy:
    """Takes the action of the highest Q-value. Reads only ``frames`` and ``past_actions``."""

    def __init__(self, spec: PolicySpec, network: QNetwork) -> None:
        self.spec = spec
        self.network = network

    def begin(self, state: Any, fresh: BoolArray) -> None:
        """All memory is in the observation."""
        return

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        q = self.q_values(observation)
        return Act(q.argmax(1), None, {"q": q})

    @torch.inference_mode()
    def q_values(self, observation: Observation) -> NDArray[np.float32]:
        """(B, actions)."""
        self.network.eval()
        frames, index = unique_frames(observation["frames"])
        past = torch.from_numpy(observation["past_actions"].astype(np.int64))
        q: Tensor = self.network(torch.from_numpy(frames), torch.from_numpy(index), past)
        values: NDArray[np.float32] = q.numpy()
        return values


class Exploring:
    """A greedy policy that is guided and disturbed while it collects.

    With probability ``guide`` (falling over ``guide_steps`` cell steps) a cell takes the expert's
    action, where the collector reveals one, with probability ``epsilon`` a random one. Extras say
    which actions were ``random``: neither greedy nor the expert's.
    """

    def __init__(self, greedy: QPolicy, config: DQNConfig, actions: int) -> None:
        self.spec = greedy.spec
        self.greedy = greedy
        self.steps = 0
        self._config = config
        self._actions = actions

    def begin(self, state: Any, fresh: BoolArray) -> Any:
        return self.greedy.begin(state, fresh)

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        act = self.greedy.act(observation, state, generator)
        best: NDArray[np.int64] = act.action
        cells = len(best)
        expert = observation.get("expert", best)
        draw = generator.random(cells)
        c = self._config
        guide = self._share(c.guide, c.guide_end, c.guide_steps) if "expert" in observation else 0.0
        epsilon = self._share(c.epsilon, c.epsilon_end, c.epsilon_steps)
        guided = draw < guide
        shaken = ~guided & (draw < guide + epsilon)
        anything = generator.integers(0, self._actions, cells)
        action = np.where(guided, expert, np.where(shaken, anything, best))
        self.steps += cells
        random = (action != best) & (action != expert)
        return Act(action, act.state, act.extras | {"random": random})

    def _share(self, start: float, end: float, steps: int) -> float:
        """What falls (or rises) from start to end over so many cell steps, now."""
        return float(np.interp(self.steps, (0, max(1, steps)), (start, end)))


def load_policy(
    spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> QPolicy:
    """The greedy policy of a checkpoint; InputError names the first weight that does not fit."""
    network = _network(spec, from_plain(DQNConfig, config, f"{where}: agent").network)
    load_weights(network, weights, where)
    return QPolicy(spec, network)


def _network(spec: PolicySpec, config: QNetworkConfig) -> QNetwork:
    task = spec.config
    if task["actions"] != "steps":
        raise InputError(f"dqn chooses among steps, but the task's actions are {task['actions']!r}")
    spec.require(NAME, "frames", "past_actions")
    return q_network(task["frame_size_px"], task["history"], len(task["steps"]), config)
