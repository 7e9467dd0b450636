"""Many simulated microscopes and cameras, as contrast against defocus: what to train on.

Pictures are rendered once, at defocuses that lie densely around focus and sparsely far away, and
only what can be read off them is kept: contrast is smooth in defocus, so that any look can be told
from its neighbours. That makes millions of looks affordable on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.simulated.camera_lens import CameraLens, CameraLensConfig
from visuomotor.instruments.simulated.lens import LensConfig
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import OpticsConfig
from visuomotor.instruments.simulated.scenes import SceneConfig
from visuomotor.instruments.simulated.sensor import SensorConfig
from visuomotor.instruments.simulated.specimens import kinds
from visuomotor.types import FloatArray
from visuomotor.vision.contrast import SIZE, contrast
from visuomotor.vision.sharpness import smoothed

SLIDES = 1_000_000
"""Training slides and scenes are numbered below; the frozen test set begins here."""
FARTHEST = 1000.0
_SIDE = (
    *(0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 95),
    *(120, 150, 200, 270, 360, 500, 700, FARTHEST),
)
DEFOCUS: FloatArray = np.array([-z for z in reversed(_SIDE)] + [0.0, *_SIDE])
"""(D,) defocuses that are rendered, in the view's own fine steps."""
MIN_CHANGE = 1.15
"""Of sharpness, from its least to its most: a view that changes less teaches nothing."""
_CLEAN = SensorConfig(
    electrons_at_white=30_000.0,
    read_noise_e=0.0,
    full_well_e=65_000.0,
    gain_dn_per_e=1.0,
    bits=16,
    photon_noise=False,
)


@dataclass(frozen=True)
class ViewsConfig:
    """Which views are rendered for training."""

    count: int = 3000
    slides: int = 0
    """On so many slides (or scenes) the views lie; 0: each on a slide of its own."""
    seed: int = 0
    lens_share: float = 0.45
    """Of cameras with a lens; the rest are microscopes."""
    size_px: int = 128

    def __post_init__(self) -> None:
        check_range(self, count=(1, 10**6), slides=(0, SLIDES), seed=(0, 2**31), lens_share=(0, 1))
        check_range(self, size_px=(32, 4096))


class Views(NamedTuple):
    """V views, free of noise."""

    contrast: NDArray[np.float32]  # (V, D, SIZE) see ``vision.contrast``
    sharpness: NDArray[np.float32]  # (V, D) Tenengrad after 1 px, as the autofocus task has it


def render_views(config: ViewsConfig, progress: Callable[[int], None] = lambda done: None) -> Views:
    """Render them all, one after the other; ``progress`` hears how many are done."""
    measure = smoothed("tenengrad", 1.0)
    found = np.empty((config.count, len(DEFOCUS), SIZE), np.float32)
    sharpness = np.empty((config.count, len(DEFOCUS)), np.float32)
    for number, pictures in enumerate(_pictures(config)):
        found[number] = contrast(pictures)
        sharpness[number] = measure(pictures)
        progress(number + 1)
    return Views(found, sharpness)


def _pictures(config: ViewsConfig) -> Iterator[NDArray[np.uint16]]:
    """(D, H, W) of each view. A draw without detail is drawn again."""
    measure = smoothed("tenengrad", 1.0)
    for number in range(config.count):
        rng = np.random.default_rng([config.seed, number])
        slide = number % config.slides if config.slides else number
        while True:
            draw = _through_lens if rng.random() < config.lens_share else _under_microscope
            try:
                pictures = draw(rng, (config.seed * 7919 + slide) % SLIDES, config.size_px)
            except InputError:  # nothing to focus on, or optics that the picture is too small for
                continue
            some = measure(pictures[::4])
            if some.max() >= MIN_CHANGE * some.min() > 0:
                yield pictures
                break


def _under_microscope(rng: np.random.Generator, slide: int, size_px: int) -> NDArray[np.uint16]:
    """Any objective from 2x to oil, any contrast, thin or thick."""
    aperture = _log_uniform(rng, 0.07, 1.35)
    index = 1.0 if aperture < 0.93 else 1.515
    wavelength = float(rng.uniform(0.42, 0.7))
    pixel = wavelength / (4 * aperture) / _log_uniform(rng, 1.0, 3.0)
    optics = OpticsConfig(
        numerical_aperture=aperture,
        wavelength_um=wavelength,
        pixel_um=pixel,
        index=index,
        spherical_waves=float(rng.normal(0, 0.2)),
        contrast=rng.choice(["brightfield", "fluorescence", "phase"], p=[0.45, 0.35, 0.2]),
        background=_log_uniform(rng, 0.01, 0.2),
        condenser=float(rng.uniform(0.1, 0.7)),
    )
    depth = optics.depth_of_field_um
    layers = int(rng.choice([1, 3]))
    specimen = SpecimenConfig(
        kind=str(rng.choice(kinds())),
        slide_seed=slide,
        field_seed=int(rng.integers(1_000_000)),
        layers=layers,
        texture=float(max(0.0, rng.uniform(-0.7, 1.0))),
        magnify=pixel / _log_uniform(rng, 0.05, 0.6),
        thickness_um=float(depth * rng.uniform(0.2, 3)) if layers > 1 else 0.0,
        tilt_um=float(depth * rng.uniform(-1.5, 1.5)) if rng.random() < 0.15 else 0.0,
    )
    step = depth / 4
    drive = DriveConfig(first=-FARTHEST * step, last=FARTHEST * step, fine_step=step)
    view = MicroscopeConfig(specimen, optics, _sensor(rng), drive, size_px)
    at = DEFOCUS * step
    return Microscope(view).pictures(np.zeros(len(at), np.int64), at, None)


def _through_lens(rng: np.random.Generator, slide: int, size_px: int) -> NDArray[np.uint16]:
    """Photographs of things, most of them real, with and without relief."""
    layers = int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2]))
    scene = SceneConfig(
        kind=str(rng.choice(kinds())),
        texture=1.0 if rng.random() < 0.6 else float(rng.uniform(0, 1)),
        slide_seed=slide,
        field_seed=int(rng.integers(1_000_000)),
        magnify=_log_uniform(rng, 0.3, 1.3),
        contrast=float(rng.uniform(0.5, 1.0)),
        layers=layers,
        relief_steps=_log_uniform(rng, 2.0, 60.0) if layers > 1 else 0.0,
        relief="plane" if rng.random() < 0.3 else "blobs",
    )
    spot = _log_uniform(rng, 0.8, 6.0)
    usual = LensConfig(spot_px=spot).growth_px_per_step
    lens = LensConfig(
        spot_px=spot,
        blur_px_per_step=usual * _log_uniform(rng, 0.6, 1.7),
        gaussian_share=float(rng.uniform(0, 1)),
        max_blur_px=_log_uniform(rng, 15.0, 250.0),
        asymmetry=float(np.clip(rng.normal(0, 0.15), -0.5, 0.5)),
        halo=float(rng.choice([0.0, rng.uniform(-0.6, 0.6)])),
        breathing=float(rng.choice([0.0, rng.uniform(-0.02, 0.02)])),
    )
    jpeg = int(rng.integers(60, 98)) if rng.random() < 0.35 else None
    small = SensorConfig(photon_noise=False, read_noise_e=0.0)
    drive = DriveConfig("step", first=-FARTHEST, last=FARTHEST)
    view = CameraLensConfig(
        scene=scene,
        lens=lens,
        sensor=_sensor(rng) if jpeg is None else small,
        drive=drive,
        size_px=size_px,
        gamma=float(rng.choice([1.0, rng.uniform(1.6, 2.4)])),
        jpeg_quality=jpeg,
    )
    return CameraLens(view).pictures(np.zeros(len(DEFOCUS), np.int64), DEFOCUS, None)


def _sensor(rng: np.random.Generator) -> SensorConfig:
    """Without noise, which comes later; half of them on a pedestal of grey levels."""
    black = float(rng.choice([0.0, _log_uniform(rng, 50.0, 8000.0)]))
    return replace(_CLEAN, black_dn=black, vignetting=float(rng.uniform(0, 0.4)))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
