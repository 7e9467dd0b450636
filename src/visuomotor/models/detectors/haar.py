"""Detector ``haar``: faces, by the cascades that OpenCV brings (Viola and Jones 2001).

The score is the weight of the cascade's last stage: above 0, without an upper end, and comparable
within one pose only. A user's own cascade (.xml) may be given as weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from visuomotor.errors import InputError, nearest
from visuomotor.models.detectors import Detection
from visuomotor.models.kinds import user_file
from visuomotor.models.pictures import checked_bytes, clipped, gray_bytes
from visuomotor.types import ByteArray, Frames

CASCADES = {
    "frontal": "haarcascade_frontalface_alt2.xml",
    "left": "haarcascade_profileface.xml",
    "right": "haarcascade_profileface.xml",  # of the mirrored picture
}
SCALE = 1.1


class HaarDetector:
    """Poses are tried one after the other; the first that finds a face counts, and of several
    faces the one with the highest score."""

    def __init__(
        self,
        cascades: Sequence[tuple[str, cv2.CascadeClassifier, bool]],
        min_size_px: int,
        min_neighbors: int,
    ) -> None:
        """cascades: of each pose its label, its cascade, and whether pictures are mirrored."""
        self._cascades = cascades
        self._min_size_px = min_size_px
        self._min_neighbors = min_neighbors

    def __call__(self, frames: Frames) -> list[Detection | None]:
        gray = gray_bytes(checked_bytes(frames, "detector haar"))
        return [self._best(np.ascontiguousarray(picture)) for picture in gray]

    def _best(self, picture: ByteArray) -> Detection | None:
        for label, cascade, mirrored in self._cascades:
            seen = np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture
            boxes, _, weights = cascade.detectMultiScale3(
                seen,
                scaleFactor=SCALE,
                minNeighbors=self._min_neighbors,
                minSize=(self._min_size_px, self._min_size_px),
                outputRejectLevels=True,
            )
            found = []
            for (x, y, width, height), weight in zip(boxes, np.ravel(weights), strict=True):
                left = picture.shape[1] - x - width if mirrored else x
                box = clipped(y, left, height, width, *picture.shape)
                found.append(Detection(box, float(weight), label))
            if found:
                # Threads find them in any order.
                return max(found, key=lambda one: (one.score, one.box))
        return None


def build(
    weights: Path | None,
    *,
    poses: Sequence[str] = ("frontal",),
    min_size_px: int = 20,
    min_neighbors: int = 5,
) -> HaarDetector:
    """poses: some of "frontal", "left", "right" (profiles), in the order in which they are tried.
    min_size_px: of a face. min_neighbors: so many overlapping finds make one detection.

    weights: a cascade of the user's, tried as it is in place of the poses.
    """
    if min_size_px < 1 or min_neighbors < 1:
        raise InputError(
            f"detector haar: min_size_px, min_neighbors: expected 1 or more, got {min_size_px}, "
            f"{min_neighbors}"
        )
    if weights is not None:
        path = user_file(weights, "detector haar", "a cascade (.xml)")
        cascades = [(path.stem, _cascade(path), False)]
    else:
        if isinstance(poses, str) or not poses or set(poses) - set(CASCADES):
            wrong = next((pose for pose in poses if pose not in CASCADES), "none")
            raise InputError(f"detector haar: poses: got {poses!r}; {nearest(wrong, CASCADES)}")
        folder = Path(cv2.__file__).parent / "data"
        cascades = [
            (f"face {pose}", _cascade(folder / CASCADES[pose]), pose == "right") for pose in poses
        ]
    return HaarDetector(cascades, min_size_px, min_neighbors)


def _cascade(path: Path) -> cv2.CascadeClassifier:
    try:
        cascade = cv2.CascadeClassifier(str(path))
    except (cv2.error, SystemError):  # not even XML
        cascade = cv2.CascadeClassifier()
    if cascade.empty():
        raise InputError(f"{path}: expected a cascade of OpenCV's, got another file")
    return cascade
