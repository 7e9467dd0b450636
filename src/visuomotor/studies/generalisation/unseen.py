"""Samples, microscopes and cameras that no policy was trained on: the frozen test set.

It is a list of configs that depends on ``UNSEEN_SEED`` and a view's number alone, so that the first
20 views of 200 are the 20. Version, seed and the digest that the tests pin stay as they are once
policies are compared on it; a change of any kind is a new ``UNSEEN_VERSION``. Slides are numbered
from ``FIRST_SLIDE``: whoever draws training views stays below.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from visuomotor.configs import check_range, to_plain
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.camera_lens import CameraLens, CameraLensConfig
from visuomotor.instruments.simulated.lens import LensConfig
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import Contrast, OpticsConfig
from visuomotor.instruments.simulated.scenes import SceneConfig
from visuomotor.instruments.simulated.sensor import Sensor, SensorConfig
from visuomotor.types import FloatArray

UNSEEN_VERSION = 1
UNSEEN_SEED = 2026
FIRST_SLIDE = 1_000_000
"""Slides and noise seeds of test views: a training generator draws below."""
PLAIN, BLANK, WIDE, STARTS = range(4)
"""What is drawn: each has random numbers of its own."""
POSITIONS, WIDE_POSITIONS = 131, 1001
PICTURE_PX = 128
STEPS_PER_DEPTH = 4
"""Fine steps in the depth of field: an end farther from focus is no success."""
FOCUS_PLACE = (0.1, 0.9)
"""Where in the range focus may lie."""
SHARE_THICK, SHARE_TILTED = 0.3, 0.2
"""Of the microscopes' specimens."""
LENS_EVERY = 4
"""One in so many views is through a camera lens."""
SHARE_RELIEF = 0.4
"""Of the lenses' scenes: two depths."""
CONTRASTS: dict[str, tuple[Contrast, ...]] = {
    "stained_tissue": ("brightfield",),
    "bacteria_smear": ("brightfield", "phase", "fluorescence"),
    "fluorescent_cells": ("fluorescence", "phase"),
    "beads": ("fluorescence", "brightfield", "phase"),
    "fibres": ("fluorescence", "brightfield", "phase"),
    "grid": ("brightfield",),
    "circuit": ("brightfield",),
}
"""Every kind of specimen, and how it is looked at. Named here, so that a new kind changes nothing.
"""
DENSITIES: dict[Contrast, tuple[float, float]] = {
    "brightfield": (0.35, 2.0),
    "fluorescence": (0.2, 0.9),
    "phase": (0.25, 0.8),
}
"""From faint to strong; see ``OpticsConfig.density``."""


View = MicroscopeConfig | CameraLensConfig


def unseen_views(count: int, seed: int = UNSEEN_SEED) -> list[View]:
    """The first ``count`` unseen views: kinds of specimen in turn, every fourth through a camera
    lens, all else by chance."""
    check_count(count)
    return [_view(PLAIN, seed, number, POSITIONS) for number in range(count)]


def unseen_wide(count: int, seed: int = UNSEEN_SEED) -> list[View]:
    """Views of their own, each over a range of 1,000 fine steps."""
    check_count(count)
    return [_view(WIDE, seed, number, WIDE_POSITIONS) for number in range(count)]


def simulator(view: View) -> Microscope | CameraLens:
    """What renders this view."""
    return Microscope(view) if isinstance(view, MicroscopeConfig) else CameraLens(view)


def digest(views: Sequence[View]) -> str:
    """Of configs, to see that a list is what it was. Numbers count to nine digits: the last ones
    differ between machines."""
    text = json.dumps(_rounded(to_plain(list(views))), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def starts_of(number: int, count: int, positions: int, seed: int = UNSEEN_SEED) -> FloatArray:
    """(count,) where the episodes of view ``number`` begin, in fine steps from the lower limit:
    one in each ``count``-th of the range."""
    generator = np.random.default_rng([UNSEEN_VERSION, seed, STARTS, number])
    part = (np.arange(count) + generator.random(count)) / count
    return np.rint(part * (positions - 1))


# ---- drawing


def _view(what: int, seed: int, number: int, positions: int) -> View:
    rng = np.random.default_rng([UNSEEN_VERSION, seed, what, number])
    kind = list(CONTRASTS)[number % len(CONTRASTS)]
    return (_lens if number % LENS_EVERY == LENS_EVERY - 1 else _microscope)(rng, kind, positions)


def _microscope(rng: np.random.Generator, kind: str, positions: int) -> MicroscopeConfig:
    contrast = _one(rng, CONTRASTS[kind])
    aperture = _log_uniform(rng, 0.1, 1.3)
    wavelength = float(rng.uniform(0.45, 0.68))
    # The widest pixel that shows the finest detail is 1 / (4 NA) wavelengths.
    pixel = wavelength / (4 * aperture) * _log_uniform(rng, 0.6, 1.0)
    optics = OpticsConfig(
        numerical_aperture=aperture,
        wavelength_um=wavelength,
        pixel_um=pixel,
        index=_index(aperture, float(rng.random())),
        spherical_waves=_either_sign(rng) * _log_uniform(rng, 0.02, 0.35),
        contrast=contrast,
        density=_log_uniform(rng, *DENSITIES[contrast]),
        background=_log_uniform(rng, 0.01, 0.15),
        condenser=float(rng.uniform(0.15, 0.6)),
    )
    depth = optics.depth_of_field_um
    shape, thickness, tilt = rng.random(), rng.uniform(0.4, 1.6), rng.uniform(-1.4, 1.4)
    thick = bool(shape < SHARE_THICK)
    tilted = SHARE_THICK <= shape < SHARE_THICK + SHARE_TILTED
    specimen = SpecimenConfig(
        kind=kind,
        slide_seed=FIRST_SLIDE + int(rng.integers(1_000_000)),
        field_seed=int(rng.integers(1_000_000)),
        layers=3 if thick else 1,
        texture=_texture(rng),
        # Whatever the objective, a pixel shows 0.06 to 0.4 um of life's specimen.
        magnify=pixel / _log_uniform(rng, 0.06, 0.4),
        thickness_um=float(thickness * depth) if thick else 0.0,
        tilt_um=float(tilt * depth) if tilted else 0.0,
    )
    return MicroscopeConfig(
        specimen=specimen,
        optics=optics,
        sensor=_sensor(rng),
        drive=_drive(rng, "um", depth / STEPS_PER_DEPTH, positions),
        size_px=PICTURE_PX,
        noise_seed=_noise_seed(rng),
    )


def _lens(rng: np.random.Generator, kind: str, positions: int) -> CameraLensConfig:
    deep = bool(rng.random() < SHARE_RELIEF)
    scene = SceneConfig(
        kind=kind,
        texture=_texture(rng),
        slide_seed=FIRST_SLIDE + int(rng.integers(1_000_000)),
        field_seed=int(rng.integers(1_000_000)),
        magnify=_log_uniform(rng, 0.5, 2.0),
        light=float(rng.uniform(0.3, 0.9)),
        contrast=float(rng.uniform(0.3, 0.98)),
        layers=2 if deep else 1,
        relief_steps=float(rng.uniform(1.0, 10.0)) if deep else 0.0,
        relief="plane" if rng.random() < 0.5 else "blobs",
    )
    # Changes over the whole range, as shares; the lens counts them over 100 fine steps.
    breathing, slope = rng.uniform((-0.08, -0.4), (0.08, 0.4)) * 100 / (positions - 1)
    lens = LensConfig(
        spot_px=float(rng.uniform(1.2, 3.0)),
        gaussian_share=float(rng.uniform(0.1, 0.9)),
        max_blur_px=float(rng.uniform(15, 50)),
        asymmetry=float(rng.uniform(-0.3, 0.3)),
        halo=float(rng.uniform(-0.3, 0.3)),
        breathing=float(breathing),
        brightness_slope=float(slope),
    )
    sensor = _sensor(rng)
    jpeg = bool(rng.random() < 0.5) and sensor.bits == 8
    quality = int(rng.integers(60, 96))
    unit = ("step", "V", "dpt")[int(rng.integers(3))]
    return CameraLensConfig(
        scene=scene,
        lens=lens,
        sensor=sensor,
        drive=_drive(rng, unit, _log_uniform(rng, 0.01, 10.0), positions),
        size_px=PICTURE_PX,
        gamma=2.2 if rng.random() < 0.6 else 1.0,
        jpeg_quality=quality if jpeg else None,
        noise_seed=_noise_seed(rng),
    )


def _drive(rng: np.random.Generator, unit: str, step: float, positions: int) -> DriveConfig:
    """A range of so many fine steps, somewhere, with focus in it."""
    first = float(rng.uniform(-500, 500)) * step
    focus = first + float(rng.uniform(*FOCUS_PLACE)) * (positions - 1) * step
    return DriveConfig(unit, 1.0, first, first + (positions - 1) * step, focus, step)


def _index(aperture: float, chance: float) -> float:
    """Air, water or oil: what the aperture asks for, or more."""
    if aperture < 0.5 or (aperture < 0.95 and chance < 0.6):
        return 1.0
    return 1.333 if aperture < 1.2 and chance < 0.8 else 1.515


def _sensor(rng: np.random.Generator) -> SensorConfig:
    """8, 12 or 16 bits; dim to bright: photon noise of 3.5 % to 0.6 % at white."""
    bits = int(rng.choice([8, 12, 16], p=[0.5, 0.3, 0.2]))
    electrons = _log_uniform(rng, 800, 30_000)
    levels = 2**bits - 1
    black = float(rng.uniform(0.005, 0.03)) * levels
    white = float(rng.uniform(0.6, 0.9)) * levels  # of the empty field, in brightfield
    return SensorConfig(
        electrons_at_white=electrons,
        read_noise_e=_log_uniform(rng, 1.0, 8.0),
        full_well_e=electrons * 1.5,
        gain_dn_per_e=(white - black) / electrons,
        black_dn=black,
        bits=bits,
        vignetting=float(rng.uniform(0.0, 0.4)),
        normal_above_e=50.0,
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return f"{value:.9g}" if isinstance(value, float) else value


def _texture(rng: np.random.Generator) -> float:
    """Share of a real picture: none in two of five."""
    return float(max(0.0, rng.uniform(-0.5, 0.75)))


def _either_sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _noise_seed(rng: np.random.Generator) -> int:
    return FIRST_SLIDE + int(rng.integers(1_000_000_000))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _one(rng: np.random.Generator, choices: tuple[Contrast, ...]) -> Contrast:
    return choices[int(rng.integers(len(choices)))]


# ---- blank fields


def unseen_blank(count: int, seed: int = UNSEEN_SEED) -> list[Blank]:
    """Fields with nothing on them: background, vignetting and the noise of all kinds of sensor."""
    check_count(count)
    made = []
    for number in range(count):
        rng = np.random.default_rng([UNSEEN_VERSION, seed, BLANK, number])
        # Empty transmitted light, empty fluorescence, phase grey, and no light at all.
        level = [1.0, _log_uniform(rng, 0.01, 0.15), 0.5, 0.0][number % 4]
        made.append(Blank(_sensor(rng), level, _noise_seed(rng)))
    return made


@dataclass(frozen=True)
class Blank:
    """An empty field."""

    sensor: SensorConfig
    brightness: float
    """1 is white."""
    noise_seed: int

    def __post_init__(self) -> None:
        check_range(self, brightness=(0, 1), noise_seed=(0, 2**63 - 1))

    def stack(self, positions: int = POSITIONS) -> FocalStack:
        """A recording of it, in fine steps: every picture is the same but for its noise."""
        sensor = Sensor(self.sensor, PICTURE_PX, PICTURE_PX, torch.device("cpu"))
        light = torch.full((positions, PICTURE_PX, PICTURE_PX), self.brightness)
        generator = torch.Generator().manual_seed(self.noise_seed)
        frames = sensor.expose(light, generator).numpy()
        return FocalStack(frames, np.arange(positions, dtype=np.float64), "step", "blank")


def check_count(count: int) -> None:
    """InputError for a list of no views."""
    if count < 1:
        raise InputError(f"unseen: expected at least 1 view, got {count}")
