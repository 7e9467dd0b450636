"""A camera with an exposure time and a lens that shows what a test says, and what goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visuomotor.agents.base import PolicySpec
from visuomotor.tasks.camera_control import CameraControlConfig, CameraControlTask
from visuomotor.types import Act

SIDE_PX, CARD_PX = 64, 40
CARD = np.pad(
    cv2.aruco.generateImageMarker(
        cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250), 201, CARD_PX - 10
    ),
    5,
    constant_values=255,
).clip(0, 230)
"""A marker with white around it; its background is most of a picture."""


class Axis:
    """Goes where it is told, within its limits, and remembers every move."""

    def __init__(self, unit: str, limits: tuple[float, float], start: float, cells: int) -> None:
        self.unit, self.limits = unit, limits
        self.at = np.full(cells, start)
        self.moves: list[tuple[int, float]] = []

    @property
    def position(self):
        return self.at.copy()

    def move_to(self, target, cells):
        self.at[cells] = np.clip(target, *self.limits)
        self.moves += [(int(cell), float(self.at[cell])) for cell in cells]
        return self.at[cells]


class ShownCamera:
    """B cells, each before a flat grey of ``level`` (B,), with a marker in it where ``marker``
    (B,) says so. It knows no truth."""

    fine_step, roi = 0.02, None
    exposure_ms = timeout_ms = 0.0
    display_range = (0.0, 255.0)

    def __init__(self, cells: int = 1, level: int = 100, marker: bool = False) -> None:
        self.num_cells = cells
        self.level, self.marker = np.full(cells, level), np.full(cells, marker)
        self.focus = Axis("V", (24.0, 70.0), 40.0, cells)
        self.exposure = Axis("us", (1e3, 4.5e6), 10_000.0, cells)
        self.pictures = np.zeros(cells, int)
        self.camera = self

    def grab(self, cells):
        self.pictures[cells] += 1
        return np.array([self.picture(int(cell)) for cell in cells], np.uint8)

    def picture(self, cell: int):
        shown = np.full((SIDE_PX, SIDE_PX), self.level[cell], np.uint8)
        if self.marker[cell]:
            first = (SIDE_PX - CARD_PX) // 2
            shown[first : first + CARD_PX, first : first + CARD_PX] = CARD
        return shown

    def reset(self, cells, start, generator) -> None:
        if start is not None:
            self.focus.move_to(start, cells)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        pass


class KnowingCamera(ShownCamera):
    """The same, which knows what it shows: ``blur`` (B,) is the true one."""

    def __init__(self, cells: int = 1, level: int = 100, marker: bool = False) -> None:
        super().__init__(cells, level, marker)
        self.blur = np.zeros(cells)

    def defocus_px(self):
        return -self.blur  # signed: only its size matters

    def best_lens(self):
        return np.full(self.num_cells, 37.25)

    def best_exposure_us(self, focused=True):
        return np.full(self.num_cells, 20_000.0)

    def fullest_level(self, exposure_us):
        return self.level.astype(float)

    def illuminance_lx(self):
        return np.full(self.num_cells, 100.0)

    def distance_cm(self):
        return np.full(self.num_cells, 170.0)


class FailingCamera(KnowingCamera):
    """Of several rigs; ``failures`` says which of them no longer work."""

    def __init__(self, cells: int) -> None:
        super().__init__(cells)
        self.failures: list[Exception | None] = [None] * cells


class CameraScript:
    """A policy of camera control that takes these actions, one after the other, in every cell, and
    then raises ``then``."""

    def __init__(
        self, config: CameraControlConfig, *actions: Any, then: BaseException | None = None
    ) -> None:
        self.spec: PolicySpec = CameraControlTask(config).spec
        self._actions, self._then = actions, then

    def begin(self, state, fresh):
        return 0

    def act(self, observation, state, generator) -> Act:
        if state >= len(self._actions):
            assert self._then is not None, "the script was too short"
            raise self._then
        cells = len(next(iter(observation.values())))
        return Act(np.stack([np.asarray(self._actions[state])] * cells), state + 1, {})


def toy_brisque(folder: Path) -> str:
    """A model file that makes some quality between 0 and 100 of any picture."""
    path = folder / "toy_brisque.txt"
    header = (
        "svm_type epsilon_svr\nkernel_type rbf\ngamma 0.004\nnr_class 2\ntotal_sv 1\nrho 0\nSV\n"
    )
    path.write_text(f"{header}80 1:0.5 2:-0.5\n", "utf-8")
    return str(path)
