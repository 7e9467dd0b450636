"""Networks that map pictures and past actions to the value of each action.

Every network takes its pictures as a set of different ones, (U, h, w), and an index that says which
of them make up each state, (N, history): a picture that several states share is encoded once. On a
recorded stack that is an order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visuomotor.configs import check_range
from visuomotor.models.yu2018_network import Yu2018QNetwork


@dataclass(frozen=True)
class QNetworkConfig:
    """Shape of the network; frame size, history and actions come from the task."""

    kind: Literal["encoder", "yu2018"] = "encoder"
    """encoder: ``FrameEncoderQNetwork``, of the sizes below; yu2018: the paper's, as it is."""
    channels: int = 32
    embedding: int = 64
    hidden: int = 128

    def __post_init__(self) -> None:
        check_range(self, channels=(1, 4096), embedding=(1, 65_536), hidden=(1, 65_536))


def q_network(size_px: int, history: int, actions: int, config: QNetworkConfig) -> QNetwork:
    """The network that ``config`` describes."""
    if config.kind == "yu2018":
        return Yu2018QNetwork(size_px, history, actions)
    return FrameEncoderQNetwork(size_px, history, actions, config)


class FrameEncoderQNetwork(nn.Module):
    """Each picture to a vector, the vectors of a state and its past actions to dueling Q-values.

    The encoder works on pictures minus their mean picture: what differs between focus positions of
    one view is small beside what they share. Mean and scale are measured once (``calibrate``) and
    saved with the weights. Dueling: Wang et al. 2016, equation (9).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, frame_size_px: int, history: int, actions: int, config: QNetworkConfig
    ) -> None:
        super().__init__()
        c = config.channels
        self.actions = actions
        self.register_buffer("mean", torch.zeros(frame_size_px, frame_size_px))
        self.register_buffer("scale", torch.ones(()))
        # Blocks of 4 x 4 pixels become 16 channels: fine structure, which is what tells focus,
        # survives, and the convolutions run on a sixteenth of the places.
        side = -(-frame_size_px // 4)
        self._padding = 4 * side - frame_size_px
        layers: list[nn.Module] = []
        width = 16
        for _ in range(3):
            layers += [nn.Conv2d(width, c, 3, stride=2, padding=1), nn.ReLU()]
            width, side = c, (side + 1) // 2
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(c * side * side, config.embedding)
        )
        self.norm = nn.LayerNorm(config.embedding)
        self.trunk = nn.Linear(history * (config.embedding + actions + 1), config.hidden)
        self.value = nn.Linear(config.hidden, 1)
        self.advantage = nn.Linear(config.hidden, actions)

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Take mean picture and contrast from sample pictures (U, h, w) uint8."""
        pictures = frames.float()
        self.mean.copy_(pictures.mean(0))
        self.scale.copy_((pictures - self.mean).std().clamp_min(1.0))

    def embed(self, frames: Tensor) -> Tensor:
        """(U, h, w) uint8 or float grey levels -> (U, embedding)."""
        # Blocks are made before bytes become floats: a quarter of the memory to move.
        blocks = torch.sub(self._blocks(frames).float(), self._blocks(self.mean[None]))
        embedding: Tensor = self.norm(self.encoder(blocks.mul_(1.0 / self.scale)))
        return embedding

    def _blocks(self, pictures: Tensor) -> Tensor:
        """(U, h, w) -> (U, 16, h / 4, w / 4), padded with zeros to whole blocks."""
        if self._padding:
            pictures = F.pad(pictures, (0, self._padding, 0, self._padding))
        count, height, width = pictures.shape
        # As F.pixel_unshuffle does, six times as fast on bytes.
        grid = pictures.reshape(count, height // 4, 4, width // 4, 4).permute(0, 2, 4, 1, 3)
        return grid.reshape(count, 16, height // 4, width // 4)

    def head(self, embedding: Tensor, index: Tensor, past_actions: Tensor) -> Tensor:
        """(U, embedding), (N, history), (N, history) -> Q (N, actions)."""
        seen = embedding[index].flatten(1)  # (N, history * embedding)
        done = F.one_hot(past_actions, self.actions + 1).flatten(1).to(seen.dtype)
        hidden = F.relu(self.trunk(F.relu(torch.cat([seen, done], 1))))
        value, advantage = self.value(hidden), self.advantage(hidden)
        q: Tensor = value + advantage - advantage.mean(1, keepdim=True)
        return q

    def forward(self, frames: Tensor, index: Tensor, past_actions: Tensor) -> Tensor:
        return self.head(self.embed(frames), index, past_actions)


QNetwork = FrameEncoderQNetwork | Yu2018QNetwork
