"""The Q-network of yu2018, section III.C and figure 2, reconstructed.

The paper gives four layers of convolution, batch normalisation, ReLU and max-pooling, past actions
that become a vector as long as the image's and join it in the middle, two fully connected layers of
256, 381K parameters and 13.8M multiply-accumulates. Widths, kernels and strides are not in the
text; these meet both numbers, with the strided 6 x 6 first layer of its reference [21] (Levine et
al. 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visuomotor.errors import InputError

WIDTHS = (24, 48, 64, 100)
HIDDEN = 256
LEAST_PX = 32


class Yu2018QNetwork(nn.Module):
    """The pictures of a state as channels, its past actions, to the value of each action."""

    def __init__(self, frame_size_px: int, history: int, actions: int) -> None:
        super().__init__()
        self.actions = actions
        if frame_size_px < LEAST_PX:
            raise InputError(
                f"yu2018 network: frame_size_px: expected at least {LEAST_PX}, which halves five "
                f"times, got {frame_size_px}"
            )
        layers: list[nn.Module] = []
        width, side = history, frame_size_px
        for number, channels in enumerate(WIDTHS):
            if number == 0:
                convolution = nn.Conv2d(width, channels, 6, stride=2, padding=2, bias=False)
                side //= 2
            else:
                convolution = nn.Conv2d(width, channels, 3, padding=1, bias=False)
            # ReLU after the pooling is the same and costs a quarter.
            layers += [convolution, nn.BatchNorm2d(channels), nn.MaxPool2d(2), nn.ReLU()]
            width, side = channels, side // 2
        # Channels last: twice as fast on a processor.
        self.images = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.acts = nn.Linear(history * (actions + 1), width * side * side)
        self.trunk = nn.Sequential(
            nn.Linear(2 * width * side * side, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, actions),
        )

    def calibrate(self, frames: Tensor) -> None:
        """Nothing to measure: batch normalisation does it."""

    def forward(self, frames: Tensor, index: Tensor, past_actions: Tensor) -> Tensor:
        """(U, h, w) grey levels, (N, history), (N, history) -> Q (N, actions)."""
        # Picture t of a state is channel t; the grey levels come in the layout of the convolutions.
        seen = (frames.float() / 255.0)[index].contiguous(memory_format=torch.channels_last)
        image = self.images(seen).flatten(1)
        done = F.one_hot(past_actions, self.actions + 1).flatten(1).to(image.dtype)
        q: Tensor = self.trunk(torch.cat([image, F.relu(self.acts(done))], 1))
        return q
