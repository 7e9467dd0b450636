"""Pictures as encoders and detectors take them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.types import ROI, ByteArray, Frames
from visuomotor.vision.transforms import to_gray


def checked_bytes(frames: Frames, where: str) -> ByteArray:
    """The pictures as they are; InputError unless they are (M, H, W) or (M, H, W, 3) uint8."""
    fits = frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)
    if frames.dtype != np.uint8 or not fits or 0 in frames.shape[1:]:
        raise InputError(
            f"{where}: expected pictures (M, H, W) or (M, H, W, 3) of uint8, got "
            f"{frames.shape} of {frames.dtype}"
        )
    return frames


def gray_bytes(frames: ByteArray) -> ByteArray:
    """(M, H, W[, 3]) -> (M, H, W): colour to luma, rounded."""
    if frames.ndim == 3 or len(frames) == 0:
        return frames if frames.ndim == 3 else frames[..., 0]
    gray: ByteArray = np.rint(to_gray(frames)).astype(np.uint8)
    return gray


def colour_bytes(frames: ByteArray) -> ByteArray:
    """(M, H, W[, 3]) -> (M, H, W, 3): grey levels three times."""
    if frames.ndim == 4:
        return frames
    return np.repeat(frames[..., None], 3, axis=3)


def squeezed(frames: ByteArray, height_px: int, width_px: int) -> NDArray[np.float32]:
    """(M, H, W[, 3]) -> (M, height_px, width_px[, 3]) grey levels, area means when shrinking. As
    floats, so that means are not rounded."""
    made = np.empty((len(frames), height_px, width_px, *frames.shape[3:]), np.float32)
    shrinking = frames.shape[1] >= height_px and frames.shape[2] >= width_px
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    for picture, out in zip(frames, made, strict=True):
        cv2.resize(picture.astype(np.float32), (width_px, height_px), dst=out, interpolation=method)
    return made


def clipped(
    top: float, left: float, height: float, width: float, picture_height: int, picture_width: int
) -> ROI:
    """The part of a box that lies inside the picture, in whole pixels, at least one."""
    first_row = min(max(round(top), 0), picture_height - 1)
    first_column = min(max(round(left), 0), picture_width - 1)
    end_row = min(max(round(top + height), first_row + 1), picture_height)
    end_column = min(max(round(left + width), first_column + 1), picture_width)
    return ROI(first_row, first_column, end_row - first_row, end_column - first_column)
