"""What lies before a simulated camera lens: surfaces with real and drawn detail, and their relief.

A scene is a sheet of reflectance, the share of light that comes back, and soft masks that say which
part of it lies in which layer of depth. Real pictures are taken back to linear light first, because
blur mixes light, not grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from visuomotor.configs import check_range
from visuomotor.errors import InputError, nearest
from visuomotor.instruments.simulated.specimens import TEXTURES, real_picture, specimen

Array = NDArray[np.float32]
SPECIMEN_PIXEL_UM = 0.4
"""At this scale every kind of specimen has detail of all sizes."""
PICTURE_GAMMA = 2.2
"""Of real pictures as they are stored."""
PLACES = 8
"""Tried in a real picture until one has detail."""
MIN_FINE_DETAIL = 0.02
"""Of a place in a real picture: standard deviation of what a 3 x 3 mean takes away, by the mean.
Plain walls and dark sky have less."""
MASK_SLOPE = 5.0
"""How steeply one layer gives way to the next: of smooth noise with deviation 1."""


@dataclass(frozen=True)
class SceneConfig:
    """What lies before the lens."""

    kind: str = "circuit"
    """A kind of specimen; see ``specimens.kinds``."""
    texture: float = 0.5
    """Share of a real picture; 1 is that picture alone."""
    picture: str | None = None
    """Which one of ``specimens.TEXTURES``. None: as the slide seed has it."""
    slide_seed: int = 0
    """What is the same all over the scene: picture, scale, whether things are dark or bright."""
    field_seed: int = 0
    """Which place of it, how it is turned, and where its layers lie."""
    magnify: float = 1.0
    """How many times larger than usual things are. Above 1 real pictures have little fine detail
    left."""
    light: float = 0.8
    """Brightness of what reflects most; 1 is white."""
    contrast: float = 0.98
    """Share of that light which what is darkest lacks."""
    layers: int = 1
    """Of depth."""
    relief_steps: float = 0.0
    """From the lowest to the highest layer, in fine steps of focus."""
    relief: Literal["blobs", "plane"] = "blobs"
    """Layers are scattered patches, or bands as on a tilted plane."""

    def __post_init__(self) -> None:
        check_range(self, texture=(0, 1), magnify=(0.05, 20), light=(1e-6, 1e3), contrast=(0, 1))
        check_range(self, slide_seed=(0, 2**63), field_seed=(0, 2**63))
        check_range(self, layers=(1, 4), relief_steps=(0, 1e4))
        if self.picture is not None and self.picture not in TEXTURES.split():
            raise InputError(
                f"Scene: picture: got {self.picture!r}; {nearest(self.picture, TEXTURES.split())}"
            )
        if self.relief_steps > 0 and self.layers == 1:
            raise InputError(
                f"Scene: layers: expected at least 2 to spread over relief_steps of "
                f"{self.relief_steps:g}, got 1"
            )


def reflectance(scene: SceneConfig, size_px: int) -> Array:
    """(size_px, size_px) from 0; the 99.9th percentile is 1. The same for the same seeds."""
    share = scene.texture
    sheet = np.zeros((size_px, size_px), np.float32)
    if share < 1:
        sheet += (1 - share) * _drawn(scene, size_px)
    if share > 0:
        sheet += share * _pictured(scene, size_px)
    return _scaled(sheet)


def layer_masks(scene: SceneConfig, size_px: int) -> Array:
    """(layers, size_px, size_px) how much of each pixel lies in each layer; they add up to 1."""
    field = _generator(2, scene.slide_seed, scene.field_seed)
    number = np.arange(scene.layers)[:, None, None]
    if scene.relief == "plane":
        turn = field.uniform(0, 2 * np.pi)
        y, x = (np.mgrid[:size_px, :size_px] + 0.5) / size_px - 0.5
        ramp = y * np.sin(turn) + x * np.cos(turn)
        place = (scene.layers - 1) * (ramp / np.ptp(ramp) + 0.5)
        height = -2 * MASK_SLOPE * (place - number) ** 2
    else:
        noise = field.standard_normal((scene.layers, size_px, size_px))
        smooth = ndimage.gaussian_filter(noise, (0, size_px / 9, size_px / 9), mode="wrap")
        height = MASK_SLOPE * smooth / smooth.std()
    weight = np.exp(height - height.max(0))
    return np.asarray(weight / weight.sum(0), np.float32)


def _drawn(scene: SceneConfig, size_px: int) -> Array:
    """(size_px, size_px) a specimen, turned; dark on bright or bright on dark."""
    seeds = scene.slide_seed, scene.field_seed
    density = specimen(
        scene.kind, size_px, SPECIMEN_PIXEL_UM, *seeds, magnify=scene.magnify
    ).density[0]
    turn = _generator(3, *seeds).uniform(0, 360)
    middle = (size_px - 1) / 2
    move = cv2.getRotationMatrix2D((middle, middle), turn, 1.0)
    # It is periodic: the corners of the turned one are filled with what comes next.
    turned = cv2.warpAffine(
        density, move, (size_px, size_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
    ).clip(0, 1)
    dark = _generator(0, scene.slide_seed).random() < 0.5
    return np.asarray(1 - turned if dark else turned, np.float32)


def _pictured(scene: SceneConfig, size_px: int) -> Array:
    """(size_px, size_px) a place of a real picture, turned, in linear light."""
    slide = _generator(1, scene.slide_seed)
    name = str(slide.choice(TEXTURES.split())) if scene.picture is None else scene.picture
    picture = real_picture(name) ** PICTURE_GAMMA
    # Never enlarged by itself, so that it is sharp in focus; up to all of it is seen.
    widest = max(min(picture.shape) / (1.42 * size_px), 1.0)
    scale = scene.magnify / widest ** slide.uniform(0, 1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=way))
    field = _generator(4, scene.slide_seed, scene.field_seed)
    best, detail = np.zeros((size_px, size_px), np.float32), 0.0
    for _ in range(PLACES):
        place = _place(picture, size_px, field)
        if _fine_detail(place) > detail:
            best, detail = place, _fine_detail(place)
        if detail > MIN_FINE_DETAIL:
            break
    return _scaled(best)


def _place(picture: Array, size_px: int, field: np.random.Generator) -> Array:
    """A square of the picture, turned. Beyond its edges the picture is mirrored."""
    half = size_px * 0.71  # to the corners
    turn = field.uniform(0, 360)
    across, down = (
        field.uniform(half, side - half) if side > 2 * half else side / 2
        for side in picture.shape[::-1]
    )
    move = np.asarray(cv2.getRotationMatrix2D((across, down), turn, 1.0), np.float64)
    move[:, 2] += (size_px - 1) / 2 - np.array([across, down])
    seen = cv2.warpAffine(
        picture, move, (size_px, size_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(seen.clip(0), np.float32)


def _fine_detail(place: Array) -> float:
    fine = place - cv2.blur(place, (3, 3))
    return float(fine.std() / (place.mean() or 1.0))


def _scaled(sheet: Array) -> Array:
    return sheet / np.float32(np.percentile(sheet, 99.9) or 1.0)


def _generator(*seeds: Any) -> np.random.Generator:
    return np.random.default_rng([7, *seeds])
