"""A simulated camera with a focusing lens: scene, relief, blur, breathing and sensor, in torch.

The sibling of ``microscope.py``, by geometric optics. The light's way, stage by stage, each a
method of ``CameraLens`` (docs/camera_lens.md follows them):

    scene           reflectance: real pictures, drawn things, or both      scenes.py
    relief          soft masks and depths of the layers                    scenes.py
    transfer        circle of confusion, spot in focus                     lens.py
    blended         each layer blurred by itself, then put together
    imaged          breathing: the picture grows with focus                lens.py
    brightness      light, which changes with focus
    developed       sensor, gamma, grey levels                             sensor.py
    compressed      JPEG

V views, each described whole by its frozen ``CameraLensConfig``, are rendered in one batch.
``CameraLens.stack`` records a focal stack; ``CameraLens.instrument`` is the live instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from scipy import fft
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.lens import Lens, LensConfig, magnified
from visuomotor.instruments.simulated.microscope import MIN_DETAIL, DriveConfig
from visuomotor.instruments.simulated.scenes import SceneConfig, layer_masks, reflectance
from visuomotor.instruments.simulated.sensor import Sensor, SensorConfig
from visuomotor.instruments.simulated.simulated_instrument import SimulatedInstrument, recorded
from visuomotor.types import FloatArray, Frames, IntArray
from visuomotor.vision.focus import normalised_variance

BATCH_PIXELS = 500_000
"""Pixels of a rendered batch: pictures beyond it are made in several. Larger ones fall out of the
processor's cache."""
MIN_MASK = 1e-3
"""Of the blurred masks' sum, by which the blurred layers are divided."""
MAX_BREATHING = 0.2
"""Share by which the picture may shrink or grow: the rendered grid is a third larger."""
CAMERA = SensorConfig(normal_above_e=50.0)


def _steps_drive() -> DriveConfig:
    return DriveConfig("step", first=-60.0, last=60.0)


@dataclass(frozen=True)
class CameraLensConfig:
    """One view through one lens."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    lens: LensConfig = field(default_factory=LensConfig)
    sensor: SensorConfig = CAMERA
    drive: DriveConfig = field(default_factory=_steps_drive)
    """Positions in any unit. The lens knows them as fine steps from focus."""
    size_px: int = 128
    """Side of the picture. The optics work on a grid a third larger."""
    gamma: float = 2.2
    """Grey levels are light to the power of 1 / gamma; 1 is a linear camera."""
    jpeg_quality: int | None = None
    """Pictures pass through JPEG of this quality. None: they do not."""
    noise_seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, size_px=(16, 8192), noise_seed=(0, 2**63 - 1))
        check_range(self, gamma=(0.2, 5), jpeg_quality=(1, 100))
        if self.drive.um_per_unit != 1:
            raise InputError(
                f"CameraLens: drive: um_per_unit: expected 1, since a lens counts in fine steps, "
                f"got {self.drive.um_per_unit:g}"
            )
        if self.jpeg_quality is not None and self.sensor.bits > 8:
            raise InputError(
                f"CameraLens: jpeg_quality: expected a sensor of at most 8 bits, got "
                f"{self.sensor.bits}"
            )
        farthest = float(np.abs(self.steps(np.array([self.drive.first, self.drive.last]))).max())
        grown = abs(self.lens.breathing) * farthest / 100
        if grown > MAX_BREATHING:
            raise InputError(
                f"CameraLens: lens: breathing: expected at most {MAX_BREATHING:g} over the drive's "
                f"range, got {grown:g} at {farthest:g} fine steps from focus"
            )

    @property
    def fine_step(self) -> float:
        """In the drive's unit: ``drive.fine_step``, or 1."""
        return 1.0 if self.drive.fine_step is None else self.drive.fine_step

    @property
    def positions(self) -> FloatArray:
        """(P,) the drive's positions, a fine step apart."""
        return self.drive.between(self.drive.first, self.drive.last, self.fine_step)

    def steps(self, position: FloatArray) -> FloatArray:
        """Fine steps beyond focus: (position - focus) / fine step."""
        steps: FloatArray = (position - self.drive.focus) / self.fine_step
        return steps


class CameraLens:
    """Renders V views. Pictures of every view have the same size, layers, sensor, gamma and JPEG
    quality."""

    def __init__(
        self, views: CameraLensConfig | Sequence[CameraLensConfig], device: str = "cpu"
    ) -> None:
        """InputError where a scene has no detail: nothing could be focused on it."""
        self.views = [views] if isinstance(views, CameraLensConfig) else list(views)
        _check_alike(self.views)
        first = self.views[0]
        self.size_px = first.size_px
        self.grid_px = _even_fast_len(-(-4 * first.size_px // 3))
        self.device = torch.device(device)
        self.lens = Lens([view.lens for view in self.views], self.grid_px, self.device)
        self.sensor = Sensor(first.sensor, self.size_px, self.size_px, self.device)
        self._breathes = any(view.lens.breathing for view in self.views)
        scenes = [(self.scene(view), *self.relief(view)) for view in self.views]
        masks = torch.stack([mask for _, mask, _ in scenes])  # (V, L, G, G)
        self._depths = torch.stack([depths for *_, depths in scenes])  # (V, L)
        sheets = torch.stack([sheet for sheet, *_ in scenes])[:, None]
        self._spectra = torch.fft.rfft2(sheets * masks)  # (V, L, G, G / 2 + 1)
        self._masks = torch.fft.rfft2(masks)

    # ---- the stages

    def scene(self, view: CameraLensConfig) -> Tensor:
        """(G, G) light that comes from the scene; 1 is white."""
        s = view.scene
        sheet = s.light * (1 - s.contrast * (1 - reflectance(s, self.grid_px)))
        if not normalised_variance(sheet[None])[0] > MIN_DETAIL:
            raise InputError(
                f"{s.kind}: no_sample: expected a scene with detail, got one that is the same "
                f"everywhere"
            )
        return torch.from_numpy(sheet).clamp_min(0).to(self.device)

    def relief(self, view: CameraLensConfig) -> tuple[Tensor, Tensor]:
        """(L, G, G) how much of each pixel lies in each layer, and (L,) where these are in focus,
        in fine steps from the drive's focus."""
        s = view.scene
        masks = torch.from_numpy(layer_masks(s, self.grid_px)).to(self.device)
        half = s.relief_steps / 2
        return masks, torch.linspace(-half, half, s.layers, device=self.device)

    def transfer(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M, L, G, G / 2 + 1) of each layer, the lens at these steps (M,) beyond focus."""
        layers = self._depths.shape[1]
        away = (steps[:, None] - self._depths[view]).flatten()
        transfer = self.lens.transfer(view.repeat_interleave(layers), away)
        return transfer.view(len(view), layers, *transfer.shape[1:])

    def blended(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M, H, W) layers blurred, each by itself, over masks blurred alike: no seams."""
        transfer = self.transfer(view, steps)
        image = self.imaged((self._spectra[view] * transfer).sum(1), view, steps)
        if transfer.shape[1] == 1:
            return image  # one mask, which is 1 everywhere
        mask = self.imaged((self._masks[view] * transfer).sum(1), view, steps)
        return image / mask.clamp_min(MIN_MASK)

    def imaged(self, spectrum: Tensor, view: Tensor, steps: Tensor) -> Tensor:
        """(M, H, W) the middle of the picture with this spectrum (M, G, G / 2 + 1); breathing."""
        if self._breathes:
            grown = self.lens.magnification(view, steps)
            return magnified(spectrum, self.grid_px, self.size_px, grown)
        image: Tensor = torch.fft.irfft2(spectrum, (self.grid_px, self.grid_px))
        margin = (self.grid_px - self.size_px) // 2
        return image[:, margin : margin + self.size_px, margin : margin + self.size_px]

    def brightness(self, view: Tensor, steps: Tensor) -> Tensor:
        """(M, H, W) the image that falls on the sensor; 1 is white."""
        return self.blended(view, steps).clamp_min(0) * self.lens.light(view, steps)[:, None, None]

    def developed(self, electrons: Tensor) -> Frames:
        """(M, H, W) uint8 or uint16: the sensor's grey levels, after gamma."""
        config, gamma = self.sensor.config, self.views[0].gamma
        if gamma == 1:
            return self.sensor.digital(electrons).cpu().numpy()
        levels = config.white_dn * (self.sensor.levels(electrons) / config.white_dn) ** (1 / gamma)
        return levels.round_().to(_dtype(config.bits)).cpu().numpy()

    def compressed(self, pictures: Frames) -> Frames:
        """(M, H, W) after JPEG, where the camera delivers that."""
        quality = self.views[0].jpeg_quality
        if quality is None:
            return pictures
        white = self.sensor.config.white_dn
        for picture in pictures:
            _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            picture[:] = np.clip(np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)), 0, white)
        return pictures

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
            light = self.sensor.expected_electrons(brightness)
            electrons = (
                light.clamp_max(self.sensor.config.full_well_e)
                if generator is None
                else self.sensor.collected_electrons(light, generator)
            )
            made.append(self.compressed(self.developed(electrons)))
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

    def _request(self, view: IntArray, position: FloatArray) -> tuple[Tensor, Tensor]:
        """Views and fine steps beyond focus."""
        asked = zip(view, position, strict=True)
        steps = [float(self.views[number].steps(at)) for number, at in asked]
        return (
            torch.as_tensor(np.asarray(view, np.int64), device=self.device),
            torch.tensor(steps, dtype=torch.float32, device=self.device),
        )


def _even_fast_len(least: int) -> int:
    """A grid whose Fourier transform is quick: odd ones take several times as long."""
    return 2 * int(fft.next_fast_len(-(-least // 2), real=True))


def _dtype(bits: int) -> torch.dtype:
    return torch.uint8 if bits <= 8 else torch.uint16


def _check_alike(views: list[CameraLensConfig]) -> None:
    """One batch has one shape: InputError names what differs."""
    if not views:
        raise InputError("CameraLens: expected at least one view, got none")
    for what in ("size_px", "sensor", "gamma", "jpeg_quality", "scene.layers", "drive.unit"):
        parent, _, key = what.rpartition(".")
        values = {getattr(getattr(v, parent) if parent else v, key) for v in views}
        if len(values) > 1:
            raise InputError(f"CameraLens: {what}: expected the same in every view, got {values}")


def examples(cells: int) -> dict[str, SimulatedInstrument]:
    """Small instruments of every kind this file makes, for the contract tests; free of noise, so
    that what is promised can be compared exactly."""
    exact = replace(CAMERA, photon_noise=False, read_noise_e=0.0)
    drive = DriveConfig("V", first=24.0, last=70.0, focus=41.0, fine_step=0.5)
    plain = CameraLensConfig(sensor=exact, drive=drive, size_px=48)
    lively = LensConfig(asymmetry=0.3, halo=0.2, breathing=0.05, brightness_slope=0.1)
    made = {
        "in volts": plain,
        "relief, breathing, JPEG": replace(
            plain, scene=SceneConfig(layers=3, relief_steps=9.0), lens=lively, jpeg_quality=80
        ),
        "linear, 12 bits": replace(
            plain, sensor=replace(exact, bits=12, gain_dn_per_e=0.3), gamma=1.0
        ),
    }
    instruments = {name: CameraLens(view).instrument(cells) for name, view in made.items()}
    two = [plain, replace(plain, scene=SceneConfig("fibres", slide_seed=3), lens=lively)]
    return {**instruments, "two views": CameraLens(two).instrument(cells)}
