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


@pytest.mark.parametrize("shown", [slice(None), slice(0, 30), slice(50, 60)])
def test_it_is_the_best_of_all_correlations(shown: slice) -> None:
    """As adding up the products for one shift after the other has it."""
    draws, halves = np.random.default_rng(3), np.full((5, 2, 20, 90), 60.0)
    halves[..., shown] = draws.uniform(0, 255, (5, 2, 20, 90))[..., shown]
    halves[:, 1] += 0.5 * np.roll(halves[:, 0], 7, -1)
    left, right = (np.diff(halves[:, half]) for half in (0, 1))
    shifts = range(-30, 31)
    scores = np.zeros((5, len(shifts)))
    for column, shift in enumerate(shifts):
        first, last = max(0, shift), min(89, 89 + shift)
        one, other = left[..., first:last], right[..., first - shift : last - shift]
        norm = np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))
        scores[:, column] = np.divide((one * other).sum((1, 2)), norm, where=norm > 0, out=norm)
    found = phase_shift_px(halves)
    best = scores.argmax(1).clip(1, len(shifts) - 2) - 30
    np.testing.assert_allclose(found, best, atol=0.5)


@pytest.mark.parametrize("shape", [(20, 40), (64, 64), (120, 160)])
def test_noise_alone_has_no_shift(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).normal(100, 5, (200, 2, *shape))
    assert (phase_shift_px(noise.astype(np.uint8)) != 0).mean() <= 0.01


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


def test_far_from_focus_no_shift_is_made_up() -> None:
    """Noise fits noise somewhere, by a little: that is no shift."""
    config = LiquidLensCameraConfig(start_exposure_us=None, start_well_exposed=True)
    rig, every = LiquidLensCamera(config, scene_pool("test", 8), 8), np.arange(8)
    rig.reset(every, None, np.random.default_rng(0))
    rig.focus.move_to(rig.best_lens() + 20, every)
    assert not phase_shift_px(rig.camera.halves(every)).any()
    rig.focus.move_to(rig.best_lens() + 2, every)
    assert (phase_shift_px(rig.camera.halves(every)) < -10).all()
