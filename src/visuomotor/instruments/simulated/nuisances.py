"""What spoils the pictures of a simulated camera besides focus and exposure: weather and lamps.

Glare, rain, dust on the window, lamps that flicker, an object that moves from picture to picture.
All of them are off by default, add to each other, and take no random numbers while they are off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import check_range
from visuomotor.types import FloatArray, IntArray

Array = NDArray[np.float32]
VEIL, GLARE_DISC, GLARE_SIGMA = 0.3, 3.0, 0.12
"""Of full glare: light everywhere, light in the middle of the disc, in that of a white sheet; and
the disc's standard deviation in the picture's side."""
STREAKS, STREAK_COVER = 60, 0.5
"""Of full rain: streaks in a picture, and how much a streak hides."""
STREAK_SHARE = (0.06, 0.2)
"""Lengths, in the picture's side."""
BLOBS, BLOB_COVER, BLOB_SIGMA = 12, 0.9, (0.015, 0.05)
"""Of full dust: blobs, how much the middle of each hides, standard deviations in the picture's
side."""


@dataclass(frozen=True)
class NuisanceConfig:
    """How much of what; 0 is none, 1 is a lot."""

    glare: float = 0.0
    """A bright veil over the picture, and a disc of light at a place of its own in each episode."""
    rain: float = 0.0
    """Bright streaks, other ones in each picture."""
    dust: float = 0.0
    """Dark blobs, out of focus on the window, at their places for an episode."""
    flicker: float = 0.0
    """Of the lamps: light goes up and down by this share, integrated over the exposure."""
    flicker_hz: float = 100.0
    """Twice the mains frequency."""
    distance_drift_cm: float = 0.0
    """Standard deviation by which the object comes nearer or goes away from picture to picture."""
    lateral_drift_px: float = 0.0
    """Standard deviation, each way, by which it moves sideways, at the reference distance."""

    def __post_init__(self) -> None:
        some = (0, 10)
        check_range(self, glare=some, rain=some, dust=some, flicker=(0, 1))
        check_range(self, flicker_hz=(1e-3, 1e6))
        check_range(self, distance_drift_cm=(0, 1e3), lateral_drift_px=(0, 1e3))

    @property
    def moves(self) -> bool:
        """Whether the object does not stay where it is."""
        return self.distance_drift_cm > 0 or self.lateral_drift_px > 0


class Nuisances:
    """Of B cells, for pictures of ``size_px``."""

    def __init__(self, config: NuisanceConfig, cells: int, size_px: int, seed: int) -> None:
        self.config = config
        self._size_px = size_px
        self._generator = np.random.default_rng([23, seed])
        blobs = round(BLOBS * config.dust)
        self._glare_at = np.full((cells, 2), 0.5)
        self._dust_at = np.zeros((cells, blobs, 3))
        self.begin(np.arange(cells))

    def begin(self, cells: IntArray) -> None:
        """Places for a new episode."""
        if self.config.glare:
            self._glare_at[cells] = self._generator.random((len(cells), 2))
        if self.config.dust:
            shape = (len(cells), self._dust_at.shape[1])
            place = self._generator.random((*shape, 2))
            sigma = self._generator.uniform(*BLOB_SIGMA, (*shape, 1))
            self._dust_at[cells] = np.concatenate([place, sigma], -1)

    def drift(self, count: int) -> tuple[FloatArray, FloatArray]:
        """What the object moves before a picture: (M,) cm and (M, 2) px."""
        c, draw = self.config, self._generator
        away = c.distance_drift_cm * draw.standard_normal(count)
        return away, c.lateral_drift_px * draw.standard_normal((count, 2))

    def lamp(self, exposure_us: FloatArray) -> FloatArray:
        """(M,) light of the lamps by what it is on average, over exposures (M,) that begin at any
        moment."""
        if not self.config.flicker:
            return np.ones(len(exposure_us))
        phase = self._generator.uniform(0, 2 * np.pi, len(exposure_us))
        waves = self.config.flicker_hz * 1e-6 * exposure_us
        factor: FloatArray = 1 + self.config.flicker * np.sinc(waves) * np.cos(phase)
        return factor

    def spoil(self, cells: IntArray) -> tuple[Array, Array] | None:
        """Factor and addend (M, H, W) to the light of each cell, which is 1 for a white sheet; None
        where nothing is in the way."""
        c = self.config
        if not (c.glare or c.rain or c.dust):
            return None
        shape = (len(cells), self._size_px, self._size_px)
        factor, addend = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        if c.dust:
            at = self._dust_at[cells]
            for blob in range(at.shape[1]):
                factor *= 1 - BLOB_COVER * self._bump(at[:, blob, :2], at[:, blob, 2:])
        if c.rain:
            cover = STREAK_COVER * self._streaks(len(cells))
            factor *= 1 - cover
            addend += cover  # a drop shows the bright sky
        if c.glare:
            sigma = np.full((len(cells), 1), GLARE_SIGMA)
            disc = GLARE_DISC * self._bump(self._glare_at[cells], sigma)
            addend += c.glare * (VEIL + disc)
        return factor, addend

    def state_dict(self) -> dict[str, Any]:
        return {
            "glare_at": self._glare_at.copy(),
            "dust_at": self._dust_at.copy(),
            "random": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._glare_at[:] = state["glare_at"]
        self._dust_at[:] = state["dust_at"]
        self._generator.bit_generator.state = state["random"]

    def _bump(self, middle: FloatArray, sigma: FloatArray) -> Array:
        """(M, H, W) Gaussians of height 1, by their places (M, 2) and sizes (M, 1)."""
        at = (np.arange(self._size_px) + 0.5) / self._size_px
        down, across = (np.exp(-0.5 * ((at - middle[:, [n]]) / sigma) ** 2) for n in (0, 1))
        return np.asarray(down[:, :, None] * across[:, None, :], np.float32)

    def _streaks(self, count: int) -> Array:
        """(M, H, W) from 0 to 1: streaks of rain, all slanted alike in one picture."""
        size, draw = self._size_px, self._generator
        cover = np.zeros((count, size, size), np.uint8)
        for picture in cover:
            number = draw.poisson(STREAKS * self.config.rain)
            slant = draw.uniform(-0.3, 0.3)
            start = draw.uniform(-0.1, 1.0, (number, 2)) * size
            length = draw.uniform(*STREAK_SHARE, number) * size
            end = start + np.stack([slant * length, length], -1)
            for first, last in zip(start.round().astype(int), end.round().astype(int), strict=True):
                cv2.line(picture, first.tolist(), last.tolist(), 255, 1, cv2.LINE_AA)
        return np.asarray(cover / 255, np.float32)
