"""Detector ``transformers``: DETR, RT-DETR, YOLOS and their like, from a local folder of the
user's as ``save_pretrained`` writes it (config.json, preprocessor_config.json, model.safetensors).

Nothing is downloaded and no pickle is read. The score is from 0 to 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from visuomotor.errors import InputError, MissingExtraError
from visuomotor.models.detectors import Detection
from visuomotor.models.kinds import user_file
from visuomotor.models.pictures import checked_bytes, clipped, colour_bytes
from visuomotor.types import ByteArray, Frames

try:
    from transformers import AutoImageProcessor, AutoModelForObjectDetection
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "transformers") from None


class TransformersDetector:
    """One picture at a time; the best detection by score."""

    def __init__(self, model: Any, processor: Any, min_score: float) -> None:
        self._model = model.eval()
        self._processor = processor
        self._min_score = min_score

    def __call__(self, frames: Frames) -> list[Detection | None]:
        colours = colour_bytes(checked_bytes(frames, "detector transformers"))
        return [self._best(picture) for picture in colours]

    def _best(self, picture: ByteArray) -> Detection | None:
        inputs = self._processor(
            images=picture, return_tensors="pt", input_data_format="channels_last"
        )
        with torch.no_grad():
            outputs = self._model(**inputs)
        sizes = [picture.shape[:2]]
        found = self._processor.post_process_object_detection(
            outputs, threshold=self._min_score, target_sizes=sizes
        )[0]
        if len(found["scores"]) == 0:
            return None
        best = int(found["scores"].argmax())
        left, top, right, bottom = found["boxes"][best].tolist()
        box = clipped(top, left, bottom - top, right - left, *picture.shape[:2])
        number = int(found["labels"][best])
        label = self._model.config.id2label.get(number, f"class {number}")
        return Detection(box, float(found["scores"][best]), str(label))


def build(weights: Path | None, *, min_score: float = 0.5) -> TransformersDetector:
    """weights: the folder. min_score: less sure detections are left out."""
    where = "detector transformers"
    folder = user_file(weights, where, "a folder that save_pretrained wrote")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: expected a folder with a config.json, found none")
    if not 0 <= min_score <= 1:
        raise InputError(f"{where}: min_score: expected 0 to 1, got {min_score}")
    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForObjectDetection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        said = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: expected a model that detects objects, but {said}") from None
    return TransformersDetector(model, processor, min_score)
