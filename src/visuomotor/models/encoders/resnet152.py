"""Encoder ``resnet152``: the 2048 features of anikina2021, equation (9), with a user's weights.

Weights are torchvision's (.pth, or the same names as .safetensors); none can ship here. The whole
picture is squeezed to a square rather than cropped, so that nothing on it is lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.models.kinds import user_file
from visuomotor.models.pictures import checked_bytes, squeezed
from visuomotor.models.resnet import RESNET152, ResNet
from visuomotor.models.weights import load_torchvision, read_weights
from visuomotor.types import ByteArray, Frames

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
"""Of ImageNet, red, green, blue, white being 1; so the published weights expect it."""
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
BATCH = 16
"""Pictures that go through the network at once."""


class ResNetEncoder:
    """A residual network's features of whole pictures, grey ones in three equal channels."""

    def __init__(self, network: ResNet, size_px: int) -> None:
        self.network = network.eval()
        self.size = network.size
        self._size_px = size_px

    def __call__(self, frames: Frames) -> NDArray[np.float32]:
        """(M, H, W[, 3]) uint8 -> (M, size) float32."""
        checked = checked_bytes(frames, "encoder resnet152")
        features = np.empty((len(checked), self.size), np.float32)
        for start in range(0, len(checked), BATCH):
            pictures = planes(checked[start : start + BATCH], self._size_px, self._size_px)
            with torch.no_grad():
                some = self.network.features(torch.from_numpy(pictures))
            features[start : start + BATCH] = some.numpy()
        return features


def build(weights: Path | None, *, size_px: int = 224) -> ResNetEncoder:
    """size_px: side of the square that pictures are squeezed to."""
    where = "encoder resnet152"
    path = user_file(weights, where, "torchvision's weights (.pth or .safetensors)")
    if size_px < 32:
        raise InputError(f"{where}: size_px: expected 32 or more, got {size_px}")
    network = ResNet(RESNET152)
    load_torchvision(network, read_weights(path), str(path), spare="fc.")
    return ResNetEncoder(network, size_px)


def planes(frames: ByteArray, height_px: int, width_px: int) -> NDArray[np.float32]:
    """(M, H, W[, 3]) -> (M, 3, height_px, width_px), squeezed and normalised as for ImageNet."""
    colours = squeezed(frames, height_px, width_px)
    if colours.ndim == 3:  # grey: three equal channels
        colours = np.repeat(colours[..., None], 3, axis=3)
    normal = (colours / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(np.moveaxis(normal, 3, 1))
