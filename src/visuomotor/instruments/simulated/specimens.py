"""What lies under a simulated microscope: procedural specimens, mixed with real pictures.

A specimen is layers of density, before any optics: absorbance, fluorophore or optical path. Each
kind is one public function of this file, from a ``Scene`` to its density; ``kinds`` finds it by its
name. Everything wraps round at the edges, because the optics work by Fourier transform.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, spatial

from visuomotor.configs import check_range
from visuomotor.errors import InputError, nearest

Array = NDArray[Any]
Paint = Callable[[Array, Array, Array], Array]
"""Density at offsets (down, right) in pixels from the middles of the objects of these numbers."""
TEXTURES = (  # real pictures that scikit-image carries with it
    "astronaut brick cell chelsea coffee coins grass gravel hubble_deep_field "
    "immunohistochemistry microaneurysms retina stereo_motorcycle"
)
CHUNK_PX = 200_000  # painted at once


@dataclass(frozen=True)
class Specimen:
    """What is on the stage."""

    kind: str
    density: NDArray[np.float32]
    """(layers, size_px, size_px), from 0; the 99.9th percentile of the sum over layers is 1."""


@dataclass(frozen=True)
class Scene:
    """A periodic field to paint on: what ``specimen`` was asked for. Lengths in um are life's."""

    size_px: int
    pixel_um: float
    slide_seed: int
    field_seed: int
    layers: int
    texture: float
    magnify: float

    def __post_init__(self) -> None:
        check_range(self, size_px=(16, 16_384), layers=(1, 1000), texture=(0, 1))
        lengths, seed = (1e-6, 1e6), (0, 2**63)
        check_range(self, pixel_um=lengths, magnify=lengths, slide_seed=seed, field_seed=seed)

    @functools.cached_property
    def slide(self) -> np.random.Generator:
        """Draws what is the same all over the slide."""
        return np.random.default_rng([0, self.slide_seed])

    @functools.cached_property
    def field(self) -> np.random.Generator:
        """Draws what is where in this field."""
        return np.random.default_rng([1, self.slide_seed, self.field_seed])

    def px(self, length_um: Any) -> Any:
        """A length, or an array of them, in pixels."""
        return length_um * (self.magnify / self.pixel_um)

    def places(self, apart_um: float, least: int = 2, keep_um: float = 0) -> Array:
        """(N, 3) places this far apart on average, or 4 px: down and right in pixels, and a layer,
        or between two. Those nearer than ``keep_um`` to an earlier one are left out."""
        mean = min((self.size_px / self.px(apart_um)) ** 2, self.size_px**2 / 16)
        at = self.field.uniform(0, self.size_px, (max(int(self.field.poisson(mean)), least), 2))
        if keep_um > 0:
            tree = spatial.cKDTree(at, boxsize=np.full(2, self.size_px))
            near = min(self.px(keep_um), 0.4 * self.size_px)
            at = np.delete(at, tree.query_pairs(near, output_type="ndarray")[:, 1], 0)
        depth = self.field.uniform(-0.5, self.layers - 0.5, len(at)).clip(0, self.layers - 1)
        return np.column_stack([at, depth])

    def groups(self, apart_um: float, mean: float) -> tuple[Array, Array]:
        """For each member of groups of this mean size: the group's place and first member."""
        start = self.places(apart_um, 3)
        start[:, 2] = np.rint(start[:, 2])
        members = np.minimum(self.field.geometric(1 / mean, len(start)), 60)
        return np.repeat(start, members, 0), np.repeat(np.cumsum(members) - members, members)

    def stamp(self, at: Array, reach_px: Any, paint: Paint) -> Array:
        """(layers, size_px, size_px) objects at places (N, 3), none beyond its reach, wrapped.
        Where they overlap, the highest counts. One between two layers is in both."""
        canvas = np.zeros(self.layers * self.size_px**2, np.float32)
        half = np.ceil(np.broadcast_to(reach_px, len(at))).clip(0, self.size_px).astype(int) + 1
        order = np.argsort(-half, kind="stable")
        while len(order):
            window = np.arange(-half[order[0]], half[order[0]] + 1)
            now, order = np.split(order, [max(1, CHUNK_PX // window.size**2)])
            pixel = np.floor(at[now, :2, None]) + window  # (n, 2, window)
            y, x = np.moveaxis((pixel + 0.5 - at[now, :2, None]).astype(np.float32), 1, 0)
            patch = paint(y[:, :, None], x[:, None, :], now[:, None, None])
            row, column = np.moveaxis(pixel.astype(int) % self.size_px, 1, 0)
            low = np.floor(at[now, 2]).astype(int)
            share = _single(at[now, 2] - low)
            for layer, weight in ((low, 1 - share), (low + 1, share)):
                some = weight > 0
                index = (layer[some, None] * self.size_px + row[some])[..., None] * self.size_px
                index = index + column[some, None]
                part = _single(patch[some] * weight[some, None, None])
                np.maximum.at(canvas, index.ravel(), part.ravel())
        return canvas.reshape(self.layers, self.size_px, self.size_px)

    def blobs(self, at: Array, long: Any, short: Any, turn: Any, bump: float, bowl: float) -> Array:
        """(layers, size_px, size_px) ovals of these half axes in pixels, with bumpy outlines.
        ``bowl``: how much denser their rim is than their middle, below 0 how much less."""
        size, wave, dense = _single(self.field.uniform((0.75, 0, 0.6), (1.2, 6, 1), (len(at), 3))).T
        long, short, turn = _single([long * size, short * size, turn + 0 * size])

        def paint(y: Array, x: Array, i: Array) -> Array:
            along, across = _turned(y, x, turn[i])
            along, across = along / long[i], across / short[i]
            around = np.arctan2(across, along)
            outline = 1 + bump * (np.sin(2 * around + wave[i]) + np.sin(3 * around + 4 * wave[i]))
            share = np.sqrt(along**2 + across**2) / outline
            profile = 1 - max(bowl, 0) + bowl * share ** (4 if bowl > 0 else 1)
            return np.asarray(dense[i] * profile * _inside((share - 1) * short[i]))

        return self.stamp(at, long * (1 + 2 * bump), paint)

    def rods(self, at: Array, turn: Array, half: Any, radius: Any, flat: float) -> Array:
        """(layers, size_px, size_px) straight rods with round ends, of these half axes in pixels;
        ``flat``: 0 is a tube, 1 a band."""
        strength = _single(1 - 0.4 * self.field.random(len(at)) * (flat < 1))
        half, radius = _single(half + 0 * turn), _single(np.maximum(radius, 0.6) + 0 * turn)

        def paint(y: Array, x: Array, i: Array) -> Array:
            along, across = _turned(y, x, _single(turn[i]))
            distance = np.sqrt(np.maximum(np.abs(along) - half[i], 0) ** 2 + across**2)
            tube = flat + (1 - flat) * np.sqrt((1 - (distance / radius[i]) ** 2).clip(0))
            return np.asarray(strength[i] * tube * _inside(distance - radius[i]))

        return self.stamp(at, half + radius, paint)

    def noise(self, *parts: tuple[float, float], stretch: float = 1.0, turn: float = 0.0) -> Array:
        """(size_px, size_px) smooth random field, mean 0: a sum of detail of (scale_um, deviation),
        so many times longer in the direction ``turn`` (rad)."""
        size, power = self.size_px, _single(0)
        fy, fx = _single(fft.fftfreq(size))[:, None], _single(fft.rfftfreq(size))
        along, across = _turned(fy, fx, _single(turn))
        for scale_um, deviation in parts:
            sigma = min(max(self.px(scale_um), 0.5), size / 6)
            longer = min(stretch, size / 6 / sigma)
            shape = np.exp(-((2 * np.pi * sigma) ** 2) * ((longer * along) ** 2 + across**2))
            shape[0, 0] = 0
            # Columns of the half spectrum, but the first, stand for two.
            power = power + shape * (deviation * size) ** 2 / (2 * shape.sum() - shape[:, 0].sum())
        white = fft.rfft2(self.field.standard_normal((size, size), np.float32))
        return np.asarray(fft.irfft2(white * np.sqrt(power), (size, size)))

    def grain(self, *parts: tuple[float, float]) -> Array:
        """(layers, size_px, size_px) round 1, never below 0: noise, elsewhere in each layer."""
        field = (1 + self.noise(*parts)).clip(0)
        shifts = self.field.integers(self.size_px, size=(self.layers, 2))
        return np.stack([np.roll(field, tuple(shift), (0, 1)) for shift in shifts])

    def threads(self, width_um: float, turn: float, bend_um: float) -> Array:
        """(size_px, size_px) noise of wavy streaks in the direction ``turn`` (rad), deviation 1."""
        shifts = [self.noise((4 * bend_um, self.px(bend_um))) for _ in range(2)]
        y, x = _single(np.mgrid[: self.size_px, : self.size_px] + np.stack(shifts))
        field = self.noise((width_um, 1), stretch=14, turn=turn)
        return _single(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))

    def dirt(self, apart_um: float, strength: float = 0.4) -> Array:
        """(layers, size_px, size_px) specks, most of them small, none round, on a faint film."""
        at = self.places(apart_um)
        radius = self.px(0.15 * (1 + self.field.pareto(2, len(at))).clip(0, 12)).clip(0.7)
        film = 0.02 * self.grain((6, 0.6), (0.2, 0.4)) / self.layers
        return np.asarray(strength * (self.blobs(at, radius, radius, 0, 0.2, 0) + film))


def stained_tissue(scene: Scene) -> Array:
    """Pale cytoplasm, dark nuclei with a rim and chromatin grain, wavy stroma, gaps."""
    radius_um, dark, pale, chromatin, stroma, gaps, apart = scene.slide.uniform(
        (2.2, 0.6, 0.1, 0.2, -1.5, 1.2, 1.8), (3.8, 1.0, 0.3, 0.45, 0.8, 2.5, 2.6)
    )
    ahead = scene.slide.uniform(0, np.pi)
    region = np.clip(3 * (scene.noise((14, 1)) + stroma) + 0.5, 0, 1)  # 1 is stroma
    tissue = np.clip(4 * (gaps - scene.noise((9, 1), (0.8, 0.15))), 0, 1)
    at = scene.places(apart * radius_um, 6, 1.9 * radius_um)
    at = at[tissue[tuple(at[:, :2].astype(int).T)] > 0.5]
    spindle = region[tuple(at[:, :2].astype(int).T)] > scene.field.random(len(at))
    turn = np.where(spindle, ahead, 0) + scene.field.normal(0, np.where(spindle, 0.25, 3))
    long, short = scene.px(radius_um * np.where(spindle, [[1.9], [0.6]], [[1.2], [0.95]]))
    nuclei = dark * scene.blobs(at, long, short, turn, 0.05, 0.35)
    nuclei *= scene.grain((0.3, chromatin), (0.8, chromatin))
    streaks = 0.45 * region * scene.threads(0.35, ahead, 2)
    body = pale * tissue * np.clip(1 + scene.noise((4, 0.25)) + streaks, 0.1, None) / scene.layers
    body = body * scene.grain((0.25, 0.15), (0.7, 0.2)) * (1 - np.clip(nuclei, 0, 0.7))
    return np.asarray(nuclei + body + scene.dirt(30, 0.2))


def bacteria_smear(scene: Scene) -> Array:
    """Rods alone, in chains and in clumps on a nearly empty ground, with a little debris."""
    long_um, wide_um, apart_um, chained, mean = scene.slide.uniform(
        (0.2, 0.5, 9, 0, 2), (3.5, 0.9, 24, 1, 9)
    )
    at, first = scene.groups(apart_um, mean)
    wander = np.cumsum(scene.field.normal(0, 0.3, len(at)))
    aside = scene.field.normal(0, 1, at.shape)
    chain = scene.field.random(len(at))[first] < chained
    turn = scene.field.uniform(0, 2 * np.pi, len(at))[first]
    turn += np.where(chain, wander - wander[first], 0.8 * aside[:, 2])
    path = scene.px(long_um + 1.1 * wide_um) * np.stack([np.sin(turn), np.cos(turn)], -1)
    path = np.cumsum(path, 0) - np.cumsum(path, 0)[first]
    clump = scene.px(np.sqrt(mean * (long_um + wide_um) * wide_um) / 2) * aside[:, :2]
    at[:, :2] += np.where(chain[:, None], path, clump)
    half = scene.px(0.5 * long_um) * scene.field.uniform(0.6, 1.3, len(at))
    rods = scene.rods(at, turn, half, scene.px(0.5 * wide_um), 0.7)
    return np.asarray(rods * scene.grain((0.15, 0.15), (0.4, 0.15)) + scene.dirt(12))


def fluorescent_cells(scene: Scene) -> Array:
    """Bright nuclei and dimmer cell bodies with threads and bright puncta, on a dark ground."""
    body_um, nucleus_um, apart, thready, spot_um, puncta = scene.slide.uniform(
        (8, 3.2, 1.2, 0, 0.15, 6), (15, 5, 2.2, 0.8, 0.4, 60)
    )
    shares, ahead = scene.slide.dirichlet((2, 1, 1)), scene.slide.uniform(0, np.pi)
    at = scene.places(apart * body_um, 2, 2.4 * nucleus_um)
    turn, ratio = scene.field.uniform((0, 0.65), (6, 1), (len(at), 2)).T
    reach, long = scene.px(body_um), scene.px(nucleus_um)
    mesh = 1 + thready * (1.6 * np.exp(-((scene.threads(0.25, ahead, 2) / 0.5) ** 2)) - 1)
    bodies = scene.blobs(at, reach, ratio * reach, turn, 0.12, -0.8) * mesh
    nuclei = scene.blobs(at, long, ratio * long, turn, 0.02, 0.2)
    nuclei *= 1 - 0.6 * (scene.noise((0.6, 1)) > 1.7)  # nucleoli
    owner = np.repeat(np.arange(len(at)), scene.field.poisson(puncta, len(at)))
    spots = at[owner] + scene.field.normal(0, 0.4 * reach, (len(owner), 3)) * (1, 1, 0)
    radius = (scene.px(spot_um) * scene.field.uniform(0.7, 1.6, len(owner))).clip(0.6)
    spots_seen = scene.blobs(spots, radius, radius, 0, 0.1, -0.5)
    seen = (0.2 + shares[0]) * nuclei + (0.03 + shares[1]) * bodies
    seen = seen * scene.grain((0.25, 0.2), (0.6, 0.25)) + (0.2 + 1.5 * shares[2]) * spots_seen
    return np.asarray(seen + scene.dirt(30, 0.1))


def beads(scene: Scene) -> Array:
    """Spheres of one or two sizes, alone and in heaps, each in its layer."""
    sizes_um = np.exp(scene.slide.uniform(np.log(0.2), np.log(2.2), 2))
    second, apart, mean, flat = scene.slide.uniform((0, 5, 1, 0), (0.5, 12, 6, 0.9))
    at, first = scene.groups(apart * np.sqrt(sizes_um.max()), mean)
    rows, columns = np.mgrid[-5:6, -5:6].reshape(2, -1)
    lattice = columns + rows / 2 + 1j * rows * np.sqrt(0.75)  # close-packed
    shift = lattice[np.argsort(np.abs(lattice), kind="stable")][np.arange(len(at)) - first]
    shift = shift * np.exp(1j * scene.field.uniform(0, 6, len(at))[first])
    radius = scene.px(sizes_um[(scene.field.random(len(at))[first] < second).astype(int)])
    at += np.stack([shift.imag, shift.real, 0 * radius], -1) * 2.03 * radius[:, None]
    balls = scene.rods(at, 0 * radius, 0, radius, flat)
    return np.asarray(balls * scene.grain((0.12, 0.1)) + scene.dirt(12))


def fibres(scene: Scene) -> Array:
    """Curved filaments from thick to thin, that cross and climb through the layers."""
    width_um, apart_um, bend, spread, climb = scene.slide.uniform(
        (0.4, 7, 0.01, 0.1, 0.2), (1.2, 18, 0.1, 1.6, 1.5)
    )
    at, ahead = scene.places(max(apart_um, 18 / scene.px(1)), 4), scene.slide.uniform(0, np.pi)
    one, top = (len(at), 1), scene.layers - 1
    width = scene.px(width_um / 2) * scene.field.lognormal(0, 0.6, one).clip(0.2, 4)
    step = np.maximum(width, 3.0)
    along = step * np.arange(scene.size_px // 2)
    here = along < scene.size_px * scene.field.uniform(0.3, 1.3, one)
    curve = np.cumsum(scene.field.normal(0, 1, along.shape), 1)
    turn = ahead + scene.field.uniform(-spread, spread, one) + bend * step**0.5 * curve
    y, x = np.cumsum(step * np.stack([np.sin(turn), np.cos(turn)]), 2) + at.T[:2, :, None]
    # Up and down between the lowest and the highest layer.
    rise = climb * scene.field.normal(0, 1, one) * top / scene.size_px
    depth = top - np.abs((at[:, 2:] + rise * along) % max(2 * top, 1) - top)
    half, radius = 0.6 * step + 0 * curve, width * (1 + 0.1 * np.sin(curve))
    tubes = scene.rods(
        np.stack([y, x, depth], -1)[here], turn[here], half[here], radius[here], 0.45
    )
    return np.asarray(tubes * scene.grain((0.15, 0.15), (0.5, 0.15)) + scene.dirt(12))


def grid(scene: Scene) -> Array:
    """A stage micrometer: crossed fine lines, every fifth thicker, worn, scratched and dusty."""
    pitch_um, line, wear, scored = scene.slide.uniform((2.5, 0.04, -3.5, 0), (9, 0.2, -2, 0.6))
    # Whole numbers of lines both ways, so that it wraps.
    lines = 5 * max(round(scene.size_px / max(scene.px(pitch_um), 7) / 5), 1)
    y, x = (np.mgrid[: scene.size_px, : scene.size_px] + 0.5) / scene.size_px
    offset, spacing = scene.field.uniform(0, lines, 2), scene.size_px / lines
    ragged, marks = scene.noise((0.2, 0.15), (0.6, 0.15)), 0 * x
    for place in (lines * x + offset[0], lines * y + offset[1]):
        thick = max(line * spacing, 1.2) * np.where(np.round(place) % 5 == 0, 0.8, 0.5) + ragged
        marks = np.maximum(marks, _inside(np.abs(place - np.round(place)) * spacing - thick))
    marks *= np.where(scene.noise((0.4, 1), (3, 0.7)) < wear, 0.15, 1)
    scratch = np.abs(scene.threads(1.5, offset[0], 6) - 1.5) < 0.04
    density = scene.dirt(9, 0.7)
    density[scene.layers // 2] += marks + scored * scratch * (scene.noise((8, 1)) > 0.5)
    return np.asarray(density * scene.grain((0.2, 0.08), (2, 0.06)))


def circuit(scene: Scene) -> Array:
    """Buses of tracks with bends, ring pads and raised parts, as on a circuit board."""
    pitch_um, share, most, weave = scene.slide.uniform((2, 0.3, 1, 0.02), (4, 0.6, 6, 0.12))
    cells = max(round(scene.size_px / max(scene.px(pitch_um), 6)), 3)  # whole, so that it wraps
    pitch = scene.size_px / cells
    start = scene.places(7 * pitch / scene.px(1), 3)[:, None, None, :2] // pitch  # (bus, 1, 1, 2)
    aim = scene.field.choice([-1, 1], start.shape)
    leg = np.array([(1, 0), (1, 1), (0, 1)])[scene.field.integers(0, 3, (len(start), 1, 5))] * aim
    leg = leg * scene.field.integers(1, 6, (len(start), 1, 5, 1))
    # The tracks of a bus, (bus, track, 1, 2), keep their distance round every bend.
    start = start + aim * (1, -1) * np.arange(int(most))[:, None, None]
    middle, leg = np.broadcast_arrays(start + np.cumsum(leg, 2) - leg / 2, leg)
    middle, leg = middle.reshape(-1, 2) * pitch, leg.reshape(-1, 2) * pitch / 2
    ring = np.insert(start.reshape(-1, 2) * pitch, 2, 0, 1)
    turn, half = np.arctan2(*leg.T), np.hypot(*leg.T)
    copper = scene.rods(np.insert(middle, 2, 0, 1), turn, half, share * pitch / 2, 1)
    pads, holes = (scene.rods(ring, 0 * ring[:, 0], 0, r * pitch, 1) for r in (0.5, 0.22))
    body = np.floor(scene.places(20 * pitch / scene.px(1), 1))  # parts of several heights
    chips = scene.rods(body, np.pi / 2 * scene.field.integers(0, 2, len(body)), 2 * pitch, pitch, 1)
    thread = np.sin(2 * np.pi * cells * (np.arange(scene.size_px) + 0.5) / scene.size_px)
    board = (0.12 + weave * thread[:, None] * thread * (1 + scene.noise((4, 0.3)))) / scene.layers
    density = np.maximum(0.6 * np.maximum(copper, pads) - 0.4 * holes, chips) + board
    return np.asarray(density * scene.grain((0.2, 0.15), (0.6, 0.12)) + scene.dirt(12))


def kinds() -> list[str]:
    """Every kind of specimen by name, in the order of the file."""
    own = {name: f for name, f in globals().items() if inspect.isfunction(f) and name[0] != "_"}
    return [name for name, f in own.items() if list(f.__annotations__)[:1] == ["scene"]]


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
    field_seed: which field of it. texture: share of a real picture, 0 to 1. magnify: how many times
    larger than life things are. InputError for what cannot be.
    """
    if kind not in kinds():
        raise InputError(f"specimen {kind!r} is not known; {nearest(kind, kinds())}")
    scene = Scene(size_px, pixel_um, slide_seed, field_seed, layers, texture, magnify)
    density = _scaled(globals()[kind](scene).clip(0)) * (1 - texture)
    if texture > 0:
        density = _scaled(density + texture * _real_texture(scene))
    return Specimen(kind, density.astype(np.float32))


def _scaled(density: Array) -> Array:
    return density / (float(np.percentile(density.sum(0), 99.9)) or 1.0)  # nothing stays nothing


def _single(values: Any) -> Array:
    return np.asarray(values, np.float32)


def _inside(distance_px: Array) -> Array:
    """1 where the signed distance to an edge is negative, 0 beyond, one pixel in between."""
    return np.asarray(np.clip(0.5 - distance_px, 0, 1))


def _turned(y: Array, x: Array, turn: Any) -> tuple[Array, Array]:
    """Along and across a direction."""
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _real_texture(scene: Scene) -> Array:
    """(layers, size_px, size_px) a real picture as density, mirrored so that it wraps, on a sheet
    that rises and falls through the layers."""
    picture = real_picture(str(scene.slide.choice(TEXTURES.split())))
    half, longest = -(-scene.size_px // 2), min(picture.shape)
    side = int(scene.field.integers(min(half, longest), min(2 * half, longest) + 1))
    row, column = (int(scene.field.integers(length - side + 1)) for length in picture.shape)
    crop: Array = picture[row : row + side, column : column + side]
    crop = _single(cv2.resize(crop, (half, half), interpolation=cv2.INTER_AREA))
    whole = np.block([[crop, crop[:, ::-1]], [crop[::-1], crop[::-1, ::-1]]])
    height = (scene.noise((20, 0.25)) + 0.5).clip(0, 1) * (scene.layers - 1)
    share = (1 - np.abs(height - np.arange(scene.layers)[:, None, None])).clip(0)
    return _scaled(share * (whole - whole.min())[: scene.size_px, : scene.size_px])


@functools.lru_cache(maxsize=16)
def real_picture(name: str) -> NDArray[np.float32]:
    """A grey picture of scikit-image's, 0 to 1."""
    from skimage import color, data

    made = getattr(data, name)()
    picture = made[0] if isinstance(made, tuple) else made
    return _single(color.rgb2gray(picture[..., :3]) if picture.ndim == 3 else picture / 255.0)
