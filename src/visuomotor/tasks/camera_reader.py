"""What the camera control task reads off pictures: grey levels, features, an object, quality.

Only what is asked for is read: features cost the most, then detection, then BRISQUE.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from visuomotor.models.detectors import Detection, detector
from visuomotor.models.encoders import encoder
from visuomotor.types import ROI, BoolArray, FloatArray, Frames, IntArray
from visuomotor.vision import exposure
from visuomotor.vision.blur import edge_blur_px
from visuomotor.vision.detail import SIZE as DETAIL
from visuomotor.vision.detail import detail
from visuomotor.vision.quality import MIN_SIDE_PX, Brisque, clipped

_DARKEST = 0.25
"""Mean grey level below which less light says nothing more."""


class Look(NamedTuple):
    """What M pictures show."""

    level: IntArray  # (M,) P, the fullest of 256 grey levels
    histogram: FloatArray  # (M, 10) shares
    edges: FloatArray  # (M, 11) of these shares, 0 to 1
    levels: FloatArray  # (M, 4) P and mean level by logarithm, saturated and dark shares
    detail: NDArray[np.float32]  # (M, DETAIL), see ``vision.detail``
    features: NDArray[np.float32]  # (M, F); empty where nobody asks
    detected: BoolArray  # (M,)
    box: IntArray  # (M, 4) top, left, height, width


class Reads(Protocol):
    """What of a config matters here."""

    @property
    def encoder(self) -> str: ...
    @property
    def encoder_weights(self) -> str | None: ...
    @property
    def detector(self) -> str: ...
    @property
    def quality(self) -> str: ...
    @property
    def brisque_model(self) -> str | None: ...


class CameraReader:
    """Reads pictures (M, H, W[, 3]) uint8."""

    def __init__(
        self, config: Reads, features: bool, details: bool, objects: bool, quality: bool
    ) -> None:
        """features, details, objects, quality: whether anybody asks for them."""
        self._details = details
        self._encoder = encoder(config.encoder, config.encoder_weights) if features else None
        self._detector = detector(config.detector) if objects else None
        self._by_brisque = quality and config.quality == "brisque"
        self._brisque_model = config.brisque_model
        self._brisque: Brisque | None = None

    def prepare(self) -> None:
        """Load what is needed for pictures alone. InputError where BRISQUE's model is missing:
        policies that were trained with it load, and act, without."""
        if self._by_brisque and self._brisque is None:
            self._brisque = Brisque.load(self._brisque_model)

    @property
    def size(self) -> int:
        """Of the features of one picture."""
        return 0 if self._encoder is None else self._encoder.size

    def look(self, frames: Frames) -> Look:
        """Everything but quality, which is of a part of the picture that is known only then."""
        shares, edges = exposure.coarse_histogram(frames)
        level = exposure.fullest_level(frames)
        mean = frames.mean(axis=tuple(range(1, frames.ndim)))
        levels = [
            np.log2(np.maximum(level, _DARKEST) / exposure.BEST_LEVEL),
            np.log2(np.maximum(mean, _DARKEST) / exposure.BEST_LEVEL),
            exposure.saturated_share(frames),
            exposure.dark_share(frames),
        ]
        count = len(frames)
        found = [None] * count if self._detector is None else self._detector(frames)
        return Look(
            level=level.astype(np.int64),
            histogram=shares,
            edges=edges / 255,
            levels=np.stack(levels, 1),
            detail=detail(frames) if self._details else np.zeros((count, DETAIL), np.float32),
            features=np.zeros((count, 0), np.float32)
            if self._encoder is None
            else self._encoder(frames),
            detected=np.array([one is not None for one in found], np.bool_),
            box=np.array([_corners(one) for one in found], np.int64).reshape(count, 4),
        )

    def quality(self, frames: Frames, box: IntArray | None = None) -> FloatArray:
        """(M,) BRISQUE, 0 to 100, of pictures or of boxes (M, 4) in them; boxes too small for it
        are widened."""
        if self._brisque is None:
            raise RuntimeError("quality is not read off pictures here")
        if box is None:
            return clipped(self._brisque.score(frames))
        wide = [_widened(corners, MIN_SIDE_PX, frames.shape[1:3]) for corners in box]
        parts = [crop(frame, corners) for frame, corners in zip(frames, wide, strict=True)]
        return np.array([clipped(self._brisque.score(part[None]))[0] for part in parts])

    def blur_px(self, frames: Frames, box: IntArray) -> FloatArray:
        """(M,) as the edges of what is in each box (M, 4) show it."""
        pairs = zip(frames, box, strict=True)
        return np.array([edge_blur_px(_inside(crop(frame, one))) for frame, one in pairs])


def crop(frame: Frames, corners: IntArray) -> Frames:
    """The part of a picture (H, W[, 3]) in a box (4,); all of it where the box is empty."""
    top, left, height, width = (int(value) for value in corners)
    if height <= 0 or width <= 0:
        return frame
    return frame[top : top + height, left : left + width]


def _widened(corners: IntArray, side_px: int, shape: tuple[int, ...]) -> IntArray:
    """The box (4,), at least so many pixels high and wide where the picture is; empty stays so."""
    start, size = np.array(corners[:2]), np.array(corners[2:])
    if (size <= 0).any():
        return corners
    more = np.maximum(side_px - size, 0)
    size = np.minimum(size + more, shape)
    start = np.clip(start - more // 2, 0, np.array(shape) - size)
    return np.concatenate([start, size])


def _inside(picture: Frames) -> Frames:
    """Without a sixth on each side: what lies around an object may be brighter than all of it."""
    down, across = picture.shape[0] // 6, picture.shape[1] // 6
    return picture[down : picture.shape[0] - down, across : picture.shape[1] - across]


def _corners(found: Detection | None) -> ROI:
    return ROI(0, 0, 0, 0) if found is None else found.box
