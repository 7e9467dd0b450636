"""Two policies in a row: who is asked what, what does not fit, and checkpoints of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shown_camera import KnowingCamera
from torch import Tensor

from visuomotor.agents import hierarchical, ppo, untried
from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.agents.hierarchical import HierarchicalPolicy, Part, joined, saved_form
from visuomotor.agents.ppo import Ppo, PpoConfig, PpoPolicy
from visuomotor.agents.untried import UntriedConfig, UntriedPolicy
from visuomotor.camera_runner import control_camera
from visuomotor.checkpoint import load_checkpoint, save_policy
from visuomotor.configs import to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.models.actor_critic import ActorCriticConfig
from visuomotor.rollout import Rollout
from visuomotor.tasks.base import PolicySpec
from visuomotor.tasks.camera_control import CameraControlConfig, CameraControlTask
from visuomotor.types import Act

SMALL = PpoConfig(network=ActorCriticConfig(widths=(12,), embedding=4, heads="sequential"))
EXPOSE = CameraControlConfig(
    control="exposure", observation=("histogram", "levels", "settings"), detector="aruco"
)
FOCUS = replace(EXPOSE, control="focus", observation=("detail", "settings"))
BOTH = replace(
    EXPOSE, control="both", observation=("histogram", "levels", "settings", "detail", "focusing")
)
NOBODY = np.random.default_rng(0)


def learned(config: CameraControlConfig, seed: int = 0) -> PpoPolicy:
    """A policy with random weights that are all but nought, so that its actions differ."""
    task = CameraControlTask(config)
    ppo = Ppo(task.spec, task.observation_space, task.action_space, SMALL, seed)
    draws = np.random.default_rng(seed)
    seen = {
        key: draws.normal(size=(50, *space.shape)).astype(np.float32)
        for key, space in task.observation_space.spaces.items()
    }
    ppo.calibrate(ppo.policy().read(seen))
    for head in ppo.network.heads.parameters():
        head.data *= 100
    return ppo.policy()


def pair() -> HierarchicalPolicy:
    return joined(learned(EXPOSE, 1), learned(FOCUS, 2))


def observed(cells: int = 9, seed: int = 0) -> dict[str, Any]:
    """Anything that the whole task may show, half of the cells in either phase."""
    space = CameraControlTask(BOTH).observation_space
    draws = np.random.default_rng(seed)
    seen = {
        key: draws.normal(size=(cells, *part.shape)).astype(np.float32)
        for key, part in space.spaces.items()
    }
    return seen | {"focusing": (draws.random((cells, 1)) < 0.5).astype(np.float32)}


class Counting:
    """A policy that counts its own steps in its memory, and acts them."""

    def __init__(self, spec: PolicySpec, components: int, first: int) -> None:
        self.spec, self._components, self._first = spec, components, first

    def begin(self, state: Any, fresh: Any) -> Any:
        before = np.zeros(len(fresh), int) if state is None else state
        return np.where(fresh, self._first, before)

    def act(self, observation: Any, state: Any, generator: Any) -> Act:
        action = state if self._components == 1 else np.stack([state] * self._components, 1)
        return Act(action, state + 1, {})


def counting(high: int = 0, low: int = 0) -> HierarchicalPolicy:
    parts = (CameraControlTask(EXPOSE).spec, 1, high), (CameraControlTask(FOCUS).spec, 2, low)
    return HierarchicalPolicy(CameraControlTask(BOTH).spec, *(Counting(*part) for part in parts))


# -- who is asked what -------------------------------------------------------------------------


def test_an_action_is_the_highs_beside_the_lows() -> None:
    policy, seen = pair(), observed()
    act = policy.act(seen, policy.begin(None, np.ones(9, bool)), NOBODY)
    high, low = (part.act(seen, None, NOBODY).action for part in (policy.high, policy.low))
    np.testing.assert_array_equal(act.action, np.column_stack([high, low]))
    assert len(np.unique(act.action, axis=0)) > 3
    space = CameraControlTask(BOTH).action_space
    assert all(space.contains(row) for row in act.action)


def test_each_has_a_memory_of_its_own() -> None:
    policy = counting(high=10, low=20)
    state = policy.begin(None, np.ones(3, bool))
    for step in range(3):
        act = policy.act(observed(3), state, NOBODY)
        # Nothing that the low one chose was carried out: it begins as if it had not.
        assert act.action.tolist() == [[10 + step, 20, 20]] * 3
        state = act.state
    state = policy.begin(state, np.array([False, True, False]))
    action = policy.act(observed(3), state, NOBODY).action
    assert action.tolist() == [[13, 20, 20], [10, 20, 20], [13, 20, 20]]


def test_the_high_one_exposes_and_then_the_low_one_focuses() -> None:
    camera = KnowingCamera(2, level=40)
    env = VisuomotorEnv(camera, CameraControlTask(BOTH))
    rollout = Rollout(counting(high=100, low=5), env, NOBODY)
    rollout.reset(seed=0, start=40.0)
    times = env.task.exposures_us
    rollout.step()
    camera.level[0] = 100  # of the first cell alone
    rollout.step()
    assert rollout.info["focusing"].tolist() == [True, False]
    np.testing.assert_allclose(rollout.info["exposure_us"], times[101])
    assert rollout.info["position"].tolist() == [40.0, 40.0]
    rollout.step()
    np.testing.assert_allclose(rollout.info["exposure_us"], times[[101, 102]])
    np.testing.assert_allclose(rollout.info["position"], [24 + 5.05, 40.0])


def test_a_search_may_be_a_part_and_a_person_may_run_it() -> None:
    spec = CameraControlTask(BOTH).spec
    policy = HierarchicalPolicy(
        spec, AutoExposure(spec), Counting(CameraControlTask(FOCUS).spec, 2, 6)
    )
    camera = KnowingCamera(level=100)
    (result,) = control_camera(camera, policy, start=40.0)
    assert result.verdict == "no_object"
    assert {look.lens for look in result.looks[2:]} == {24 + n + n / 100 for n in range(6, 15)}


# -- what does not fit -------------------------------------------------------------------------


def test_parts_that_do_another_thing_are_refused() -> None:
    high, low = learned(EXPOSE), learned(FOCUS)
    spec = CameraControlTask(BOTH).spec
    with pytest.raises(InputError, match=r"that controls exposure, got one of .* controls focus"):
        HierarchicalPolicy(spec, low, low)
    with pytest.raises(InputError, match=r"that controls focus, got one of .* controls exposure"):
        HierarchicalPolicy(spec, high, high)
    with pytest.raises(InputError, match="that controls exposure, got one of"):
        HierarchicalPolicy(spec, low, high)
    with pytest.raises(InputError, match="expected a policy of autofocus that controls exposure"):
        HierarchicalPolicy(replace(spec, task="autofocus"), high, low)
    other = Counting(PolicySpec("autofocus", 1, ("settings",), {}), 2, 0)
    with pytest.raises(InputError, match="controls focus, got one of autofocus that controls None"):
        HierarchicalPolicy(spec, high, other)


@pytest.mark.parametrize("missing", ["focusing", "histogram", "detail"])
def test_what_a_part_reads_must_be_offered(missing: str) -> None:
    spec = CameraControlTask(BOTH).spec
    offered = replace(spec, observation=tuple(k for k in spec.observation if k != missing))
    with pytest.raises(InputError, match=f"hierarchical reads '{missing}', but the task offers"):
        HierarchicalPolicy(offered, learned(EXPOSE), learned(FOCUS))


@pytest.mark.parametrize(
    "changes",
    [
        {"history": 1},
        {"exposures": 40},
        {"exposure_range_us": (1e3, 1e5)},
        {"lens_range": (30.0, 60.0)},
        {"encoder": "onnx"},
    ],
)
def test_parts_that_see_or_set_the_camera_otherwise_are_refused(changes: dict[str, Any]) -> None:
    """The high one was trained on other exposures, or another history, than the low one: as one
    task neither would see or do what it learned."""
    low = learned(replace(FOCUS, observation=("features",)))
    if "encoder" in changes:  # need not be there to be another
        high = learned(replace(EXPOSE, observation=("features",)))
        high.spec = replace(high.spec, config={**high.spec.config, **changes})
    else:
        high = learned(replace(EXPOSE, **changes))
    with pytest.raises(InputError, match=next(iter(changes))):
        joined(high, low)


# -- joined, saved and loaded ------------------------------------------------------------------


def test_joined_is_for_the_task_of_both() -> None:
    policy = pair()
    spec = policy.spec
    assert spec.task == "camera_control"
    assert spec.config["control"] == "both"
    assert set(spec.observation) == {"histogram", "levels", "settings", "detail", "focusing"}
    assert len(spec.observation) == 5, "each once"
    assert tuple(spec.config["observation"]) == spec.observation
    task = CameraControlTask(CameraControlConfig(**_tuples(spec.config)))
    assert set(task.observation_space) == set(spec.observation)
    assert task.spec.observation == spec.observation
    assert policy.high.spec.config["control"] == "exposure", "the parts stay what they are"
    assert policy.low.spec.config["control"] == "focus"


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}


def part(policy: Any) -> Part:
    """What a checkpoint holds of one policy."""
    if isinstance(policy, UntriedPolicy):
        learned = part(policy.trained)
        config = {"reach": policy.config.reach, "ppo": learned.config}
        return learned._replace(agent=untried.NAME, config=config)
    weights = policy.network.state_dict()
    return Part(ppo.NAME, *ppo.without_critic(to_plain(SMALL), weights))


def parts(policy: HierarchicalPolicy) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return saved_form(policy, part(policy.high), part(policy.low))


def saved(policy: HierarchicalPolicy, path: Path) -> None:
    save_policy(path, policy.spec, hierarchical.NAME, *parts(policy), {"seed": 3})


@pytest.mark.parametrize("cautious", [False, True])
def test_a_checkpoint_acts_as_what_was_saved(tmp_path: Path, cautious: bool) -> None:
    policy = pair()
    if cautious:
        policy = joined(policy.high, UntriedPolicy(learned(FOCUS), UntriedConfig(reach=7)))
    saved(policy, tmp_path / "both.safetensors")
    found = load_checkpoint(tmp_path / "both.safetensors")
    assert (found.agent, found.provenance) == ("hierarchical", {"seed": 3})
    assert found.policy.spec == policy.spec
    for seed in range(3):
        seen = observed(30, seed)
        fresh = np.ones(30, bool)
        one, other = (p.act(seen, p.begin(None, fresh), NOBODY) for p in (policy, found.policy))
        np.testing.assert_array_equal(one.action, other.action)
    for mine, theirs in ((policy.high, found.policy.high), (policy.low, found.policy.low)):
        assert type(theirs) is type(mine)
        assert theirs.spec.observation == mine.spec.observation
        assert theirs.spec.config["control"] == mine.spec.config["control"]
    assert parts(found.policy)[1].keys() == parts(policy)[1].keys()


def test_it_runs_as_a_checkpoint_does(tmp_path: Path) -> None:
    policy = pair()
    saved(policy, tmp_path / "both.safetensors")
    again = load_checkpoint(tmp_path / "both.safetensors").policy
    ends = []
    for one in (policy, again):
        camera = KnowingCamera(3, level=100, marker=True)
        camera.level[1] = 40
        camera.blur[:] = 4.0
        ends.append([replace(r, seconds=0) for r in control_camera(camera, one, start=33.0)])
    assert ends[0] == ends[1]


def test_checkpoints_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    policy, path = pair(), tmp_path / "both.safetensors"
    told, weights = parts(policy)
    assert {name.partition(".")[0] for name in weights} == {"high", "low"}
    assert not [name for name in weights if "critic" in name], "only learning asks for worth"

    def load(config: Any, kept: Any = weights) -> Any:
        save_policy(path, policy.spec, hierarchical.NAME, config, kept, {})
        return load_checkpoint(path)

    with pytest.raises(InputError, match="agent: expected a key 'low', found none"):
        load({"high": told["high"]})
    with pytest.raises(InputError, match="low: expected a weight 'sizes', found none"):
        load(told, {name: v for name, v in weights.items() if name != "low.sizes"})
    with pytest.raises(InputError, match=r"high: .*trunk\.0\.weight"):
        load(told, {k: v for k, v in weights.items() if k != "high.trunk.0.weight"})
    with pytest.raises(InputError, match="high: agent: unknown key 'clipp'"):
        load({**told, "high": {**told["high"], "config": {"clipp": 0.1}}})
    with pytest.raises(InputError, match="low: agent: got 'pop'; did you mean 'ppo'"):
        load({**told, "low": {**told["low"], "agent": "pop"}})
    with pytest.raises(InputError, match="expected the sizes of 1 observations"):
        load({**told, "low": {**told["low"], "observation": ["detail"]}})
    for key in ("agent", "observation", "config"):
        part = {name: value for name, value in told["low"].items() if name != key}
        with pytest.raises(InputError, match=f"low: expected a key '{key}', found none"):
            load({**told, "low": part})
    load(told)


def test_what_was_not_carried_out_was_not_tried() -> None:
    """While the exposure is being set the lens stays: a value it would have taken is still free."""
    spec = CameraControlTask(BOTH).spec
    low = UntriedPolicy(learned(FOCUS), UntriedConfig())
    policy = HierarchicalPolicy(spec, learned(EXPOSE), low)
    fresh, draws = np.ones(2, bool), np.random.default_rng(0)
    space = CameraControlTask(BOTH).observation_space
    seen = {key: np.zeros((2, *part.shape), np.float32) for key, part in space.items()}
    seen["focusing"][1] = 1
    first = policy.act(seen, policy.begin(None, fresh), draws)
    second = policy.act(seen, first.state, draws)
    np.testing.assert_array_equal(first.action[0, 1:], second.action[0, 1:])
    assert (first.action[1, 1:] != second.action[1, 1:]).any()
