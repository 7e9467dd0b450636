"""What lies under a simulated microscope: procedural specimens, mixed with real pictures.

A specimen is layers of density, before any optics: absorbance, fluorophore or optical path. Each
kind is one public function of this file that paints a ``Scene``; ``kinds`` finds it by its name.
Everything wraps round at the edges, because the optics work by Fourier transform.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import check_range
from visuomotor.errors import InputError, nearest
from visuomotor.types import FloatArray

TEXTURES = (
    "brick",
    "cell",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "microaneurysms",
    "retina",
)
"""Real pictures that scikit-image carries with it."""
Paint = Callable[[FloatArray, FloatArray], FloatArray]
"""Density at offsets (down, right) in um from an object's middle."""


@dataclass(frozen=True)
class Specimen:
    """What is on the stage.

    density: (layers, size_px, size_px) float32, from 0; the 99.9th percentile of the sum over
    layers is 1.
    """

    kind: str
    density: NDArray[np.float32]


@dataclass(frozen=True)
class _Size:
    """How large a specimen is asked for."""

    size_px: int
    pixel_um: float
    slide_seed: int
    field_seed: int
    layers: int
    texture: float
    magnify: float

    def __post_init__(self) -> None:
        seed = (0, 2**63 - 1)
        check_range(self, size_px=(16, 16_384), pixel_um=(1e-6, 1e6), magnify=(1e-6, 1e6))
        check_range(self, slide_seed=seed, field_seed=seed, layers=(1, 1000), texture=(0, 1))


class Scene:
    """A periodic field to paint on. Lengths are in um of the real thing, times ``magnify``."""

    def __init__(self, asked: _Size) -> None:
        self.size_px = asked.size_px
        self.layers = asked.layers
        self.pixel_um = asked.pixel_um / asked.magnify
        self.size_um = self.size_px * self.pixel_um
        self.slide = np.random.default_rng([0, asked.slide_seed])
        """Draws what is the same all over the slide."""
        self.field = np.random.default_rng([1, asked.slide_seed, asked.field_seed])
        """Draws what is where in this field."""
        self.density = np.zeros((asked.layers, asked.size_px, asked.size_px))

    def count(self, per_10000_um2: float) -> int:
        """How many objects so dense a slide has here; at least two, at most ten thousand."""
        mean = per_10000_um2 * self.size_um**2 / 1e4
        return int(np.clip(self.field.poisson(mean), 2, 10_000))

    def place(self) -> tuple[float, float, int]:
        """Somewhere: down and right in um, and a layer."""
        down, right = self.field.uniform(0, self.size_um, 2)
        return down, right, int(self.field.integers(self.layers))

    def add(self, down: float, right: float, layer: int, reach: float, paint: Paint) -> None:
        """Paint an object that ends within ``reach`` (um) of its middle, wrapped round."""
        half = min(int(np.ceil(reach / self.pixel_um)) + 1, self.size_px // 2)
        row, column = int(down / self.pixel_um), int(right / self.pixel_um)
        rows, columns = np.arange(row - half, row + half), np.arange(column - half, column + half)
        y = (rows + 0.5) * self.pixel_um - down
        x = (columns + 0.5) * self.pixel_um - right
        patch = paint(*np.meshgrid(y, x, indexing="ij"))
        self.density[layer][np.ix_(rows % self.size_px, columns % self.size_px)] += patch

    def noise(self, scale_um: float) -> FloatArray:
        """(size_px, size_px) smooth random field, mean 0, deviation 1, detail of this size."""
        sigma = max(scale_um / self.pixel_um, 0.3)
        frequency = np.hypot(
            np.fft.fftfreq(self.size_px)[:, None], np.fft.rfftfreq(self.size_px)[None, :]
        )
        shape = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        white = np.fft.rfft2(self.field.standard_normal((self.size_px, self.size_px)))
        field = np.fft.irfft2(white * shape, (self.size_px, self.size_px))
        field -= field.mean()
        return np.asarray(field / max(float(field.std()), 1e-12))

    def inside(self, distance_um: FloatArray) -> FloatArray:
        """1 where the signed distance to an edge is negative, 0 beyond, one pixel in between."""
        return np.clip(0.5 - distance_um / self.pixel_um, 0, 1)


# ---- the kinds


def stained_tissue(scene: Scene) -> None:
    """Pale cell bodies side by side, dark grainy nuclei, streaks of stroma."""
    body_um, nucleus_share = scene.slide.uniform(7, 11), scene.slide.uniform(0.35, 0.5)
    pale, dark = scene.slide.uniform(0.12, 0.3), scene.slide.uniform(0.6, 0.9)
    for _ in range(scene.count(scene.slide.uniform(35, 60))):
        down, right, layer = scene.place()
        long = body_um * scene.field.uniform(0.7, 1.2)
        radius = _ellipse(scene, scene.field.uniform(0.6, 1.0))

        def cell(y: FloatArray, x: FloatArray, long: float = long, r: Paint = radius) -> FloatArray:
            distance = r(y, x)
            rim = np.exp(-(((distance - nucleus_share * long) / 0.6) ** 2))
            nucleus = scene.inside(distance - nucleus_share * long)
            return pale * scene.inside(distance - long) + dark * nucleus + 0.25 * dark * rim

        scene.add(down, right, layer, 1.1 * long, cell)
    grain = 1 + 0.3 * scene.noise(0.5) + 0.25 * scene.noise(1.2)
    streaks = np.exp(-((scene.noise(6) / 0.12) ** 2)) * scene.slide.uniform(0.1, 0.35)
    scene.density *= np.clip(grain, 0.1, None)
    scene.density[scene.layers // 2] += streaks * np.clip(grain, 0, None)
    scene.density += (0.08 + 0.03 * scene.noise(25)).clip(0) / scene.layers


def bacteria_smear(scene: Scene) -> None:
    """Rods alone, in chains and in clumps on a nearly empty ground, with a little debris."""
    length_um, width_um = scene.slide.uniform(1.5, 4), scene.slide.uniform(0.5, 0.9)
    chain, spread_um = scene.slide.integers(1, 6), scene.slide.uniform(2, 9)
    for _ in range(scene.count(scene.slide.uniform(60, 160)) // 3 + 2):
        down, right, layer = scene.place()
        turn = scene.field.uniform(0, np.pi)
        for link in range(int(scene.field.integers(1, chain + 3))):
            if link and scene.field.random() < 0.4:  # a clump rather than a chain
                down, right = np.array([down, right]) + scene.field.normal(0, spread_um, 2)
                turn = scene.field.uniform(0, np.pi)
            else:
                turn += scene.field.normal(0, 0.25)
                down, right = down + length_um * np.sin(turn), right + length_um * np.cos(turn)
            half = 0.5 * length_um * scene.field.uniform(0.7, 1.2)
            strength = scene.field.uniform(0.7, 1.0)

            def rod(
                y: FloatArray,
                x: FloatArray,
                half: float = half,
                turn: float = turn,
                strength: float = strength,
            ) -> FloatArray:
                along, across = _turned(y, x, turn)
                beyond = np.maximum(np.abs(along) - half, 0)
                distance = np.hypot(beyond, across) - width_um / 2
                return strength * scene.inside(distance) * (1 - 0.3 * np.cos(6 * along / half))

            scene.add(down % scene.size_um, right % scene.size_um, layer, 2 * length_um, rod)
    _debris(scene, 12, 0.6)
    scene.density += 0.03 * np.abs(scene.noise(8)) / scene.layers


def fluorescent_cells(scene: Scene) -> None:
    """Bright nuclei in dim cell bodies with bright puncta, on a dark ground."""
    body_um, nucleus_um = scene.slide.uniform(10, 16), scene.slide.uniform(4, 6)
    puncta, puncta_um = int(scene.slide.integers(8, 30)), scene.slide.uniform(0.25, 0.5)
    for _ in range(scene.count(scene.slide.uniform(8, 16))):
        down, right, layer = scene.place()
        shape, waves = _ellipse(scene, scene.field.uniform(0.6, 1.0)), scene.field.uniform(0, 6, 3)

        def cell(
            y: FloatArray, x: FloatArray, r: Paint = shape, waves: FloatArray = waves
        ) -> FloatArray:
            distance, angle = r(y, x), np.arctan2(y, x)
            ragged = np.ones_like(angle)
            for lobes, wave in enumerate(waves, start=2):
                ragged += 0.12 * np.sin(lobes * angle + wave)
            body = 0.25 * np.exp(-((distance / (0.75 * body_um * ragged)) ** 4))
            return body + 0.6 * scene.inside(distance - nucleus_um)

        scene.add(down, right, layer, 1.5 * body_um, cell)
        for _ in range(puncta):
            y, x = np.array([down, right]) + scene.field.normal(0, 0.4 * body_um, 2)
            spot = _spot(puncta_um * scene.field.uniform(0.7, 1.5), scene.field.uniform(0.4, 1))
            scene.add(y % scene.size_um, x % scene.size_um, layer, 4 * puncta_um, spot)
    scene.density *= np.clip(1 + 0.25 * scene.noise(0.4) + 0.2 * scene.noise(1.5), 0.05, None)


def beads(scene: Scene) -> None:
    """Small spheres of one or two sizes, some in pairs and heaps, at all depths."""
    sizes = scene.slide.uniform(0.4, 2.5, 2)
    second = scene.slide.uniform(0, 0.4)
    for _ in range(scene.count(scene.slide.uniform(30, 90))):
        down, right, layer = scene.place()
        for _ in range(1 + int(scene.field.geometric(0.7) > 1)):
            radius = sizes[int(scene.field.random() < second)]

            def ball(y: FloatArray, x: FloatArray, radius: float = radius) -> FloatArray:
                chord = np.sqrt(np.clip(1 - (y**2 + x**2) / radius**2, 0, None))
                return (0.3 + 0.7 * chord) * scene.inside(np.hypot(y, x) - radius)

            scene.add(down, right, layer, 1.2 * radius, ball)
            turn = scene.field.uniform(0, 2 * np.pi)
            down = (down + 2 * radius * np.sin(turn)) % scene.size_um
            right = (right + 2 * radius * np.cos(turn)) % scene.size_um
    scene.density += 0.02 * np.abs(scene.noise(1.0)) / scene.layers


def fibres(scene: Scene) -> None:
    """Curved filaments, thick and thin, that cross and climb through the layers."""
    thin_um, thick_um = scene.slide.uniform(0.3, 0.6), scene.slide.uniform(1.0, 2.2)
    bend, share = scene.slide.uniform(0.03, 0.12), scene.slide.uniform(0.1, 0.4)
    for _ in range(max(3, scene.count(scene.slide.uniform(6, 14)))):
        down, right, layer = scene.place()
        width = thick_um if scene.field.random() < share else thin_um
        turn, strength = scene.field.uniform(0, 2 * np.pi), scene.field.uniform(0.5, 1)
        depth, climb = float(layer), scene.field.normal(0, 0.01 * scene.layers)
        spot = _spot(width, strength * 0.5 * max(scene.pixel_um, 0.5 * width) / width)
        stride = max(scene.pixel_um, 0.5 * width)
        for _ in range(int(min(scene.field.uniform(0.4, 1.4) * scene.size_um / stride, 4000))):
            down, right = down + stride * np.sin(turn), right + stride * np.cos(turn)
            turn += scene.field.normal(0, bend * np.sqrt(stride))
            depth += climb
            at = int(np.clip(round(depth), 0, scene.layers - 1))
            scene.add(down % scene.size_um, right % scene.size_um, at, 3 * width, spot)
    scene.density *= np.clip(1 + 0.2 * scene.noise(0.6), 0.1, None)
    scene.density += 0.02 * np.abs(scene.noise(4)) / scene.layers


def grid(scene: Scene) -> None:
    """A calibration grid: fine lines, every fifth thicker, scratched and dusty."""
    lines = 5 * int(scene.slide.integers(2, 5))  # whole periods, so that it wraps
    width = scene.slide.uniform(0.08, 0.2)
    place = np.arange(scene.size_px) / scene.size_px * lines + scene.field.uniform(0, lines)
    near = np.abs(place - np.round(place)) * scene.size_um / lines  # um to the nearest line
    fifth = np.round(place) % 5 == 0
    line = scene.inside(near - (0.5 + 0.35 * fifth) * width * scene.size_um / lines)
    scene.density[scene.layers // 2] += np.maximum(line[:, None], line[None, :])
    scene.density *= np.clip(1 + 0.08 * scene.noise(0.5) + 0.1 * scene.noise(10), 0, None)
    _debris(scene, 15, 0.8)
    scene.density += 0.02 * np.abs(scene.noise(0.7)) / scene.layers


def circuit(scene: Scene) -> None:
    """Straight tracks with bends, pads and holes, as on a circuit board, with rough copper."""
    pitch = scene.size_um / int(scene.slide.integers(10, 18))
    width = pitch * scene.slide.uniform(0.25, 0.45)
    for _ in range(max(8, scene.count(1e4 * 0.25 / pitch**2))):
        down, right, layer = scene.place()
        y, x = np.round(np.array([down, right]) / pitch) * pitch
        upright, length = scene.field.random() < 0.5, pitch * scene.field.integers(1, 6)

        def track(
            y: FloatArray, x: FloatArray, upright: bool = upright, length: float = length
        ) -> FloatArray:
            along, across = (y, x) if upright else (x, y)
            edge = np.maximum(np.abs(along) - length / 2, np.abs(across) - width / 2)
            return 0.6 * scene.inside(edge)

        def pad(y: FloatArray, x: FloatArray) -> FloatArray:
            r = np.hypot(y, x)
            return 0.9 * scene.inside(r - 0.9 * width) - 0.8 * scene.inside(r - 0.45 * width)

        scene.add(y % scene.size_um, x % scene.size_um, layer, length, track)
        if scene.field.random() < 0.4:
            scene.add(y % scene.size_um, x % scene.size_um, layer, width, pad)
    np.clip(scene.density, 0, 1, out=scene.density)
    rough = np.clip(1 + 0.2 * scene.noise(0.02 * pitch) + 0.15 * scene.noise(0.1 * pitch), 0, None)
    scene.density = (scene.density + 0.15 / scene.layers) * rough


# ---- by name


def kinds() -> list[str]:
    """Every kind of specimen by name, in the order of the file."""
    return list(_kinds())


def specimen(
    kind: str,
    size_px: int,
    pixel_um: float,
    slide_seed: int,
    field_seed: int = 0,
    layers: int = 1,
    texture: float = 0.0,
    magnify: float = 1.0,
) -> Specimen:
    """A field of a slide, the same for the same seeds.

    pixel_um: size of a pixel on the specimen. slide_seed: what is the same all over the slide;
    field_seed: which field of it. texture: share of a real picture in the density, 0 to 1.
    magnify: how many times larger than life things are. InputError for what cannot be.
    """
    known = _kinds()
    if kind not in known:
        raise InputError(f"specimen {kind!r} is not known; {nearest(kind, known)}")
    asked = _Size(size_px, pixel_um, slide_seed, field_seed, layers, texture, magnify)
    scene = Scene(asked)
    known[kind](scene)
    density = _scaled(np.clip(scene.density, 0, None))
    if texture > 0:
        mixed = (1 - texture) * density
        mixed[layers // 2] += texture * _real_texture(scene)
        density = _scaled(mixed)
    return Specimen(kind, density.astype(np.float32))


def _kinds() -> dict[str, Callable[[Scene], None]]:
    return {
        name: function
        for name, function in vars(sys.modules[__name__]).items()
        if inspect.isfunction(function)
        and function.__module__ == __name__
        and not name.startswith("_")
        and list(inspect.signature(function).parameters) == ["scene"]
    }


# ---- what kinds share


def _scaled(density: FloatArray) -> FloatArray:
    white = float(np.percentile(density.sum(0), 99.9))
    return density / white if white > 0 else density


def _turned(y: FloatArray, x: FloatArray, turn: float) -> tuple[FloatArray, FloatArray]:
    """Along and across a direction."""
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _ellipse(scene: Scene, ratio: float) -> Paint:
    """Distance from the middle, stretched across a random direction."""
    turn = scene.field.uniform(0, np.pi)

    def radius(y: FloatArray, x: FloatArray) -> FloatArray:
        along, across = _turned(y, x, turn)
        return np.asarray(np.hypot(along, across / ratio))

    return radius


def _spot(sigma_um: float, strength: float) -> Paint:
    def spot(y: FloatArray, x: FloatArray) -> FloatArray:
        return np.asarray(strength * np.exp(-(y**2 + x**2) / (2 * (0.6 * sigma_um) ** 2)))

    return spot


def _debris(scene: Scene, per_10000_um2: float, strength: float) -> None:
    """Specks of dust of all sizes."""
    for _ in range(scene.count(per_10000_um2)):
        down, right, layer = scene.place()
        size = 0.25 * scene.field.pareto(2.5) + 0.2
        spot = _spot(min(size, 3.0), strength * scene.field.uniform(0.2, 1))
        scene.add(down, right, layer, 3 * min(size, 3.0), spot)


def _real_texture(scene: Scene) -> FloatArray:
    """(size_px, size_px) dark parts of a real picture as density, mirrored so that it wraps."""
    picture = _picture(TEXTURES[int(scene.slide.integers(len(TEXTURES)))])
    side = min(*picture.shape, 2 * scene.size_px)
    side = int(scene.field.integers(side // 2, side + 1))
    row = int(scene.field.integers(0, picture.shape[0] - side + 1))
    column = int(scene.field.integers(0, picture.shape[1] - side + 1))
    half = -(-scene.size_px // 2)
    crop = cv2.resize(
        picture[row : row + side, column : column + side],
        (half, half),
        interpolation=cv2.INTER_AREA if side >= half else cv2.INTER_LINEAR,
    )
    whole = np.block([[crop, crop[:, ::-1]], [crop[::-1], crop[::-1, ::-1]]])
    dark = whole.max() - whole[: scene.size_px, : scene.size_px].astype(np.float64)
    return np.asarray(dark / max(float(np.percentile(dark, 99.9)), 1e-12))


@functools.lru_cache(maxsize=len(TEXTURES))
def _picture(name: str) -> NDArray[np.float32]:
    """A grey picture of scikit-image's."""
    from skimage import color, data

    picture = getattr(data, name)()
    gray = color.rgb2gray(picture[..., :3]) if picture.ndim == 3 else picture / 255.0
    return np.ascontiguousarray(gray, np.float32)
