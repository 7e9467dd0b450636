"""DQN for fine-tuning: the convolutions of a trained network stay, the layers behind them learn.

The conservative half of ``training.adapting``: what was learned to be seen is kept, and a gradient
step on features computed once is so cheap that there can be many to each real step.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from visuomotor.agents import dqn
from visuomotor.agents.schedules import cosine_share
from visuomotor.agents.targets import double_q_targets, huber_td_loss
from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.models.feature_tail import FeatureTail
from visuomotor.models.q_networks import FrameEncoderQNetwork, QNetworkConfig
from visuomotor.models.weights import load_moments
from visuomotor.replay import Batch


@dataclass(frozen=True)
class TailDQNConfig:
    """How it learns; values as in ``dqn.DQNConfig``, whose preset ``fast`` learned the policy."""

    learning_rate: float = 1e-3
    """Of Adam at the start; falls along a cosine to a share at ``decay_updates``, stays there."""
    decay_updates: int = 2_500
    decay_to: float = 0.1
    gamma: float = 0.9
    n_step: int = 3
    target_rate: float = 0.01
    """Share of the online network that the target network, which is the policy, takes on."""
    reward_unit: float = 100.0

    def __post_init__(self) -> None:
        share = (0, 1)
        check_range(self, learning_rate=share, decay_updates=(1, 1e9), decay_to=share, gamma=share)
        check_range(self, n_step=(1, 1000), target_rate=share, reward_unit=(1e-9, 1e9))


class TailDQN:
    """The learner; see ``agents.base.Learner``. Pictures of its batches are features, (U, D)."""

    on_policy = False

    def __init__(self, policy: dqn.QPolicy, config: TailDQNConfig) -> None:
        """The policy stays as it is. InputError where its network does not see pictures alone."""
        network = policy.network
        if not isinstance(network, FrameEncoderQNetwork):
            raise InputError(
                f"adapt: expected a DQN policy whose network encodes each picture alone (kind "
                f"'encoder'), got a {type(network).__name__}"
            )
        self.spec = policy.spec
        self.config = config
        self.online = FeatureTail(copy.deepcopy(network))
        self.target = FeatureTail(copy.deepcopy(network))
        for tail in (self.online, self.target):
            tail.eval()  # its layers do the same in both modes
        self._learning, self._following = (
            [p for p in tail.parameters() if p.requires_grad] for tail in (self.online, self.target)
        )
        self.optimizer = torch.optim.Adam(self._learning, lr=config.learning_rate, fused=True)
        self.updates = 0

    @property
    def network_config(self) -> QNetworkConfig:
        """The shape of the network, for its checkpoint."""
        network = self.target.network
        return QNetworkConfig(
            "encoder",
            channels=int(network.encoder[0].out_channels),  # type: ignore[arg-type]
            embedding=int(network.encoder[-1].out_features),  # type: ignore[arg-type]
            hidden=network.trunk.out_features,
        )

    def targets(self, batch: Batch) -> Tensor:
        """(N,) n-step Double-DQN targets."""
        features, index = torch.from_numpy(batch.frames), torch.from_numpy(batch.next_states)
        past = torch.from_numpy(batch.next_past_actions)
        reward = torch.from_numpy(batch.reward) / self.config.reward_unit
        with torch.no_grad():
            online, target = (tail(features, index, past) for tail in (self.online, self.target))
        return double_q_targets(reward, torch.from_numpy(batch.discount), online, target)

    def update(self, batch: Batch, targets: Tensor) -> dict[str, float]:
        """One step of Adam on the Bellman error, then the target network follows."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        past = torch.from_numpy(batch.past_actions)
        q = self.online(torch.from_numpy(batch.frames), torch.from_numpy(batch.states), past)
        loss = huber_td_loss(q, torch.from_numpy(batch.action), targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.updates += 1
        with torch.no_grad():
            for slow, quick in zip(self._following, self._learning, strict=True):
                slow.lerp_(quick, self.config.target_rate)
        return {"loss": float(loss.detach())}

    def policy(self) -> dqn.QPolicy:
        """Greedy on the target network, from pictures: it goes on with the learner."""
        return dqn.QPolicy(self.spec, self.target.network)

    def weights(self) -> dict[str, Tensor]:
        network = self.target.network
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

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
        c = self.config
        return c.learning_rate * cosine_share(self.updates, c.decay_updates, c.decay_to)
