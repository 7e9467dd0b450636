"""The shift between the pictures of two half pupils."""

from __future__ import annotations

import numpy as np
import pytest
from textures import texture

from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.vision.phase import phase_shift_px


@pytest.mark.parametrize("shift", [-12, -3, 0, 5])
def test_a_shift_by_whole_pixels_is_found(shift: int) -> None:
    whole = texture(2, (1, 60, 140))[0].astype(np.float32)
    halves = np.stack([whole[:, 30:110], whole[:, 30 + shift : 110 + shift]])
    assert phase_shift_px(halves[None])[0] == pytest.approx(shift, abs=0.3)


def test_nothing_to_see_is_no_shift() -> None:
    assert phase_shift_px(np.full((2, 2, 20, 40), 9, np.uint8)).tolist() == [0, 0]


def test_both_sides_of_focus_shift_opposite_ways_and_farther_ones_more() -> None:
    config = LiquidLensCameraConfig(noise=False, changes=False, start_well_exposed=True)
    rig = LiquidLensCamera(config, scene_pool("test", 1), 1)
    one = np.array([0])
    rig.exposure.move_to(rig.best_exposure_us(), one)
    found = []
    for away in (-0.4, -0.15, 0.15, 0.4):
        rig.focus.move_to(rig.best_lens() + away, one)
        found.append(phase_shift_px(rig.camera.halves(one))[0])
    assert np.all(np.diff(found) > 0) or np.all(np.diff(found) < 0)
    assert np.sign(found[0]) == -np.sign(found[-1]) != 0
