"""Detector ``default``: markers, and faces where there are none. Needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visuomotor.models.detectors import Detection, Detector, haar, markers
from visuomotor.models.kinds import no_file
from visuomotor.models.pictures import checked_bytes
from visuomotor.types import Frames


class FirstDetector:
    """Several detectors one after the other: the first that finds anything on a picture counts."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors = detectors

    def __call__(self, frames: Frames) -> list[Detection | None]:
        checked = checked_bytes(frames, "detector default")
        found: list[Detection | None] = [None] * len(checked)
        for look in self.detectors:
            rest = [index for index, one in enumerate(found) if one is None]
            for index, one in zip(rest, look(checked[np.array(rest, int)]), strict=True):
                found[index] = one
        return found


def build(
    weights: Path | None,
    *,
    dictionary: str | None = "4X4_250",
    qr: bool = True,
    poses: Sequence[str] = ("frontal",),
) -> FirstDetector:
    """dictionary, qr: as in ``markers``; poses: as in ``haar``."""
    no_file(weights, "detector default")
    return FirstDetector(
        [markers.build(None, dictionary=dictionary, qr=qr), haar.build(None, poses=poses)]
    )
