"""Reading a folder of pictures taken at focus positions and exposure times.

A table ``grid.csv`` says where each was taken, or the numbers in their names do.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.picture_files import SUFFIXES, read_picture
from visuomotor.types import FloatArray, Frames

TABLE = "grid.csv"
UNKNOWN = ("position", "exposure")
"""Units of focus and exposure where nobody says."""


class Grid(NamedTuple):
    """What a folder holds."""

    frames: Frames  # (F, E, H, W) or (F, E, H, W, 3)
    lens: FloatArray  # (F,) ascending
    exposure: FloatArray  # (E,) ascending
    unit: str
    exposure_unit: str
    name: str


def read_grid(folder: Path, exposure_first: bool) -> Grid:
    """Read a whole grid. InputError, one sentence, for everything that is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, found none")
    found = _table(folder) if (folder / TABLE).is_file() else _named(folder, exposure_first)
    files: dict[Taken, Path] = {}
    for file, place in zip(found.files, found.at, strict=True):
        if place in files:
            words = f"{file.name} and {files[place].name}"
            raise InputError(f"{folder}: expected one picture at a place, got {words} at {place}")
        files[place] = file
    lens = np.unique([place.focus for place in files])
    exposure = np.unique([place.exposure for place in files])
    places = [[Taken(float(at), float(time)) for time in exposure] for at in lens]
    for place in (place for row in places for place in row):
        if place not in files:
            raise InputError(
                f"{folder}: expected a picture at each pair of focus and exposure, found none at "
                f"{place.focus:g} and {place.exposure:g}"
            )
    pictures = [[read_picture(files[place]) for place in row] for row in places]
    first = pictures[0][0]
    for row, seen in zip(places, pictures, strict=True):
        for place, picture in zip(row, seen, strict=True):
            if (picture.shape, picture.dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"{files[place]}: expected a picture like the first ({first.shape} "
                    f"{first.dtype}), got {picture.shape} {picture.dtype}"
                )
    return Grid(np.array(pictures), lens, exposure, *found.units, folder.name)


class Taken(NamedTuple):
    """Where a picture was taken."""

    focus: float
    exposure: float


class _Found(NamedTuple):
    """The pictures of a folder."""

    files: list[Path]
    at: list[Taken]
    units: tuple[str, str]


def _table(folder: Path) -> _Found:
    """What ``grid.csv`` says."""
    path = folder / TABLE
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header, *rows = [row for row in csv.reader(lines) if row] or [[]]
    columns = {name.partition("_")[0]: number for number, name in enumerate(header)}
    if set(columns) != {"file", *Taken._fields} or not rows:
        raise InputError(
            f"{path}: expected rows under file, focus_<unit> and exposure_<unit>, got {header}"
        )
    units = [header[columns[axis]].partition("_")[2] for axis in Taken._fields]
    files, at = [], []
    for row in rows:
        try:
            place = Taken(*(float(row[columns[axis]]) for axis in Taken._fields))
        except (ValueError, IndexError):
            raise InputError(f"{path}: expected a file and two numbers, got {row}") from None
        file = folder / row[columns["file"]]
        if not np.isfinite(place).all() or not file.is_file():
            raise InputError(f"{path}: expected a picture and two finite numbers, got {row}")
        files.append(file)
        at.append(place)
    return _Found(files, at, (units[0] or UNKNOWN[0], units[1] or UNKNOWN[1]))


def _named(folder: Path, exposure_first: bool) -> _Found:
    """What two numbers in each name say."""
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    numbers = [[float(n) for n in re.findall(r"\d+(?:\.\d+)?", file.stem)] for file in files]
    if not files or any(len(pair) != 2 for pair in numbers):
        odd = next((f.name for f, n in zip(files, numbers, strict=True) if len(n) != 2), "none")
        raise InputError(
            f"{folder}: expected pictures whose names hold two numbers, focus and exposure, or a "
            f"table {TABLE}; got {odd}"
        )
    order = slice(None, None, -1 if exposure_first else 1)
    return _Found(files, [Taken(*pair[order]) for pair in numbers], UNKNOWN)
