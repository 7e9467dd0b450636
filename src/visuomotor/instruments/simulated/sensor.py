"""A camera sensor: from light to grey levels.

The linear model of EMVA 1288: photo-electrons with Poisson noise, read noise, a full well, a gain,
and so many bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from visuomotor.configs import check_range

QUANTILES = 65_536
"""Of the normal distribution in ``QuickNormal``'s table: one for each number of 16 bits."""


@dataclass(frozen=True)
class SensorConfig:
    """Brightness 1 is white: the empty field of transmitted light."""

    electrons_at_white: float = 10_000.0
    read_noise_e: float = 5.0
    full_well_e: float = 12_000.0
    gain_dn_per_e: float = 0.022
    """Grey levels (digital numbers) an electron."""
    black_dn: float = 2.0
    """Grey level of darkness."""
    bits: int = 8
    vignetting: float = 0.1
    """Share of the light that is lost in the corners."""
    photon_noise: bool = True
    """False: light comes in whole, for exact pictures."""
    normal_above_e: float | None = None
    """Photon noise of more electrons than this is drawn from the normal distribution, which is
    several times faster and at 50 hardly to be told apart. None: all of it from Poisson's."""

    def __post_init__(self) -> None:
        check_range(self, electrons_at_white=(1e-3, 1e9), read_noise_e=(0, 1e6))
        check_range(self, full_well_e=(1, 1e9), gain_dn_per_e=(1e-9, 1e6), black_dn=(0, 65_535))
        check_range(self, bits=(1, 16), vignetting=(0, 1))
        check_range(self, normal_above_e=(0, 1e9))

    @property
    def white_dn(self) -> int:
        """The largest grey level."""
        return int(2**self.bits - 1)


class Sensor:
    """The stages of one exposure, for pictures (M, H, W) of one sensor."""

    def __init__(self, config: SensorConfig, height: int, width: int, device: torch.device) -> None:
        self.config = config
        y = torch.linspace(-1, 1, height, device=device)[:, None]
        x = torch.linspace(-1, 1, width, device=device)[None, :]
        self._lens = 1 - config.vignetting * (x**2 + y**2) / 2  # (H, W)

    def expected_electrons(self, brightness: Tensor) -> Tensor:
        """Vignetting and light."""
        return brightness.clamp_min(0) * self._lens * self.config.electrons_at_white

    def photo_electrons(self, expected: Tensor, generator: torch.Generator) -> Tensor:
        """Photon noise."""
        limit = self.config.normal_above_e
        if limit is None:
            return torch.poisson(expected, generator=generator)
        noise = torch.randn(expected.shape, generator=generator, device=expected.device)
        caught = (expected + expected.sqrt() * noise).clamp_min_(0)
        few = expected < limit
        caught[few] = torch.poisson(expected[few], generator=generator)
        return caught

    def collected_electrons(self, expected: Tensor, generator: torch.Generator) -> Tensor:
        """Photon noise, the full well, read noise."""
        caught = expected
        if self.config.photon_noise:
            caught = self.photo_electrons(expected, generator)
        caught = caught.clamp_max(self.config.full_well_e)
        noise = torch.randn(expected.shape, generator=generator, device=expected.device)
        return caught + self.config.read_noise_e * noise

    def levels(self, electrons: Tensor) -> Tensor:
        """Gain and darkness: grey levels before rounding, within what the bits hold."""
        c = self.config
        return (c.gain_dn_per_e * electrons).add_(c.black_dn).clamp_(0, c.white_dn)

    def expose(self, brightness: Tensor, generator: torch.Generator) -> Tensor:
        """(M, H, W) brightness -> uint8 (to 8 bits) or uint16 grey levels."""
        electrons = self.collected_electrons(self.expected_electrons(brightness), generator)
        return self.digital(electrons)

    def expected(self, brightness: Tensor) -> Tensor:
        """The picture without its noise, saturation included; same type as ``expose``."""
        electrons = self.expected_electrons(brightness).clamp_max(self.config.full_well_e)
        return self.digital(electrons)

    def digital(self, electrons: Tensor) -> Tensor:
        """Whole grey levels, uint8 or uint16."""
        levels = self.levels(electrons).round_()
        return levels.to(torch.uint8 if self.config.bits <= 8 else torch.uint16)


class QuickNormal:
    """Standard normal numbers in a third of the time: quantiles at random, off a table. None lies
    farther out than 4.3; the variance is 1."""

    def __init__(self, device: torch.device) -> None:
        at = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
        table = math.sqrt(2) * torch.erfinv(2 * at - 1)
        table /= table.square().mean().sqrt()
        self._table = table.float().to(device)

    def draw(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Of any shape."""
        count = shape.numel()
        words = torch.empty(-(-count // 4), dtype=torch.int64, device=self._table.device)
        words.random_(-(2**63), None, generator=generator)
        place = words.view(torch.int16)[:count].int() + QUANTILES // 2
        return self._table.index_select(0, place).view(shape)
