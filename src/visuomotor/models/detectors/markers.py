"""Detector ``markers``: ArUco markers (Garrido-Jurado et al. 2014) by OpenCV, QR codes by ZXing.

OpenCV's own reader of QR codes writes where it must not on some blurred pictures, and takes the
whole process with it (4.14); ZXing's also reads more of them, in a fiftieth of the time.

Only what can be read counts, so that a texture is no marker; the score is 1. Of several the largest
counts; QR codes are looked for where there is no ArUco marker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from visuomotor.errors import InputError, nearest
from visuomotor.models.detectors import Detection
from visuomotor.models.kinds import no_file
from visuomotor.models.pictures import checked_bytes, clipped, gray_bytes
from visuomotor.types import ROI, ByteArray, Frames

PREFIX = "DICT_"
QR_CODES = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


class MarkerDetector:
    """Labels are "aruco 17", the number in its dictionary, and "qr TEXT"."""

    def __init__(self, dictionary: str | None, qr: bool) -> None:
        self._aruco = None
        self._qr = qr
        if dictionary is not None:
            number = getattr(cv2.aruco, PREFIX + dictionary)
            known = cv2.aruco.getPredefinedDictionary(number)
            self._aruco = cv2.aruco.ArucoDetector(known)

    def __call__(self, frames: Frames) -> list[Detection | None]:
        gray = gray_bytes(checked_bytes(frames, "detector markers"))
        return [self._best(np.ascontiguousarray(picture)) for picture in gray]

    def _best(self, picture: ByteArray) -> Detection | None:
        found = self._arucos(picture) or self._codes(picture)
        return max(found, key=lambda one: (one.box.height * one.box.width, one), default=None)

    def _arucos(self, picture: ByteArray) -> list[Detection]:
        if self._aruco is None:
            return []
        outlines, numbers, _ = self._aruco.detectMarkers(picture)
        if numbers is None:
            return []
        return [
            Detection(_around(outline, picture), 1.0, f"aruco {int(number)}")
            for outline, number in zip(outlines, np.ravel(numbers), strict=True)
        ]

    def _codes(self, picture: ByteArray) -> list[Detection]:
        if not self._qr:
            return []
        found = zxingcpp.read_barcodes(picture, QR_CODES, text_mode=zxingcpp.TextMode.Plain)
        return [
            Detection(_around(_corners(code.position), picture), 1.0, f"qr {code.text}")
            for code in found
            if code.text
        ]


def build(
    weights: Path | None, *, dictionary: str | None = "4X4_250", qr: bool = True
) -> MarkerDetector:
    """dictionary: of ArUco markers as OpenCV names it, without DICT_; None looks for QR codes
    alone. qr: whether to look for QR codes."""
    no_file(weights, "detector markers")
    known = [name.removeprefix(PREFIX) for name in dir(cv2.aruco) if name.startswith(PREFIX)]
    if dictionary is not None and dictionary not in known:
        raise InputError(
            f"detector markers: dictionary: got {dictionary!r}; {nearest(dictionary, known)}"
        )
    if dictionary is None and not qr:
        raise InputError("detector markers: expected a dictionary, or qr, or both, got neither")
    return MarkerDetector(dictionary, qr)


def _corners(place: zxingcpp.Position) -> NDArray[np.float32]:
    """(4, 2) of a code, right and down."""
    corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
    return np.array([(corner.x, corner.y) for corner in corners], np.float32)


def _around(outline: Any, picture: ByteArray) -> ROI:
    """The upright box around corners (..., 4, 2), right and down."""
    corners = outline.reshape(-1, 2)
    left, top = np.floor(corners.min(0))
    right, bottom = np.ceil(corners.max(0))
    return clipped(top, left, bottom - top + 1, right - left + 1, *picture.shape)
