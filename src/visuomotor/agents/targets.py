"""Bellman targets and losses: small pure functions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def double_q_targets(
    reward: Tensor, discount: Tensor, next_online: Tensor, next_target: Tensor
) -> Tensor:
    """Double DQN (van Hasselt et al. 2016, equation 4) on n-step returns.

    reward (N,): discounted sum over the steps; discount (N,): gamma^n, 0 where the episode ended;
    next_online, next_target (N, A): Q-values of the two networks at the state after them.
    Returns (N,).
    """
    best = next_online.argmax(1, keepdim=True)
    return reward + discount * next_target.gather(1, best)[:, 0]


def max_q_targets(reward: Tensor, discount: Tensor, next_target: Tensor) -> Tensor:
    """Q-learning (yu2018, equations 1 and 3): the maximum of the target network itself. (N,)."""
    return reward + discount * next_target.amax(1)


def huber_td_loss(q: Tensor, action: Tensor, targets: Tensor) -> Tensor:
    """Mean Huber loss of Q(s, a) (N, A) at the actions taken (N,) against targets (N,)."""
    return F.smooth_l1_loss(q.gather(1, action[:, None])[:, 0], targets)


def squared_td_loss(q: Tensor, action: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the same (yu2018, equation 3)."""
    return F.mse_loss(q.gather(1, action[:, None])[:, 0], targets)


LOSSES = {"huber": huber_td_loss, "squared": squared_td_loss}
