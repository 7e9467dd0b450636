"""Detector ``aruco``: markers alone, without QR codes or faces."""

from __future__ import annotations

from pathlib import Path

from visuomotor.models.detectors import markers


def build(weights: Path | None, *, dictionary: str = "4X4_250") -> markers.MarkerDetector:
    """dictionary: as OpenCV names it, without DICT_."""
    return markers.build(weights, dictionary=dictionary, qr=False)
