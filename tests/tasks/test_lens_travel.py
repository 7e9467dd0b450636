"""Rewards and observations of the two methods that anikina2021 compares with."""

from __future__ import annotations

import numpy as np
import pytest

from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.tasks.lens_travel import LensTravelConfig, LensTravelTask

CAMERA = LiquidLensCameraConfig(size_px=96, noise=False, start_well_exposed=True)


def env_of(method: str) -> VisuomotorEnv:
    task = LensTravelTask(LensTravelConfig(method=method))  # type: ignore[arg-type]
    return VisuomotorEnv(LiquidLensCamera(CAMERA, scene_pool("test", 3), 3), task)


def test_tenengrad_is_measured_and_one_in_focus() -> None:
    env = env_of("tenengrad")
    env.reset(seed=0)
    task, every = env.task, np.arange(3)
    found = []
    for away in (0.0, 0.1, 0.3, 1.0):
        env.instrument.focus.move_to(env.instrument.best_lens() + away, every)
        task._look(every)
        found.append(task.info()["sharpness"])
    np.testing.assert_allclose(found[0], 1, rtol=1e-6)
    assert (np.diff(found, axis=0) < 0).all()


def test_phase_is_paid_by_the_octaves_that_are_left() -> None:
    env = env_of("phase")
    sharp_px, moves = env.task.config.sharp_px, env.task.config.travels_v
    env.reset(seed=0, options={"start": env.instrument.best_lens() + np.array([0.25, 0.06, 4])})
    reward = env.step(np.array([moves.index(-0.25), moves.index(-0.06), moves.index(-1.0)]))[1]
    np.testing.assert_allclose(reward[:2], 0, atol=1e-6)
    left = env.task.info()["blur_px"][2] / sharp_px
    assert reward[2] == pytest.approx(-np.log2(1 + left))
    assert reward[2] < -4


def test_looking_for_the_maximum_leaves_the_lens_where_it_was() -> None:
    env = env_of("tenengrad")
    start = np.array([30.0, 45.0, 60.0])
    _, info = env.reset(seed=0, options={"start": start})
    np.testing.assert_allclose(info["position"], start)
    np.testing.assert_allclose(env.instrument.focus.position, start)
    assert (info["exposures"] == 1).all()


@pytest.mark.parametrize("method", ["phase", "tenengrad"])
def test_a_move_towards_focus_is_worth_more_than_one_away(method: str) -> None:
    env = env_of(method)
    start = 37.8 + np.array([0.5, 0.6, 0.7])
    moves = list(env.task.config.travels_v)
    rewards = []
    for move in (-0.25, 1.0):
        env.reset(seed=0, options={"start": start})
        rewards.append(env.step(np.full(3, moves.index(move)))[1])
    assert (rewards[0] > rewards[1]).all()
