"""Pictures that the small encoder learns from: sheets, and what is done to them.

A sheet is a scene in linear light: drawn, or a place of a real picture that scikit-image carries.
What is done to it is drawn at random and known, so nobody needs to label anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from visuomotor.instruments.simulated.scenes import PICTURE_GAMMA, SceneConfig, reflectance
from visuomotor.instruments.simulated.specimens import kinds
from visuomotor.types import ByteArray

MARGIN_PX = 16
"""Around a picture, cut off after blurring: the Fourier transform wraps at the edges."""
SHEET_PX = 448
MAX_BLUR_PX = 20.0
LEAST_BLUR_PX = 1.0
"""Added in quadrature: what lens and pixel blur anyway."""
LEVEL_OCTAVES = (0.0, 9.5)
"""Of the mean grey level before it is clipped: from nearly black to white all over."""
MIN_CONTRAST = 0.2
SHOT_OCTAVES = (-8.0, -3.0)
"""Variance of photon noise for each grey level."""
READ_OCTAVES = (-3.5, 1.0)
"""Deviation of read noise in grey levels."""
TARGETS = ("blur", "brightness", "contrast", "noise")


class Changes(NamedTuple):
    """What is done to N sheets, each (N,)."""

    blur_px: Tensor
    """Diameter of the disc."""
    level_dn: Tensor
    """Mean grey level before it is clipped."""
    contrast: Tensor
    """Share of the sheet's deviations from its mean that is left."""
    shot: Tensor
    """Variance of photon noise for each grey level."""
    read_dn: Tensor
    """Deviation of read noise."""

    def targets(self) -> Tensor:
        """(N, 4) in octaves, in the order of ``TARGETS``."""
        blur = torch.hypot(self.blur_px, torch.full_like(self.blur_px, LEAST_BLUR_PX))
        # Beyond white the level can be told no more, or only just.
        level = self.level_dn.clamp(1, 512)
        noise = (self.read_dn**2 + self.shot * level.clamp_max(255) + 1 / 12).sqrt()
        return torch.stack([blur, level, self.contrast, noise], 1).log2()


def draw_changes(count: int, generator: torch.Generator) -> Changes:
    """A tenth of the pictures is not blurred further; diameters are spread in octaves."""

    def octaves(low: float, high: float) -> Tensor:
        return 2 ** (low + (high - low) * torch.rand(count, generator=generator))

    blurred = torch.rand(count, generator=generator) >= 0.1
    return Changes(
        blur_px=octaves(-1.5, math.log2(MAX_BLUR_PX)) * blurred,
        level_dn=octaves(*LEVEL_OCTAVES),
        contrast=octaves(math.log2(MIN_CONTRAST), 0),
        shot=octaves(*SHOT_OCTAVES),
        read_dn=octaves(*READ_OCTAVES),
    )


def exposed(light: Tensor, changes: Changes, generator: torch.Generator) -> ByteArray:
    """(N, S, S) sheets -> (N, S - 32, S - 32) uint8: blurred, made brighter or darker, given
    noise, clipped, and rounded."""
    side = light.shape[-1]
    y, x = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    phase = (math.pi * changes.blur_px[:, None, None] * torch.hypot(y, x)).clamp_min(1e-3)
    disc = 2 * torch.special.bessel_j1(phase) / phase  # of even light
    blurred = torch.fft.irfft2(torch.fft.rfft2(light) * disc, s=(side, side))
    inner = blurred[:, MARGIN_PX : side - MARGIN_PX, MARGIN_PX : side - MARGIN_PX]
    mean = inner.mean((1, 2), keepdim=True)
    relative = 1 + changes.contrast[:, None, None] * (inner / mean.clamp_min(1e-6) - 1)
    levels = changes.level_dn[:, None, None] * relative.clamp_min(0)
    variance = changes.read_dn[:, None, None] ** 2 + changes.shot[:, None, None] * levels
    noise = torch.randn(levels.shape, generator=generator)
    pictures: ByteArray = (levels + variance.sqrt() * noise).round_().clamp_(0, 255).byte().numpy()
    return pictures


def sheets(count: int, pictures: Sequence[str], first_seed: int) -> Tensor:
    """(count, 448, 448) scenes in linear light: one half drawn, some with a real picture mixed in;
    the other places of these real pictures. The same for the same seed."""
    made = np.empty((count, SHEET_PX, SHEET_PX), np.float32)
    names = kinds()
    for number in range(count):
        seed = first_seed + number
        generator = np.random.default_rng([11, seed])
        scene = SceneConfig(
            kind=names[number // 2 % len(names)],
            texture=1.0 if number % 2 else float(generator.choice([0.0, 0.3])),
            picture=str(generator.choice(list(pictures))),
            slide_seed=seed,
            magnify=float(generator.uniform(0.7, 1.2)),
        )
        made[number] = reflectance(scene, SHEET_PX)
    return torch.from_numpy(made)


def crops(
    sheets: Tensor, count: int, size_px: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Two places (count, size_px + 32, size_px + 32), a few pixels apart, of each of ``count``
    sheets: the places of pairs. Turned and mirrored together; some as cameras store them, where
    shades are nearer to each other than in linear light."""
    side = size_px + 2 * MARGIN_PX
    room = sheets.shape[-1] - side
    pair: tuple[list[Tensor], list[Tensor]] = ([], [])
    for number in torch.randint(len(sheets), (count,), generator=generator).tolist():
        sheet = sheets[number]
        turns, flip, stored = torch.randint(4, (3,), generator=generator).tolist()
        at = torch.randint(room + 1, (2,), generator=generator)
        for places in pair:
            apart = torch.randint(-6, 7, (2,), generator=generator)
            top, left = (at + apart).clamp(0, room).tolist()
            place = torch.rot90(sheet[top : top + side, left : left + side], turns)
            place = place.flip(1) if flip % 2 else place
            places.append(place ** (1 / PICTURE_GAMMA) if stored % 2 else place)
    return torch.stack(pair[0]), torch.stack(pair[1])
