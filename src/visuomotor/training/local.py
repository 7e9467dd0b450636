"""Training on this machine: one loop that reads from top to bottom.

Collect a row, file it, take gradient steps on sampled batches, evaluate now and then over every
start, and save. ``train`` can be killed at any moment and called again on the same run folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from visuomotor.agents import dqn
from visuomotor.agents.base import PolicySpec
from visuomotor.checkpoint import save_policy
from visuomotor.configs import to_plain
from visuomotor.episode_log import EpisodeLog
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.replay import ROW, Replay, augment
from visuomotor.rollout import Rollout
from visuomotor.runs import Run, provenance
from visuomotor.tasks import autofocus
from visuomotor.training.collecting import Collector
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Examiner, Standing, focus_env

Progress = Callable[[dict[str, Any]], None]


def train(config: TrainConfig, stack: FocalStack, run: Run, progress: Progress) -> Standing:
    """Train a focus policy on one view, or go on with a run that was cut short.

    ``stack`` has at least ``config.positions`` positions (see ``prepare``). ``progress`` is called
    with the metrics of every evaluation. The best policy so far is always in ``run.policy_file``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    env, task = focus_env(config.task, stack, config.cells)
    examiner = Examiner(config.task, stack)
    frames = task.frames
    assert frames is not None  # a stack at its own positions has finitely many pictures
    spec = autofocus.with_fine_step(task.spec, stack.spacing, stack.unit)
    learner = dqn.DQN(spec, config.agent, config.seed)
    learner.calibrate(frames.get(np.arange(stack.num_positions)))
    seeds = np.random.SeedSequence(config.seed).spawn(2)
    exploring_draws, sampling_draws = (np.random.default_rng(seed) for seed in seeds)
    exploring = dqn.Exploring(learner.acting_policy(), config.agent, len(config.task.steps))
    rollout = Rollout(exploring, env, exploring_draws, keep_going=True, reveal=("expert",))
    replay = Replay(frames, config.replay_steps, config.cells, config.task.history)
    log = EpisodeLog(run.log_file, ROW, config.cells)
    collector = Collector(rollout, replay, log, frames)
    trainer = _Trainer(learner, rollout, exploring, sampling_draws)
    if run.trainer_file.exists():
        trainer.load(run)
        collector.refill(trainer.standing.steps // config.cells)
    else:
        rollout.reset(seed=config.seed)
        collector.refill(0)
    standing = trainer.standing
    clock = time.perf_counter() - standing.seconds
    losses: dict[str, float] = {}

    while standing.steps < config.steps and standing.perfect_in_a_row <= config.patience:
        collector.step()
        standing.steps += config.cells
        if standing.steps >= config.warmup_steps:
            for _ in range(config.updates_per_row):
                losses = _gradient_step(learner, replay, sampling_draws, config)
        if standing.steps // config.evaluate_every > standing.evaluations:
            metrics = examiner.examine(learner.policy(), standing)
            standing.seconds = time.perf_counter() - clock
            run.log({"step": standing.steps, **metrics, **losses, "seconds": standing.seconds})
            if metrics["best"]:
                _save_policy(run, learner, stack, standing)
            trainer.save(run)
            progress({"step": standing.steps, **metrics, **losses, "seconds": standing.seconds})
    final = {key: value for key, value in asdict(standing).items() if key != "seconds"}
    write_atomically(run.path / "final.json", json.dumps(final, indent=2).encode())
    log.close()
    run.close()
    return standing


def _gradient_step(
    learner: dqn.DQN, replay: Replay, draws: np.random.Generator, config: TrainConfig
) -> dict[str, float]:
    """Sample, augment, and learn once."""
    agent = config.agent
    batch = replay.sample(draws, agent.batch, agent.n_step, agent.gamma)
    batch = batch._replace(frames=augment(batch.frames, draws, agent.shift_px, agent.brightness))
    return learner.update(batch, learner.targets(batch))


@dataclass
class _Trainer:
    """Everything that changes while training, as one file."""

    learner: dqn.DQN
    rollout: Rollout
    exploring: dqn.Exploring
    sampling_draws: np.random.Generator

    def __post_init__(self) -> None:
        self.standing = Standing()

    def save(self, run: Run) -> None:
        state = {
            "kind": "training run",
            "learner": self.learner.state_dict(),
            "rollout": self.rollout.state_dict(),
            "explored": self.exploring.steps,
            "sampling": self.sampling_draws.bit_generator.state,
            "standing": to_plain(self.standing),
        }
        save_state(run.trainer_file, state)

    def load(self, run: Run) -> None:
        state = load_state(run.trainer_file)
        self.learner.load_state_dict(state["learner"])
        self.rollout.load_state_dict(state["rollout"])
        self.exploring.steps = int(state["explored"])
        self.sampling_draws.bit_generator.state = state["sampling"]
        self.standing = Standing(**state["standing"])


def _save_policy(run: Run, learner: dqn.DQN, stack: FocalStack, standing: Standing) -> None:
    origin = {
        **provenance(),
        "seed": run.config()["seed"],
        "stack": stack.name,
        "stack_digest": stack.origin_digest,
        "interpolated_from": stack.interpolated_from,
        "positions": stack.num_positions,
        "unit": stack.unit,
        "time_steps": standing.steps,
        "accuracy": standing.best_accuracy,
        "mean_steps": standing.best_mean_steps,
        "optimal_steps": standing.optimal_steps,
    }
    spec: PolicySpec = learner.spec
    save_policy(
        run.policy_file, spec, dqn.NAME, to_plain(learner.config), learner.weights(), origin
    )
