"""A liquid lens before a fixed objective: from volts to focal power, and from that to blur.

Thin-lens optics. The objective of focal length f images infinity onto the sensor; the liquid lens,
at the same place, adds P dioptres. Of an object at distance d light then converges at v with
1 / v = 1 / f + P - 1 / d, and the cone from an aperture A = f / N meets the sensor, at f, in a disc

    diameter = A |f - v| / v = A f |P - 1 / d|

exactly: blur is proportional to the error in dioptres. Chief rays pass the lens straight, so the
picture does not breathe.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.simulated.lens import Lens, LensConfig
from visuomotor.types import FloatArray

MAX_BLUR_PX = 2000.0
"""Beyond it nothing but the mean is left of any picture."""
FINE_BLUR_PX, TABLE_STEP = 4.0, 0.005
"""Diameters in the table lie 0.02 px apart at focus, and 0.5 % where they are large."""
LAST_ROW = math.ceil(math.asinh(MAX_BLUR_PX / FINE_BLUR_PX) / TABLE_STEP)
"""Of each side of focus."""
MAX_HALF_PX, NODES = 96.0, 96
"""Of the two halves of the pupil: the largest diameter that is integrated over, with nodes enough;
beyond it what tells them apart falls in inverse proportion, as it does for large discs."""


@dataclass(frozen=True)
class LiquidLensConfig:
    """Objective, liquid lens and the pixels behind them. The liquid lens is of the class of
    Corning's Varioptic C-39N0: 24 to 70 V, about -5 to +13 dioptres."""

    low_v: float = 24.0
    high_v: float = 70.0
    power_at_low_dpt: float = -5.0
    power_at_high_dpt: float = 13.0
    bow: float = 0.05
    """How far power in the middle of the range lies above the straight line, as four times the
    share of the whole span; 0 is linear."""
    focal_mm: float = 35.0
    """Of the objective."""
    f_number: float = 1.4
    pixel_um: float = 5.5
    """Of the sensor (CMV2000)."""
    binning: int = 3
    """Pixels of the sensor, each way, that make one of the picture."""
    transmission: float = 0.9
    """Share of the light that passes the lenses."""
    spot_px: float = 1.2
    """In focus: full width at half maximum of a point, by aberrations and pixel together."""
    gaussian_share: float = 0.0
    """Of the light out of focus: the share in a Gaussian as wide as the disc of the rest."""
    halo: float = 0.0
    """Spherical aberration: with the lens too strong this share of the light stays in a core of a
    third the width; below 0 with the lens too weak. At 0 both sides of focus look the same."""

    def __post_init__(self) -> None:
        check_range(self, low_v=(0, 1e3), high_v=(0, 1e3), bow=(-0.9, 0.9))
        check_range(self, power_at_low_dpt=(-100, 100), power_at_high_dpt=(-100, 100))
        check_range(self, focal_mm=(1, 1e3), f_number=(0.5, 64), pixel_um=(0.5, 100))
        check_range(self, binning=(1, 64), transmission=(1e-3, 1), spot_px=(0.3, 100))
        check_range(self, gaussian_share=(0, 1), halo=(-1, 1))
        if not (self.low_v < self.high_v and self.power_at_low_dpt < self.power_at_high_dpt):
            raise InputError(
                f"LiquidLens: expected volts and dioptres that ascend, got {self.low_v:g} to "
                f"{self.high_v:g} V and {self.power_at_low_dpt:g} to {self.power_at_high_dpt:g} dpt"
            )

    @property
    def px_per_dpt(self) -> float:
        """Growth of the circle of confusion's diameter with the error in power."""
        focal_m = self.focal_mm * 1e-3
        aperture_m = focal_m / self.f_number
        return aperture_m * focal_m / (self.pixel_um * 1e-6 * self.binning)

    def power_dpt(self, volts: FloatArray) -> FloatArray:
        """What the liquid lens adds, for volts of any shape."""
        x = (volts - self.low_v) / (self.high_v - self.low_v)
        span = self.power_at_high_dpt - self.power_at_low_dpt
        power: FloatArray = self.power_at_low_dpt + span * x * (1 + self.bow * (1 - x))
        return power

    def volts(self, power_dpt: FloatArray) -> FloatArray:
        """The inverse of ``power_dpt``; NaN for a power that no voltage gives."""
        span = self.power_at_high_dpt - self.power_at_low_dpt
        y = (np.asarray(power_dpt, np.float64) - self.power_at_low_dpt) / span
        y = np.where((y >= 0) & (y <= 1), y, np.nan)
        # bow x^2 - (1 + bow) x + y = 0, in the form that holds for bow = 0 as well
        root = np.sqrt((1 + self.bow) ** 2 - 4 * self.bow * y)
        x = 2 * y / (1 + self.bow + root)
        volts: FloatArray = self.low_v + (self.high_v - self.low_v) * x
        return volts

    def in_focus_v(self, distance_cm: FloatArray) -> FloatArray:
        """Volts at which an object at this distance is in focus; NaN where there are none."""
        return self.volts(100.0 / np.asarray(distance_cm, np.float64))

    def defocus_px(self, volts: FloatArray, distance_cm: FloatArray) -> FloatArray:
        """Signed diameter of the circle of confusion; above 0 the lens is too strong."""
        error = self.power_dpt(volts) - 100.0 / np.asarray(distance_cm, np.float64)
        diameter: FloatArray = self.px_per_dpt * error
        return diameter


class LiquidLens:
    """Transfer functions on a grid of G x G pixels, by signed diameters (M,) in px, from a table.

    The table's rows go by the inverse hyperbolic sine of the diameter, which is
    even near focus and geometric far from it.
    """

    def __init__(self, config: LiquidLensConfig, grid_px: int, device: torch.device) -> None:
        self.config = config
        self.grid_px = grid_px
        optics = LensConfig(
            spot_px=config.spot_px,
            blur_px_per_step=1.0,
            gaussian_share=config.gaussian_share,
            max_blur_px=MAX_BLUR_PX,
            halo=config.halo,
        )
        self._lens, self._table = _profiles(optics, grid_px, device)
        self._twice = self._lens.place.repeat_interleave(2)
        self._frequency = torch.arange(grid_px // 2 + 1, device=device) / grid_px
        rows_down = torch.fft.fftfreq(grid_px, 1 / grid_px, device=device)
        self._mirror = rows_down.abs().round().long()
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        angle = torch.as_tensor((nodes + 1) * math.pi / 4, dtype=torch.float32, device=device)
        weight = torch.as_tensor(weights * math.pi / 4, dtype=torch.float32, device=device)
        self._sine, self._cosine = angle.sin(), angle.cos()
        self._weight = 4 / math.pi * weight * self._cosine**2

    def transfer(self, diameter_px: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) real, 1 at frequency 0: the real-FFT layout."""
        return self._lens.spread(self._profile(diameter_px))

    def paired_transfer(self, diameter_px: Tensor) -> Tensor:
        """(M, G (G / 2 + 1) 2) the same, each number twice: for the real and the imaginary part of
        a spectrum, which are multiplied quicker so."""
        return self._profile(diameter_px).index_select(1, self._twice)

    def _profile(self, diameter_px: Tensor) -> Tensor:
        """(M, U) rows of the table."""
        place = (diameter_px / FINE_BLUR_PX).asinh() / TABLE_STEP
        row = place.round().clamp(-LAST_ROW, LAST_ROW).long() + LAST_ROW
        return self._table.index_select(0, row)

    def half_transfer(self, diameter_px: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) S, with which the right half of the pupil has the transfer T - i S
        and the left one T + i S, T that of the whole: half discs, mirrored beyond focus.

        Over the half disc of radius R, x from 0 to R, with x = R sin a:
        S(u, v) = 4 / pi int_0^(pi / 2) cos(a)^2 sin(2 pi u R sin a) sinc(2 v R cos a) da.
        """
        radius = diameter_px.clamp(-MAX_HALF_PX, MAX_HALF_PX)[:, None, None] / 2
        across = torch.sin(2 * math.pi * radius * self._frequency[:, None] * self._sine)
        down = torch.sinc(2 * radius * self._frequency[:, None] * self._cosine) * self._weight
        quarter = down @ across.mT  # (M, G / 2 + 1, G / 2 + 1), the same for -v
        half = quarter.index_select(1, self._mirror)
        core = (self.config.halo * diameter_px.sign()).clamp_min(0)
        share = (1 - self.config.gaussian_share) * (1 - core)  # what is in the disc
        share = share * (MAX_HALF_PX / diameter_px.abs()).clamp_max(1)
        in_focus: Tensor = self.transfer(torch.zeros_like(diameter_px[:1]))
        return half.mul_(share[:, None, None]).mul_(in_focus)


@functools.lru_cache(maxsize=4)
def _profiles(optics: LensConfig, grid_px: int, device: torch.device) -> tuple[Lens, Tensor]:
    """The lens on its grid, and (rows, U) its transfer at every diameter of the table."""
    lens = Lens([optics], grid_px, device)
    rows = TABLE_STEP * torch.arange(-LAST_ROW, LAST_ROW + 1, device=device)
    view = torch.zeros(len(rows), dtype=torch.int64, device=device)
    return lens, lens.profile(view, FINE_BLUR_PX * rows.sinh())
