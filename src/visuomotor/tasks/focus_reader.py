"""What the autofocus task reads off pictures: thumbnails, sharpness, and what noise alone would be.

Where every picture is known beforehand (a recording), each is read once and looked up from then on;
that is what makes a thousand cells as cheap as one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.frames import FrameBank
from visuomotor.instruments.protocols import Camera, FiniteCamera
from visuomotor.types import BoolArray, ByteArray, FloatArray, Frames, IntArray
from visuomotor.vision.contrast import SIZE, contrast
from visuomotor.vision.noise import noise_sharpness
from visuomotor.vision.transforms import thumbnails

Measure = Callable[[Frames], FloatArray]
LEVELS_SHARED = 0.1
"""A policy's grey levels and a camera's overlap by at least this share of the narrower."""


class ReadingConfig(Protocol):
    """The part of a task's config that decides what is read."""

    @property
    def frame_size_px(self) -> int: ...
    @property
    def history(self) -> int: ...
    @property
    def observation(self) -> tuple[str, ...]: ...
    @property
    def measure(self) -> str: ...
    @property
    def smooth_px(self) -> float: ...
    @property
    def brightness_counts(self) -> bool: ...
    @property
    def display_range(self) -> tuple[float, float] | None: ...


class _Readings:
    """Everything read off the pictures of one finite camera, filled as they are met."""

    def __init__(self, count: int, size_px: int) -> None:
        self.contrast = np.zeros((count, SIZE), np.float32)  # only where it is asked for
        self.bank = FrameBank(np.zeros((count, size_px, size_px), np.uint8))
        self.sharpness = np.zeros(count)
        self.noise = np.full(count, np.nan)  # filled only where it is asked for
        self.known = np.zeros(count, np.bool_)


class FocusReader:
    """Looks through a camera for B cells and keeps the last ``history`` thumbnails of each."""

    def __init__(
        self,
        camera: Camera,
        config: ReadingConfig,
        measure: Measure,
        num_cells: int,
        saw: Callable[[IntArray, Frames], None] = lambda cells, pictures: None,
    ) -> None:
        """saw: told of the cells (M,) and the pictures (M, H, W[, 3]) of each look, where a camera
        takes any. InputError for a policy's grey levels that the camera does not have."""
        _check_levels(config.display_range, camera.display_range)
        self._camera = camera
        self._size_px = config.frame_size_px
        self._display_range = config.display_range
        self._measure = measure
        self._saw = saw
        self._want_frames = "frames" in config.observation
        self._want_contrast = "contrast" in config.observation
        self._finite = camera if isinstance(camera, FiniteCamera) else None
        if self._finite is not None:
            key = (
                self._size_px,
                config.measure,
                config.smooth_px,
                config.brightness_counts,
                config.display_range,
                self._want_contrast,
            )
            fresh = _Readings(self._finite.num_frames, self._size_px)
            self._readings: _Readings = self._finite.memo.setdefault(key, fresh)
            self._ids = np.zeros((num_cells, config.history), np.int64)
            self.bank: FrameBank | None = self._readings.bank
        else:
            self.bank = None
            shape = (num_cells, config.history, self._size_px, self._size_px)
            self._frames = np.zeros(shape, np.uint8)
            self._contrast = np.zeros((num_cells, config.history, SIZE), np.float32)

    def look(
        self, cells: IntArray, first: bool, want_noise: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Take a picture of each cell (M,); returns its sharpness, and that of pure noise (M,).

        first: the picture opens an episode and fills the whole history (yu2018: at reset the first
        frame is repeated). want_noise: (M,); elsewhere noise is 0.
        """
        noise = np.zeros(len(cells))
        if self._finite is not None:
            ids = self._finite.frame_ids(cells)
            self._read(ids)
            _push(self._ids, cells, ids, first)
            noise[want_noise] = self._known_noise(ids[want_noise])
            return self._readings.sharpness[ids], noise
        pictures = self._camera.grab(cells)
        self._saw(cells, pictures)
        if self._want_frames:
            _push(self._frames, cells, self._thumbnails(pictures), first)
        if self._want_contrast:
            _push(self._contrast, cells, contrast(pictures), first)
        if want_noise.any():
            asked = pictures if want_noise.all() else pictures[want_noise]
            noise[want_noise] = noise_sharpness(asked, self._measure)
        return self._measure(pictures), noise

    def history(self) -> ByteArray:
        """(B, history, h, w), newest first."""
        if self.bank is not None:
            return self.bank.get(self._ids)
        return self._frames.copy()

    def contrast_history(self) -> NDArray[np.float32]:
        """(B, history, SIZE), newest first; see ``vision.contrast``."""
        if self.bank is not None:
            found: NDArray[np.float32] = self._readings.contrast[self._ids]
            return found
        return self._contrast.copy()

    def newest_ids(self) -> IntArray:
        """(B,) numbers of the newest pictures, for a finite camera."""
        return self._ids[:, 0].copy()

    def read_all(self) -> None:
        """Read every picture of a finite camera now rather than when it is met."""
        if self._finite is not None:
            self._read(np.arange(self._finite.num_frames))

    def _read(self, ids: IntArray) -> None:
        r = self._readings
        if r.known[ids].all():
            return
        for number in np.unique(ids[~r.known[ids]]):  # one at a time: they may be large
            picture = self._camera_frames(number)
            r.bank.frames[number] = self._thumbnails(picture)[0]
            r.sharpness[number] = self._measure(picture)[0]
            if self._want_contrast:
                r.contrast[number] = contrast(picture)[0]
            r.known[number] = True

    def _thumbnails(self, pictures: Frames) -> ByteArray:
        levels = self._display_range or self._camera.display_range
        return thumbnails(pictures, self._size_px, levels)

    def _known_noise(self, ids: IntArray) -> FloatArray:
        noise = self._readings.noise
        for number in np.unique(ids[np.isnan(noise[ids])]):
            picture = self._camera_frames(number)
            noise[number] = noise_sharpness(picture, self._measure)[0]
        known: FloatArray = noise[ids]
        return known

    def _camera_frames(self, number: int) -> Frames:
        assert self._finite is not None  # only finite cameras know pictures by number
        return self._finite.frames(np.array([number]))

    def state_dict(self) -> dict[str, Any]:
        if self.bank is not None:
            return {"history": self._ids.copy()}
        return {"history": self._frames.copy(), "contrast": self._contrast.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        history = np.array(state["history"])
        if self.bank is not None:
            self._ids = history.astype(np.int64)
            self._read(np.unique(self._ids))
        else:
            self._frames = history.astype(np.uint8)
            self._contrast = np.array(state["contrast"], np.float32)


def _check_levels(learned: tuple[float, float] | None, present: tuple[float, float]) -> None:
    """Between grey levels that a camera does not have, every picture is black, or white."""
    if learned is None:
        return
    shared = min(learned[1], present[1]) - max(learned[0], present[0])
    narrower = min(learned[1] - learned[0], present[1] - present[0])
    if shared < LEVELS_SHARED * narrower:
        raise InputError(
            f"the policy learned with grey levels {learned[0]:g} to {learned[1]:g}, but this "
            f"camera has {present[0]:g} to {present[1]:g}: train on a stack of this camera, or set "
            f"display_range in its rig file"
        )


def _push(history: Any, cells: IntArray, newest: Any, first: bool) -> None:
    """History (B, n, ...): shift the cells' entries back by one and put the newest in front."""
    if first:
        history[cells] = newest[:, None]
    else:
        history[cells, 1:] = history[cells, :-1]
        history[cells, 0] = newest
