"""A simulated microscope: specimen, optics, camera and a focus drive, batched in torch.

The light's way, stage by stage, each a method of ``Microscope`` (docs/microscope.md follows them):

    specimen        layers of density, procedural with real textures       specimens.py
    layer_depths_um thickness: each layer lies at a depth of its own
    slice_depths_um tilt: the field is rendered at several depths and blended across
    transfer        pupil, defocus, aberration                             optics.py
    brightness      the image of all layers, by kind of contrast
    sensor          vignetting, photons, electrons, grey levels            sensor.py

V views, each described whole by its frozen ``MicroscopeConfig``, are rendered in one batch.
``Microscope.stack`` records a focal stack; ``Microscope.instrument`` is the live instrument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import fft
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.optics import OpticsConfig, Pupil
from visuomotor.instruments.simulated.sensor import Sensor, SensorConfig
from visuomotor.instruments.simulated.simulated_instrument import SimulatedInstrument, recorded
from visuomotor.instruments.simulated.specimens import specimen
from visuomotor.types import FloatArray, Frames, IntArray
from visuomotor.vision.focus import normalised_variance

MAX_TILT_SLICES = 41
"""Depths at which a tilted field is rendered, at most: half a depth of field apart."""
BATCH_PIXELS = 4_000_000
"""Pixels of a rendered batch: pictures beyond it are made in several."""
MIN_DETAIL = 1e-6
"""Of the specimen: its variance over its squared mean; below it there is nothing to focus on."""


@dataclass(frozen=True)
class SpecimenConfig:
    """What lies on the stage; see ``specimens.specimen``."""

    kind: str = "stained_tissue"
    slide_seed: int = 0
    """The slide: what is the same all over it."""
    field_seed: int = 0
    """The field on it."""
    layers: int = 1
    texture: float = 0.0
    """Share of a real picture in the density."""
    magnify: float = 1.0
    """How many times larger than life things are."""
    thickness_um: float = 0.0
    """Over which the layers are spread."""
    tilt_um: float = 0.0
    """How much farther from the objective the right edge of the field lies than the left one."""

    def __post_init__(self) -> None:
        check_range(self, thickness_um=(0, 1e6), tilt_um=(-1e6, 1e6), layers=(1, 1000))
        if self.thickness_um > 0 and self.layers == 1:
            raise InputError(
                f"Specimen: layers: expected at least 2 to spread over a thickness_um of "
                f"{self.thickness_um:g}, got 1"
            )


@dataclass(frozen=True)
class DriveConfig:
    """The focus drive: positions in its own unit."""

    unit: str = "um"
    um_per_unit: float = 1.0
    """Travel of the stage for one unit: the gear ratio."""
    first: float = -20.0
    last: float = 20.0
    """Focus is looked for from first to last."""
    focus: float = 0.0
    """Position where the middle of the specimen is in focus."""
    fine_step: float | None = None
    """None: a quarter of the optics' depth of field; of a camera lens, one unit."""
    reach: tuple[float, float] | None = None
    """Where the drive can go if the range may grow; None: no farther than first and last."""

    def __post_init__(self) -> None:
        wide = (-1e9, 1e9)
        check_range(self, um_per_unit=(1e-9, 1e9), first=wide, last=wide, focus=wide)
        check_range(self, fine_step=(1e-9, 1e9))
        if not self.first < self.last:
            raise InputError(
                f"Drive: first, last: expected ascending positions, got {self.first:g} and "
                f"{self.last:g}"
            )
        ends: tuple[float, ...] = self.hard_limits  # of a file, which may have any number
        known = len(ends) == 2 and all(math.isfinite(end) for end in ends)
        if not (known and ends[0] <= self.first and self.last <= ends[-1]):
            raise InputError(
                f"Drive: reach: expected it around {self.first:g} to {self.last:g}, "
                f"got {self.reach}"
            )

    @property
    def hard_limits(self) -> tuple[float, float]:
        """Where the drive can go."""
        return (self.first, self.last) if self.reach is None else self.reach

    def between(self, low: float, high: float, fine_step: float) -> FloatArray:
        """(P,) positions from low to high at most, a fine step apart."""
        count = int((high - low) / fine_step + 1e-6) + 1
        return low + fine_step * np.arange(count, dtype=np.float64)


@dataclass(frozen=True)
class MicroscopeConfig:
    """One view through one microscope."""

    specimen: SpecimenConfig = field(default_factory=SpecimenConfig)
    optics: OpticsConfig = field(default_factory=OpticsConfig)
    sensor: SensorConfig = field(default_factory=SensorConfig)
    drive: DriveConfig = field(default_factory=DriveConfig)
    size_px: int = 192
    """Side of the picture. The optics work on a grid a third larger."""
    noise_seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, size_px=(16, 8192), noise_seed=(0, 2**63 - 1))

    @property
    def fine_step(self) -> float:
        """In the drive's unit."""
        if self.drive.fine_step is not None:
            return self.drive.fine_step
        return self.optics.depth_of_field_um / 4 / self.drive.um_per_unit

    @property
    def positions(self) -> FloatArray:
        """(P,) the drive's positions, a fine step apart."""
        return self.drive.between(self.drive.first, self.drive.last, self.fine_step)


class Microscope:
    """Renders V views. Pictures of every view have the same size, layers and sensor."""

    def __init__(
        self, views: MicroscopeConfig | Sequence[MicroscopeConfig], device: str = "cpu"
    ) -> None:
        """InputError where a specimen has no detail: nothing could be focused on it."""
        self.views = [views] if isinstance(views, MicroscopeConfig) else list(views)
        _check_alike(self.views)
        first = self.views[0]
        self.size_px = first.size_px
        self.grid_px = fft.next_fast_len(-(-4 * first.size_px // 3), real=True)
        self.device = torch.device(device)
        self.pupil = Pupil([view.optics for view in self.views], self.grid_px, self.device)
        self.sensor = Sensor(first.sensor, self.size_px, self.size_px, self.device)
        backgrounds = [view.optics.background for view in self.views]
        self._backgrounds = torch.tensor(backgrounds, device=self.device)  # (V,)
        self._spectra = torch.stack([self._spectrum(view) for view in self.views])
        self._layer_depths = torch.stack([self.layer_depths_um(v.specimen) for v in self.views])
        self._slice_depths = torch.stack([self.slice_depths_um(v.specimen) for v in self.views])

    # ---- the stages

    def specimen(self, view: MicroscopeConfig) -> Tensor:
        """(L, G, G) density of what lies on the stage, layer by layer."""
        s = view.specimen
        made = specimen(
            s.kind,
            self.grid_px,
            view.optics.pixel_um,
            s.slide_seed,
            s.field_seed,
            layers=s.layers,
            texture=s.texture,
            magnify=s.magnify,
        )
        total = made.density.sum(0)
        if not normalised_variance(total[None])[0] > MIN_DETAIL:
            raise InputError(
                f"{s.kind}: no_sample: expected a specimen with detail, got one that is the same "
                f"everywhere"
            )
        return torch.from_numpy(made.density).to(self.device)

    def layer_depths_um(self, s: SpecimenConfig) -> Tensor:
        """(L,) depths of the layers around the middle of the specimen."""
        if s.layers == 1:
            return torch.zeros(1, device=self.device)
        half = s.thickness_um / 2
        return torch.linspace(-half, half, s.layers, device=self.device)

    def slice_depths_um(self, s: SpecimenConfig) -> Tensor:
        """(K,) depths at K places across a tilted field, (1,) where no view is tilted."""
        steps = [2 * abs(v.specimen.tilt_um) / v.optics.depth_of_field_um for v in self.views]
        if max(steps) == 0:
            return torch.zeros(1, device=self.device)
        half, slices = s.tilt_um / 2, min(int(np.ceil(max(steps))) + 1, MAX_TILT_SLICES)
        return torch.linspace(-half, half, slices, device=self.device)

    def transfer(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) from density to image, by contrast; view, defocus_um are (M,)."""
        if self.views[0].optics.contrast == "phase":
            return self.pupil.phase_transfer(view, defocus_um)
        return self.pupil.transfer(view, defocus_um)

    def brightness(self, view: Tensor, defocus_um: Tensor) -> Tensor:
        """(M, H, W) the image that falls on the sensor; 1 is white."""
        layers, slices = self._layer_depths.shape[1], self._slice_depths.shape[1]
        images = []
        for at in range(slices):
            spectrum: Tensor | None = None
            for layer in range(layers):
                depth = self._layer_depths[view, layer] + self._slice_depths[view, at]
                part = self._spectra[view, layer] * self.transfer(view, defocus_um - depth)
                spectrum = part if spectrum is None else spectrum + part
            assert spectrum is not None  # there is at least one layer
            image = torch.fft.irfft2(spectrum, (self.grid_px, self.grid_px))
            margin = (self.grid_px - self.size_px) // 2
            images.append(image[:, margin : margin + self.size_px, margin : margin + self.size_px])
        return self._with_background(self._blend(images), view).clamp_min(0)

    # ---- pictures

    def pictures(
        self, view: IntArray, position: FloatArray, generator: torch.Generator | None
    ) -> Frames:
        """One picture for each view (M,) at each position (M,) of its drive: (M, H, W).

        Without a generator: free of noise.
        """
        batch = max(1, BATCH_PIXELS // self.grid_px**2)
        bits = self.sensor.config.bits
        made = [np.zeros((0, self.size_px, self.size_px), np.uint8 if bits <= 8 else np.uint16)]
        for first in range(0, len(view), batch):
            part = slice(first, first + batch)
            brightness = self.brightness(*self._request(view[part], position[part]))
            exposed = (
                self.sensor.expected(brightness)
                if generator is None
                else self.sensor.expose(brightness, generator)
            )
            made.append(exposed.cpu().numpy())
        return np.concatenate(made)

    def stack(self, view: int = 0, name: str = "simulated") -> FocalStack:
        """A recording of one view at its drive's positions, a fine step apart, with noise."""
        return recorded(self, view, name)

    def instrument(self, cells: int = 1, seed: int = 0) -> SimulatedInstrument:
        """A live instrument of ``cells`` cells; cell c looks at view c modulo V."""
        return SimulatedInstrument(self, cells, seed)

    def generator(self, seed: int) -> torch.Generator:
        """Of the noise."""
        return torch.Generator(self.device).manual_seed(seed)

    # ---- what the stages share

    def _request(self, view: IntArray, position: FloatArray) -> tuple[Tensor, Tensor]:
        """Views and defocuses in um; positive is beyond focus on the drive."""
        drives = [self.views[number].drive for number in view]
        defocus = [(p - d.focus) * d.um_per_unit for p, d in zip(position, drives, strict=True)]
        return (
            torch.as_tensor(np.asarray(view, np.int64), device=self.device),
            torch.tensor(defocus, dtype=torch.float32, device=self.device),
        )

    def _spectrum(self, view: MicroscopeConfig) -> Tensor:
        """(L, G, G / 2 + 1) of what each layer does to the light."""
        density = self.specimen(view) * view.optics.strength
        if view.optics.contrast == "brightfield":
            density = 1 - torch.exp(-density)  # the light that is missing
        spectrum: Tensor = torch.fft.rfft2(density)
        return spectrum

    def _with_background(self, image: Tensor, view: Tensor) -> Tensor:
        contrast = self.views[0].optics.contrast
        if contrast == "brightfield":
            return 1 - image
        if contrast == "fluorescence":
            dark: Tensor = self._backgrounds[view, None, None] + image
            return dark
        phase: Tensor = 0.5 * (1 + image)  # half grey, darker and brighter
        return phase

    def _blend(self, slices: list[Tensor]) -> Tensor:
        """Images at K depths to one whose depth changes from left to right."""
        if len(slices) == 1:
            return slices[0]
        place = torch.linspace(0, len(slices) - 1, self.size_px, device=self.device)
        number = torch.arange(len(slices), device=self.device)[:, None]
        weights = (1 - (place - number).abs()).clamp_min(0)  # (K, W)
        blended: Tensor = torch.einsum("kmhw,kw->mhw", torch.stack(slices), weights)
        return blended


def _check_alike(views: list[MicroscopeConfig]) -> None:
    """One batch has one shape: InputError names what differs."""
    if not views:
        raise InputError("Microscope: expected at least one view, got none")
    for what in ("size_px", "sensor", "specimen.layers", "optics.contrast", "drive.unit"):
        parent, _, key = what.rpartition(".")
        values = {getattr(getattr(v, parent) if parent else v, key) for v in views}
        if len(values) > 1:
            raise InputError(f"Microscope: {what}: expected the same in every view, got {values}")


def examples(cells: int) -> dict[str, SimulatedInstrument]:
    """Small instruments of every kind this file makes, for the contract tests; free of noise, so
    that what is promised can be compared exactly."""
    exact = SensorConfig(photon_noise=False, read_noise_e=0.0)
    plain = MicroscopeConfig(sensor=exact, size_px=48, drive=DriveConfig(first=-9.0, last=12.0))
    thick = SpecimenConfig("fibres", layers=3, thickness_um=4.0, tilt_um=2.0)
    glowing = OpticsConfig(contrast="fluorescence")
    ringed = OpticsConfig(contrast="phase")
    deep = replace(exact, bits=12, gain_dn_per_e=0.3)
    made = {
        "brightfield": plain,
        "fluorescence, thick and tilted, 12 bits": replace(
            plain, specimen=thick, optics=glowing, sensor=deep
        ),
        "phase": replace(plain, optics=ringed),
    }
    instruments = {name: Microscope(view).instrument(cells) for name, view in made.items()}
    two = [plain, replace(plain, specimen=SpecimenConfig("beads"))]
    return {**instruments, "two views": Microscope(two).instrument(cells)}
