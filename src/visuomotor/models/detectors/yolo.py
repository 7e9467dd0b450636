"""Detector ``yolo``: an ONNX export of a YOLO of the user's, by onnxruntime.

Two layouts of outputs are known: (1, N, 5 + classes) of version 5 and its like, with a score for
"there is something", and (1, 4 + classes, N) of version 8 and later. Boxes are in pixels of the
model's input: middle, width, height. Exports that suppress overlaps themselves (1, 300, 6) are
refused. The score is from 0 to 1.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.models.detectors import Detection
from visuomotor.models.onnx_models import OnnxModel
from visuomotor.models.pictures import checked_bytes, clipped, colour_bytes
from visuomotor.types import ByteArray, Frames

MARGIN_DN = 114
"""Grey level around a picture that is not as wide and high as the model's input; YOLO's own."""


class YoloDetector:
    """One picture at a time: enlarged or shrunk as it is to fit, on a grey ground."""

    def __init__(
        self, model: OnnxModel, min_score: float, overlap: float, labels: Sequence[str] | None
    ) -> None:
        # Each for one picture.
        shapes = [
            (1, *shape[1:]) if shape[:1] == (model.batch,) else () for shape in model.shapes()
        ]
        fitting = [number for number, shape in enumerate(shapes) if _classes(shape) > 0]
        if not fitting:
            raise InputError(
                f"{model.path}: expected an output (1, 4 + classes, N) or (1, N, 5 + classes), "
                f"got {', '.join(map(str, model.shapes()))} ({model.has()})"
            )
        self._model = model
        self._output = fitting[0]
        self._min_score = min_score
        self._overlap = overlap
        classes = _classes(shapes[self._output])
        self.labels = _labels(model, classes) if labels is None else list(labels)
        if len(self.labels) != classes:
            raise InputError(
                f"{model.path}: labels: expected {classes}, one for each class, "
                f"got {len(self.labels)}"
            )

    def __call__(self, frames: Frames) -> list[Detection | None]:
        colours = colour_bytes(checked_bytes(frames, "detector yolo"))
        return [next(iter(self.everything(picture)), None) for picture in colours]

    def everything(self, picture: ByteArray) -> list[Detection]:
        """All detections of one picture (H, W, 3), best first; of those that overlap the best."""
        planes, scale, (top, left) = letterboxed(picture, *self._model.size_px)
        boxes, scores, classes = decoded(self._model(planes)[self._output])
        # Middle, width, height of the input to corner, width, height of the picture.
        boxes[:, :2] -= boxes[:, 2:] / 2 + np.array([left, top])
        boxes /= scale
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self._min_score, self._overlap)
        order = sorted(np.ravel(kept).astype(int), key=lambda i: (-scores[i], i))
        found = []
        for index in order:
            x, y, width, height = boxes[index].tolist()
            box = clipped(y, x, height, width, *picture.shape[:2])
            label = self.labels[classes[index]]
            found.append(Detection(box, float(scores[index]), label))
        return found


def build(
    weights: Path | None,
    *,
    min_score: float = 0.25,
    overlap: float = 0.45,
    size_px: int = 640,
    labels: Sequence[str] | None = None,
) -> YoloDetector:
    """min_score: less sure detections are left out. overlap: intersection over union from which two
    boxes of any class are one object. size_px: of the input, where the model takes any. labels: of
    the classes; None takes those of the file, or their numbers."""
    for name, value in (("min_score", min_score), ("overlap", overlap)):
        if not 0 <= value <= 1:
            raise InputError(f"detector yolo: {name}: expected 0 to 1, got {value}")
    model = OnnxModel(weights, "detector yolo", (3,), size_px)
    return YoloDetector(model, min_score, overlap, labels)


def letterboxed(
    picture: ByteArray, height_px: int, width_px: int
) -> tuple[NDArray[np.float32], float, tuple[int, int]]:
    """(H, W, 3) -> (1, 3, height_px, width_px) from 0 to 1, how much larger it is now, and how many
    pixels of ground lie above and left of it."""
    scale = min(height_px / picture.shape[0], width_px / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    top, left = (height_px - height) // 2, (width_px - width) // 2
    ground = np.full((height_px, width_px, 3), MARGIN_DN, np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    ground[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=method
    )
    planes = ground.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    return planes, scale, (top, left)


def decoded(
    output: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Either layout -> boxes (N, 4) as middle x, y, width, height; scores (N,); classes (N,)."""
    rows = output[0].astype(np.float64)
    if _is_v8(output.shape):
        rows = rows.T
        scores = rows[:, 4:]
    else:
        scores = rows[:, 4:5] * rows[:, 5:]
    classes = scores.argmax(1)
    return rows[:, :4].copy(), scores[np.arange(len(rows)), classes], classes


def _is_v8(shape: tuple[int, ...]) -> bool:
    """There are always more boxes than numbers for each."""
    return shape[1] < shape[2]


def _classes(shape: tuple[int, ...]) -> int:
    """How many classes an output of this shape has; 0: it is none of the two layouts."""
    if len(shape) != 3 or shape[0] != 1:
        return 0
    if _is_v8(shape):
        return max(shape[1] - 4, 0)
    # Corners, score and class of boxes whose overlaps the model has suppressed already.
    suppressed = shape[2] == 6 and shape[1] <= 300
    return 0 if suppressed else max(shape[2] - 5, 0)


def _labels(model: OnnxModel, classes: int) -> list[str]:
    """As YOLO's own exporter writes them: a dict of numbers to names, in Python's spelling."""
    try:
        names = dict(ast.literal_eval(model.metadata()["names"]))
    except (KeyError, ValueError, SyntaxError, TypeError):
        names = {}
    return [str(names.get(number, f"class {number}")) for number in range(classes)]
