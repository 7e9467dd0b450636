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
from visuomotor.types import ByteArray

_MAGIC = b"VMLOG\x00\x01\n"
_RECORD = struct.Struct("<BII")
_HEADER, _FRAMES, _ROW = 0, 1, 2


class EpisodeLog:
    """Rows of B cells, and pictures, on disk."""

    def __init__(self, path: Path, dtype: np.dtype[Any], cells: int) -> None:
        """Open for appending; created if absent. A torn last record is cut off.

        InputError if the file is another log: other columns or another number of cells.
        """
        self.path = path
        self.dtype = dtype
        self.rows = 0
        self.frames = 0
        header = {"dtype": dtype.descr, "cells": cells}
        if not path.exists():
            with path.open("wb") as file:
                file.write(_MAGIC)
                _write(file, _HEADER, json.dumps(header).encode())
        end = len(_MAGIC)
        for kind, payload, end in _records(path):  # noqa: B007
            if kind == _HEADER and json.loads(payload) != json.loads(json.dumps(header)):
                raise InputError(
                    f"{path}: expected a log of {cells} cells with columns {dtype.names}, "
                    f"got {payload.decode()}"
                )
            self.rows += kind == _ROW
            self.frames += _count(payload) if kind == _FRAMES else 0
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


def _write(file: BinaryIO, kind: int, payload: bytes) -> None:
    file.write(_RECORD.pack(kind, len(payload), zlib.crc32(payload)) + payload)
    file.flush()


def _records(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Every whole record: kind, payload, offset of its end. Stops at the first torn one."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{path}: expected an episode log, got another kind of file")
        while True:
            head = file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                return
            kind, length, checksum = _RECORD.unpack(head)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield kind, payload, file.tell()
