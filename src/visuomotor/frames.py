"""Pictures by number, so that nothing stores or encodes the same picture twice."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visuomotor.types import ByteArray, IntArray

SPLIT_BYTES = 8 * 2**20
"""A gather of more bytes than this is shared by two threads."""


class FrameSource(Protocol):
    """A store of (h, w) uint8 pictures."""

    permanent: bool
    """True: a number stays valid for ever; False: old pictures are overwritten."""
    shape: tuple[int, int]

    def put(self, frames: ByteArray) -> IntArray:
        """Store (M, h, w); returns their numbers (M,)."""

    def get(self, ids: IntArray) -> ByteArray:
        """Numbers of any shape -> pictures of that shape + (h, w)."""


class FrameBank:
    """A fixed set of pictures: (N, h, w), for instance the planes of a stack."""

    permanent = True

    def __init__(self, frames: ByteArray) -> None:
        self.frames = frames
        self.shape: tuple[int, int] = (frames.shape[1], frames.shape[2])

    def put(self, frames: ByteArray) -> IntArray:
        raise TypeError("a FrameBank is fixed; pictures are not added to it")

    def get(self, ids: IntArray) -> ByteArray:
        return _gather(self.frames, ids)


class FrameRing:
    """The newest ``capacity`` pictures. Numbers grow for ever; an overwritten one is refused."""

    permanent = False

    def __init__(self, capacity: int, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.capacity = capacity
        self.count = 0
        self._ring = np.zeros((capacity, *shape), np.uint8)

    def put(self, frames: ByteArray) -> IntArray:
        if len(frames) > self.capacity:
            raise ValueError(f"{len(frames)} pictures do not fit a ring of {self.capacity}")
        ids = np.arange(self.count, self.count + len(frames), dtype=np.int64)
        self._ring[ids % self.capacity] = frames
        self.count += len(frames)
        return ids

    def get(self, ids: IntArray) -> ByteArray:
        if ids.size and (ids.min() < self.count - self.capacity or ids.max() >= self.count):
            raise KeyError(
                f"picture {int(ids.min())} is no longer stored (the oldest is "
                f"{max(0, self.count - self.capacity)}, the newest {self.count - 1})"
            )
        return _gather(self._ring, ids % self.capacity)


def _gather(frames: ByteArray, ids: IntArray) -> ByteArray:
    """``frames[ids]``, always a fresh array. np.take is many times faster than indexing.

    One core does not fill the memory's bandwidth: large results are gathered in two halves at once
    (1024 cells of 3 pictures of 84 x 84: 1.6 ms rather than 2.8; below 8 MiB it gains nothing).
    """
    if ids.size * frames.shape[1] * frames.shape[2] <= SPLIT_BYTES:
        return np.take(frames, ids, axis=0)
    if ids.min() < 0 or ids.max() >= len(frames):
        raise IndexError(f"expected numbers from 0 to {len(frames) - 1}")
    found = np.empty((*ids.shape, *frames.shape[1:]), np.uint8)
    rows, flat = found.reshape(-1, *frames.shape[1:]), ids.reshape(-1)
    half = len(flat) // 2

    def take(part: slice) -> None:
        # The range was checked; mode "raise" would buffer all of ``out``.
        np.take(frames, flat[part], axis=0, out=rows[part], mode="clip")

    other = _second_thread(os.getpid()).submit(take, slice(half))
    take(slice(half, None))
    other.result()
    return found


@functools.cache
def _second_thread(process: int) -> ThreadPoolExecutor:
    """One for each process: threads do not survive a fork."""
    return ThreadPoolExecutor(1, thread_name_prefix="frames")


def unique_frames(frames: ByteArray) -> tuple[ByteArray, IntArray]:
    """The different pictures among (..., h, w), and which of them each one is.

    Returns (U, h, w) and an index of the leading shape. Pictures are grouped by a 64-bit hash, and
    compared in every byte afterwards, so equal numbers mean equal pictures.
    """
    leading = frames.shape[:-2]
    flat = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2] * frames.shape[-1])
    padding = -flat.shape[1] % 8
    words = np.pad(flat, ((0, 0), (0, padding))) if padding else flat
    keys = words.view(np.uint64) @ _hash_weights(words.shape[1] // 8)
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    if not np.array_equal(flat[first][index], flat):  # a collision: give every picture its own
        first = index = np.arange(len(flat))
    unique = flat[first].reshape(-1, *frames.shape[-2:])
    return unique, index.reshape(leading).astype(np.int64)


@functools.lru_cache(maxsize=8)
def _hash_weights(count: int) -> NDArray[np.uint64]:
    """Odd random numbers: their products with the words, summed modulo 2^64, are the hash."""
    weights = np.random.default_rng(0).integers(0, 2**63, count, dtype=np.uint64)
    return weights * np.uint64(2) + np.uint64(1)
