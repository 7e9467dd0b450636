"""Training the agents of camera control: tiny runs, which say what a long one would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import visuomotor as vm
from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.agents.ppo import PpoConfig
from visuomotor.configs import from_plain, to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.files import load_state
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.models.actor_critic import ActorCriticConfig, choices_of
from visuomotor.runs import Run
from visuomotor.tasks.camera_control import CameraControlTask
from visuomotor.training import camera
from visuomotor.training.camera import PRESETS, CameraTrainConfig, camera_env, train_camera
from visuomotor.training.on_policy import OnPolicyConfig, Standing, play

SEEN = ("levels", "settings", "detail")
"""Observations that need no encoder."""
TINY = OnPolicyConfig(
    PpoConfig(
        network=ActorCriticConfig(widths=(16,), heads="sequential", embedding=4),
        batch=16,
        guidance_weight=1.0,
        guidance_kept=2,
    ),
    cells=4,
    horizon=3,
    updates=3,
    evaluate_every=1,
    seed=2,
)


def tiny(preset: str, **changes: Any) -> CameraTrainConfig:
    c = PRESETS[preset]
    task = replace(c.task, observation=SEEN, max_steps=3)
    return replace(
        c, task=task, camera=replace(c.camera, size_px=48), learning=TINY, scenes=3,
        tested_scenes=3, **changes,
    )  # fmt: skip


@pytest.fixture
def few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is evaluated in 64 cells; four are quicker, and as good here."""

    def few(config: CameraTrainConfig, cells: int, tested: bool = False) -> VisuomotorEnv:
        return camera_env(config, min(cells, 4), tested)

    monkeypatch.setattr(camera, "camera_env", few)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Training sets PyTorch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def train(path: Path, config: CameraTrainConfig) -> tuple[Standing, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    standing = train_camera(config, Run.at(path, to_plain(config)), heard.append)
    return standing, heard


# -- what is trained on ------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_saved_and_read_back(preset: str) -> None:
    plain = json.loads(json.dumps(to_plain(PRESETS[preset])))
    assert from_plain(CameraTrainConfig, plain, preset) == PRESETS[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_fit_their_tasks(preset: str) -> None:
    config = PRESETS[preset]
    plain = replace(config.task, observation=SEEN, quality="truth")
    choices = choices_of(CameraControlTask(plain).action_space)
    spread = config.learning.agent.guidance_spread
    assert len(spread) in (0, np.size(choices))
    assert config.task.control == preset.split()[-1]


def test_scenes_to_learn_on_to_evaluate_on_and_to_test_on_are_others() -> None:
    config = replace(tiny("exposure"), scenes=300, tested_scenes=64)
    learned = camera_env(config, 1).instrument.scenes
    evaluated = camera_env(config, 1, tested=True).instrument.scenes
    assert (len(learned), len(evaluated)) == (300, 64)
    assert len({scene.seed for scene in (*learned, *evaluated)}) == 364
    tested = scene_pool("test", 500)
    assert not {s.seed for s in tested} & {s.seed for s in (*learned, *evaluated)}
    assert not {s.marker for s in tested} & {s.marker for s in (*learned, *evaluated)}


def test_the_detector_of_training_stands_in_for_the_tasks() -> None:
    config = tiny("focus")
    assert config.task.detector == "default"
    assert camera_env(config, 1).task.config == replace(config.task, detector="aruco")
    kept = replace(config, detector="default")
    assert camera_env(kept, 1).task.config == config.task


def test_exposure_learns_in_every_light_and_focus_well_exposed() -> None:
    exposing, focusing = (camera_env(tiny(name), 60) for name in ("exposure", "focus"))
    _, any_light = exposing.reset(seed=0)
    _, exposed = focusing.reset(seed=0)
    assert np.ptp(np.log(any_light["exposure_us"])) > np.log(1000)
    assert np.ptp(any_light["illuminance_lx"]) > 150
    away = np.abs(np.log(exposed["exposure_us"] / exposed["best_exposure_us"]))
    assert away.max() < 0.45
    assert ((exposed["level"] >= 25) & (exposed["level"] <= 175)).mean() > 0.8
    for info in (any_light, exposed):
        assert np.ptp(info["position"]) > 35, "from anywhere"
        assert np.ptp(info["distance_cm"]) > 40
    assert (exposed["blur_px"] > 1.5).mean() >= 0.8, "the start is no end"


def test_it_is_always_evaluated_in_the_same_episodes(
    monkeypatch: pytest.MonkeyPatch, few_cells: None
) -> None:
    config = replace(tiny("exposure"), task=replace(tiny("exposure").task, observation=SEEN[:2]))
    scores = []

    def training(make_env: Any, learning: Any, run: Any, progress: Any, examine: Any) -> Standing:
        policy = AutoExposure(make_env(1).task.spec)
        scores.extend(examine(policy) for _ in range(2))
        return Standing()

    monkeypatch.setattr(camera, "train_on_policy", training)
    train_camera(config, Run(Path()), print)
    assert scores[0] == scores[1]
    assert scores[0]["success"] > 0.8
    assert scores[0]["mean_steps"] < 2.5


# -- runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["exposure", "focus"])
def test_a_run_leaves_a_policy_that_anybody_can_load(
    preset: str, tmp_path: Path, few_cells: None
) -> None:
    config = tiny(preset)
    standing, heard = train(tmp_path, config)
    assert standing.updates == 3
    assert [line["step"] for line in heard] == [12, 24, 36]
    assert all(line["guidance_loss"] > 0 for line in heard)
    policy = vm.load_policy(tmp_path)
    assert policy.spec.task == "camera_control"
    assert policy.spec.config["control"] == preset
    assert policy.spec.observation == SEEN
    env = camera_env(config, 4, tested=True)
    kept = load_state(Run(tmp_path).policy_file)["provenance"]
    found = play(policy, env, rounds=4, seed=1)
    assert (found["success"], found["mean_steps"]) == (kept["success"], kept["mean_steps"])
    assert train(tmp_path, config) == (standing, []), "a run that is over has nothing left to do"


class Killed(Exception):
    """Out of the loop, as a kill would be."""


def test_a_run_cut_short_ends_as_one_that_was_not(tmp_path: Path, few_cells: None) -> None:
    """With noise, lights that change, and an expert's memory."""
    config = tiny("exposure")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    standing, _ = train(whole, config)

    def die(metrics: dict[str, Any]) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_camera(config, Run.at(cut, to_plain(config)), die)
    again, rest = train(cut, config)
    assert len(rest) == 2
    assert replace(again, seconds=0) == replace(standing, seconds=0)
    ours, theirs = (load_state(Run(path).trainer_file) for path in (whole, cut))
    for state in (ours, theirs):
        state["standing"].pop("seconds")
    same(ours, theirs, "")
    assert (whole / "final.json").read_bytes() == (cut / "final.json").read_bytes()


def same(one: Any, other: Any, name: str) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key, value in one.items():
            same(value, other[key], f"{name}/{key}")
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=name)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="CameraTrain: scenes: expected 1 to 100000, got 0"):
        replace(tiny("focus"), scenes=0)
    with pytest.raises(InputError, match="tested_scenes: expected"):
        replace(tiny("focus"), tested_scenes=0)
    with pytest.raises(InputError, match="kind: got 'cards'"):
        camera_env(replace(tiny("focus"), kinds=("cards",)), 1)
