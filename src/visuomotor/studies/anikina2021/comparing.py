"""The methods that table I compares with, on the same camera, trained with the same PPO."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.agents.ppo import PpoConfig
from visuomotor.configs import to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.models.actor_critic import ActorCriticConfig
from visuomotor.rollout import Rollout
from visuomotor.runs import Run
from visuomotor.studies.anikina2021.measuring import StudyConfig, sweeps
from visuomotor.studies.job import Clock, Job
from visuomotor.tasks.lens_travel import PRESETS, LensTravelConfig, LensTravelTask
from visuomotor.training.on_policy import OnPolicyConfig, play, train_on_policy
from visuomotor.zoo import load_policy

_WELL_EXPOSED = LiquidLensCameraConfig(start_exposure_us=None, start_well_exposed=True)


def _ppo(gamma: float, reward_unit: float) -> OnPolicyConfig:
    network = ActorCriticConfig(widths=(128, 128))
    agent = PpoConfig(network=network, gamma=gamma, decay_updates=150, reward_unit=reward_unit)
    return OnPolicyConfig(agent, updates=150)


LEARNING = {"phase": _ppo(0.97, 5.0), "tenengrad": _ppo(0.99, 10.0)}
"""The same PPO; each by the size of its rewards. How far ahead it looks (gamma) was tried for the
phase-shift agent alone: with 0.99 and 10.0 it was slower, and stopped after 41,000 time steps."""


@dataclass(frozen=True)
class ComparedConfig:
    """One training run."""

    task: LensTravelConfig
    learning: OnPolicyConfig
    camera: LiquidLensCameraConfig = _WELL_EXPOSED
    scenes: int = 300


def compared(job: Job) -> None:
    """The phase-shift agent of reference [11] and the Tenengrad method of [12]."""
    for name in ("phase", "tenengrad"):
        _compare(job, name)


def compared_env(config: ComparedConfig, cells: int, tested: bool = False) -> VisuomotorEnv:
    """Its task on a camera, with the scenes to learn from or others of that split."""
    scenes = scene_pool("train", 64 if tested else config.scenes, int(tested))
    rig = LiquidLensCamera(config.camera, scenes, cells, config.learning.seed)
    task: Any = LensTravelTask(config.task)
    return VisuomotorEnv(rig, task)


def _compare(job: Job, name: str) -> None:
    config, clock = ComparedConfig(PRESETS[name], LEARNING[name]), Clock()
    run = Run.at(job.runs / job.study / name, to_plain(config))
    tested = compared_env(config, 64, tested=True)
    fresh = tested.instrument.state_dict()

    def examine(policy: Policy) -> dict[str, float]:
        tested.instrument.load_state_dict(fresh)
        return play(policy, tested, rounds=2, seed=1)

    def report(metrics: dict[str, Any]) -> None:
        job.say(
            f"{name}: {metrics['step']:,} steps, {metrics['success']:.1%}, "
            f"{metrics['mean_steps']:.2f} steps an episode, {metrics['seconds']:.0f} s"
        )

    if not (run.path / "final.json").is_file():
        train_on_policy(partial(compared_env, config), config.learning, run, report, examine)
    steps, success = _unseen(job.config, load_policy(run.path), config.task)
    time, pictures = job.config.time, sweeps(job.config).full if name == "tenengrad" else 0
    seconds = steps * time.step_s + pictures * time.sweep_s
    key = {"phase": "phase_shift", "tenengrad": "tenengrad"}[name]
    minutes = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])["seconds"] / 60
    values = {
        "mean_steps": (steps, "steps"),
        "success": (success, "share of episodes"),
        "seconds": (seconds, "s, modelled"),
        "minutes": (minutes, "min of training"),
    }
    swept = f"; {pictures} pictures of every lens position come before" if pictures else ""
    job.keep(
        [
            job.row(
                f"{key}.{what}",
                value,
                unit,
                "--only compared",
                seeds=[config.learning.seed, job.config.seed],
                n=job.config.episodes,
                config=to_plain(config),
                seconds=round(clock.seconds, 1),
                note=f"sharp within {config.task.max_steps} steps on unseen scenes{swept}",
                run=run,
            )
            for what, (value, unit) in values.items()
        ]
    )


def _unseen(config: StudyConfig, policy: Policy, task: LensTravelConfig) -> tuple[float, float]:
    """Mean steps and success on the test's scenes."""
    scenes = scene_pool("test", config.scenes, config.seed, config.kinds)
    camera = replace(config.camera, start_exposure_us=None, start_well_exposed=True)
    rig = LiquidLensCamera(camera, scenes, min(config.cells, config.episodes), config.seed)
    chosen: Any = LensTravelTask(task)
    rollout = Rollout(policy, VisuomotorEnv(rig, chosen), np.random.default_rng(config.seed))
    steps: list[float] = []
    success: list[bool] = []
    while len(steps) < config.episodes:
        used = min(rig.num_cells, config.episodes - len(steps))
        rollout.reset(None if steps else config.seed, np.arange(rig.num_cells) < used)
        while not rollout.finished:
            rollout.step()
        steps += rollout.info["steps"][:used].tolist()
        success += rollout.info["success"][:used].tolist()
    return float(np.mean(steps)), float(np.mean(success))
