"""Writing a focal stack while it is recorded: whatever interrupts it leaves a valid file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tifffile

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.picture_files import noted_in
from visuomotor.types import Frame

PLANNED = "planned"
"""In ``about``: how many planes the sweep was to have, where it was a sweep."""
SKIPPED = "skipped"
"""In ``about``: how many of those the drive had no place of their own for."""
PARTIAL = ".partial.tif"


class StackWriter:
    """Pages go one by one into ``NAME.partial.tif``, a whole TIFF after each of them that
    ``FocalStack.load`` reads; leaving the context, by success or not, turns what is there into
    an OME-TIFF, by rename, and removes the partial file."""

    def __init__(self, path: str | Path, unit: str, about: Mapping[str, Any] | None = None) -> None:
        """about: what else a reader should know (exposure, rig), kept as JSON in the file; may be
        added to until the context is left, but pages have it as it was when they were added.
        InputError where nothing can be written, and where something is already: nothing is written
        before the context is entered."""
        self.path = Path(path)
        if not self.path.name.endswith((".tif", ".tiff")):
            raise InputError(f"{self.path}: expected a name that ends in .ome.tif, to write to")
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path}: expected a folder to write to, found none")
        if self.path.exists():
            raise InputError(f"{self.path}: expected a new file, got one that is there")
        stem = re.sub(r"(\.ome)?\.tiff?$", "", self.path.name)
        self._partial = self.path.with_name(stem + PARTIAL)
        if self._partial.exists():
            raise InputError(
                f"{self._partial}: expected no such file; it holds what an earlier recording had "
                f"when it was killed: use it, rename it or remove it"
            )
        self._unit = unit
        self.about = dict(about or {})
        self._positions: list[float] = []

    def __enter__(self) -> Self:
        self._file = _PageFile(self._partial)
        self._tiff = tifffile.TiffWriter(self._file, bigtiff=True)
        self._file.link()
        return self

    def add(self, picture: Frame, position: float) -> None:
        """One more page, in the file when this returns."""
        note = json.dumps({"position": position, "unit": self._unit, **self.about})
        colour = "rgb" if picture.ndim == 3 else "minisblack"
        self._tiff.write(
            picture, photometric=colour, contiguous=False, metadata=None, description=note
        )
        self._file.link()
        self._positions.append(position)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tiff.close()
        self._file.close()
        if self._positions:
            self._finish()
        self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        """The whole as OME-TIFF, ascending, each plane with its own position."""
        with tifffile.TiffFile(self._partial) as written:
            frames = np.stack([page.asarray() for page in written.pages])  # (N, H, W) or RGB
        order = np.argsort(self._positions, kind="stable")
        at = np.asarray(self._positions)[order]
        temporary = self._partial.with_suffix(".ome.tif")
        spacing = float(np.diff(at).mean()) if len(at) > 1 else 1.0
        try:
            tifffile.imwrite(
                temporary,
                frames[order],
                ome=True,
                bigtiff=frames.nbytes > 2**31,
                photometric="minisblack" if frames.ndim == 3 else "rgb",
                metadata={
                    "axes": "ZYX" if frames.ndim == 3 else "ZYXS",
                    "PhysicalSizeZ": spacing,
                    "PhysicalSizeZUnit": "µm" if self._unit == "um" else self._unit,
                    "Plane": {"PositionZ": at.tolist(), "PositionZUnit": [self._unit] * len(at)},
                    "Description": json.dumps(self.about),
                },
            )
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


class _PageFile(io.BufferedWriter):
    """A new file that pages are appended to. Each page links to the next, and tifffile writes the
    link before the page: killed in between, it would lead to nothing. So whatever goes into what
    was there before waits for ``link``."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "x"))
        self._whole = 0
        self._waiting: list[tuple[int, bytes]] = []

    def write(self, data: Any, /) -> int:
        at = self.tell()
        if at >= self._whole:
            return super().write(data)
        self._waiting.append((at, bytes(data)))
        self.seek(len(data), io.SEEK_CUR)
        return len(data)

    def link(self) -> None:
        """What was appended is whole: now it may be linked."""
        self.flush()
        for at, data in self._waiting:
            self.seek(at)
            super().write(data)
        self.flush()
        self._waiting.clear()
        self._whole = self.seek(0, io.SEEK_END)


def noted(path: Path) -> tuple[int, dict[str, Any]]:
    """How many pages a ``StackWriter`` has put into this file, whole or partial, and its
    ``about``; (0, {}) for a file that says nothing of the kind."""
    try:
        with tifffile.TiffFile(path) as tif:
            about = noted_in(tif)
            return (len(tif.pages), about) if about else (0, {})
    except (OSError, ValueError, tifffile.TiffFileError):
        return 0, {}
