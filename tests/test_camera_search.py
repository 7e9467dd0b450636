"""Exposure and focus on grids whose axes nobody knows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from textures import texture

import visuomotor as vm
from visuomotor.camera_search import _Climb, search_camera
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.exposure_grid import ExposureGrid

BEST_FOCUS, BEST_EXPOSURE = 5, 3


@pytest.fixture(scope="module")
def grid() -> ExposureGrid:
    """Twelve focus positions, five exposures; the longest is saturated."""
    scene = texture(3, (1, 96, 96))[0].astype(np.float32)
    scene = (scene - scene.min()) / np.ptp(scene)
    rows = []
    for focus in range(12):
        blur = 0.6 + 0.8 * abs(focus - BEST_FOCUS)
        sharp = cv2.GaussianBlur(scene, (0, 0), blur)
        rows.append([np.clip(sharp * level, 0, 255) for level in (30, 60, 110, 200, 700)])
    return ExposureGrid(np.array(rows).round().astype(np.uint8), np.arange(12.0), np.arange(1.0, 6))


@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("start", [(0, 0), (11, 4), (2, 3)])
def test_the_sharpest_unsaturated_picture_is_found(
    grid: ExposureGrid, mirrored: tuple[bool, bool], start: tuple[int, int]
) -> None:
    turned = grid.mirrored(*mirrored)
    rig = turned.instrument(1, start=(turned.lens[start[0]], turned.exposure_us[start[1]]))
    rig.reset(np.array([0]), None, np.random.default_rng(0))
    found = search_camera(rig, vm.load_policy("focus"))
    at = int(rig.focus.ids[0]), int(rig.exposure.ids[0])
    assert turned.best_cells()[at]
    assert found.lens == turned.lens[at[0]]
    assert found.exposure == turned.exposure_us[at[1]]
    assert found.exposures >= found.focus.exposures


def test_something_without_an_exposure_axis_is_refused() -> None:
    with pytest.raises(InputError, match="exposure axis and a lens, got FocalStackInstrument"):
        search_camera(vm.demo_stack().instrument(), vm.load_policy("focus"))


def test_the_climb_takes_no_picture_twice(
    grid: ExposureGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = grid.instrument(1, start=(grid.lens[2], grid.exposure_us[1]))
    rig.reset(np.array([0]), None, np.random.default_rng(0))
    taken: list[tuple[int, int]] = []
    once = _Climb._taken

    def counted(climb: _Climb) -> float:
        taken.append((int(rig.focus.ids[0]), int(rig.exposure.ids[0])))
        return once(climb)

    monkeypatch.setattr(_Climb, "_taken", counted)
    search_camera(rig, vm.load_policy("focus"))
    assert len(taken) > 3
    assert len(taken) == len(set(taken))


def test_a_camera_that_fails_ends_the_search(
    grid: ExposureGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = grid.instrument(1, start=(grid.lens[2], grid.exposure_us[1]))
    rig.reset(np.array([0]), None, np.random.default_rng(0))

    def broken(cells: object) -> None:
        raise OSError("no picture")

    monkeypatch.setattr(rig.camera, "grab", broken)
    monkeypatch.setattr(rig.camera, "frame_ids", broken)
    found = search_camera(rig, vm.load_policy("focus"))
    assert found.focus.verdict == "error"
    assert np.isnan(found.sharpness)
