"""Detector ``torchvision``: RetinaNet, Faster R-CNN and the other detection models of torchvision,
with a user's weights (.pth or .safetensors).

Nothing is downloaded. The score is from 0 to 1. Not tested with the CPU build of PyTorch that
constraints.txt pins, as no torchvision fits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from visuomotor.errors import InputError, MissingExtraError, nearest
from visuomotor.models.detectors import Detection
from visuomotor.models.kinds import user_file
from visuomotor.models.pictures import checked_bytes, clipped, colour_bytes
from visuomotor.models.weights import load_torchvision, read_weights
from visuomotor.types import ByteArray, Frames

try:
    from torchvision.models import detection
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "torchvision") from None
except RuntimeError as error:  # it has no operators for this PyTorch
    said = str(error).splitlines()[0]
    raise InputError(
        f"detector torchvision: expected a torchvision that fits torch {torch.__version__}, "
        f"but {said}"
    ) from None


class TorchvisionDetector:
    """One picture at a time; the best detection by score."""

    def __init__(self, model: Any, labels: Sequence[str] | None, min_score: float) -> None:
        self._model = model.eval()
        self._labels = labels
        self._min_score = min_score

    def __call__(self, frames: Frames) -> list[Detection | None]:
        colours = colour_bytes(checked_bytes(frames, "detector torchvision"))
        return [self._best(picture) for picture in colours]

    def _best(self, picture: ByteArray) -> Detection | None:
        planes = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float() / 255
        with torch.no_grad():
            found = self._model([planes])[0]
        if len(found["scores"]) == 0:
            return None
        best = int(found["scores"].argmax())
        score = float(found["scores"][best])
        if score < self._min_score:
            return None
        left, top, right, bottom = found["boxes"][best].tolist()
        box = clipped(top, left, bottom - top, right - left, *picture.shape[:2])
        number = int(found["labels"][best])
        known = self._labels is not None and number < len(self._labels)
        label = self._labels[number] if self._labels is not None and known else f"class {number}"
        return Detection(box, score, label)


def build(
    weights: Path | None,
    *,
    model: str = "fasterrcnn_resnet50_fpn",
    classes: int = 91,
    labels: Sequence[str] | None = None,
    min_score: float = 0.5,
) -> TorchvisionDetector:
    """model: a function of torchvision.models.detection, such as "retinanet_resnet50_fpn".
    classes: how many, the background included, as the weights have them; 91 are COCO's. labels: of
    the classes; None takes their numbers. min_score: less sure detections are left out."""
    where = "detector torchvision"
    path = user_file(weights, where, "weights (.pth or .safetensors)")
    known = [
        name
        for name in dir(detection)
        if "_resnet" in name or "_vgg" in name or "_mobilenet" in name
    ]
    if model not in known:
        raise InputError(f"{where}: model: got {model!r}; {nearest(model, known)}")
    network = getattr(detection, model)(weights=None, weights_backbone=None, num_classes=classes)
    load_torchvision(network, read_weights(path), str(path))
    return TorchvisionDetector(network, labels, min_score)
