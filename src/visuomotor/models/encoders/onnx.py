"""Encoder ``onnx``: any network with one output (N, F), as an ONNX file of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.models.encoders.resnet152 import BATCH, planes
from visuomotor.models.onnx_models import OnnxModel
from visuomotor.models.pictures import checked_bytes, gray_bytes, squeezed
from visuomotor.types import ByteArray, Frames


class OnnxEncoder:
    """The model's features of whole pictures, squeezed to the size that it takes.

    A model of three channels gets them normalised as for ImageNet, grey pictures in three equal
    ones. A model of one channel gets grey levels from 0 to 1.
    """

    def __init__(self, model: OnnxModel) -> None:
        shapes = model.shapes()
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != model.batch:
            raise InputError(f"{model.path}: expected one output (N, F), got {model.has()}")
        self._model = model
        self.size = int(shapes[0][1])

    def __call__(self, frames: Frames) -> NDArray[np.float32]:
        """(M, H, W[, 3]) uint8 -> (M, size) float32."""
        checked = checked_bytes(frames, "encoder onnx")
        features = np.empty((len(checked), self.size), np.float32)
        for start in range(0, len(checked), BATCH):
            some = checked[start : start + BATCH]
            features[start : start + BATCH] = self._model(self._planes(some))[0]
        return features

    def _planes(self, frames: ByteArray) -> NDArray[np.float32]:
        if self._model.channels == 3:
            return planes(frames, *self._model.size_px)
        return squeezed(gray_bytes(frames), *self._model.size_px)[:, None] / np.float32(255)


def build(weights: Path | None, *, size_px: int = 224) -> OnnxEncoder:
    """size_px: side of the square that pictures are squeezed to, where the model takes any."""
    return OnnxEncoder(OnnxModel(weights, "encoder onnx", (3, 1), size_px))
