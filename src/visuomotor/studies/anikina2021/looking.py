"""What an agent looks at: Grad-CAM (Selvaraju et al. 2017) through the agent and the encoder."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.agents.ppo import PpoPolicy
from visuomotor.errors import InputError
from visuomotor.models.encoders import encoder
from visuomotor.models.encoders.small import SmallEncoder, views
from visuomotor.types import Frame, Observation

LAYER = 1
"""Of the encoder's convolutions: its maps are 8 x 8, the last one's only 4 x 4."""


def attention(agent: Policy, observation: Observation, picture: Frame) -> NDArray[np.float32]:
    """(H, W) from 0 to 1: where the picture made the agent's choice more probable.

    observation: of one cell, whose newest features are those of this picture (H, W). InputError for
    agents that do not see the features of encoder ``small``.
    """
    network = encoder(agent.spec.config["encoder"])
    if not isinstance(agent, PpoPolicy) or not isinstance(network, SmallEncoder):
        raise InputError(f"attention: expected an agent on encoder small, got {agent.spec.config}")
    kept: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, planes: torch.Tensor) -> None:
        planes.retain_grad()
        kept.append(planes)

    hook = network.network.convolutions[LAYER].register_forward_hook(keep)
    try:
        with torch.enable_grad():
            features = network.network(*views(picture[None]))  # (1, F)
    finally:
        hook.remove()
    seen = _with_features(agent, observation, features)
    hidden, _ = agent.network(seen)
    action, _ = agent.network.choose(hidden, lambda logits: logits.argmax(1))
    logits = agent.network.logits(hidden, action)
    chosen = [part.log_softmax(1).gather(1, action[:, k : k + 1]) for k, part in enumerate(logits)]
    torch.autograd.backward(torch.cat(chosen).sum())
    (planes,) = kept
    assert planes.grad is not None  # it was retained
    whole, slope = planes[-1], planes.grad[-1]  # the whole picture comes after its tiles
    weight = torch.relu((slope.mean((1, 2), keepdim=True) * whole).sum(0)).detach().numpy()
    large = cv2.resize(weight, picture.shape[::-1], interpolation=cv2.INTER_CUBIC).clip(0)
    return np.asarray(large / max(float(large.max()), 1e-12), np.float32)


def _with_features(
    agent: PpoPolicy, observation: Observation, features: torch.Tensor
) -> torch.Tensor:
    """(1, n) what the agent reads, its newest features taken from ``features`` (1, F)."""
    seen = torch.from_numpy(agent.read(observation))
    first, size = 0, features.shape[1]
    for key, count in zip(agent.spec.observation, agent.network.sizes.tolist(), strict=True):
        if key == "features":
            break
        first += count
    return torch.cat([seen[:, :first], features, seen[:, first + size :]], 1)
