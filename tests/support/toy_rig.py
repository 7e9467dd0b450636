"""A rig in a few lines of Python, for tests of what stands between it and a policy."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import rig_from_plain


def plain(**changes):
    """A rig file's tables; ``focus__unit=...`` changes one key of a table."""
    values = {
        "name": "toy",
        "camera": {"driver": "toy"},
        "focus": {
            "driver": "toy",
            "towards_sample": "up",
            "soft_limits": [-10.0, 10.0],
            "never_pass": 11.0,
            "fine_step": 0.5,
        },
    }
    for name, value in changes.items():
        table, _, key = name.partition("__")
        if not key:
            values[table] = value
        elif value is None:
            del values[table][key]
        else:
            values.setdefault(table, {})[key] = value
    return values


class Toy:
    """A microscope in a few lines, connection, camera and drive in one. ``broken`` names the
    methods that raise, ``hangs`` those that do not return for so many seconds."""

    unit = "um"

    def __init__(self, at: float = 4.0, best: float = 0.0) -> None:
        self.at, self.best = at, best
        self.settings = {"exposure_ms": 10.0, "roi": None, "live": True, "shutter_open": False}
        self.travels = (-20.0, 20.0)
        self.noise = np.random.default_rng(0)
        self.broken: set[str] = set()
        self.hangs: dict[str, float] = {}
        self.calls: list[str] = []

    def camera(self, device: str):
        return self

    axis = camera

    def close(self) -> None:
        self._called("close")

    def travel(self):
        self._called("travel")
        return self.travels

    def read(self) -> float:
        self._called("read")
        return self.at

    def move(self, target: float) -> None:
        self._called("move")
        self.at = target

    def is_moving(self) -> bool:
        return False

    def halt(self) -> None:
        self._called("halt")

    def display_range(self):
        return 0.0, 255.0

    def snap(self):
        self._called("snap")
        rows = np.arange(64)
        contrast = 80 / (1 + ((self.at - self.best) / 2) ** 2)
        picture = 120 + contrast * np.sign(np.sin(rows / 2))[:, None] * np.ones(64)
        picture = picture + self.noise.normal(0, 1, picture.shape)
        return picture.clip(0, 255).astype(np.uint8)

    def found(self):
        self._called("found")
        return dict(self.settings)

    def prepare(self, exposure_ms, roi) -> None:
        self._called("prepare")
        self.settings["live"] = False
        if exposure_ms is not None:
            self.settings["exposure_ms"] = exposure_ms
        if roi is not None:
            self.settings["roi"] = list(roi)

    def restore(self, found) -> None:
        self._called("restore")
        self.settings = dict(found)

    def darken(self) -> None:
        self._called("darken")
        self.settings["shutter_open"] = False

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.hangs:
            time.sleep(self.hangs[what])
        if what in self.broken:
            raise OSError(f"no answer to {what}")


def rig(toy: Toy, roi=None, **changes) -> Rig:
    return Rig(rig_from_plain(plain(**changes), "toy.toml", Path()), roi, {"toy": toy})


def killed(one: Rig) -> None:
    """The rig is in use, and then its process is gone."""
    one.__enter__()
    one._note.leave(put_back=False)
