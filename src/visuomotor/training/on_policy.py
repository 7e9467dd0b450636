"""Training on what the policy itself does, in any task with an environment: one loop.

Collect a rollout of all cells, learn from it, evaluate now and then, and save. ``train_on_policy``
can be killed at any moment and called again on the same run folder; with one thread it ends with
the same numbers.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visuomotor.agents.base import Policy
from visuomotor.agents.ppo import NAME, Experience, Ppo, PpoConfig
from visuomotor.checkpoint import save_policy
from visuomotor.configs import check_range, to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.rollout import Rollout, Step
from visuomotor.runs import Run

Progress = Callable[[dict[str, Any]], None]
MakeEnv = Callable[[int], VisuomotorEnv]
"""An environment of so many cells."""
Examine = Callable[[Policy], Mapping[str, float]]
"""How good a policy is: at least ``success`` and ``mean_steps``, by which the best is kept."""
KIND = "on-policy training run"


@dataclass(frozen=True)
class OnPolicyConfig:
    """One training run."""

    agent: PpoConfig = field(default_factory=PpoConfig)
    cells: int = 64
    """Episodes that are collected side by side."""
    horizon: int = 16
    """Steps of every cell in a rollout; episodes go on in the next one."""
    updates: int = 200
    """Rollouts that are learned from."""
    evaluate_every: int = 10
    """Updates between evaluations, after which all is saved."""
    seed: int = 0
    threads: int = 1
    """Of PyTorch; 0 leaves its default. One thread repeats to the bit."""

    def __post_init__(self) -> None:
        one = (1, math.inf)
        check_range(self, cells=(1, 100_000), horizon=(1, 100_000), updates=one)
        check_range(self, evaluate_every=one, seed=(0, math.inf), threads=(0, 1024))


@dataclass
class Standing:
    """How far a training run has come; saved with it."""

    updates: int = 0
    best_success: float = -1.0
    best_mean_steps: float = math.inf
    seconds: float = 0.0
    """Spent in training, evaluations included, over all sittings."""


def train_on_policy(
    make_env: MakeEnv, config: OnPolicyConfig, run: Run, progress: Progress, examine: Examine
) -> Standing:
    """Train PPO, or go on with a run that was cut short.

    ``examine`` evaluates the greedy policy (see ``play``), ``progress`` is called with the metrics
    of every evaluation. The best policy so far is always in ``run.policy_file``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    env = make_env(config.cells)
    spaces = env.task.observation_space, env.task.action_space
    learner = Ppo(env.task.spec, *spaces, config.agent, config.seed)
    (draws,) = np.random.SeedSequence(config.seed).spawn(1)
    rollout = Rollout(learner.acting_policy(), env, np.random.default_rng(draws), keep_going=True)
    collector = Collector(rollout, learner)
    standing = Standing()
    if run.trainer_file.exists():
        standing = _load(run, learner, collector)
    else:
        rollout.reset(seed=config.seed)
        first = collector.collect(config.horizon)
        learner.calibrate(first.seen[first.active])
    clock = time.perf_counter() - standing.seconds
    with closing(run):
        while standing.updates < config.updates:
            losses = learner.update(collector.collect(config.horizon))
            standing.updates += 1
            if standing.updates % config.evaluate_every == 0 or standing.updates == config.updates:
                found = dict(examine(learner.policy()))
                best = _is_best(found, standing)
                standing.seconds = time.perf_counter() - clock
                steps = standing.updates * config.horizon * config.cells
                metrics = {"step": steps, "updates": standing.updates, **found, "best": best}
                metrics |= {**collector.take_finished(), **losses, "seconds": standing.seconds}
                run.log(metrics)
                if best:
                    _save_best(run, learner, config.seed, steps, found)
                _save(run, learner, collector, standing)
                progress(metrics)
        final = {k: value for k, value in asdict(standing).items() if k != "seconds"}
        write_atomically(run.path / "final.json", json.dumps(final, indent=2).encode())
    return standing


class Collector:
    """Steps a rollout, cells that are done starting again, and keeps count of episodes."""

    def __init__(self, rollout: Rollout, learner: Ppo) -> None:
        self._rollout = rollout
        self._policy = learner.policy()
        self._steps = np.zeros(rollout.env.num_envs, np.int64)
        self._reward = np.zeros(rollout.env.num_envs)
        self._finished: list[tuple[bool, int, float]] = []

    def collect(self, horizon: int) -> Experience:
        """The next ``horizon`` steps of every cell."""
        rows = []
        for _ in range(horizon):
            step = self._rollout.step()
            self._count(step)
            rows.append(self._row(step))
        columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return Experience(**columns, last_value=self._policy.values(step.next_observation))

    def take_finished(self) -> dict[str, float]:
        """Means over the episodes that ended since it was last asked: nothing, if none did."""
        ended, self._finished = np.array(self._finished, np.float64), []
        if not len(ended):
            return {"episodes": 0}
        success, steps, reward = ended.mean(0).tolist()
        means = {"episode_success": success, "episode_steps": steps, "episode_reward": reward}
        return {"episodes": len(ended), **means}

    def state_dict(self) -> dict[str, Any]:
        """Taken where ``take_finished`` was just asked."""
        state = {"rollout": self._rollout.state_dict()}
        return state | {"steps": self._steps.copy(), "reward": self._reward.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rollout.load_state_dict(state["rollout"])
        self._steps, self._reward = np.array(state["steps"]), np.array(state["reward"])

    def _row(self, step: Step) -> dict[str, NDArray[Any]]:
        """What is learned from; pictures that an observation may hold are not kept."""
        expert = step.info.get("expert", np.full_like(step.action, -1))
        return {
            "seen": self._policy.read(step.observation),
            "action": step.action,
            "log_prob": step.extras["log_prob"],
            "value": step.extras["value"],
            "reward": step.reward,
            "done": step.terminated | step.truncated,
            "cut_value": self._cut_value(step),
            "active": step.active,
            "expert": expert.astype(np.int64),
        }

    def _count(self, step: Step) -> None:
        self._steps += step.active
        self._reward += step.reward
        done = step.terminated | step.truncated
        for cell in np.flatnonzero(step.active & done):
            success = bool(step.next_info["success"][cell])
            self._finished.append((success, int(self._steps[cell]), float(self._reward[cell])))
        self._steps[done], self._reward[done] = 0, 0.0

    def _cut_value(self, step: Step) -> NDArray[np.float32]:
        """(B,) what would still have come where an episode was cut short. A limit that belongs to
        the task terminates: after it nothing comes."""
        cut = step.truncated & ~step.terminated
        if not cut.any():
            return np.zeros(len(cut), np.float32)
        return np.where(cut, self._policy.values(step.next_observation), np.float32(0))


def play(policy: Policy, env: VisuomotorEnv, rounds: int = 1, seed: int = 0) -> dict[str, float]:
    """Run a policy to the end of ``rounds`` episodes in every cell, the same for the same seed."""
    rollout = Rollout(policy, env, np.random.default_rng(seed))
    success, steps, reward = 0, 0, 0.0
    for episode in range(rounds):
        rollout.reset(seed=seed if episode == 0 else None)
        while not rollout.finished:
            step = rollout.step()
            steps += int(step.active.sum())
            reward += float(step.reward.sum())
        success += int(rollout.info["success"].sum())
    count = rounds * env.num_envs
    return {"success": success / count, "mean_steps": steps / count, "mean_reward": reward / count}


def _is_best(found: Mapping[str, float], standing: Standing) -> bool:
    """Whether there was none better before; then it is the one to beat."""
    best = (standing.best_success, -standing.best_mean_steps)
    if (found["success"], -found["mean_steps"]) < best:
        return False
    standing.best_success, standing.best_mean_steps = found["success"], found["mean_steps"]
    return True


def _save_best(run: Run, learner: Ppo, seed: int, steps: int, found: Mapping[str, float]) -> None:
    origin = {**run.provenance(), "seed": seed, "time_steps": steps, **found}
    config = to_plain(learner.config)
    save_policy(run.policy_file, learner.spec, NAME, config, learner.weights(), origin)


def _save(run: Run, learner: Ppo, collector: Collector, standing: Standing) -> None:
    state = {"kind": KIND, "learner": learner.state_dict(), "collector": collector.state_dict()}
    save_state(run.trainer_file, {**state, "standing": to_plain(standing)})


def _load(run: Run, learner: Ppo, collector: Collector) -> Standing:
    state = load_state(run.trainer_file)
    if state.get("kind") != KIND:
        raise InputError(f"{run.trainer_file}: expected an {KIND}, got a {state.get('kind')}")
    learner.load_state_dict(state["learner"])
    collector.load_state_dict(state["collector"])
    return Standing(**state["standing"])
