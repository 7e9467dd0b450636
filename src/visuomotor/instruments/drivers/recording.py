"""Driver ``recording``: a recorded focal stack as a rig's camera and motor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import ROI, Frame


@dataclass(frozen=True)
class Settings:
    """Table [recording]."""

    stack: str
    """A TIFF file or a folder of pictures, as ``FocalStack.load`` reads it."""
    spacing: float | None = None
    """Distance between planes, where the file does not tell."""
    unit: str | None = None
    start: float | None = None
    """Where the drive stands at first; by default in the middle."""


class RecordedRig:
    """Shows the stack where the motor stands, blended between planes."""

    def __init__(self, stack: FocalStack, start: float | None) -> None:
        self._stack = stack
        self.unit = stack.unit
        self._range = (float(stack.positions[0]), float(stack.positions[-1]))
        self._at = sum(self._range) / 2 if start is None else start

    def camera(self, device: str) -> RecordedRig:
        return self

    def axis(self, device: str) -> RecordedRig:
        return self

    def close(self) -> None:
        """There is nothing to let go."""

    def travel(self) -> tuple[float, float]:
        return self._range

    def read(self) -> float:
        return self._at

    def move(self, target: float) -> None:
        self._at = target

    def is_moving(self) -> bool:
        return False

    def halt(self) -> None:
        """It never moves on."""

    def display_range(self) -> tuple[float, float]:
        return self._stack.display_range

    def snap(self) -> Frame:
        picture: Frame = self._stack.frames_at([self._at])[0]
        return picture

    def found(self) -> dict[str, Any]:
        return {}

    def prepare(self, exposure_ms: float | None, roi: ROI | None) -> None:
        """A recording was exposed long ago, and read out whole."""

    def restore(self, found: Mapping[str, Any]) -> None:
        """Nothing was changed."""

    def darken(self) -> None:
        """It has no light."""


def connect(settings: Settings, folder: Path) -> RecordedRig:
    """Reads the stack; a relative path starts at the rig file."""
    stack = FocalStack.load(folder / settings.stack, settings.spacing, settings.unit)
    return RecordedRig(stack, settings.start)
