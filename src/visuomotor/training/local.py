"""Training on this machine: one loop that reads from top to bottom.

Collect a row, file it, take gradient steps on sampled batches, evaluate now and then over every
start, and save. ``train`` can be killed at any moment and called again on the same run folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np
import torch

from visuomotor.agents import dqn
from visuomotor.episode_log import EpisodeLog
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.replay import ROW, Replay
from visuomotor.rollout import Rollout
from visuomotor.runs import Run
from visuomotor.tasks import autofocus
from visuomotor.training.collecting import Collector
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Examiner, Standing, focus_env
from visuomotor.training.saving import Sitting, finish, save_best
from visuomotor.vision.transforms import augment

Progress = Callable[[dict[str, Any]], None]


def train(
    config: TrainConfig,
    stack: FocalStack,
    run: Run,
    progress: Progress,
    others: Mapping[str, FocalStack] | None = None,
) -> Standing:
    """Train a focus policy on one view, or go on with a run that was cut short.

    ``stack`` has at least ``config.positions`` positions (see ``prepare``). ``progress`` is called
    with the metrics of every evaluation, which tests on the ``others`` too. The best policy so far
    is always in ``run.policy_file``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    env, task = focus_env(config.task, stack, config.cells)
    examiner = Examiner(config.task, stack, others or {})
    frames = task.frames
    assert frames is not None  # a stack at its own positions has finitely many pictures
    kept = autofocus.for_view(task.spec, stack.spacing, stack.unit, stack.display_range)
    learner = dqn.DQN(kept, config.agent, config.seed)
    learner.calibrate(frames.get(np.arange(stack.num_positions)))
    seeds = np.random.SeedSequence(config.seed).spawn(2)
    exploring_draws, sampling_draws = (np.random.default_rng(seed) for seed in seeds)
    exploring = dqn.Exploring(learner.acting_policy(), config.agent, len(config.task.steps))
    rollout = Rollout(exploring, env, exploring_draws, keep_going=True, reveal=("expert",))
    replay = Replay(frames, config.replay_steps, config.cells, config.task.history)
    trainer = Sitting(learner, rollout, exploring, sampling_draws)
    if run.trainer_file.exists():
        trainer.load(run)
    else:
        rollout.reset(seed=config.seed)
    rows = trainer.standing.steps // config.cells
    with closing(EpisodeLog(run.log_file, ROW, config.cells, at_least=rows)) as log, closing(run):
        collector = Collector(rollout, replay, log, frames)
        collector.refill(rows)
        standing = trainer.standing
        clock = time.perf_counter() - standing.seconds
        losses: dict[str, float] = {}

        while standing.steps < config.steps and standing.perfect_in_a_row <= config.patience:
            collector.step()
            standing.steps += config.cells
            if standing.steps >= config.warmup_steps:
                for _ in range(config.updates_per_row):
                    losses = _gradient_step(learner, replay, sampling_draws, config.agent)
            due = standing.steps // config.evaluate_every > standing.evaluations
            if due or standing.steps >= config.steps:
                metrics = examiner.examine(learner.policy(), standing)
                standing.seconds = time.perf_counter() - clock
                metrics = {"step": standing.steps, **metrics, **losses, "seconds": standing.seconds}
                run.log(metrics)
                if metrics["best"]:
                    save_best(run, learner, stack, standing)
                log.sync()  # the checkpoint counts on its rows
                trainer.save(run)
                progress(metrics)
        finish(run, standing)
    return standing


def _gradient_step(
    learner: dqn.DQN, replay: Replay, draws: np.random.Generator, agent: dqn.DQNConfig
) -> dict[str, float]:
    """Sample, augment, and learn once."""
    batch = replay.sample(draws, agent.batch, agent.n_step, agent.gamma)
    frames = augment(batch.frames, draws, agent.shift_px, agent.brightness, agent.jitter_px)
    batch = batch._replace(frames=frames)
    return learner.update(batch, learner.targets(batch))
