"""On-policy training: PPO solves toys, and a killed run ends as one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_decisions import Bandit, Corridor, CutShort, Decisions, TwoDigits, toy_env
from toys import blur_stack

import visuomotor as vm
from visuomotor.agents.base import PolicySpec
from visuomotor.agents.ppo import Ppo, PpoConfig, load_policy
from visuomotor.configs import from_plain, to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.files import load_state
from visuomotor.models.actor_critic import ActorCriticConfig
from visuomotor.rollout import Rollout
from visuomotor.runs import Run
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.on_policy import (
    Collector,
    OnPolicyConfig,
    Standing,
    play,
    train_on_policy,
)

TOY = OnPolicyConfig(
    agent=PpoConfig(
        batch=128,
        decay_updates=40,
        learning_rate=5e-3,
        network=ActorCriticConfig(widths=(32,), embedding=8),
    ),
    cells=32,
    horizon=8,
    updates=10,
    evaluate_every=5,
)


def train(
    path: Path, config: OnPolicyConfig, make_task: Callable[[], Decisions]
) -> tuple[Standing, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    standing = train_on_policy(
        lambda cells: toy_env(make_task(), cells),
        config,
        Run.at(path, to_plain(config)),
        heard.append,
        lambda policy: play(policy, toy_env(make_task(), 60)),
    )
    return standing, heard


def agent(config: OnPolicyConfig, **changes: Any) -> OnPolicyConfig:
    return replace(config, agent=replace(config.agent, **changes))


# ---- it learns


def test_it_finds_the_arm_that_pays(tmp_path: Path) -> None:
    standing, heard = train(tmp_path, replace(TOY, updates=15), Bandit)
    assert standing.best_success == 1.0
    assert [line["step"] for line in heard] == [1280, 2560, 3840]
    assert heard[-1]["episode_success"] > 0.9
    assert heard[0]["episodes"] == 6 * 8 * 32  # the rollout before the first update, too
    assert heard[-1]["episodes"] == 5 * 8 * 32
    assert heard[-1]["entropy"] < 0.5 * heard[0]["entropy"]


def test_it_walks_a_corridor_the_short_way(tmp_path: Path) -> None:
    """The goal is first met by chance, some steps away; without discounting the way it would not
    matter how long it takes."""
    config = replace(TOY, horizon=16, updates=15)
    standing, _ = train(tmp_path, config, Corridor)
    env = toy_env(Corridor(), 60)
    env.reset(seed=0)
    shortest = np.abs(env.task.state[:, 0] - env.task.goal()).mean()
    assert standing.best_success == 1.0
    assert standing.best_mean_steps == pytest.approx(shortest)
    policy = load_policy(*saved(tmp_path), "here")
    assert play(policy, env)["mean_steps"] == pytest.approx(shortest)


def saved(path: Path) -> tuple[Any, Any, Any]:
    """Of a toy, whose task no checkpoint can find."""
    state = load_state(Run(path).policy_file)
    assert state["agent"] == "ppo"
    spec = state["spec"] | {"observation": tuple(state["spec"]["observation"])}
    return PolicySpec(**spec), state["config"], state["weights"]


@pytest.mark.parametrize(("heads", "right"), [("independent", False), ("sequential", True)])
def test_digits_that_belong_together_need_sequential_heads(
    tmp_path: Path, heads: str, right: bool
) -> None:
    """Likeliest digits are 1 and 9, but 1.9 is never right: drawn each for itself they are wrong in
    half of all cases, and greedily always."""
    config = agent(
        replace(TOY, updates=20, evaluate_every=10),
        guidance_weight=1.0,
        guidance_updates=1000,
        entropy_weight=0.0,
        decay_updates=20,
        network=ActorCriticConfig(widths=(32,), embedding=8, heads=heads),
    )
    _, heard = train(tmp_path, config, TwoDigits)
    assert heard[-1]["success"] == (1.0 if right else 0.0)
    assert (heard[-1]["episode_success"] > 0.95) == right
    expected = -np.log(TwoDigits.SHARES) @ TwoDigits.SHARES  # of what they are drawn from
    assert (heard[-1]["guidance_loss"] < expected + 0.1) == right


@pytest.mark.parametrize("heads", ["independent", "sequential"])
def test_it_finds_a_number_of_two_digits_by_itself(tmp_path: Path, heads: str) -> None:
    network = ActorCriticConfig(widths=(32,), embedding=8, heads=heads)
    config = agent(replace(TOY, updates=15), network=network)
    standing, _ = train(tmp_path, config, partial(TwoDigits, 1.0))
    assert standing.best_success == 1.0


def test_guidance_takes_fewer_updates(tmp_path: Path) -> None:
    needed = []
    for weight in (0.0, 1.0):
        config = agent(replace(TOY, updates=6, evaluate_every=1), guidance_weight=weight)
        config = agent(config, guidance_updates=6)
        _, heard = train(tmp_path / str(weight), config, partial(Bandit, 30))
        needed.append([line["success"] > 0.9 for line in heard])
    assert not any(needed[0])
    assert needed[1][-1]


# ---- what is collected


def collector(
    task: Decisions, kind: type[VisuomotorEnv] = VisuomotorEnv, cells: int = 4, **changes: Any
) -> tuple[Collector, Ppo]:
    env = toy_env(task, cells, kind)
    spaces = task.observation_space, task.action_space
    learner = Ppo(task.spec, *spaces, PpoConfig(**changes), 0)
    rollout = Rollout(learner.acting_policy(), env, np.random.default_rng(0), keep_going=True)
    rollout.reset(seed=0)
    return Collector(rollout, learner), learner


def test_a_limit_of_the_task_ends_and_another_is_looked_beyond() -> None:
    ended, _ = collector(Corridor(99))  # so long that no end is met within 30 steps
    cut, learner = collector(Corridor(99), CutShort)
    one, other = ended.collect(64), cut.collect(64)
    np.testing.assert_array_equal(one.seen, other.seen)
    np.testing.assert_array_equal(np.flatnonzero(other.done[:, 0]), [29, 59])
    np.testing.assert_array_equal(one.done, other.done)
    assert (one.cut_value == 0).all()
    assert (other.cut_value[~other.done] == 0).all()
    # The value is that of the state in which it was cut, not of the one it starts again from.
    place = other.seen[29, :, 0] + other.action[29] - 1
    was = {"place": place, "sign": other.seen[29, :, 1:]}
    np.testing.assert_allclose(other.cut_value[29], learner.policy().values(was), rtol=1e-6)


def test_all_steps_of_all_cells_are_collected_and_each_episode_is_counted() -> None:
    ours, learner = collector(Corridor(7))
    batch = ours.collect(200)
    assert batch.active.all()
    assert batch.expert.shape == batch.action.shape == (200, 4)
    np.testing.assert_array_equal(batch.expert, np.where(batch.seen[..., 1] == 1, 2, 0))
    counted = ours.take_finished()
    assert counted["episodes"] == batch.done.sum()
    won = (batch.reward == 1).sum() / batch.done.sum()
    assert counted["episode_success"] == pytest.approx(won)
    whole = [np.diff(np.flatnonzero(done), prepend=-1) for done in batch.done.T]
    assert counted["episode_steps"] == pytest.approx(np.concatenate(whole).mean())
    assert ours.take_finished() == {"episodes": 0}
    hidden = torch.from_numpy(batch.seen[3])
    np.testing.assert_allclose(
        batch.value[3], learner.network(hidden)[1].detach().numpy(), atol=1e-6
    )


def test_what_no_expert_knows_is_not_guided() -> None:
    class Secret(Bandit):
        def info(self) -> dict[str, Any]:
            return {"success": self.success()}

    ours, learner = collector(Secret(), guidance_weight=1.0)
    batch = ours.collect(4)
    assert (batch.expert == -1).all()
    assert learner.update(batch)["guidance_loss"] == 0.0


# ---- it goes on


class Killed(Exception):
    """Out of the loop, as a kill would be."""


SHORT = replace(TOY, updates=6, evaluate_every=2, horizon=7, seed=3)


def same_ends(one: Path, other: Path) -> None:
    """Weights, moments, generators, cells and counts: everything but clocks."""
    ours, theirs = (load_state(Run(path).trainer_file) for path in (one, other))
    for state in (ours, theirs):
        state["standing"].pop("seconds")
    compare(ours, theirs, "")
    compare(saved(one)[2], saved(other)[2], "policy")
    clocks = ("seconds",)
    lines = [
        [{k: v for k, v in line.items() if k not in clocks} for line in Run.open(path).metrics()]
        for path in (one, other)
    ]
    assert lines[0] == lines[1]
    assert (one / "final.json").read_bytes() == (other / "final.json").read_bytes()


def compare(one: Any, other: Any, name: str) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            compare(value, other[key], f"{name}/{key}")
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=name)


@pytest.mark.parametrize("dies_at", [1, 2])
def test_a_run_cut_short_ends_as_one_that_was_not(tmp_path: Path, dies_at: int) -> None:
    """Episodes of 30 steps and rollouts of 7: it is cut in the midst of episodes."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    standing, _ = train(whole, SHORT, Corridor)
    heard = []

    def die(metrics: dict[str, Any]) -> None:
        heard.append(metrics)
        if len(heard) == dies_at:
            raise Killed

    with pytest.raises(Killed):
        train_on_policy(
            lambda cells: toy_env(Corridor(), cells),
            SHORT,
            Run.at(cut, to_plain(SHORT)),
            die,
            lambda policy: play(policy, toy_env(Corridor(), 60)),
        )
    again, rest = train(cut, SHORT, Corridor)
    assert len(rest) == 3 - dies_at
    assert replace(again, seconds=0) == replace(standing, seconds=0)
    same_ends(whole, cut)
    assert train(cut, SHORT, Corridor) == (again, []), "a run that is over has nothing left to do"


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{support!r}, {here!r}]
import test_on_policy as test
test.train(Path(sys.argv[1]), test.KILLED, test.Corridor)
"""
KILLED = replace(SHORT, updates=40, evaluate_every=2, cells=8)


def test_a_killed_process_ends_as_one_that_was_not(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    code = CHILD.format(support=str(here.parent / "support"), here=str(here))
    cut = tmp_path / "cut"
    process = subprocess.Popen([sys.executable, "-c", code, str(cut)], stderr=subprocess.PIPE)
    metrics = cut / "metrics.jsonl"
    while not metrics.is_file() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode != 0
    done = Run.open(cut).metrics()
    assert 3 <= len(done) < 20
    train(cut, KILLED, Corridor)
    train(tmp_path / "whole", KILLED, Corridor)
    same_ends(tmp_path / "whole", cut)


def test_the_state_of_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    run = Run.at(tmp_path, to_plain(SHORT))
    train(tmp_path, SHORT, Bandit)
    os.replace(run.policy_file, run.trainer_file)
    with pytest.raises(InputError, match="expected an on-policy training run, got a policy"):
        train(tmp_path, SHORT, Bandit)


# ---- the policy that is kept


def test_the_best_policy_is_kept_not_the_last(tmp_path: Path) -> None:
    found = iter([(0.5, 9.0), (0.9, 4.0), (0.9, 5.0)])

    def examine(policy: Any) -> dict[str, float]:
        success, steps = next(found)
        return {"success": success, "mean_steps": steps, "deepest": 1.0}

    heard: list[dict[str, Any]] = []
    run = Run.at(tmp_path, to_plain(SHORT))
    standing = train_on_policy(
        lambda cells: toy_env(Bandit(), cells), SHORT, run, heard.append, examine
    )
    assert [line["best"] for line in heard] == [True, True, False]
    assert (standing.best_success, standing.best_mean_steps) == (0.9, 4.0)
    provenance = load_state(run.policy_file)["provenance"]
    assert provenance["time_steps"] == 4 * 7 * 32
    assert (provenance["seed"], provenance["mean_steps"], provenance["deepest"]) == (3, 4.0, 1.0)
    final = json.loads((tmp_path / "final.json").read_text())
    assert final == {"updates": 6, "best_success": 0.9, "best_mean_steps": 4.0}


def test_a_checkpoint_of_a_real_task_loads_by_its_name(tmp_path: Path) -> None:
    """Trained a little on the autofocus task, by what it has of vectors."""
    stack = blur_stack()
    wanted = AutofocusConfig(observation=("frames", "past_moves", "explored", "sharpness"))

    def make_env(cells: int) -> VisuomotorEnv:
        rig = stack.instrument(cells=cells, continuous=False, fine_step=1.0)
        return VisuomotorEnv(rig, AutofocusTask(wanted))

    config = agent(replace(SHORT, updates=2), reward_unit=100.0, guidance_weight=1.0)
    examining = make_env(31)
    train_on_policy(
        make_env, config, Run.at(tmp_path, to_plain(config)), lambda metrics: None,
        lambda policy: play(policy, examining),
    )  # fmt: skip
    policy = vm.load_policy(tmp_path)
    assert policy.spec.observation == wanted.observation
    rows = vm.evaluate(policy, make_env(31), starts=stack.positions)
    assert len(rows) == 31
    kept = load_state(Run(tmp_path).policy_file)["provenance"]
    assert play(policy, examining)["mean_steps"] == kept["mean_steps"]


def test_settings_can_be_saved_and_read_back() -> None:
    plain = json.loads(json.dumps(to_plain(TOY)))
    assert from_plain(OnPolicyConfig, plain, "here") == TOY
    with pytest.raises(InputError, match="OnPolicy: horizon: expected 1 to 100000, got 0"):
        OnPolicyConfig(horizon=0)
