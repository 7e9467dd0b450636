"""How a microscope objective blurs: scalar pupil functions, batched in torch.

The pupil is the disc of spatial frequencies up to NA / lambda. Defocus and spherical aberration are
phases over it; the incoherent point spread is the squared modulus of its Fourier transform, and the
transfer function that of the point spread (Goodman, "Introduction to Fourier optics", chapter 6).
Everything is per view: M requests, each with the optics and the defocus of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.errors import InputError

MIN_PUPIL_RADIUS_PX = 4
"""On the grid of spatial frequencies."""
Contrast = Literal["brightfield", "fluorescence", "phase"]


@dataclass(frozen=True)
class OpticsConfig:
    """An objective, the light, and what of it a camera pixel sees."""

    numerical_aperture: float = 0.25
    wavelength_um: float = 0.55
    pixel_um: float = 0.5
    """Size of a camera pixel on the specimen."""
    index: float = 1.0
    """Refractive index of what is between objective and specimen."""
    spherical_waves: float = 0.1
    """Spherical aberration: Zernike polynomial 6 rho^4 - 6 rho^2 + 1 times this many waves. It is
    what makes the picture above focus differ from the one below."""
    contrast: Contrast = "brightfield"
    density: float | None = None
    """What density 1 of the specimen does: absorbance (natural logarithm), brightness over the
    background, or phase in rad. None: 1.5, 0.7 and 0.6 of these."""
    background: float = 0.03
    """Of fluorescence: brightness where nothing is."""
    condenser: float = 0.3
    """Of phase contrast: the light's spread as a share of the objective's aperture. It damps
    defocused detail."""

    def __post_init__(self) -> None:
        check_range(self, numerical_aperture=(0.001, 2), wavelength_um=(0.01, 100))
        check_range(self, pixel_um=(1e-4, 1e4), index=(1, 4), spherical_waves=(-100, 100))
        check_range(self, density=(1e-6, 100), background=(0, 10), condenser=(0, 1))
        if not self.numerical_aperture < self.index:
            raise InputError(
                f"Optics: numerical_aperture: expected less than the index {self.index:g}, "
                f"got {self.numerical_aperture:g}"
            )
        if self.pixel_um > self.widest_pixel_um:
            raise InputError(
                f"Optics: pixel_um: expected at most wavelength / (4 NA) = "
                f"{self.widest_pixel_um:.3g}, got {self.pixel_um:g}: wider ones miss the finest "
                f"detail"
            )

    @property
    def widest_pixel_um(self) -> float:
        """Wavelength / (4 NA): two pixels to the finest detail that incoherent light carries."""
        return self.wavelength_um / (4 * self.numerical_aperture)

    @property
    def strength(self) -> float:
        """``density``, or what is usual for the contrast."""
        usual = {"brightfield": 1.5, "fluorescence": 0.7, "phase": 0.6}
        return usual[self.contrast] if self.density is None else self.density

    @property
    def depth_of_field_um(self) -> float:
        """Wavelength n / NA^2: between these defocuses the wave is off by a quarter or less."""
        return self.wavelength_um * self.index / self.numerical_aperture**2


class Pupil:
    """The pupils of V views on one grid of G x G pixels."""

    def __init__(self, optics: list[OpticsConfig], grid_px: int, device: torch.device) -> None:
        """InputError where a pupil is so small on this grid that its phase cannot be drawn."""
        self.grid_px = grid_px
        for one in optics:
            radius_px = one.numerical_aperture * one.pixel_um / one.wavelength_um * grid_px
            if radius_px < MIN_PUPIL_RADIUS_PX:
                least = one.pixel_um * MIN_PUPIL_RADIUS_PX / radius_px
                raise InputError(
                    f"Optics: pixel_um: expected at least {least:.3g} for a picture of this size, "
                    f"got {one.pixel_um:g}: the whole picture would be one blurred spot"
                )

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]

        self._aperture = column([o.numerical_aperture for o in optics])  # (V, 1, 1)
        self._wavelength_um = column([o.wavelength_um for o in optics])
        self._pixel_um = column([o.pixel_um for o in optics])
        self._index = column([o.index for o in optics])
        self._spherical = column([o.spherical_waves for o in optics])
        self._condenser = column([o.condenser for o in optics])
        self._fy = torch.fft.fftfreq(grid_px, device=device)[:, None]  # cycles per pixel
        self._fx = torch.fft.fftfreq(grid_px, device=device)[None, :]
        self.farthest_um = torch.tensor([_farthest_um(o, grid_px) for o in optics], device=device)
        """(V,) defocus at which the blur is as wide as the grid; beyond it nothing changes."""

    def rho2(self, view: Tensor) -> Tensor:
        """(M, G, G) squared distance from the pupil's middle, 1 at its rim."""
        cutoff = (self._aperture * self._pixel_um / self._wavelength_um)[view]  # cycles per pixel
        rho2: Tensor = (self._fy**2 + self._fx**2) / cutoff**2
        return rho2

    def within(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M,) the defocus that is rendered: never beyond the farthest."""
        farthest = self.farthest_um[view]
        return torch.clamp(defocus_um, -farthest, farthest)

    def waves(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G) phase over the pupil in waves: exact defocus (Born and Wolf, section 8.8, at
        high aperture) and spherical aberration; that of the rim outside the pupil."""
        z = self.within(view, defocus_um)[:, None, None]
        rho2 = self.rho2(view).clamp_max(1.0)
        index, aperture = self._index[view], self._aperture[view]
        axial = torch.sqrt(index**2 - aperture**2 * rho2) - index
        return z * axial / self._wavelength_um[view] + self._spherical[view] * (
            6 * rho2**2 - 6 * rho2 + 1
        )

    def field(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G) complex pupil."""
        inside = (self.rho2(view) <= 1).float()
        return torch.polar(inside, 2 * math.pi * self.waves(view, defocus_um))

    def point_spread(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G) incoherent, its middle at [0, 0]; sums to 1 at every defocus by itself."""
        pupil = self.field(view, defocus_um)
        spread = torch.fft.ifft2(pupil).abs().square()
        area = (self.rho2(view) <= 1).sum((1, 2), keepdim=True)
        light: Tensor = spread * (self.grid_px**2 / area)  # Parseval: as much as came in
        return light

    def transfer(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) of incoherent light, camera pixels included: real-FFT layout."""
        transfer: Tensor = torch.fft.rfft2(self.point_spread(view, defocus_um))
        return transfer * self._pixels()

    def phase_transfer(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) from phase (rad) to brightness over the mean, for thin weak objects
        behind a positive phase ring: 2 cos(2 pi W), damped by the condenser's aperture as detail
        walks off sideways with defocus. Even in W's sign, so the mean is kept."""
        half = self.grid_px // 2 + 1
        rho2 = self.rho2(view)[:, :, :half]
        waves = self.waves(view, defocus_um)[:, :, :half]
        transfer = 2 * torch.cos(2 * math.pi * (waves - waves[:, :1, :1])) * (rho2 <= 1)
        slope_waves = (self._aperture**2 / (self._index * self._wavelength_um))[view]
        z = self.within(view, defocus_um)[:, None, None]
        walk = slope_waves * z * self._condenser[view] * rho2.sqrt()
        transfer = transfer * torch.exp(-2 * (math.pi * walk).square())
        transfer[:, 0, 0] = 0.0  # the background is what it is
        return transfer * self._pixels()

    def _pixels(self) -> Tensor:
        """(G, G / 2 + 1) a square pixel averages over its area."""
        half = self.grid_px // 2 + 1
        return torch.sinc(self._fy) * torch.sinc(self._fx[:, :half])


def _farthest_um(optics: OpticsConfig, grid_px: int) -> float:
    """Where the pupil's phase turns by half a wave from one frequency of the grid to the next."""
    aperture, index = optics.numerical_aperture, optics.index
    step = optics.wavelength_um / (aperture * grid_px * optics.pixel_um)  # of rho
    slope = aperture**2 / math.sqrt(index**2 - aperture**2) / optics.wavelength_um  # waves / um
    return 0.5 / (slope * step)
