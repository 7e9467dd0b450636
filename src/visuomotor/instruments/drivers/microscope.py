"""Driver ``microscope``: the simulated microscope as a rig's camera and motor, for trying a rig
file, a policy or an acquisition without any hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visuomotor.configs import check_range
from visuomotor.errors import RigError
from visuomotor.instruments.simulated.microscope import Microscope, MicroscopeConfig
from visuomotor.types import ROI, Frame


@dataclass(frozen=True)
class Settings:
    """Table [microscope]."""

    view: MicroscopeConfig = field(default_factory=MicroscopeConfig)
    start: float | None = None
    """Where the drive stands at first; by default in the middle of its range."""
    seed: int = 0
    """Of the sensor's noise."""
    play: float = 0.0
    """Of the drive: how far it turns before the stage follows in the other direction."""
    drift: float = 0.0
    """How far the stage creeps with every picture."""

    def __post_init__(self) -> None:
        check_range(self, play=(0, 1e9), drift=(-1e9, 1e9), start=(-1e12, 1e12))


class SimulatedRig:
    """A drive with play, and a camera that sees what the stage shows."""

    def __init__(self, settings: Settings) -> None:
        self._microscope = Microscope(settings.view)
        self._noise = self._microscope.generator(settings.seed)
        drive = settings.view.drive
        middle = (drive.first + drive.last) / 2
        self._range = drive.hard_limits
        self.unit = drive.unit
        self._drive = middle if settings.start is None else settings.start
        self._stage = self._drive
        self._play, self._drift = settings.play, settings.drift
        self._white = float(settings.view.sensor.white_dn)
        self._roi: list[int] | None = None
        self._exposure_ms = 10.0

    # -- connection

    def camera(self, device: str) -> SimulatedRig:
        return self

    def axis(self, device: str) -> SimulatedRig:
        return self

    def close(self) -> None:
        """There is nothing to let go."""

    # -- motor

    def travel(self) -> tuple[float, float]:
        return self._range

    def read(self) -> float:
        return self._drive

    def move(self, target: float) -> None:
        low, high = self._range
        if not low <= target <= high:
            raise RigError(f"simulated drive: expected {low:g} to {high:g}, got {target:g}")
        self._drive = target
        # The stage is pulled along once the play is used up.
        half = self._play / 2
        self._stage = float(np.clip(self._stage, target - half, target + half))

    def is_moving(self) -> bool:
        return False

    def halt(self) -> None:
        """It never moves on."""

    # -- camera

    def display_range(self) -> tuple[float, float]:
        return 0.0, self._white

    def snap(self) -> Frame:
        view, at = np.zeros(1, np.int64), np.clip([self._stage], *self._range)
        picture: Frame = self._microscope.pictures(view, at, self._noise)[0]
        self._stage += self._drift
        if self._roi is None:
            return picture
        return np.ascontiguousarray(ROI(*self._roi).crop(picture[None])[0])

    def found(self) -> dict[str, Any]:
        return {"exposure_ms": self._exposure_ms, "roi": self._roi}

    def prepare(self, exposure_ms: float | None, roi: ROI | None) -> None:
        self._exposure_ms = self._exposure_ms if exposure_ms is None else exposure_ms
        self._roi = self._roi if roi is None else list(roi)

    def restore(self, found: Mapping[str, Any]) -> None:
        self._exposure_ms, self._roi = found["exposure_ms"], found["roi"]

    def darken(self) -> None:
        """Its lamp has no shutter."""


def connect(settings: Settings, folder: Path) -> SimulatedRig:
    """A fresh one each time: a simulator remembers nothing."""
    return SimulatedRig(settings)
