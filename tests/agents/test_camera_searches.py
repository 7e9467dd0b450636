"""Automatic exposure as cameras do it today."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_camera import ShownCamera

from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.rollout import Rollout
from visuomotor.tasks.camera_control import CameraControlConfig, CameraControlTask
from visuomotor.vision.exposure import BEST_LEVEL

CONFIG = CameraControlConfig(control="exposure", observation=("levels", "settings"))
TASK = CameraControlTask(CONFIG, for_a_person=True)
FRESH = np.ones(1, bool)


def chosen(level: float, exposure_us: float, saturated: float = 0.0, **changes: Any) -> float:
    """The exposure it asks for."""
    config = replace(CONFIG, **changes)
    task = CameraControlTask(config)
    low, high = np.log(config.exposure_range_us)
    place = 2 * (np.log(exposure_us) - low) / (high - low) - 1
    seen = {
        "levels": np.array([[np.log2(max(level, 0.25) / 100), 0, saturated, 0]], np.float32),
        "settings": np.array([[place, 0, 1, 0]], np.float32),
    }
    policy = AutoExposure(task.spec)
    act = policy.act(seen, policy.begin(None, FRESH), np.random.default_rng(0))
    assert act.action.shape == (1,)
    assert act.action.dtype == np.int64
    return float(task.exposures_us[act.action[0]])


STEP = 4500 ** (1 / 145)
"""From one exposure time to the next."""


@given(st.floats(20, 250), st.floats(2e4, 2e5))
@settings(deadline=None, max_examples=30)
def test_exposure_is_multiplied_by_the_wanted_level_over_that_which_is(
    level: float, exposure_us: float
) -> None:
    ratio = chosen(level, exposure_us) / (exposure_us * BEST_LEVEL / level)
    assert 1 / STEP**0.51 <= ratio <= STEP**0.51, "the nearest there is"


def test_blind_steps_are_large_but_not_endless() -> None:
    assert chosen(0, 1e4) == pytest.approx(1.6e5, rel=0.04)
    assert chosen(2, 1e4) == pytest.approx(1.6e5, rel=0.04)
    assert chosen(255, 1e6, saturated=1.0) == pytest.approx(1e6 / 16, rel=0.04)
    assert chosen(255, 1e6, saturated=0.4) == pytest.approx(1e6 * 100 / 255, rel=0.04)


def test_it_stays_within_what_there_is() -> None:
    assert chosen(0, 4e6) == pytest.approx(4.5e6)
    assert chosen(255, 1.5e3, saturated=1.0) == pytest.approx(1e3)
    few = {"exposures": 5, "exposure_range_us": (10.0, 1e3)}
    assert chosen(100, 100.0, **few) == pytest.approx(100.0)
    assert chosen(0, 10.0, **few) == pytest.approx(10 ** (1 + 0.5 * round(2 * np.log10(16))))


def test_it_reads_the_newest_look_alone_and_needs_nothing_else() -> None:
    policy = AutoExposure(TASK.spec)
    draws = np.random.default_rng(0)
    seen = {"levels": draws.normal(size=(6, 12)), "settings": draws.uniform(-1, 1, (6, 12))}
    older = {key: value.copy() for key, value in seen.items()}
    for value in older.values():
        value[:, 4:] = draws.normal(size=(6, 8))
    extra = older | {"features": np.full((6, 3), np.nan)}
    one, other = (policy.act(o, None, draws).action for o in (seen, extra))
    np.testing.assert_array_equal(one, other)
    assert TASK.action_space.contains(one[0])


@pytest.mark.parametrize("missing", ["levels", "settings"])
def test_what_it_reads_must_be_offered(missing: str) -> None:
    spec = replace(TASK.spec, observation=tuple({"levels", "settings"} - {missing}))
    with pytest.raises(InputError, match=f"auto-exposure reads '{missing}', but the task offers"):
        AutoExposure(spec)


def test_it_is_a_policy_of_exposure_whatever_the_whole_task_is() -> None:
    whole = CameraControlTask(replace(CONFIG, control="both", detector="aruco"))
    assert AutoExposure(whole.spec).spec.config["control"] == "exposure"
    assert whole.spec.config["control"] == "both"


class Linear(ShownCamera):
    """Flat pictures whose level is in proportion to the exposure, up to white."""

    def __init__(self, cells: int, good_us: Any) -> None:
        super().__init__(cells)
        self._good_us = np.broadcast_to(good_us, cells)

    def picture(self, cell: int) -> Any:
        level = np.rint(100 * self.exposure.at[cell] / self._good_us[cell]).clip(0, 255)
        return np.full((8, 8), level, np.uint8)


def test_it_is_good_within_three_steps_from_anywhere_in_every_light() -> None:
    """Where the level is in proportion to light: of anything from 300 to 13 lx."""
    starts, good = np.meshgrid(np.geomspace(1e3, 4.5e6, 40), np.geomspace(1.2e4, 1e6, 40))
    rig = Linear(starts.size, good.ravel())
    rig.exposure.at[:] = starts.ravel()
    rollout = Rollout(AutoExposure(TASK.spec), VisuomotorEnv(rig, TASK), np.random.default_rng(0))
    rollout.reset(seed=0)
    while not rollout.finished:
        rollout.step()
    assert rollout.info["success"].all()
    assert rollout.info["steps"].max() <= 3
    assert rollout.info["steps"].mean() < 2


def test_it_is_good_within_three_steps_from_anywhere_on_scenes_without_noise() -> None:
    """150 unseen scenes, each in a light of its own, from any exposure and lens."""
    config = LiquidLensCameraConfig(size_px=48, noise=False, start_exposure_us=None)
    rig = LiquidLensCamera(config, scene_pool("test", 150), 150)
    task = CameraControlTask(replace(CONFIG, max_steps=3), for_a_person=True)
    rollout = Rollout(AutoExposure(task.spec), VisuomotorEnv(rig, task), np.random.default_rng(0))
    ends = []
    for seed in range(3):
        rollout.reset(seed=seed)
        while not rollout.finished:
            rollout.step()
        ends.append(rollout.info["success"])
    assert np.mean(ends) == 1.0
