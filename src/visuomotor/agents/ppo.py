"""Proximal policy optimisation, as anikina2021 trains both of its agents, for discrete actions.

The clipped surrogate of Schulman et al., "Proximal policy optimization algorithms", 2017, on
advantages after Schulman et al., "High-dimensional continuous control using generalized advantage
estimation", 2016. ``training/on_policy.py`` collects an ``Experience`` and hands it to ``update``.

Beside the paper: observations are measured in their own standard deviations, and where a simulator
knows the best action, a cross-entropy to it can guide the first updates (``guidance_weight``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Dict, Space
from numpy.typing import NDArray
from torch import Tensor

from visuomotor.agents.base import PolicySpec
from visuomotor.agents.expert_memory import ExpertMemory
from visuomotor.agents.schedules import cosine_share, linear_share
from visuomotor.configs import check_range, from_plain
from visuomotor.errors import InputError
from visuomotor.models.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    choices_of,
    cross_entropy_to,
    log_prob_and_entropy,
    vector_sizes,
)
from visuomotor.models.weights import load_moments, load_weights
from visuomotor.types import Act, BoolArray, Observation

NAME = "ppo"


@dataclass(frozen=True)
class PpoConfig:
    """How PPO learns. An update takes in one rollout."""

    epochs: int = 4
    """Passes over a rollout in an update, at most."""
    batch: int = 256
    """Steps of single cells for each gradient step, about: a rollout is cut into even parts."""
    learning_rate: float = 1e-3
    """Of Adam at the start; falls along a cosine to a share at ``decay_updates``."""
    decay_updates: int = 200
    decay_to: float = 0.05
    gamma: float = 0.99
    lam: float = 0.95
    """Discount of rewards, and lambda of the generalised advantage: 0 trusts the learned values
    one step ahead, 1 only what came in the end."""
    clip: float = 0.2
    """How far an action's probability may move from what it was before a gradient stops pushing."""
    target_kl: float | None = 0.03
    """Divergence from the policy that collected beyond which an update stops moving the policy;
    None never stops."""
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    """Of the value's loss, and of the entropy that keeps it trying."""
    guidance_weight: float = 0.0
    """Of the cross-entropy to the expert's action, where there is one; falls evenly to 0 ..."""
    guidance_updates: int = 100
    """... at this update."""
    guidance_kept: int = 1
    """Rollouts whose states the expert guides in: what was best in them stays so."""
    guidance_spread: tuple[float, ...] = ()
    """Of each component of an action whose values are ordered: see ``cross_entropy_to``."""
    max_gradient: float = 0.5
    """Gradients that are longer, over all weights, are cut to this length."""
    reward_unit: float = 1.0
    """Rewards are divided by this, so that values are of order one."""
    normalise_advantages: bool = True
    """To mean 0 and deviation 1 within a rollout."""
    network: ActorCriticConfig = field(default_factory=ActorCriticConfig)

    def __post_init__(self) -> None:
        share, one, weight = (0, 1), (1, 1_000_000), (0, 1000)
        check_range(self, epochs=(1, 1000), batch=one, learning_rate=share, decay_updates=one)
        check_range(self, decay_to=share, gamma=share, lam=share, clip=(1e-6, 1))
        check_range(self, target_kl=(1e-9, 1000), value_weight=weight, entropy_weight=weight)
        check_range(self, guidance_weight=weight, guidance_updates=one, guidance_kept=one)
        if any(deviation < 0 for deviation in self.guidance_spread):
            raise InputError(f"guidance_spread: expected 0 or more, got {self.guidance_spread}")
        check_range(self, max_gradient=(1e-9, 1e9), reward_unit=(1e-9, 1e9))


class Experience(NamedTuple):
    """T steps of B cells under one policy, and how that policy saw them."""

    seen: NDArray[np.float32]  # (T, B, n) as ``PpoPolicy.read`` makes it
    action: NDArray[np.int64]  # (T, B) or (T, B, K)
    log_prob: NDArray[np.float32]  # (T, B) of the action
    value: NDArray[np.float32]  # (T, B)
    reward: NDArray[np.float64]  # (T, B)
    done: BoolArray  # (T, B) the episode ended with this step, or was cut short
    cut_value: NDArray[np.float32]  # (T, B) of the state where it was cut short (truncated), else 0
    active: BoolArray  # (T, B) the cell took part: it was not frozen
    last_value: NDArray[np.float32]  # (B,) of the state after the last step
    expert: NDArray[np.int64] | None = None  # shaped like action; -1: nobody knows


# ---- losses


def gae(
    rewards: Tensor,
    values: Tensor,
    dones: Tensor,
    last_value: Tensor,
    gamma: float,
    lam: float,
    active: Tensor,
) -> Tensor:
    """Generalised advantages (Schulman et al. 2016, equation 16), (T, B):

        A_t = delta_t + gamma lam A_{t+1},    delta_t = r_t + gamma V(s_{t+1}) - V(s_t)

    rewards, values (T, B); last_value (B,) is V(s_T). Nothing flows back over dones (T, B). Steps
    of frozen cells, not active (T, B), have none.
    """
    advantage = torch.zeros_like(values)
    ahead, next_value = torch.zeros_like(last_value), last_value
    for t in reversed(range(len(values))):
        goes_on = gamma * (~dones[t]).to(values.dtype)
        delta = rewards[t] + goes_on * next_value - values[t]
        ahead = torch.where(active[t], delta + goes_on * lam * ahead, 0.0)
        advantage[t], next_value = ahead, values[t]
    return advantage


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Minus L^CLIP (Schulman et al. 2017, equation 7), for ratios of the new to the old probability
    of the actions taken (N,) and their advantages (N,):

        L^CLIP = E[min(ratio A, clip(ratio, 1 - clip, 1 + clip) A)]
    """
    kept = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, kept * advantage).mean()


def value_loss(value: Tensor, returns: Tensor) -> Tensor:
    """L^VF, the mean of (V - V_target)^2 (Schulman et al. 2017, below equation 9), both (N,)."""
    return (value - returns).square().mean()


# ---- the learner


class _Steps(NamedTuple):
    """N steps of single cells, to learn from."""

    seen: Tensor  # (N, n)
    action: Tensor  # (N, K)
    log_prob: Tensor  # (N,)
    advantage: Tensor  # (N,)
    returns: Tensor  # (N,)
    expert: Tensor  # (N, K)

    def only(self, index: Tensor) -> _Steps:
        return _Steps(*(column[index] for column in self))


class Ppo:
    """The learner; see ``agents.base.Learner``."""

    on_policy = True

    def __init__(
        self,
        spec: PolicySpec,
        observation_space: Dict,
        action_space: Space[Any],
        config: PpoConfig,
        seed: int,
    ) -> None:
        """The spaces of one cell. Of the observations that ``spec`` names those are read that are
        numbers or vectors. InputError if there are none, or if actions are not discrete."""
        self.spec = spec
        self.config = config
        with torch.random.fork_rng():  # initialise from our seed, leave the global state alone
            torch.manual_seed(seed)
            self.network = ActorCritic(
                vector_sizes(spec.observation, observation_space),
                choices_of(action_space),
                config.network,
            )
        spread = config.guidance_spread
        if spread and len(spread) != len(self.network.heads):
            raise InputError(f"guidance_spread: expected {len(self.network.heads)}, got {spread}")
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True
        )
        self.updates = 0
        self._draws = torch.Generator().manual_seed(seed)
        self._memory = ExpertMemory(config.guidance_kept)

    def calibrate(self, seen: NDArray[np.float32]) -> None:
        """Measure mean and deviation of observations (N, n), once, before the first update."""
        self.network.moments.take_in(torch.from_numpy(seen))

    def targets(self, batch: Experience) -> None:
        """None: the advantages are made from the batch itself."""
        return

    def update(self, batch: Experience, targets: None = None) -> dict[str, float]:
        """Some epochs of Adam on equation 9 of Schulman et al. 2017, and on the guidance; then
        what was seen counts for the mean and deviation, too."""
        c = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = c.learning_rate * cosine_share(self.updates, c.decay_updates, c.decay_to)
        guidance = c.guidance_weight * linear_share(self.updates, c.guidance_updates)
        steps = self._steps(batch)
        if guidance > 0:
            self._memory.add(steps.seen, steps.expert)
        guided = guidance > 0 and len(self._memory) > 0
        noted: dict[str, list[float]] = defaultdict(list)
        strayed = False
        for part in self._parts(len(steps.seen)):
            known = self._memory.sample(len(part), self._draws) if guided else None
            losses, metrics = self._losses(steps.only(part), known)
            for name, value in metrics.items():
                noted[name].append(value)
            strayed |= c.target_kl is not None and metrics["kl"] > c.target_kl
            if strayed and not guided:
                break
            loss = c.value_weight * losses["value_loss"] + guidance * losses["guidance_loss"]
            if not strayed:  # guidance itself moves the policy far, so it goes on without the rest
                loss = loss + losses["policy_loss"] - c.entropy_weight * losses["entropy"]
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), c.max_gradient)
            self.optimizer.step()
        # Only now: ratios began at 1 because the policy saw as it had seen while collecting.
        self.network.moments.take_in(steps.seen)
        self.updates += 1
        return {name: float(np.mean(values)) for name, values in noted.items()}

    def policy(self) -> PpoPolicy:
        """Greedy. It goes on with the learner."""
        return PpoPolicy(self.spec, self.network)

    def acting_policy(self) -> Sampling:
        """Draws its actions, for collecting. It goes on with the learner."""
        return Sampling(self.policy())

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "updates": self.updates,
            "draws": self._draws.get_state(),
            "memory": self._memory.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        load_moments(self.optimizer, state["optimizer"])
        self.updates = int(state["updates"])
        self._draws.set_state(state["draws"])
        self._memory.load_state_dict(state["memory"])

    def _steps(self, batch: Experience) -> _Steps:
        """The steps in which cells took part, judged by what came of them."""
        c = self.config
        if not batch.active.any():
            raise InputError(f"{NAME}: expected cells that took part, got frozen ones alone")
        for name in ("seen", "reward"):
            if not np.isfinite(getattr(batch, name)[batch.active]).all():
                raise InputError(f"{NAME}: {name}: expected finite numbers, got others among them")
        value, active = torch.from_numpy(batch.value), torch.from_numpy(batch.active)
        # What an episode would still have brought that was cut short comes with its last reward.
        reward = torch.from_numpy(batch.reward).float() / c.reward_unit
        reward = reward + c.gamma * torch.from_numpy(batch.cut_value)
        done, last_value = torch.from_numpy(batch.done), torch.from_numpy(batch.last_value)
        advantage = gae(reward, value, done, last_value, c.gamma, c.lam, active)
        returns = advantage + value
        if c.normalise_advantages:
            known = advantage[active]
            advantage = (advantage - known.mean()) / (known.std(correction=0) + 1e-8)
        action = torch.from_numpy(batch.action).reshape(*active.shape, -1)
        expert = torch.full_like(action, -1)
        if batch.expert is not None:
            expert = torch.from_numpy(batch.expert).reshape(action.shape)
        seen, log_prob = torch.from_numpy(batch.seen), torch.from_numpy(batch.log_prob)
        return _Steps(seen, action, log_prob, advantage, returns, expert).only(active)

    def _parts(self, count: int) -> Iterator[Tensor]:
        """Indices of every gradient step: each epoch in an order of its own, in even parts."""
        for _ in range(self.config.epochs):
            order = torch.randperm(count, generator=self._draws)
            yield from order.chunk(max(1, round(count / self.config.batch)))

    def _losses(
        self, steps: _Steps, known: tuple[Tensor, Tensor] | None
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """What is to be minimised (the entropy, maximised), and numbers to log."""
        hidden, value = self.network(steps.seen)
        logits = self.network.logits(hidden, steps.action)
        log_prob, entropy = log_prob_and_entropy(logits, steps.action)
        ratio = (log_prob - steps.log_prob).exp()
        guidance = torch.zeros(())
        if known is not None:
            seen, expert = known
            best = self.network.logits(self.network(seen)[0], expert)
            guidance = cross_entropy_to(best, expert, self.config.guidance_spread).mean()
        policy = clipped_surrogate(ratio, steps.advantage, self.config.clip)
        losses = {"policy_loss": policy, "value_loss": value_loss(value, steps.returns)}
        losses |= {"guidance_loss": guidance, "entropy": entropy.mean()}
        with torch.no_grad():
            # An estimate of KL(old | new) whose terms are never negative; ratio - 1 has mean 0.
            kl = (ratio - 1 - (log_prob - steps.log_prob)).mean()
            clipped = ((ratio - 1).abs() > self.config.clip).float().mean()
        metrics = {name: loss.item() for name, loss in losses.items()}
        return losses, metrics | {"kl": kl.item(), "clip_share": clipped.item()}


# ---- the policies


class PpoPolicy:
    """Takes the most probable value of each component in turn. Reads the vectors its spec names."""

    def __init__(self, spec: PolicySpec, network: ActorCritic) -> None:
        self.spec = spec
        self.network = network
        sizes = zip(spec.observation, network.sizes.tolist(), strict=True)
        self._read = [(key, size) for key, size in sizes if size]

    def begin(self, state: Any, fresh: BoolArray) -> None:
        """All memory is in the observation."""
        return

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        return self.decide(observation, lambda logits: logits.argmax(1))

    @torch.inference_mode()
    def decide(self, observation: Observation, pick: Callable[[Tensor], Tensor]) -> Act:
        """What ``pick`` makes of the logits (B, values) of each component in turn."""
        hidden, value = self.network(torch.from_numpy(self.read(observation)))
        action, logits = self.network.choose(hidden, pick)
        log_prob, _ = log_prob_and_entropy(logits, action)
        chosen = action if self.network.choices.ndim else action[:, 0]
        return Act(chosen.numpy(), None, {"log_prob": log_prob.numpy(), "value": value.numpy()})

    def read(self, observation: Observation) -> NDArray[np.float32]:
        """All that it reads, side by side: (B, n)."""
        parts = [observation[key].reshape(-1, size) for key, size in self._read]
        return np.concatenate(parts, 1, dtype=np.float32)

    @torch.inference_mode()
    def values(self, observation: Observation) -> NDArray[np.float32]:
        """What the states are worth, (B,), in units of ``reward_unit``."""
        value: Tensor = self.network(torch.from_numpy(self.read(observation)))[1]
        return value.numpy()


class Sampling:
    """Draws each component from its distribution, for collecting."""

    def __init__(self, greedy: PpoPolicy) -> None:
        self.spec = greedy.spec
        self.greedy = greedy

    def begin(self, state: Any, fresh: BoolArray) -> Any:
        return self.greedy.begin(state, fresh)

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        def pick(logits: Tensor) -> Tensor:
            # The largest of logits plus Gumbel noise is distributed as their softmax.
            return (logits + torch.from_numpy(generator.gumbel(size=logits.shape))).argmax(1)

        return self.greedy.decide(observation, pick)


def without_critic(
    config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings of PPO and weights of a policy that only acts, about half as large: what a state is
    worth is asked by learning alone, and what is left of it here is meaningless."""
    network = {**config.get("network", {}), "critic": "shared"}
    acting = {name: value for name, value in weights.items() if not name.startswith("critic.")}
    return {**config, "network": network}, acting


def load_policy(
    spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> PpoPolicy:
    """The greedy policy of a checkpoint; InputError names the first weight that does not fit."""
    settings = from_plain(PpoConfig, config, f"{where}: agent")
    for name in ("sizes", "choices"):
        if name not in weights:
            raise InputError(f"{where}: expected a weight {name!r}, found none of that name")
    sizes, choices = weights["sizes"].tolist(), weights["choices"].tolist()
    if np.shape(sizes) != (len(spec.observation),):
        raise InputError(
            f"{where}: expected the sizes of {len(spec.observation)} observations, got {sizes}"
        )
    network = ActorCritic(sizes, choices, settings.network)
    load_weights(network, weights, where)
    return PpoPolicy(spec, network)
