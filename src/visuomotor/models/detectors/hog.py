"""Detector ``hog``: people, upright and whole, by the histograms of gradients and the support
vector machine that OpenCV brings (Dalal and Triggs 2005).

A person must be about 100 px tall or more; pictures below 128 x 64 px have none. The score is the
distance from the separating plane, above 0.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from visuomotor.errors import InputError
from visuomotor.models.detectors import Detection
from visuomotor.models.kinds import no_file
from visuomotor.models.pictures import checked_bytes, clipped
from visuomotor.types import ByteArray, Frames

WINDOW_PX = (128, 64)
STRIDE_PX = (8, 8)


class HogDetector:
    """Of several people the one with the highest score."""

    def __init__(self, min_score: float, scale: float) -> None:
        self._min_score = min_score
        self._scale = scale
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))

    def __call__(self, frames: Frames) -> list[Detection | None]:
        checked = checked_bytes(frames, "detector hog")
        # OpenCV writes beyond its memory where the window does not fit.
        if checked.shape[1] < WINDOW_PX[0] or checked.shape[2] < WINDOW_PX[1]:
            return [None] * len(checked)
        return [self._best(np.ascontiguousarray(picture)) for picture in checked]

    def _best(self, picture: ByteArray) -> Detection | None:
        boxes, weights = self._hog.detectMultiScale(
            picture, hitThreshold=self._min_score, winStride=STRIDE_PX, scale=self._scale
        )
        found = []
        for (x, y, width, height), weight in zip(boxes, np.ravel(weights), strict=True):
            box = clipped(y, x, height, width, *picture.shape[:2])
            found.append(Detection(box, float(weight), "person"))
        # Threads find them in any order.
        return max(found, key=lambda one: (one.score, one.box), default=None)


def build(weights: Path | None, *, min_score: float = 0.0, scale: float = 1.05) -> HogDetector:
    """min_score: what is nearer to the separating plane is no person. scale: from one size of
    people that is looked for to the next."""
    no_file(weights, "detector hog")
    if not scale > 1.0:
        raise InputError(f"detector hog: scale: expected more than 1, got {scale}")
    return HogDetector(min_score, scale)
