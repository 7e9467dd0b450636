"""What every policy promises: walks every search and every shipped policy."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

import visuomotor as vm
from visuomotor import zoo
from visuomotor.agents.search import searches
from visuomotor.env import VisuomotorEnv
from visuomotor.evaluate import evaluate, summarise
from visuomotor.rollout import Rollout
from visuomotor.tasks import autofocus

STACK = vm.demo_stack()
POLICIES = [*zoo.names(), *(f"search:{name}" for name in searches())]
CELLS = 5


def env_for(policy, cells: int = CELLS) -> VisuomotorEnv:
    rig = STACK.instrument(cells=cells, continuous=False, fine_step=STACK.spacing)
    return VisuomotorEnv(rig, autofocus.build(policy.spec.config))


@pytest.mark.parametrize("name", POLICIES)
def test_spec_is_plain_and_names_what_is_read(name: str) -> None:
    spec = vm.load_policy(name).spec
    assert json.loads(json.dumps(asdict(spec)))["task"] == spec.task
    space = autofocus.build(spec.config).observation_space
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


@pytest.mark.parametrize("name", POLICIES)
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


@pytest.mark.parametrize("name", zoo.names())
def test_shipped_policies_are_whole_and_small(name: str) -> None:
    path = zoo.path_of(name)
    card = zoo.card(name)
    assert path.stat().st_size <= 4 * 2**20
    assert card["name"] == name
    assert card["provenance"]["machine"]
    assert zoo.resolve(name.rpartition("@")[0]).startswith(name.rpartition("@")[0])


def test_the_shipped_policies_fit_together() -> None:
    assert sum(zoo.path_of(name).stat().st_size for name in zoo.names()) <= 24 * 2**20


def test_yu2018_exp1_solves_every_start_of_its_view() -> None:
    policy = vm.load_policy("yu2018-exp1@1")
    rows = evaluate(policy, env_for(policy, 131), starts=STACK.positions)
    summary = summarise(rows)
    assert summary.accuracy == 1.0
    assert summary.mean_steps <= 1.1 * summary.optimal_steps
    assert 4.5 <= summary.optimal_steps <= 7


def test_a_changed_file_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = zoo.names()[0]
    for suffix in ("json", "safetensors"):
        content = (zoo.FOLDER / f"{name}.{suffix}").read_bytes()
        (tmp_path / f"{name}.{suffix}").write_bytes(content)
    with (tmp_path / f"{name}.safetensors").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with pytest.raises(vm.InputError, match="sha256"):
        vm.load_policy(name)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(vm.InputError, match="did you mean 'yu2018-exp1'"):
        vm.load_policy("yu2018-exp")
