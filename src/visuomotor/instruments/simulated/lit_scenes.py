"""What a camera sees from a metre or two: an object at a distance, before a background behind it.

A scene is reflectance in layers of depth. Objects are cards with an ArUco marker or a QR code,
drawn anew for every seed, and prints of real photographs; one scene is a real one whole, with its
depth (the Middlebury motorcycle). Scenes to train on and to test on share neither seeds, nor
markers, nor photographs: ``scene_pool``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from visuomotor.configs import check_range
from visuomotor.errors import InputError, nearest
from visuomotor.instruments.simulated.scenes import PICTURE_GAMMA
from visuomotor.instruments.simulated.specimens import real_picture

Array = NDArray[np.float32]
Half = NDArray[np.float16]
"""Kept in half the memory: pools hold hundreds of scenes."""
Split = Literal["train", "test"]

REFERENCE_CM = 170.0
"""Distance at which an object has the size that its scene says: nearer it is larger."""
NEAREST_CM = 140.0
"""At which it still is inside the picture."""
EDGE_PX = 15
"""At least so far from the picture's edge: OpenCV's marker detector passes over what is nearer."""
TEXELS_PER_PX = 2
"""Of an object's texture, at the reference distance."""
DICTIONARY = cv2.aruco.DICT_4X4_250
MARKERS = {"train": range(200), "test": range(200, 250)}
"""Identifiers of ArUco markers."""
SEEDS = {"train": range(1_000_000), "test": range(1_000_000, 2_000_000)}
PHOTOGRAPHS = {
    "train": "astronaut brick chelsea coins grass immunohistochemistry moon retina",
    "test": "camera coffee gravel rocket stereo_motorcycle",
}
"""Real ones that scikit-image carries with it: backgrounds and prints."""
FACES = "astronaut"
"""Of these ``face`` prints the face; there is one only, so it is the same in both splits."""
FACE_BOX = (10, 130, 220, 220)
"""Top, left, height and width in pixels of that picture."""
QUIET_MODULES = 1
"""White around a marker, each way, in its own modules."""
EDGE_TEXELS = 2
"""Around a texture, where its alpha falls to 0."""
MOTORCYCLE_MM = (193.001 * 994.978, 31.086)
"""Depth is the first over (disparity + the second): baseline times focal length, and offset of the
principal points, as Middlebury states them."""
MOTORCYCLE_LAYERS = 4
WHITE, DIMMED = (0.2, 0.9), (0.3, 1.0)
"""Reflectance of an object's white, and what that is multiplied by, both even by their logarithm:
some objects are darker as a whole, or stand in the shade."""
CARD_CONTRAST = (0.5, 0.7)
"""Of a card's ink to its white."""
BACKGROUND_LEVEL = (0.5, 0.9)
"""Median of the background, by the object's white."""
BACKGROUND_SPAN, LIFT = (0.6, 1.6), 0.05
"""Its darkest and brightest places, by its median; and light added to a photograph, before roots
are taken of it."""
PRINT_CONTRAST = 0.85
"""Of a printed photograph: ink is never black."""


@dataclass(frozen=True)
class LitScene:
    """One scene, whole: the same for the same values. What is None is drawn from the seed."""

    kind: str = "aruco"
    """One of ``kinds``: each is a function of this file, named so and ``_object``."""
    seed: int = 0
    marker: int = 0
    """Identifier of an ArUco marker, or the number that a QR code holds."""
    photographs: str = PHOTOGRAPHS["train"]
    """Names, with spaces between: the seed chooses background and print among them."""
    reflectance: float | None = None
    """Of the object's white."""
    background_cm: float | None = None
    """How far away the background is."""

    def __post_init__(self) -> None:
        check_range(self, seed=(0, 2**63 - 1), marker=(0, 249), reflectance=(1e-3, 1))
        check_range(self, background_cm=(1, 1e5))
        if self.kind not in kinds():
            raise InputError(f"LitScene: kind: got {self.kind!r}; {nearest(self.kind, kinds())}")
        if not self.photographs.split():
            raise InputError("LitScene: photographs: expected at least one name, got none")


@dataclass(frozen=True)
class Layer:
    """One sheet before the background, nearer than what comes before it."""

    texture: Half
    """(h, w, 2) reflectance times coverage, and coverage from 0 to 1."""
    middle_px: tuple[float, float]
    """Right and down from the picture's middle, at the reference distance."""
    texels_per_px: float
    """At the reference distance."""
    depth_ratio: float
    """Its distance over the object's."""


@dataclass(frozen=True)
class Sheets:
    """A scene as it is rendered."""

    background: Half
    """(G, G) reflectance; it fills the picture whatever its distance."""
    background_cm: float
    layers: tuple[Layer, ...]
    """From far to near; where several cover a pixel, the last does. The last is the object."""


def scene_pool(
    split: Split, count: int, seed: int = 0, kinds: Sequence[str] = ("aruco",)
) -> list[LitScene]:
    """``count`` scenes of these kinds in turn. Those of "train" and of "test" share nothing: other
    seeds, other markers, other photographs. The same for the same arguments; another seed gives
    others, of the same split."""
    if split not in SEEDS:
        raise InputError(f"scene_pool: split: got {split!r}; {nearest(split, SEEDS)}")
    if count < 1 or not kinds:
        raise InputError(f"scene_pool: expected at least 1 scene and kind, got {count}, {kinds}")
    draw = np.random.default_rng([17, seed])
    seeds = draw.choice(len(SEEDS[split]), count, replace=False)
    markers = draw.choice(MARKERS[split], count)
    return [
        LitScene(
            kind=kinds[number % len(kinds)],
            seed=int(SEEDS[split][int(chosen)]),
            marker=int(marker),
            photographs=PHOTOGRAPHS[split],
        )
        for number, (chosen, marker) in enumerate(zip(seeds, markers, strict=True))
    ]


def kinds() -> list[str]:
    """Names of all kinds of scenes."""
    return sorted(name.removesuffix("_object") for name in globals() if name.endswith("_object"))


def sheets(scene: LitScene, size_px: int, grid_px: int) -> Sheets:
    """The scene for pictures of ``size_px``, rendered on a grid of ``grid_px`` pixels."""
    draw = np.random.default_rng([11, scene.seed, scene.marker])
    background_cm = float(draw.uniform(200, 600))
    names = scene.photographs.split()
    white = float(np.exp(draw.uniform(*np.log(WHITE)) + draw.uniform(*np.log(DIMMED))))
    white = white if scene.reflectance is None else scene.reflectance
    behind = _background(str(draw.choice(names)), grid_px, white, draw)
    canvas = Canvas(scene, size_px, grid_px, white, names, draw)
    drawn = globals()[f"{scene.kind}_object"](canvas)
    if isinstance(drawn, Sheets):
        return drawn
    return Sheets(behind.astype(np.float16), scene.background_cm or background_cm, (drawn,))


@dataclass(frozen=True)
class Canvas:
    """What an object is made with."""

    scene: LitScene
    size_px: int
    grid_px: int
    white: float
    names: list[str]
    draw: np.random.Generator

    def card(self, modules: NDArray[np.uint8], share: tuple[float, float]) -> Layer:
        """A printed card, (n, n) with 255 for white, that is turned a little, lit a little
        unevenly, and takes this share of the picture's side."""
        contrast = self.draw.uniform(*CARD_CONTRAST)
        ink = 1 - contrast * (1 - modules / 255.0)
        return self.placed(ink.astype(np.float32), share, cv2.INTER_NEAREST)

    def placed(self, ink: Array, share: tuple[float, float], way: int) -> Layer:
        """The print (n, n), 1 for white, somewhere in the picture; at every distance inside it."""
        draw = self.draw
        side_px = draw.uniform(*share) * self.size_px
        turn = draw.uniform(-15, 15)
        grown = abs(np.cos(np.radians(turn))) + abs(np.sin(np.radians(turn)))
        seen = (self.size_px / 2 - EDGE_PX) * NEAREST_CM / REFERENCE_CM
        room = max(seen - side_px * grown / 2, 0.0)
        middle = draw.uniform(-room, room), draw.uniform(-room, room)
        # Drawn four times finer, so that edges are what lies in a texel.
        side = round(4 * TEXELS_PER_PX * side_px)
        large = np.asarray(cv2.resize(ink, (side, side), interpolation=way), np.float32)
        half = int(np.ceil(side_px * grown / 2 * TEXELS_PER_PX)) + EDGE_TEXELS
        out, middle_at = 8 * half, (len(large) - 1) / 2
        move = np.asarray(cv2.getRotationMatrix2D((middle_at, middle_at), turn, 1.0), np.float64)
        move[:, 2] += (out - 1) / 2 - middle_at

        def turned(sheet: Array) -> Array:
            shown = cv2.warpAffine(sheet, move, (out, out), flags=cv2.INTER_LINEAR)
            return np.asarray(cv2.resize(shown, (2 * half,) * 2, interpolation=cv2.INTER_AREA))

        cover = turned(np.ones_like(large))
        lit = self.white * turned(large) * _shade(2 * half, draw)
        texture = np.stack([np.minimum(lit, cover), cover], -1).astype(np.float16)
        return Layer(texture, middle, TEXELS_PER_PX, 1.0)

    def photograph(self) -> Array:
        """One of the scene's photographs, a square of it in linear light, 1 for its white."""
        return _square(_linear(str(self.draw.choice(self.names))), self.draw, 0.6)


def aruco_object(canvas: Canvas) -> Layer:
    """A card with an ArUco marker of 4 x 4 modules."""
    dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARY)
    bare = cv2.aruco.generateImageMarker(dictionary, canvas.scene.marker, 6)
    modules = np.pad(bare, QUIET_MODULES, constant_values=255)
    return canvas.card(modules.astype(np.uint8), (0.34, 0.52))


def qr_object(canvas: Canvas) -> Layer:
    """A card with a QR code that holds the scene's number."""
    bare = cv2.QRCodeEncoder.create().encode(f"{canvas.scene.marker}")
    return canvas.card(np.asarray(bare, np.uint8), (0.62, 0.74))


def photo_object(canvas: Canvas) -> Layer:
    """A print of a real photograph."""
    ink = 1 - PRINT_CONTRAST * (1 - canvas.photograph())
    return canvas.placed(ink, (0.5, 0.75), cv2.INTER_AREA)


def face_object(canvas: Canvas) -> Layer:
    """A print of a face."""
    top, left, height, width = FACE_BOX
    face = _linear(FACES)[top : top + height, left : left + width]
    ink = 1 - PRINT_CONTRAST * (1 - face)
    return canvas.placed(ink, (0.6, 0.75), cv2.INTER_AREA)


def motorcycle_object(canvas: Canvas) -> Sheets:
    """A real scene whole, in layers by its measured depth; the nearest one is the object, and the
    others keep their distances in proportion."""
    picture, depth_mm = _motorcycle()
    draw, grid_px = canvas.draw, canvas.grid_px
    side = min(picture.shape)
    left = int(draw.integers(0, picture.shape[1] - side + 1))
    size = (round(1.25 * TEXELS_PER_PX * grid_px),) * 2
    picture = np.ascontiguousarray(picture[:, left : left + side])
    depth = np.ascontiguousarray(depth_mm[:, left : left + side])
    if draw.random() < 0.5:
        picture, depth = picture[:, ::-1].copy(), depth[:, ::-1].copy()
    lit = canvas.white * cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    far = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
    edges = np.quantile(far, np.arange(1, MOTORCYCLE_LAYERS) / MOTORCYCLE_LAYERS)
    number = np.searchsorted(edges, far)  # 0 is nearest
    middles = [float(np.median(far[number == n])) for n in range(MOTORCYCLE_LAYERS)]
    layers = []
    for n in reversed(range(MOTORCYCLE_LAYERS - 1)):
        cover = cv2.GaussianBlur((number == n).astype(np.float32), (0, 0), 1.0)
        texture = np.stack([lit * cover, cover], -1).astype(np.float16)
        layers.append(Layer(texture, (0.0, 0.0), TEXELS_PER_PX, middles[n] / middles[0]))
    behind = _filled(lit, number == MOTORCYCLE_LAYERS - 1, canvas.size_px / 8)
    cut = (size[0] - TEXELS_PER_PX * grid_px) // 2
    middle = behind[cut : cut + TEXELS_PER_PX * grid_px, cut : cut + TEXELS_PER_PX * grid_px]
    small = cv2.resize(middle, (grid_px, grid_px), interpolation=cv2.INTER_AREA)
    ratio = middles[-1] / middles[0]
    return Sheets(small.astype(np.float16), REFERENCE_CM * ratio, tuple(layers))


def _background(name: str, grid_px: int, white: float, draw: np.random.Generator) -> Array:
    """(G, G) a place of a real photograph: on average about as bright as the object, and of less
    contrast than the photograph, as walls and shelves are."""
    square = _square(_linear(name), draw, 0.5)
    sheet = cv2.resize(square, (grid_px, grid_px), interpolation=cv2.INTER_AREA)
    lifted = np.sqrt((sheet + LIFT) / (float(np.median(sheet)) + LIFT))
    level = white * draw.uniform(*BACKGROUND_LEVEL)
    return np.asarray((level * lifted.clip(*BACKGROUND_SPAN)).clip(0, 0.95), np.float32)


def _square(picture: Array, draw: np.random.Generator, least: float) -> Array:
    """A square of at least this share of the picture's smaller side, turned by quarters or
    mirrored."""
    side = int(draw.uniform(least, 1.0) * min(picture.shape))
    top, left = (int(draw.integers(0, n - side + 1)) for n in picture.shape)
    cut = np.rot90(picture[top : top + side, left : left + side], int(draw.integers(4)))
    return np.ascontiguousarray(cut[:, ::-1] if draw.random() < 0.5 else cut)


def _shade(size: int, draw: np.random.Generator) -> Array:
    """(size, size) around 1: light that falls a little from one side, and paper."""
    down, across = (draw.uniform(-0.15, 0.15) for _ in range(2))
    y, x = np.linspace(-1, 1, size)[:, None], np.linspace(-1, 1, size)[None]
    paper = ndimage.gaussian_filter(draw.standard_normal((size, size)), 3.0)
    return np.asarray(1 + down * y + across * x + 0.03 * paper / paper.std(), np.float32)


def _filled(sheet: Array, known: NDArray[Any], sigma: float) -> Array:
    """The sheet where it is known; elsewhere the mean of what is known around."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    smooth = cv2.GaussianBlur(sheet * known, (0, 0), sigma) / np.maximum(weight, 1e-4)
    # Far from anything known the weight is nothing: the mean of all.
    trust = np.clip(weight / 1e-3, 0, 1)
    smooth = trust * smooth + (1 - trust) * float(sheet[known].mean())
    return np.asarray(np.where(known, sheet, smooth), np.float32)


@functools.cache
def _linear(name: str) -> Array:
    """A photograph in linear light; its 99.9th percentile is 1."""
    light = real_picture(name) ** PICTURE_GAMMA
    return np.asarray((light / np.percentile(light, 99.9)).clip(0, 1), np.float32)


@functools.cache
def _motorcycle() -> tuple[Array, Array]:
    """Reflectance and depth in mm; where no disparity was measured, that of what lies around."""
    from skimage import data

    pictures: Any = data
    _, _, disparity = pictures.stereo_motorcycle()
    known = np.isfinite(disparity) & (disparity > 0)
    nearest_known: Any = ndimage.distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    filled = cv2.medianBlur(disparity[tuple(nearest_known)].astype(np.float32), 5)
    scale, offset = MOTORCYCLE_MM
    light = 1 - PRINT_CONTRAST * (1 - _linear("stereo_motorcycle"))
    return light, np.asarray(scale / (filled + offset), np.float32)
