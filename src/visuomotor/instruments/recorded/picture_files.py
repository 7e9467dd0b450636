"""Reading focal stacks from files, and refusing damaged ones.

OME-TIFF, ImageJ TIFF, multi-page TIFF, or a folder of TIFF, PNG, JPEG or BMP pictures.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile

from visuomotor.errors import InputError
from visuomotor.types import FloatArray, Frames

TIFF = (".tif", ".tiff")
SUFFIXES = (*TIFF, ".png", ".jpg", ".jpeg", ".bmp")
PLANE = "plane"
"""The unit of positions that nobody gave a distance for."""
_MICROMETRES = ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", r"\u00B5m")


class Pictures(NamedTuple):
    """What a file or folder holds."""

    frames: Frames  # (P, H, W) or (P, H, W, 3)
    numbers: FloatArray  # (P,) index of each picture along the focus axis
    spacing: float | None  # distance from one number to the next
    unit: str
    positions: FloatArray | None = None  # (P,) where each was taken, if the file tells
    display_range: tuple[float, float] | None = None  # as the rig's file had it that recorded it


def read_pictures(path: Path, channel: int | None = None) -> Pictures:
    """Read a focal stack. InputError, one sentence, for everything that cannot be one."""
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise InputError(f"{path}: expected a focal stack (a TIFF file or a folder), found nothing")
    if path.suffix.lower() not in TIFF:
        raise InputError(
            f"{path}: expected a TIFF file with several pages or a folder of pictures "
            f"({', '.join(SUFFIXES)}), got a single {path.suffix or 'file'}"
        )
    return _read_tiff(path, channel)


def _read_folder(folder: Path) -> Pictures:
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise InputError(
            f"{folder}: expected pictures ({', '.join(SUFFIXES)}) in the folder, found none"
        )
    files.sort(key=lambda file: _natural_key(file.name))
    if len(files) == 1 and files[0].suffix.lower() in TIFF:
        return _read_tiff(files[0], None)
    numbers = _numbers([file.stem for file in files], folder)
    frames: list[Any] = []
    for file in files:
        frame = read_picture(file)
        if frames and (frame.shape, frame.dtype) != (frames[0].shape, frames[0].dtype):
            raise InputError(
                f"{file}: expected a picture like {files[0].name} "
                f"({_describe(frames[0])}), got {_describe(frame)}"
            )
        frames.append(frame)
    return Pictures(np.stack(frames), numbers, None, PLANE)


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts "plane2" before "plane10"."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _signed(stems: list[str]) -> bool:
    """Whether names differ by a minus before their last number in some and none in others
    ("z-1", "z0", "z1"): where all have it, it may as well be a hyphen."""
    plain = {re.sub(r"-?\d+(?=\D*$)", "#", stem) for stem in stems}
    signs = {bool(re.search(r"-\d+\D*$", stem)) for stem in stems}
    return len(plain) == 1 and len(signs) == 2


def _numbers(stems: list[str], folder: Path) -> FloatArray:
    """The number in each name, when names differ in just one: a missing picture leaves a gap.

    Names without such a number are counted; names that form a grid of two are refused.
    """
    counted = np.arange(len(stems), dtype=np.float64)
    if _signed(stems):
        return np.array([float(re.findall(r"-?\d+", stem)[-1]) for stem in stems])
    if len({re.sub(r"\d+", "#", stem) for stem in stems}) != 1:
        return counted
    fields = np.array([[int(n) for n in re.findall(r"\d+", stem)] for stem in stems], np.float64)
    varying = [column for column in fields.T if len(np.unique(column)) > 1]
    complete = [column for column in varying if len(np.unique(column)) == len(stems)]
    if len(varying) == 1:
        return np.asarray(varying[0])  # a number that comes twice is refused as a position
    if varying and not complete:
        raise InputError(
            f"{folder}: expected one picture for each focus position, but the names vary in "
            f"{len(varying)} numbers ({stems[0]} ... {stems[-1]}); keep one series in a folder"
        )
    return counted  # several numbers that go together, as a date and a count


def read_picture(file: Path) -> Any:
    """One picture of a folder: grey (H, W) or RGB (H, W, 3), uint8 or uint16. InputError if it is
    damaged."""
    if file.suffix.lower() in TIFF:
        frames = _read_tiff(file, None).frames
        if len(frames) != 1:
            raise InputError(
                f"{file}: expected one picture in each file of a folder, got {len(frames)}"
            )
        return frames[0]
    content = file.read_bytes()
    if not _is_whole(content, file.suffix.lower()):
        raise InputError(f"{file}: expected a whole picture, got one that is truncated or damaged")
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise InputError(f"{file}: expected a picture, got something that cannot be decoded")
    return picture if picture.ndim == 2 else picture[..., ::-1]  # OpenCV's BGR


def _is_whole(content: bytes, suffix: str) -> bool:
    """Whether the file goes on to its format's end; decoders make do with less."""
    if suffix == ".png":
        return b"IEND" in content[-16:]
    if suffix in (".jpg", ".jpeg"):
        # The end mark must come after the last scan begins: a thumbnail may hold one before.
        return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda") > 0
    if len(content) < 26:
        return False
    start, width, height = np.frombuffer(content[10:26], "<i4")[[0, 2, 3]]
    bits = int(np.frombuffer(content[28:30], "<u2")[0])
    compressed = int(np.frombuffer(content[30:34], "<u4")[0]) not in (0, 3)
    row = (int(width) * bits + 31) // 32 * 4
    return compressed or len(content) >= int(start) + row * abs(int(height))


def _read_tiff(path: Path, channel: int | None) -> Pictures:
    problems: list[str] = []
    try:
        with _heard(problems), tifffile.TiffFile(path) as tif:
            _check_extent(path, tif)
            shapes = {(page.shape, str(page.dtype)) for page in tif.pages}
            if len(shapes) > 1:
                raise InputError(
                    f"{path}: expected pages of one shape and type, got {_some(shapes)}"
                )
            axes, data = _whole_series(path, tif)
            spacing, unit = _spacing(tif)
            placed = _positions(tif)
            levels = _levels(noted_in(tif))
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes the decoder stumble over
        raise InputError(
            f"{path}: expected a whole TIFF file, got one that is truncated or damaged ({error})"
        ) from None
    if problems:
        raise InputError(
            f"{path}: expected a whole TIFF file, got one that is damaged ({problems[0]})"
        )
    frames = _planes(path, np.asarray(data), axes, channel)
    numbers = np.arange(len(frames), dtype=np.float64)
    if placed is None or len(placed[0]) != len(frames):
        return Pictures(frames, numbers, spacing, unit, None, levels)
    at, unit = placed
    order = np.argsort(at, kind="stable")
    return Pictures(frames[order], numbers, spacing, unit, at[order], levels)


def _whole_series(path: Path, tif: tifffile.TiffFile) -> tuple[str, Any]:
    """Axes and array of all the file holds; pages that were written one by one make one stack."""
    series = tif.series
    if len({(s.axes, s.shape) for s in series}) > 1:
        shapes = {(s.shape, str(s.dtype)) for s in series}
        raise InputError(f"{path}: expected one stack, got {len(series)} images, {_some(shapes)}")
    if len(series) == 1:
        return series[0].axes, series[0].asarray()
    return f"Q{series[0].axes}", np.stack([s.asarray() for s in series])


@contextmanager
def _heard(problems: list[str]) -> Iterator[None]:
    """Collect what tifffile only logs: it reads on over damage."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            problems.append(record.getMessage())

    logger, ear = logging.getLogger("tifffile"), Ear(logging.ERROR)
    propagate = logger.propagate
    logger.addHandler(ear)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagate


def _check_extent(path: Path, tif: tifffile.TiffFile) -> None:
    """Every strip of every page must lie inside the file."""
    size = path.stat().st_size
    for number, page in enumerate(tif.pages):
        frame = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
        pairs = zip(frame.dataoffsets, frame.databytecounts, strict=True)
        if any(offset + count > size for offset, count in pairs):
            raise InputError(
                f"{path}: expected a whole TIFF file, but page {number} is cut off "
                f"(the file ends at {size} bytes)"
            )


def _planes(path: Path, data: Any, axes: str, channel: int | None) -> Frames:
    """Arrange to (P, H, W) or (P, H, W, 3); every axis but one focus axis must be of length one."""
    if "C" in axes and data.shape[axes.index("C")] > 1:
        count = data.shape[axes.index("C")]
        if channel is None or not 0 <= channel < count:
            raise InputError(
                f"{path}: expected one channel, got {count}; choose with channel=0..{count - 1}"
            )
        data, axes = data.take(channel, axes.index("C")), axes.replace("C", "")
    colour = axes.endswith("S") and data.shape[-1] in (3, 4)
    picture_axes = axes[-3:] if colour else axes[-2:]
    leading = [(a, n) for a, n in zip(axes, data.shape, strict=True) if a not in picture_axes]
    long = [(a, n) for a, n in leading if n > 1]
    if len(long) > 1:
        raise InputError(
            f"{path}: expected one focus axis, got several axes of pictures: "
            f"{', '.join(f'{a} of {n}' for a, n in long)}"
        )
    frames: Frames = data.reshape(-1, *data.shape[len(leading) :])
    return frames[..., :3] if colour else frames


def _spacing(tif: tifffile.TiffFile) -> tuple[float | None, str]:
    """Distance between planes and its unit, from OME or ImageJ metadata."""
    size: Any = None
    unit = "um"
    if tif.is_ome and tif.ome_metadata:
        images = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        size, unit = pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit", "um")
    elif tif.imagej_metadata:
        size, unit = tif.imagej_metadata.get("spacing"), tif.imagej_metadata.get("unit", "um")
    if not isinstance(size, (int, float)) or not size > 0:
        return None, PLANE
    return float(size), "um" if unit in _MICROMETRES else str(unit)


def _positions(tif: tifffile.TiffFile) -> tuple[FloatArray, str] | None:
    """Where each plane was taken, and the unit: from OME's Plane elements, or from what
    ``StackWriter`` notes on each page. None unless every plane has a place of its own."""
    if tif.is_ome and tif.ome_metadata:
        images = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
        planes = (images[0] if isinstance(images, list) else images)["Pixels"].get("Plane", [])
        notes = [(p.get("PositionZ"), p.get("PositionZUnit", "um")) for p in _as_list(planes)]
    else:
        notes = [_noted(page) for page in tif.pages]
    at = [where for where, _ in notes if isinstance(where, (int, float))]
    if len(at) < len(notes) or len(set(at)) < len(at) or not at:
        return None
    unit = str(notes[0][1])
    return np.array(at, np.float64), "um" if unit in _MICROMETRES else unit


def noted_in(tif: tifffile.TiffFile) -> dict[str, Any]:
    """What ``StackWriter`` was told about this recording; empty for any other file."""
    try:
        if tif.is_ome and tif.ome_metadata:
            image = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
            return dict(json.loads(image["Description"]))
        about = dict(json.loads(tif.pages.first.description))
        del about["position"], about["unit"]
    except (ValueError, TypeError, KeyError, IndexError):
        return {}
    return about


def _levels(about: Mapping[str, Any]) -> tuple[float, float] | None:
    """``display_range`` of the camera of the rig that recorded this, where its owner chose one."""
    try:
        black, white = about["rig"]["camera"]["display_range"]
        return (float(black), float(white)) if black < white else None
    except (ValueError, TypeError, KeyError):
        return None


def _noted(page: tifffile.TiffPage | tifffile.TiffFrame) -> tuple[Any, str]:
    """Position and unit in a page's description, as ``StackWriter`` writes it."""
    try:
        note = json.loads(page.aspage().description)
        return note["position"], note["unit"]
    except (ValueError, TypeError, KeyError):
        return None, ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _describe(frame: Any) -> str:
    return f"{' x '.join(str(n) for n in frame.shape)} {frame.dtype}"


def _some(shapes: set[tuple[Any, str]]) -> str:
    named = sorted(f"{' x '.join(str(n) for n in shape)} {kind}" for shape, kind in shapes)
    return " and ".join(named[:3]) + (" ..." if len(named) > 3 else "")
