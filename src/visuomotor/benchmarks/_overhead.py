"""What a step of a focus run costs beside exposure and motion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import rig_from_plain
from visuomotor.instruments.simulated.demo_view import demo_stack
from visuomotor.instruments.workcells import Workcells
from visuomotor.runner import focus
from visuomotor.tasks.autofocus import AutofocusConfig
from visuomotor.types import Frame
from visuomotor.vision.transforms import thumbnails
from visuomotor.zoo import load_policy

WARM_UP = 5


class Instant:
    """A camera and a drive that take no time: pictures are made beforehand."""

    def __init__(self, height_px: int, width_px: int, planes: int) -> None:
        base = specimen(height_px, width_px)
        self._pictures = [np.roll(base, plane, axis=0) for plane in range(planes)]
        self.unit = "um"
        self._next = 0
        self._at = 0.0
        self.began: list[float] = []
        """When each picture was asked for."""

    def camera(self, device: str) -> Instant:
        return self

    def axis(self, device: str) -> Instant:
        return self

    def close(self) -> None:
        """Nothing is open."""

    def travel(self) -> None:
        """It does not say."""

    def read(self) -> float:
        return self._at

    def move(self, target: float) -> None:
        self._at = target

    def is_moving(self) -> bool:
        return False

    def halt(self) -> None:
        """It never moves on."""

    def display_range(self) -> tuple[float, float]:
        return 0.0, 255.0

    def snap(self) -> Frame:
        self.began.append(time.perf_counter())
        self._next += 1
        return self._pictures[self._next % len(self._pictures)]

    def found(self) -> dict[str, Any]:
        return {}

    def prepare(self, exposure_ms: float | None, roi: Any) -> None:
        """Nothing to set."""

    def restore(self, found: Mapping[str, Any]) -> None:
        """Nothing was changed."""

    def darken(self) -> None:
        """No light."""


def specimen(height_px: int, width_px: int) -> Frame:
    """The demo's middle plane, side by side until the picture is full, with grain."""
    view = demo_stack().planes(np.array([65]))[0]
    times = -(-height_px // view.shape[0]), -(-width_px // view.shape[1])
    full = np.tile(view, times)[:height_px, :width_px].astype(np.float32)
    grain = np.random.default_rng(0).standard_normal(full.shape, np.float32)
    picture: Frame = np.clip(full + grain, 0, 255).astype(np.uint8)
    return picture


def milliseconds(height_px: int, width_px: int, steps: int) -> list[float]:
    """(steps,) from one picture to the next of a sweep on a rig that takes no time itself."""
    values = {
        "name": "instant",
        "camera": {"driver": "microscope"},
        "focus": {
            "driver": "microscope",
            "towards_sample": "up",
            "soft_limits": [0.0, float(steps + WARM_UP)],
            "never_pass": float(steps + WARM_UP),
            "fine_step": 1.0,
        },
    }
    instant = Instant(height_px, width_px, planes=7)
    config = rig_from_plain(values, "instant", Path())
    focus(Workcells([Rig(config, connections={"microscope": instant})]), load_policy("search:full"))
    between = 1e3 * np.diff(instant.began)
    found: list[float] = between[WARM_UP : WARM_UP + steps].tolist()
    return found


def thumbnail_milliseconds(height_px: int, width_px: int, repeats: int) -> list[float]:
    """(repeats,) of making what a learned policy sees of a picture."""
    picture = specimen(height_px, width_px)[None]
    size_px, levels = AutofocusConfig().frame_size_px, (0.0, 255.0)
    found = []
    for _ in range(WARM_UP + repeats):
        began = time.perf_counter()
        thumbnails(picture, size_px, levels)
        found.append(1e3 * (time.perf_counter() - began))
    return found[WARM_UP:]
