"""The episode log: an append-only file of everything that happened, from which replay is rebuilt.

Layout: a magic word, then records of (kind, length, CRC-32, payload). The first record is a JSON
header with the columns' dtype and the number of cells; then pictures (each once) and rows. A record
that a kill cut short is recognised by its length or checksum, and cut off when the log is opened.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.files import write_atomically
from visuomotor.types import ByteArray

_MAGIC = b"VMLOG\x00\x01\n"
_RECORD = struct.Struct("<BII")
_HEADER, _FRAMES, _ROW = 0, 1, 2
_SEED = 0x564D
"""Of the checksum, so that a stretch of zeros is not a valid record."""


class EpisodeLog:
    """Rows of B cells, and pictures, on disk."""

    def __init__(self, path: Path, dtype: np.dtype[Any], cells: int, at_least: int = 0) -> None:
        """Open for appending; created if absent. What a kill tore off its end is cut away, and
        pictures that no row followed.

        InputError, with nothing changed, if the file is another log (other columns or another
        number of cells), damaged before its end, or has fewer rows than ``at_least``.
        """
        self.path = path
        self.dtype = dtype
        self.rows = 0
        self.frames = 0
        header = json.dumps({"dtype": dtype.descr, "cells": cells}).encode()
        beginning = _MAGIC + _record(_HEADER, header)
        if not path.exists() or beginning.startswith(path.read_bytes()):
            write_atomically(path, beginning)  # new, or killed while it was begun
        end, frames = len(beginning), 0
        for kind, payload, offset in _records(path):
            if kind == _HEADER and payload != header:
                raise InputError(
                    f"{path}: expected a log of {cells} cells with columns {dtype.names}, "
                    f"got {payload.decode(errors='replace')}"
                )
            frames += _count(payload) if kind == _FRAMES else 0
            if kind == _ROW:
                self.rows += 1
                self.frames, end = frames, offset
        if self.rows < at_least:
            raise InputError(
                f"{path}: expected at least the {at_least} rows of the checkpoint, "
                f"got {self.rows}: the log was cut or damaged"
            )
        self._file = path.open("r+b")
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, row: NDArray[Any]) -> None:
        """One time step of all cells, (B,) of the log's dtype. It has left the process when this
        returns: a kill does not lose it."""
        _write(self._file, _ROW, np.ascontiguousarray(row, self.dtype).tobytes())
        self.rows += 1

    def append_frames(self, frames: ByteArray) -> None:
        """New pictures, (M, h, w): numbered on from the last."""
        shape = struct.pack("<III", *frames.shape)
        _write(self._file, _FRAMES, shape + zlib.compress(frames.tobytes(), 1))
        self.frames += len(frames)

    def sync(self) -> None:
        """Wait until everything is on the disk (a power cut does not lose it either)."""
        os.fsync(self._file.fileno())

    def read_rows(self) -> Iterator[NDArray[Any]]:
        """Every row, in order: (B,) each."""
        for kind, payload, _ in _records(self.path):
            if kind == _ROW:
                yield np.frombuffer(payload, self.dtype)

    def read_frames(self) -> Iterator[ByteArray]:
        """Every block of pictures, in order: (M, h, w) each."""
        for kind, payload, _ in _records(self.path):
            if kind == _FRAMES:
                shape = struct.unpack_from("<III", payload)
                yield np.frombuffer(zlib.decompress(payload[12:]), np.uint8).reshape(shape)

    def close(self) -> None:
        self._file.close()


def _count(payload: bytes) -> int:
    return int(struct.unpack_from("<I", payload)[0])


def _record(kind: int, payload: bytes) -> bytes:
    return _RECORD.pack(kind, len(payload), zlib.crc32(payload, _SEED)) + payload


def _write(file: BinaryIO, kind: int, payload: bytes) -> None:
    file.write(_record(kind, payload))
    file.flush()


def _records(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Every whole record: kind, payload, offset of its end. Stops at a torn end; a bad record with
    a good one behind it is damage, and an InputError."""
    content = path.read_bytes()
    if not content.startswith(_MAGIC):
        raise InputError(f"{path}: expected an episode log, got another kind of file")
    at = len(_MAGIC)
    while (found := _parse(content, at)) is not None:
        kind, payload, at_next, whole = found
        if not whole:
            behind = _parse(content, at_next)
            if behind is not None and behind[3]:
                raise InputError(f"{path}: damaged at byte {at}, with good records behind it")
            return
        at = at_next
        yield kind, payload, at


def _parse(content: bytes, at: int) -> tuple[int, bytes, int, bool] | None:
    """The record at an offset: kind, payload, end, whether its checksum holds; None if cut off."""
    if at + _RECORD.size > len(content):
        return None
    kind, length, checksum = _RECORD.unpack_from(content, at)
    end = at + _RECORD.size + length
    if end > len(content):
        return None
    payload = content[at + _RECORD.size : end]
    return kind, payload, end, zlib.crc32(payload, _SEED) == checksum
