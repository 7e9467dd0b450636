"""What the camera control task remembers of each cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visuomotor.types import BoolArray, FloatArray, IntArray
from visuomotor.vision.detail import SIZE as DETAIL

LEVELS = 4
"""Numbers that sum up the grey levels of a look (see ``camera_reader``), among them ..."""
SATURATED, DARK = 2, 3
"""... the shares of pixels at white and at black."""
SETTINGS = 4
"""Numbers that say how the camera is set: see ``camera_control``."""


@dataclass
class CameraCells:
    """The state of B cells. Looks, H of them, are newest first."""

    exposure_us: FloatArray  # (B,)
    lens: FloatArray  # (B,)
    level: IntArray  # (B,) the fullest grey level of the newest look
    detected: BoolArray  # (B,) in the newest look
    box: IntArray  # (B, 4) top, left, height, width of what was detected; zeros for nothing
    blur_px: FloatArray  # (B,) of the object: true where it is known, else measured
    quality: FloatArray  # (B,) B of the newest look, 0 good to 100 bad
    features: NDArray[np.float32]  # (B, H, F)
    histogram: FloatArray  # (B, H, 10)
    edges: FloatArray  # (B, H, 11)
    levels: FloatArray  # (B, H, LEVELS)
    detail: NDArray[np.float32]  # (B, H, DETAIL)
    settings: FloatArray  # (B, H, SETTINGS)
    executed: FloatArray  # (B, 2) the last change of exposure, in us, and of the lens
    reward: FloatArray  # (B,) of the last step
    steps: IntArray  # (B,)
    exposures: IntArray  # (B,)
    travel: FloatArray  # (B,) of the lens
    focusing: BoolArray  # (B,) the lens is being set; else the exposure time
    succeeded: BoolArray  # (B,)
    unusable: BoolArray  # (B,) ended, as the exposure showed nothing
    out_of_steps: BoolArray  # (B,)

    @classmethod
    def empty(cls, cells: int, history: int, features: int) -> CameraCells:
        """Cells that are over, until they are reset."""

        def zeros(*shape: int) -> FloatArray:
            return np.zeros((cells, *shape))

        def never() -> BoolArray:
            return np.zeros(cells, np.bool_)

        def none() -> IntArray:
            return np.zeros(cells, np.int64)

        return cls(
            exposure_us=zeros(),
            lens=zeros(),
            level=none(),
            detected=never(),
            box=np.zeros((cells, 4), np.int64),
            blur_px=zeros(),
            quality=zeros(),
            features=np.zeros((cells, history, features), np.float32),
            histogram=zeros(history, 10),
            edges=zeros(history, 11),
            levels=zeros(history, LEVELS),
            detail=np.zeros((cells, history, DETAIL), np.float32),
            settings=zeros(history, SETTINGS),
            executed=zeros(2),
            reward=zeros(),
            steps=none(),
            exposures=none(),
            travel=zeros(),
            focusing=never(),
            succeeded=never(),
            unusable=never(),
            out_of_steps=np.ones(cells, np.bool_),
        )

    def note_look(self, cells: IntArray, first: bool, **values: NDArray[np.generic]) -> None:
        """Put what a look of the cells (M,) showed in front of what was seen before; the first
        fills the whole history."""
        for key, value in values.items():
            kept = getattr(self, key)
            if first:
                kept[cells] = value[:, None]
            else:
                kept[cells, 1:] = kept[cells, :-1]
                kept[cells, 0] = value
