"""Tiles of real recordings, each with the focus that is stated for it.

A frame is cut into tiles of at least ``TILE_PX``; each is a view of its own, though tiles of one
recording are no independent samples. All tiles of a set share one fine step, a whole part of the
distance between planes: the median of what each tile's own curve asks for (a fifth of its width
above 0.9), never more than that distance. Where it is less, pictures between planes are blended
(``FocalStack.interpolated_from``). Recordings are one exposure of each plane: their curves are not
free of noise.

What is in focus on a tile (rule of every set):

- planes above 0.9 of the maximum of the tile's own curve (Tenengrad of the smoothed picture by its
  squared mean), each half a plane either way: a thick or tilted sample has its focus elsewhere in
  each tile, and two depths in a tile are two;
- the tile's sharpest plane, by as much as the set's stated tolerance;
- the stated planes themselves, by that tolerance, where the tile's sharpest plane agrees to them.

Tiles that hardly change (``MIN_CHANGE``) hold no sample and are left out. Where the sharpest plane
is the first or last one, or sharper than that by no more than 2 %, focus may lie beyond:
``at_limit`` there is right too. No start of a recording counts as blind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.studies.generalisation.episodes import Case, instrument_of
from visuomotor.studies.generalisation.scoring import Truth
from visuomotor.studies.generalisation.unseen import starts_of
from visuomotor.tasks.autofocus import AutofocusTask
from visuomotor.tasks.judging import BLURRIER_FRACTION
from visuomotor.types import ROI, Frame

TILE_PX, MOST_TILES = 192, 3
"""Least side of a tile where the frame has it, and most tiles along each side."""
MIN_CHANGE = 0.4
"""Of a tile's sharpness, from its highest to its lowest, as a share of the highest."""
HALF_A_PLANE = 0.5
IN_FOCUS = 0.9


@dataclass(frozen=True)
class RealSet:
    """A recording and what its source says."""

    place: str
    """Below the folder of recordings."""
    planes: tuple[float, ...]
    """Stated to be in focus."""
    tolerance: float = HALF_A_PLANE
    """Stated, in planes; where none is, half of one."""
    centre: bool = False
    """Only the middle half of the frame, whole."""
    counted: bool = True
    """In the mean over the sets."""


SETS: dict[str, RealSet] = {
    "mitochondria": RealSet("mit_dfnn_lightsheet/mitochondria", (51,)),
    "microtubules": RealSet("mit_dfnn_lightsheet/microtubules", (51,), 4),
    "pcb": RealSet("mit_pcb_camera_10", (3,)),
    "chart": RealSet("cc0_camera_defocus_6/chart", (0,)),
    "tools": RealSet("cc0_camera_defocus_6/tools", (0,)),
    "exposures": RealSet("cc0_camera_focus_x_exposure_10x5", (0, 1)),
    "beads": RealSet("ccby_beads_41/Bead_Image1_crop.tif", (23,)),
    "usbcase": RealSet("apache_macro_usbcase_31", (17,), centre=True, counted=False),
}
"""Planes count from 0, or as the files are numbered. ``exposures`` is a stack for each exposure."""


def present(data: Path) -> list[str]:
    """The sets that are there."""
    return [name for name, one in SETS.items() if (data / one.place).exists()]


def real_cases(data: Path, name: str, starts: int) -> Iterator[Case]:
    """Every tile of a set with a sample on it, each with so many starts; InputError where the
    recording is not as its reader expects."""
    one = SETS[name]
    kept = [
        tile
        for stack in _stacks(data / one.place)
        for tile in _tiles(stack, one.centre)
        if _changes(tile)
    ]
    plane = float(np.median(np.diff(kept[0].positions)))
    finest = float(np.median([tile.fine_step() for tile in kept]))
    parts = max(1, round(plane / finest))
    unit = 1.0 if kept[0].unit == "plane" else plane  # of the stated planes
    for number, tile in enumerate(kept):
        stack = _finer(tile, plane, parts)
        truth = _truth(tile, stack, one, plane, unit)
        at = starts_of(number, starts, stack.num_positions)
        begin = stack.positions[at.astype(np.int64)]
        yield Case(number, stack.name, truth, begin, instrument_of(stack), name)


def _stacks(path: Path) -> list[FocalStack]:
    """One stack, or one for each exposure of a grid FOCUS_EXPOSURE.bmp."""
    grid: dict[str, dict[int, Path]] = {}
    for file in sorted(path.glob("*.bmp")) if path.is_dir() else []:
        if named := re.fullmatch(r"(\d+)_(\d+)", file.stem):
            grid.setdefault(named[2], {})[int(named[1])] = file
    if not grid:
        return [FocalStack.load(path)]
    return [
        FocalStack(
            np.stack([_gray(files[n]) for n in sorted(files)]),
            np.array(sorted(files), np.float64),
            "plane",
            f"{path.name}-{exposure}",
        )
        for exposure, files in grid.items()
    ]


def _gray(file: Path) -> Frame:
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise InputError(f"{file}: expected a picture, got something else")
    return np.asarray(picture)


def _tiles(stack: FocalStack, centre: bool) -> Iterator[FocalStack]:
    """The frame in equal parts; grey, as the instrument sees it."""
    frames = stack.planes(np.arange(stack.num_positions))
    height, width = frames.shape[1:]
    if centre:
        regions = [ROI(height // 4, width // 4, height // 2, width // 2)]
    else:
        rows, columns = (min(MOST_TILES, max(1, side // TILE_PX)) for side in (height, width))
        h, w = height // rows, width // columns
        regions = [ROI(r * h, c * w, h, w) for r in range(rows) for c in range(columns)]
    for place in regions:
        tile = np.ascontiguousarray(place.crop(frames))
        name = f"{stack.name}-{place.top}-{place.left}"
        yield FocalStack(tile, stack.positions, stack.unit, name)


def _changes(tile: FocalStack) -> bool:
    curve = tile.curve(AutofocusTask().measure)
    return curve.range >= MIN_CHANGE * curve.maximum


def _finer(tile: FocalStack, plane: float, parts: int) -> FocalStack:
    """At so many positions for each plane, the planes themselves among them."""
    planes = round(float(tile.positions[-1] - tile.positions[0]) / plane)
    if parts == 1 and planes + 1 == tile.num_positions:
        return tile
    return tile.resample(planes * parts + 1)


def _truth(tile: FocalStack, stack: FocalStack, one: RealSet, plane: float, unit: float) -> Truth:
    """See the head of the file. unit: of the stated planes, in the axis' unit."""
    measure = AutofocusTask().measure
    curve, own = stack.curve(measure), tile.curve(measure)
    half, tolerance = HALF_A_PLANE * plane, one.tolerance * plane
    sharp = own.positions[own.sharpness > IN_FOCUS * own.maximum]
    stretches = [(float(at) - half, float(at) + half) for at in sharp]
    best = own.best_position
    stretches.append((best - tolerance, best + tolerance))
    stated = [number * unit for number in one.planes]
    if any(abs(best - at) <= tolerance * (1 + 1e-9) for at in stated):
        stretches += [(at - tolerance, at + tolerance) for at in stated]
    tied = own.sharpness >= (1 - BLURRIER_FRACTION) * own.maximum
    end = -1 if tied[0] else 1 if tied[-1] else 0
    blind = np.zeros(stack.num_positions, np.bool_)
    return Truth(curve, stack.spacing, _merged(stretches), blind, fraction=0.0, end=end)


def _merged(stretches: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Those that touch, as one."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(stretches):
        if merged and low <= merged[-1][1] * (1 + 1e-12) + 1e-12:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)
