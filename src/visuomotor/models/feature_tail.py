"""The layers of a Q-network behind its convolutions, so that they alone learn.

What convolutions see in a picture stays as it was learned; only what follows from it is learned
anew. Each picture's features are computed once, and a gradient step costs a twentieth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visuomotor.models.q_networks import FrameEncoderQNetwork

PICTURES_AT_ONCE = 256


class FeatureTail(nn.Module):
    """A ``FrameEncoderQNetwork`` whose convolutions are frozen; it holds the whole network."""

    def __init__(self, network: FrameEncoderQNetwork) -> None:
        super().__init__()
        self.network = network
        self.size = int(network.encoder[-1].in_features)  # type: ignore[arg-type]
        """D, the features of a picture."""
        network.encoder[:-1].requires_grad_(False)

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """(U, h, w) uint8 or float grey levels -> (U, D)."""
        n = self.network
        mean = n._blocks(n.mean[None])
        parts = [
            n.encoder[:-1](torch.sub(n._blocks(part).float(), mean).mul_(1.0 / n.scale))
            for part in torch.split(frames, PICTURES_AT_ONCE)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.size)

    def forward(self, features: Tensor, index: Tensor, past_actions: Tensor) -> Tensor:
        """(U, D), (N, history), (N, history) -> Q (N, actions)."""
        n = self.network
        q: Tensor = n.head(n.norm(n.encoder[-1](features)), index, past_actions)
        return q
