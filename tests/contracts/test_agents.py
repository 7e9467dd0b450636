"""What every agent promises: walks every search, every shipped policy and every learner."""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import visuomotor as vm
from visuomotor import agents, zoo
from visuomotor.agents.base import Learner
from visuomotor.agents.search import searches
from visuomotor.configs import from_plain, to_plain
from visuomotor.discovery import names_in
from visuomotor.env import VisuomotorEnv
from visuomotor.evaluate import evaluate
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.rollout import Rollout
from visuomotor.tasks import autofocus, camera_control
from visuomotor.training.config import FOLDER, train_config

STACK = vm.demo_stack()
POLICIES = [*zoo.names(), *(f"search:{name}" for name in searches())]
CELLS = 5


OF_FOCUS = [name for name in POLICIES if vm.load_policy(name).spec.task == autofocus.NAME]


def env_for(policy, cells: int = CELLS) -> VisuomotorEnv:
    """The demo's view, in the unit that the policy moves in; a camera before cards, for what sets
    cameras."""
    if policy.spec.task == camera_control.NAME:
        rig = LiquidLensCamera(LiquidLensCameraConfig(size_px=96), scene_pool("test", 2), cells)
        return VisuomotorEnv(rig, camera_control.build(policy.spec.config))
    unit = policy.spec.config.get("fine_step_unit") or STACK.unit
    stack = vm.FocalStack(STACK.frames, STACK.positions, unit)
    rig = stack.instrument(cells=cells, continuous=False)
    return VisuomotorEnv(rig, autofocus.build(policy.spec.config))


@pytest.mark.parametrize("name", POLICIES)
def test_spec_is_plain_and_names_what_is_read(name: str) -> None:
    spec = vm.load_policy(name).spec
    assert json.loads(json.dumps(asdict(spec)))["task"] == spec.task
    task = importlib.import_module(f"visuomotor.tasks.{spec.task}")
    space = task.build(spec.config).observation_space
    assert set(space) == set(spec.observation)


@pytest.mark.parametrize("name", POLICIES)
def test_actions_are_valid_and_the_episode_ends(name: str) -> None:
    policy = vm.load_policy(name)
    env = env_for(policy)
    rollout = Rollout(policy, env, np.random.default_rng(0))
    rollout.reset(seed=1)
    for _ in range(400):
        step = rollout.step()
        assert env.action_space.contains(step.action.astype(env.action_space.dtype))
        if rollout.finished:
            break
    assert rollout.finished


@pytest.mark.parametrize("name", OF_FOCUS)
def test_batched_equals_one_by_one(name: str) -> None:
    policy = vm.load_policy(name)
    starts = STACK.positions[[0, 30, 62, 100, 130]]
    together = evaluate(policy, env_for(policy), starts=starts)
    alone = [evaluate(policy, env_for(policy, 1), starts=starts[i : i + 1])[0] for i in range(5)]
    assert together == alone


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_sees_only_what_its_spec_names(name: str) -> None:
    policy = vm.load_policy(name)
    env = env_for(policy)
    observation, _ = env.reset(seed=0)
    observation |= {"truth": np.full(CELLS, np.nan), "expert": np.zeros(CELLS, int)}
    plain = {key: observation[key] for key in policy.spec.observation}
    fresh = np.ones(CELLS, bool)
    seen = policy.act(observation, policy.begin(None, fresh), np.random.default_rng(0))
    kept = policy.act(plain, policy.begin(None, fresh), np.random.default_rng(0))
    np.testing.assert_array_equal(seen.action, kept.action)


@pytest.mark.parametrize("name", names_in("visuomotor.agents", "load_policy"))
def test_every_agent_can_be_found(name: str) -> None:
    assert name == importlib.import_module(f"visuomotor.agents.{name}").NAME


AGENTS = [file.stem for file in Path(agents.__path__[0]).glob("[!_]*.py")]
LEARNERS = [
    pytest.param(value, id=f"{agent}: {name}")
    for agent in AGENTS
    for name, value in vars(importlib.import_module(f"visuomotor.agents.{agent}")).items()
    if inspect.isclass(value) and value.__module__ == f"visuomotor.agents.{agent}"
    if hasattr(value, "update") and value is not Learner
]


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_learner_is_what_trainers_expect(learner: type) -> None:
    assert isinstance(learner.on_policy, bool)
    for name in ("targets", "update", "policy", "weights", "state_dict", "load_state_dict"):
        ours = inspect.signature(getattr(learner, name)).parameters
        assert list(ours) == list(inspect.signature(getattr(Learner, name)).parameters), name


def test_every_learner_was_found() -> None:
    found = {param.id for param in LEARNERS}
    assert found >= {"dqn: DQN", "guided_q: GuidedQ", "tail_dqn: TailDQN", "ppo: Ppo"}


@pytest.mark.parametrize("preset", [file.stem for file in FOLDER.glob("*.toml")])
def test_every_preset_can_be_saved_and_read_back(preset: str) -> None:
    config = train_config({}, "test", preset)
    plain = json.loads(json.dumps(to_plain(config)))
    assert from_plain(type(config), plain, preset) == config
