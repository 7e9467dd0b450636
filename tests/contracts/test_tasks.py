"""What every task promises: walks every task, with every preset, on every instrument example."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest

import visuomotor as vm
from visuomotor.configs import to_plain
from visuomotor.discovery import names_in
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.recorded.stack_instrument import examples

TASKS = [
    pytest.param(name, preset, id=f"{name}: {preset}")
    for name in names_in("visuomotor.tasks", "build")
    for preset in importlib.import_module(f"visuomotor.tasks.{name}").PRESETS
]
CELLS = 5


def build(name: str, preset: str):
    module = importlib.import_module(f"visuomotor.tasks.{name}")
    return module.build(to_plain(module.PRESETS[preset]))


@pytest.mark.parametrize(("name", "preset"), TASKS)
class TestTask:
    def test_spaces_are_known_before_any_instrument(self, name: str, preset: str) -> None:
        task = build(name, preset)
        assert isinstance(task.observation_space, gym.spaces.Dict)
        assert task.action_space.sample() is not None
        assert (task.name, task.version) == (task.spec.task, task.spec.version)

    def test_its_spec_builds_it_again(self, name: str, preset: str) -> None:
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

    def test_something_that_is_no_instrument_is_refused(self, name: str, preset: str) -> None:
        with pytest.raises(vm.InputError, match="needs an instrument"):
            build(name, preset).bind(object())

    @pytest.mark.parametrize("rig", examples(1))
    def test_episodes_keep_the_promises(self, name: str, preset: str, rig: str) -> None:
        env = VisuomotorEnv(examples(CELLS)[rig], build(name, preset))
        env.action_space.seed(0)
        observation, info = env.reset(seed=0)
        assert not env.task.done().any()
        assert (info["exposures"] == 1).all()
        over = np.zeros(CELLS, bool)
        for _ in range(60):
            assert env.observation_space.contains(observation)
            assert all(len(value) == CELLS for value in info.values())
            before = info
            observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
            assert np.isfinite(reward).all()
            assert (reward[over] == 0).all()
            for key in ("position", "exposures", "travel", "steps"):
                np.testing.assert_array_equal(info[key][over], before[key][over], err_msg=key)
            moved = info["position"] - before["position"]
            np.testing.assert_allclose(moved[~over], info["executed"][~over, 0], atol=1e-12)
            assert ((info["exposures"] - before["exposures"]) <= 1).all()
            over = terminated | truncated
            np.testing.assert_array_equal(terminated, env.task.done())
            assert not (env.task.success() & ~over).any()
            if over.all():
                break
        assert over.all(), "random actions must meet an end of the episode"

    def test_the_expert_succeeds_from_everywhere(self, name: str, preset: str) -> None:
        rig = examples(15)["interpolated positions"]
        env = VisuomotorEnv(rig, build(name, preset))
        _, info = env.reset(seed=0, options={"start": rig.stack.positions})
        while not env.task.done().all():
            *_, info = env.step(info["expert"])
        assert info["success"].all()
