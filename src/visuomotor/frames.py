"""Pictures by number, so that nothing stores or encodes the same picture twice."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visuomotor.types import ByteArray, IntArray


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
        return np.take(self.frames, ids, axis=0)  # many times faster than indexing


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
        return np.take(self._ring, ids % self.capacity, axis=0)


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
