"""What every task promises: walks every task, with every preset, on the examples of an instrument
that it can be bound to."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
from shown_camera import toy_brisque

import visuomotor as vm
from visuomotor.configs import to_plain
from visuomotor.discovery import names_in
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.recorded import stack_instrument
from visuomotor.instruments.simulated import liquid_lens_camera

RIGS = {
    "autofocus": stack_instrument.examples,
    "camera_control": liquid_lens_camera.examples,
    "lens_travel": liquid_lens_camera.examples,
}
ANYWHERE = {
    "autofocus": "interpolated positions",
    "camera_control": "one card",
    "lens_travel": "one card",
}
"""Examples in which every start is as good as another."""
TASKS = [
    pytest.param(name, preset, id=f"{name}: {preset}")
    for name in names_in("visuomotor.tasks", "build")
    for preset in importlib.import_module(f"visuomotor.tasks.{name}").PRESETS
]
ON_RIGS = [
    pytest.param(*task.values, rig, id=f"{task.id}: {rig}")
    for task in TASKS
    for rig in RIGS[task.values[0]](1)
]
CELLS = 5


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory):
    """Makes a task of a preset; with a model file of BRISQUE where the task asks for one, as the
    package that has it is not always installed."""
    model = toy_brisque(tmp_path_factory.mktemp("brisque"))

    def made(name: str, preset: str):
        module = importlib.import_module(f"visuomotor.tasks.{name}")
        config = to_plain(module.PRESETS[preset])
        if config.get("quality") == "brisque":
            config["brisque_model"] = model
        return module.build(config)

    return made


def where(info: dict) -> np.ndarray:
    """(B, A) of every axis that the task moves, as ``executed`` has them."""
    columns = [info["position"]]
    if "exposure_us" in info:
        columns.insert(0, info["exposure_us"])
    return np.stack(columns, 1)


def starts(rig, count: int) -> np.ndarray:
    """All over the range; the recorded positions of a recording."""
    return rig.stack.positions if hasattr(rig, "stack") else np.linspace(*rig.focus.limits, count)


def test_every_task_has_instruments_to_be_walked_on() -> None:
    assert set(names_in("visuomotor.tasks", "build")) == set(RIGS) == set(ANYWHERE)


@pytest.mark.parametrize(("name", "preset"), TASKS)
class TestTask:
    def test_spaces_are_known_before_any_instrument(self, build, name: str, preset: str) -> None:
        task = build(name, preset)
        assert isinstance(task.observation_space, gym.spaces.Dict)
        assert task.action_space.sample() is not None
        assert (task.name, task.version) == (task.spec.task, task.spec.version)

    def test_its_spec_builds_it_again(self, build, name: str, preset: str) -> None:
        task = build(name, preset)
        plain = json.loads(json.dumps(asdict(task.spec)))
        module = importlib.import_module(f"visuomotor.tasks.{plain['task']}")
        again = module.build(plain["config"])
        assert again.observation_space == task.observation_space
        assert again.action_space == task.action_space

    def test_an_unknown_key_is_refused(self, name: str, preset: str) -> None:
        module = importlib.import_module(f"visuomotor.tasks.{name}")
        with pytest.raises(vm.InputError, match="unknown key 'no_such_key'"):
            module.build({"no_such_key": 1})

    def test_something_that_is_no_instrument_is_refused(
        self, build, name: str, preset: str
    ) -> None:
        with pytest.raises(vm.InputError, match="needs an instrument"):
            build(name, preset).bind(object())

    def test_the_expert_succeeds_from_everywhere(self, build, name: str, preset: str) -> None:
        rig = RIGS[name](15)[ANYWHERE[name]]
        if hasattr(rig, "exposure"):  # a lens cannot help what is too dark
            rig.exposure.move_to(rig.best_exposure_us(), np.arange(15))
        env = VisuomotorEnv(rig, build(name, preset))
        _, info = env.reset(seed=0, options={"start": starts(rig, 15)})
        while not env.task.done().all():
            *_, info = env.step(info["expert"])
        assert info["success"].all()


@pytest.mark.parametrize(("name", "preset", "rig"), ON_RIGS)
def test_episodes_keep_the_promises(build, name: str, preset: str, rig: str) -> None:
    env = VisuomotorEnv(RIGS[name](CELLS)[rig], build(name, preset))
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    assert not env.task.done().any()
    assert (info["exposures"] == 1).all()
    over = np.zeros(CELLS, bool)
    for _ in range(60):
        assert env.observation_space.contains(observation)
        assert all(len(value) == CELLS for value in info.values())
        before, seen = info, observation
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert np.isfinite(reward).all()
        assert (reward[over] == 0).all()
        for key in ("exposures", "travel", "steps"):
            np.testing.assert_array_equal(info[key][over], before[key][over], err_msg=key)
        for key, value in observation.items():
            np.testing.assert_array_equal(value[over], seen[key][over], err_msg=key)
        moved = where(info) - where(before)
        assert (moved[over] == 0).all()
        assert info["executed"].shape == moved.shape
        np.testing.assert_allclose(moved[~over], info["executed"][~over], atol=1e-12)
        np.testing.assert_array_equal(info["steps"] - before["steps"], ~over)
        assert ((info["exposures"] - before["exposures"]) <= 1).all()
        over = terminated | truncated
        np.testing.assert_array_equal(terminated, env.task.done())
        assert not (env.task.success() & ~over).any()
        np.testing.assert_array_equal(info["success"], env.task.success())
        if over.all():
            break
    assert over.all(), "random actions must meet an end of the episode"


@pytest.mark.parametrize(("name", "preset"), TASKS)
def test_the_same_seed_is_the_same_episode(build, name: str, preset: str) -> None:
    ends = []
    for _ in range(2):
        env = VisuomotorEnv(RIGS[name](CELLS)[ANYWHERE[name]], build(name, preset))
        env.action_space.seed(3)
        env.reset(seed=4)
        for _ in range(3):
            observation, reward, *_, info = env.step(env.action_space.sample())
        ends.append({**observation, "reward": reward, **info})
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][key], err_msg=key)
