"""The camera behind a liquid lens: light of a scene in photons, blur, sensor, grey levels.

The light's way, stage by stage, each a method of ``LitCamera`` (docs/liquid_lens_camera.md follows
them):

    placed          scenes at their distances                              lit_scenes, lit_layers
    reflected       each depth blurred by its own defocus                  liquid_lens
    electrons       illuminance, exposure, aperture; lamps and weather     nuisances
    developed       photon, read and dark noise, full well, grey levels    sensor
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import fft
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.simulated.liquid_lens import LiquidLens, LiquidLensConfig
from visuomotor.instruments.simulated.lit_layers import LitLayers
from visuomotor.instruments.simulated.lit_scenes import LitScene
from visuomotor.instruments.simulated.nuisances import NuisanceConfig, Nuisances
from visuomotor.instruments.simulated.sensor import QuickNormal, Sensor, SensorConfig
from visuomotor.instruments.simulated.simulated_instrument import SimulatedAxis
from visuomotor.types import FloatArray, Frames, IntArray

PHOTONS = 4.09e15
"""Each second on a square metre at one lux, of light at 555 nm."""
GRID_SHARE = 1.2
"""Side of the grid on which blur is computed, by the picture's: what lies around it blurs in."""
BATCH_PIXELS = 600_000
"""Of a rendered batch: larger ones fall out of the processor's cache."""


@dataclass(frozen=True)
class LiquidLensCameraConfig:
    """The camera, and how its episodes differ. Sensor figures are those published for the CMV2000,
    of one pixel before binning."""

    lens: LiquidLensConfig = field(default_factory=LiquidLensConfig)
    size_px: int = 160
    quantum_efficiency: float = 0.6
    full_well_e: float = 13_500.0
    """It gives the largest grey level."""
    read_noise_e: float = 13.0
    dark_current_e_per_s: float = 125.0
    """At 25 C."""
    black_dn: float = 2.0
    """Grey level of darkness."""
    vignetting: float = 0.1
    """Share of the light that is lost in the corners."""
    noise: bool = True
    """False: pictures are exact."""
    exposure_us: tuple[float, float] = (1e3, 4.5e6)
    """Shortest and longest."""
    fine_step_v: float = 0.04
    """Smallest useful move of the lens."""
    changes: bool = True
    """Between episodes light, distance and scene change, and exposure starts anew. False: only the
    lens starts elsewhere, and all else stays as it is set."""
    illuminance_lx: tuple[float, float] = (13.0, 300.0)
    """Least and most light; it goes up and down between them."""
    illuminance_step_lx: float = 10.0
    """From episode to episode."""
    distance_cm: tuple[float, float] = (140.0, 200.0)
    """Nearest and farthest place of the object; each episode has any between."""
    new_scene_share: float = 1.0
    """Of episodes that begin with another scene."""
    start_exposure_us: float | None = 10_000.0
    """Of each episode; None: any of ``EXPOSURES_US``."""
    start_well_exposed: bool = False
    """Each episode starts at an exposure that suits its scene and light, give or take a third."""
    nuisances: NuisanceConfig = field(default_factory=NuisanceConfig)

    def __post_init__(self) -> None:
        check_range(self, size_px=(16, 4096), quantum_efficiency=(1e-3, 1), full_well_e=(1, 1e9))
        check_range(self, read_noise_e=(0, 1e6), dark_current_e_per_s=(0, 1e9))
        check_range(self, black_dn=(0, 200), vignetting=(0, 1), fine_step_v=(1e-4, 10))
        check_range(self, illuminance_step_lx=(0, 1e6), new_scene_share=(0, 1))
        for name, least, most in (
            ("exposure_us", 1e-3, 1e9),
            ("illuminance_lx", 0.0, 1e6),
            ("distance_cm", 10.0, 1e5),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:  # NaN too
                raise InputError(
                    f"LiquidLensCamera: {name}: expected two ascending numbers from {least:g} to "
                    f"{most:g}, got {low:g} and {high:g}"
                )
        low, high = self.exposure_us
        if not low < high:
            raise InputError(f"LiquidLensCamera: exposure_us: expected a range, got {low:g} alone")
        check_range(self, start_exposure_us=self.exposure_us)
        if np.isnan(self.lens.in_focus_v(np.array(self.distance_cm))).any():
            low, high = self.distance_cm
            raise InputError(
                f"LiquidLensCamera: distance_cm: expected distances that the lens can focus on, "
                f"got {low:g} to {high:g}"
            )

    @property
    def sensor(self) -> SensorConfig:
        """Of binned pixels: their electrons are added. Brightness is in electrons."""
        added = self.lens.binning**2
        return SensorConfig(
            electrons_at_white=1.0,
            read_noise_e=self.read_noise_e * self.lens.binning,
            full_well_e=self.full_well_e * added,
            gain_dn_per_e=(255 - self.black_dn) / (self.full_well_e * added),
            black_dn=self.black_dn,
            vignetting=self.vignetting,
        )

    @property
    def electrons_per_lx_us(self) -> float:
        """In a (binned) pixel, of a white sheet: E = E_scene R T / (4 N^2) on the sensor."""
        lens = self.lens
        pixel_m2 = (lens.pixel_um * 1e-6 * lens.binning) ** 2
        on_sensor = lens.transmission / (4 * lens.f_number**2)
        return on_sensor * PHOTONS * pixel_m2 * self.quantum_efficiency * 1e-6

    @property
    def dark_e_per_us(self) -> float:
        """Electrons in a (binned) pixel without any light."""
        return self.dark_current_e_per_s * self.lens.binning**2 * 1e-6


@dataclass
class Conditions:
    """What B cells look at, now."""

    scene: IntArray
    """(B,) number of the scene."""
    illuminance_lx: FloatArray
    distance_cm: FloatArray
    offset_px: FloatArray
    """(B, 2) the object beside its place, right and down, at the reference distance."""


class LitCamera:
    """Takes the pictures: ``protocols.Camera`` and ``HalfPupilCamera``."""

    timeout_ms = 0.0

    def __init__(
        self,
        config: LiquidLensCameraConfig,
        scenes: list[LitScene],
        conditions: Conditions,
        axes: tuple[SimulatedAxis, SimulatedAxis],
        seed: int,
        device: torch.device,
    ) -> None:
        """axes: lens and exposure. seed: of noise and nuisances."""
        self.config = config
        self.noise = torch.Generator(device).manual_seed(seed)
        self._conditions = conditions
        self._lens_axis, self._exposure_axis = axes
        cells, size_px = len(conditions.scene), config.size_px
        self.grid_px = 2 * int(fft.next_fast_len(int(np.ceil(GRID_SHARE * size_px / 2)), real=True))
        self.lens = LiquidLens(config.lens, self.grid_px, device)
        self.nuisances = Nuisances(config.nuisances, cells, size_px, seed)
        self._sensor = Sensor(config.sensor, size_px, size_px, device)
        self._normal = QuickNormal(device)
        self._layers = LitLayers(scenes, cells, size_px, self.grid_px, device)
        self._stale = np.ones(cells, bool)
        self._device = device
        self.display_range = (0.0, float(config.sensor.white_dn))

    @property
    def exposure_ms(self) -> float:
        """The longest of all cells."""
        return float(self._exposure_axis.position.max()) * 1e-3

    def grab(self, cells: IntArray) -> Frames:
        self._drift(cells)
        return self._developed(cells, self._here(cells), parts=1)[:, 0]

    def halves(self, cells: IntArray) -> Frames:
        """(M, 2, H, W) through the left and the right half of the pupil, at one exposure: half the
        light each, read with twice the gain, as from the two diodes of a pixel. Out of focus they
        are shifted against each other, by less than half the circle of confusion."""
        self._drift(cells)
        return self._developed(cells, self._here(cells), parts=2)

    def clean(self, cells: IntArray, volts: FloatArray, exposure_us: FloatArray) -> Frames:
        """(M, H, W) without noise and nuisances, at these settings (M,); nothing moves."""
        made = [
            self._sensor.digital(electrons).cpu().numpy()
            for part, electrons in self._electrons(cells, volts, exposure_us, 1, False)
        ]
        return np.concatenate(made)[:, 0]

    def rates(self, cells: IntArray, volts: FloatArray) -> FloatArray:
        """(M, H, W) electrons each microsecond for each lux, without noise and nuisances."""
        made = []
        for part in self._parts(len(cells)):
            image = self.reflected(cells[part], volts[part], 1)[:, 0]
            lit = self._sensor.expected_electrons(image * self.config.electrons_per_lx_us)
            made.append(lit.double().cpu().numpy())
        return np.concatenate(made)

    def distances_cm(self, cells: IntArray) -> FloatArray:
        """(M, L) of each depth of their scenes, the background's first and the object's last."""
        self.placed(cells)
        return self._layers.distances_cm(cells)

    def changed(self, cells: IntArray) -> None:
        """The conditions of these cells are others now."""
        self._stale[cells] = True

    # ---- the stages

    def placed(self, cells: IntArray) -> None:
        """The scenes of these cells, where they are now."""
        old = np.unique(cells[self._stale[cells]])
        c = self._conditions
        self._layers.place(old, c.scene[old], c.distance_cm[old], c.offset_px[old])
        self._stale[old] = False

    def reflected(self, cells: IntArray, volts: FloatArray, parts: int) -> Tensor:
        """(M, parts, H, W) the image on the sensor, 1 for a white sheet; parts: 1, or 2 halves of
        the pupil."""
        self.placed(cells)
        distances = self._layers.distances_cm(cells)  # (M, L)
        defocus = self.config.lens.defocus_px(volts[:, None], distances)
        diameter = torch.as_tensor(defocus.ravel(), dtype=torch.float32, device=self._device)
        shape = (*distances.shape, -1)
        even = self.lens.paired_transfer(diameter).view(shape)
        spectrum = self._layers.blurred(cells, even)[:, None]
        if parts == 2:
            odd = self.lens.half_transfer(diameter).flatten(1).repeat_interleave(2, 1).view(shape)
            turned = 1j * self._layers.blurred(cells, odd)[:, None]
            spectrum = torch.cat([spectrum + turned, spectrum - turned], 1)
        image = torch.fft.irfft2(spectrum, (self.grid_px, self.grid_px))
        first = (self.grid_px - self.config.size_px) // 2
        inside = slice(first, first + self.config.size_px)
        reflected: Tensor = image[..., inside, inside].clamp_min(0)
        return reflected

    def _electrons(
        self, cells: IntArray, volts: FloatArray, exposure_us: FloatArray, parts: int, spoilt: bool
    ) -> list[tuple[slice, Tensor]]:
        """Expected electrons (m, parts, H, W) batch by batch, with dark current."""
        c = self.config
        light = self._conditions.illuminance_lx[cells] * exposure_us * c.electrons_per_lx_us
        if spoilt:
            light = light * self.nuisances.lamp(exposure_us)
        made = []
        for part in self._parts(len(cells)):
            image = self.reflected(cells[part], volts[part], parts)
            spoil = self.nuisances.spoil(cells[part]) if spoilt else None
            if spoil is not None:
                factor, addend = (torch.from_numpy(a).to(self._device)[:, None] for a in spoil)
                image = image * factor + addend
            each = [light[part], exposure_us[part] * c.dark_e_per_us]
            lit, dark = torch.as_tensor(np.array(each), dtype=torch.float32, device=self._device)[
                ..., None, None, None
            ]
            made.append((part, self._sensor.expected_electrons(image.mul_(lit)).add_(dark)))
        return made

    def _developed(
        self, cells: IntArray, settings: tuple[FloatArray, FloatArray], parts: int
    ) -> Frames:
        """(M, parts, H, W) uint8, with noise. What n parts of a pixel catch is read with n times
        the gain: as many electrons, n times the photon noise's variance, n squared the reader's."""
        size = self.config.size_px
        made = [np.zeros((0, parts, size, size), np.uint8)]
        read_e2 = (parts * self.config.sensor.read_noise_e) ** 2
        for _, electrons in self._electrons(cells, *settings, parts, True):
            if self.config.noise:
                deviation = torch.add(read_e2, electrons, alpha=parts).sqrt_()
                electrons.addcmul_(deviation, self._normal.draw(electrons.shape, self.noise))
            made.append(self._sensor.digital(electrons).cpu().numpy())
        return np.concatenate(made)

    def _here(self, cells: IntArray) -> tuple[FloatArray, FloatArray]:
        return self._lens_axis.position[cells], self._exposure_axis.position[cells]

    def _drift(self, cells: IntArray) -> None:
        if self.config.nuisances.moves and len(cells):
            away, aside = self.nuisances.drift(len(cells))
            c = self._conditions
            c.distance_cm[cells] = np.clip(c.distance_cm[cells] + away, *self.config.distance_cm)
            c.offset_px[cells] += aside
            self.changed(cells)

    def _parts(self, count: int) -> list[slice]:
        step = max(1, BATCH_PIXELS // self.grid_px**2)
        return [slice(first, first + step) for first in range(0, count, step)]
