"""A network that compares looks: how contrast changed between focus positions, never how much
there is.

What a sample's contrast is in focus nobody knows beforehand, so absolute levels do not carry over
to new samples. What blur does to it is the same everywhere: a step towards focus brings fine
structure back, octave by octave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visuomotor.configs import check_range
from visuomotor.vision.contrast import ABSENT, BANDS, BRIGHTNESS, NOISE, WHITE_NOISE

MOVE_SCALES = (1.5, 4.0, 12.0, 35.0, 100.0, 300.0, 900.0)
"""In fine steps: at each of them a distance is squashed to -1 .. 1."""
DEFOCUS_BINS = 41
MAX_DEFOCUS = 1000.0
"""In fine steps, of the outermost bins on both sides."""
CHANGE_SCALES = (0.03, 0.15, 0.7)
"""Of log energies: near focus a fine step changes them by hundredths, far away by whole numbers."""
_CLEARLY = 5.0
"""Natural logarithm of energy over noise beyond which more says nothing."""
_BIN = math.log1p(MAX_DEFOCUS) / (DEFOCUS_BINS // 2)


@dataclass(frozen=True)
class LookComparerConfig:
    """Widths of the layers."""

    look: int = 96
    """For each look beside the newest."""
    hidden: int = 160

    def __post_init__(self) -> None:
        check_range(self, look=(1, 65_536), hidden=(1, 65_536))


class LookComparer(nn.Module):
    """Contrast of the last looks, and the moves between them, to values of actions.

    Every look is compared with the newest one; the comparisons form a set (Zaheer et al., "Deep
    sets", 2017), whose sum and maximum go on. An auxiliary head says where focus is: a distribution
    over signed distances, which also helps the Q-values.
    """

    white_noise: Tensor

    def __init__(self, actions: int, config: LookComparerConfig) -> None:
        super().__init__()
        features = (len(CHANGE_SCALES) + 1 + 2) * BANDS + 1 + len(MOVE_SCALES) + 1 + 1
        c = config
        self.look = nn.Sequential(
            nn.Linear(features, c.look), nn.ReLU(), nn.Linear(c.look, c.look), nn.ReLU()
        )
        self.body = nn.Sequential(
            nn.Linear(2 * c.look + 2 * BANDS + 2 * (len(MOVE_SCALES) + 2), c.hidden),
            nn.ReLU(),
            nn.Linear(c.hidden, c.hidden),
            nn.ReLU(),
        )
        self.defocus = nn.Linear(c.hidden, DEFOCUS_BINS)
        self.head = nn.Sequential(
            nn.Linear(c.hidden + DEFOCUS_BINS, c.hidden),
            nn.ReLU(),
            nn.Linear(c.hidden, actions + 1),
        )
        self.register_buffer("white_noise", torch.tensor(WHITE_NOISE).log(), persistent=False)

    def compare(self, contrast: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of each look, (N, H, features), and of the newest, (N, 2 * BANDS)."""
        energy = contrast[..., :BANDS]
        present = (energy > ABSENT / 2).to(energy.dtype)
        # The least noise is that of the most blurred look: detail passes for noise.
        noise = contrast[..., NOISE].amin(1)[:, None, None]
        clear = ((energy - self.white_noise - noise).clamp(0, _CLEARLY) / _CLEARLY) * present
        brighter = (contrast[..., BRIGHTNESS] - contrast[:, :1, BRIGHTNESS]).clamp(-3, 3)
        # By squared brightness, as sharpness is: twice the light is not twice the contrast.
        change = (energy - energy[:, :1] - 2 * brighter[..., None]) * present
        changes = [torch.tanh(change / scale) for scale in CHANGE_SCALES]
        changes.append(change.clamp(-6, 6) / 3)
        # Look j was j moves ago: its distance is minus the sum of the moves since.
        distance = -F.pad(moves[:, :-1].cumsum(1), (1, 0))  # (N, H)
        ways = _ways(distance)
        age = torch.arange(contrast.shape[1], dtype=energy.dtype) / 10
        newest = clear[:, :1].expand_as(clear)
        scalars = torch.stack([brighter, *ways, age.expand_as(distance)], -1)
        features = torch.cat([*changes, clear, newest, scalars], -1)
        return features, torch.cat([clear[:, 0], present[:, 0]], 1)

    def forward(
        self, contrast: Tensor, moves: Tensor, explored: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What each action is worth, and how near focus is.

        contrast (N, H, SIZE): newest look first. moves (N, H): in fine steps, each the one that led
        to its look. explored (N, 4): how far looks reach below and above, and whether the range
        ends there. Returns the values of the actions (N, A), the logit of being in focus (N,) and
        logits of the signed way to focus (N, DEFOCUS_BINS).
        """
        features, newest = self.compare(contrast, moves)
        looks = self.look(features)  # (N, H, look)
        around = torch.cat([*_ways(explored[:, :2]), explored[:, 2:]], 1)
        body = self.body(torch.cat([looks.sum(1) / 4, looks.amax(1), newest, around], 1))
        defocus = self.defocus(body)
        found = self.head(torch.cat([body, 4 * defocus.softmax(1)], 1))
        return found[:, :-1], found[:, -1], defocus


def _ways(distance: Tensor) -> list[Tensor]:
    """Distances in fine steps at several scales, each about -1 .. 1."""
    ways = [torch.tanh(distance / scale) for scale in MOVE_SCALES]
    return [*ways, distance.sign() * distance.abs().log1p() / 5]


def defocus_target(distance: Tensor) -> Tensor:
    """Signed ways to focus (N,) in fine steps as distributions over the bins, (N, DEFOCUS_BINS):
    shared between the two nearest, which lie evenly in sign(d) log(1 + |d|)."""
    place = distance.sign() * distance.abs().log1p() / _BIN + DEFOCUS_BINS // 2
    place = place.clamp(0, DEFOCUS_BINS - 1 - 1e-4)
    low = place.floor().long()[:, None]
    share = (place[:, None] - low).to(torch.float32)
    target = torch.zeros(len(distance), DEFOCUS_BINS)
    return target.scatter_(1, low, 1 - share).scatter_(1, low + 1, share)
