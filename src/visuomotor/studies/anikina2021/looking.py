"""What an agent looks at: Grad-CAM (Selvaraju et al. 2017) through the agent and the encoder."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.agents.ppo import PpoPolicy
from visuomotor.errors import InputError
from visuomotor.models.encoders import encoder
from visuomotor.models.encoders.small import SIDE_PX, SmallEncoder, corners, views
from visuomotor.types import Frame, Observation

LAYER = 1
"""Of the encoder's convolutions: its maps are 8 x 8, the last one's only 4 x 4."""


def attention(
    agent: Policy, observation: Observation, picture: Frame, action: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(H, W) from 0 to 1: where the picture made this action (one cell's) more probable.

    The maps of the encoder's tiles, each in its place, and that of the whole picture are added.
    What else the features have of a picture (its grey levels, how it differs from itself a few
    pixels on) has no place in it and is left out.

    observation: of one cell, whose newest features are those of this picture (H, W), at least 64
    pixels high and wide. InputError for smaller ones, and for agents that do not see the features
    of encoder ``small``.
    """
    config = agent.spec.config
    sees = "features" in agent.spec.observation and config["encoder"] == "small"
    if not (isinstance(agent, PpoPolicy) and sees):
        raise InputError(
            f"attention: expected a learned agent that sees features of encoder small, got "
            f"{type(agent).__name__} that sees {', '.join(agent.spec.observation)}"
        )
    if picture.ndim != 2 or min(picture.shape) < SIDE_PX:
        raise InputError(
            f"attention: expected a grey picture of {SIDE_PX} pixels or more each way, got "
            f"{picture.shape}"
        )
    network = encoder("small", config.get("encoder_weights"))
    assert isinstance(network, SmallEncoder)
    kept: list[torch.Tensor] = []
    layer = network.network.convolutions[LAYER]
    hook = layer.register_forward_hook(lambda module, inputs, planes: kept.append(planes))
    try:
        with torch.enable_grad():
            features = network.network(*views(picture[None]))  # (1, F)
            chosen = _log_probability(agent, observation, features, action)
    finally:
        hook.remove()
    (planes,) = kept  # (T + 1, C, 8, 8); the network's ReLU is in place, so these are after it
    (slope,) = torch.autograd.grad(chosen, planes)
    weight = torch.relu((slope.mean((2, 3), keepdim=True) * planes).sum(1)).detach().numpy()
    return _placed(weight, picture.shape)


def _placed(weight: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(T + 1, h, w) of the tiles and the whole, laid over a picture: the tiles' mean where they
    overlap, and the whole's, as much less as its pixels are larger."""
    height, width = shape
    tiled, covered = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for (top, left), tile in zip(corners(height, width), weight[:-1], strict=True):
        place = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
        tiled[place] += cv2.resize(tile, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
        covered[place] += 1
    whole = cv2.resize(weight[-1], (width, height), interpolation=cv2.INTER_LINEAR)
    found = tiled / np.maximum(covered, 1) + whole * (SIDE_PX**2 / (height * width))
    return np.asarray(found / max(float(found.max()), 1e-12), np.float32)


def _log_probability(
    agent: PpoPolicy,
    observation: Observation,
    features: torch.Tensor,
    action: NDArray[np.int64],
) -> torch.Tensor:
    """() of an action, the newest features taken from ``features`` (1, F)."""
    seen = torch.from_numpy(agent.read(observation))
    first, size = 0, features.shape[1]
    for key, count in zip(agent.spec.observation, agent.network.sizes.tolist(), strict=True):
        if key == "features":
            break
        first += count
    seen = torch.cat([seen[:, :first], features, seen[:, first + size :]], 1)
    hidden, _ = agent.network(seen)
    taken = torch.from_numpy(np.reshape(action, (1, -1)))
    logits = agent.network.logits(hidden, taken)
    chosen = [part.log_softmax(1).gather(1, taken[:, k : k + 1]) for k, part in enumerate(logits)]
    return torch.cat(chosen).sum()
