"""How a focusing lens blurs: geometric optics, batched in torch.

A point out of focus is a circle of confusion whose diameter grows in proportion to defocus, on top
of the spot that it is in focus. All of it is written as transfer functions, which are known in
closed form (a disc's is 2 J1(x) / x), so no kernel is ever sampled and no light is lost.
Everything is per view: M requests, each with the lens and the defocus of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from visuomotor.configs import check_range

SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))
CORE_SHARE = 1 / 3
"""Width of a halo's bright core, of the whole spot's."""
USUAL_GROWTH, SCENE_SPOT_PX = 0.2, 3.5
"""Of the circle of confusion for each fine step, by the whole spot: the lens' and what softens the
picture besides, the scene itself and the autofocus task's smoothing. So chosen that Tenengrad, over
scenes of every kind, falls to 0.9 about 2.5 fine steps from focus."""
MIN_LIGHT = 0.05
"""Share of the light that is left however far the lens is from focus."""


@dataclass(frozen=True)
class LensConfig:
    """A lens that focuses. Lengths in px of the picture, defocus in fine steps of the drive."""

    spot_px: float = 1.6
    """In focus: full width at half maximum of a point, by lens, demosaicing and pixel together."""
    blur_px_per_step: float | None = None
    """Growth of the circle of confusion's diameter for each fine step. None: what makes a fine step
    a fine step; see ``USUAL_GROWTH``."""
    gaussian_share: float = 0.4
    """Of the light out of focus: the share in a Gaussian as wide as the disc of the rest."""
    max_blur_px: float = 40.0
    """The circle of confusion never grows beyond it: far tails are flat."""
    asymmetry: float = 0.0
    """Beyond focus blur grows by this share faster, before it slower; below 0 the other way."""
    halo: float = 0.0
    """Spherical aberration: beyond focus this share of the light stays in a core of a third the
    width; below 0 before focus."""
    breathing: float = 0.0
    """How much larger the picture becomes over 100 fine steps, as a share."""
    brightness_slope: float = 0.0
    """How much brighter the picture becomes over 100 fine steps, as a share."""

    def __post_init__(self) -> None:
        check_range(self, spot_px=(0.3, 100), blur_px_per_step=(1e-6, 1e3), gaussian_share=(0, 1))
        check_range(self, max_blur_px=(0.1, 1e4), asymmetry=(-0.9, 0.9), halo=(-1, 1))
        check_range(self, breathing=(-1, 1), brightness_slope=(-10, 10))

    @property
    def growth_px_per_step(self) -> float:
        """``blur_px_per_step``, or what is usual for the spot."""
        usual = USUAL_GROWTH * math.hypot(self.spot_px, SCENE_SPOT_PX)
        return usual if self.blur_px_per_step is None else self.blur_px_per_step


class Lens:
    """The lenses of V views on one grid of G x G pixels."""

    def __init__(self, lenses: list[LensConfig], grid_px: int, device: torch.device) -> None:
        self.grid_px = grid_px

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)  # (V,)

        self._spot_px = column([one.spot_px * SIGMA_PER_FWHM for one in lenses])
        self._growth = column([one.growth_px_per_step for one in lenses])
        self._gaussian = column([one.gaussian_share for one in lenses])
        self._max_px = column([one.max_blur_px for one in lenses])
        self._asymmetry = column([one.asymmetry for one in lenses])
        self._halo = column([one.halo for one in lenses])
        self._breathing = column([one.breathing for one in lenses])
        self._slope = column([one.brightness_slope for one in lenses])
        # Blur is round: one value serves all frequencies of the same length, an eighth of them.
        y = np.abs(np.fft.fftfreq(grid_px, 1 / grid_px)).round().astype(np.int64)
        x = np.arange(grid_px // 2 + 1)
        length2, place = np.unique(y[:, None] ** 2 + x**2, return_inverse=True)
        radius = np.sqrt(length2) / grid_px
        self._radius = torch.as_tensor(radius, dtype=torch.float32, device=device)
        """(U,) cycles per pixel."""
        self.place = torch.as_tensor(place.ravel(), device=device)
        """(G * (G / 2 + 1),) which of these each frequency has."""

    def diameter_px(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M,) of the circle of confusion at this defocus (M,) in fine steps."""
        faster = 1 + self._asymmetry[view] * steps.sign()
        diameter: Tensor = self._growth[view] * faster * steps.abs()
        return torch.minimum(diameter, self._max_px[view])

    def transfer(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) real, 1 at frequency 0: the real-FFT layout."""
        return self.spread(self.profile(view, steps))

    def profile(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M, U) the transfer at each of the grid's frequencies that differ in size."""
        diameter = self.diameter_px(view, steps)[:, None]
        f = self._radius

        def gaussian(sigma_px: Tensor) -> Tensor:
            return torch.exp(-2 * (math.pi * sigma_px * f) ** 2)

        x = (math.pi * diameter * f).clamp_min(1e-3)
        disc = 2 * torch.special.bessel_j1(x) / x
        sigma = diameter / 4  # a Gaussian with the disc's second moment
        share = self._gaussian[view, None]
        blur = share * gaussian(sigma) + (1 - share) * disc
        core = (self._halo[view] * steps.sign()).clamp_min(0)[:, None]
        if core.any():
            blur = core * gaussian(CORE_SHARE * sigma) + (1 - core) * blur
        profile: Tensor = blur * gaussian(self._spot_px[view, None])
        return profile

    def spread(self, profile: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) over all frequencies what is known for each size (M, U)."""
        half = self.grid_px // 2 + 1
        spread: Tensor = profile.index_select(1, self.place).view(-1, self.grid_px, half)
        return spread

    def magnification(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M,) of the whole picture: breathing."""
        grown: Tensor = 1 + self._breathing[view] * steps / 100
        return grown

    def light(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M,) by which the picture's brightness is multiplied."""
        share: Tensor = 1 + self._slope[view] * steps / 100
        return share.clamp_min(MIN_LIGHT)


def magnified(spectrum: Tensor, grid_px: int, size_px: int, magnification: Tensor) -> Tensor:
    """(M, size_px, size_px) the middle of the pictures with this real-FFT spectrum (M, G, G / 2 +
    1), magnified (M,): their Fourier series read between the pixels, which blurs nothing, as
    interpolation would. (It would make the one unmagnified picture, at focus, the sharpest.)"""
    half, device = grid_px // 2 + 1, spectrum.device
    middle = (grid_px - size_px) // 2 + (size_px - 1) / 2
    away = torch.arange(size_px, device=device) - (size_px - 1) / 2
    at = middle + away / magnification[:, None]  # (M, size) pixels of the grid
    turn = 2 * math.pi / grid_px * at[:, :, None] * torch.arange(half, device=device)
    c, s = turn.cos() / grid_px, turn.sin() / grid_px  # (M, size, half)
    # Rows k and -k together: their waves are conjugates. Row 0 and an even grid's last are alone.
    pairs = grid_px - half
    partner = spectrum.flip(1)[:, :pairs]
    plus, minus = spectrum[:, :half].clone(), torch.zeros_like(spectrum[:, :half])
    plus[:, 1 : pairs + 1] += partner
    minus[:, 1 : pairs + 1] = spectrum[:, 1 : pairs + 1] - partner
    top = torch.cat([plus.real, plus.imag], 2)
    bottom = torch.cat([-minus.imag, minus.real], 2)
    down = torch.cat([c, s], 2) @ torch.cat([top, bottom], 1)  # (M, size, 2 half) real, imaginary
    twice = torch.full((half,), 2.0, device=device)  # columns but these stand for two
    twice[0] = 1.0
    if grid_px % 2 == 0:
        twice[-1] = 1.0
    return down @ torch.cat([c * twice, -s * twice], 2).mT
