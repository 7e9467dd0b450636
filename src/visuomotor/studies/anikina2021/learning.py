"""What is trained: the encoder, the two agents of DASHA, and the paper's own preset."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from visuomotor.agents import hierarchical, untried
from visuomotor.agents.ppo import PpoPolicy
from visuomotor.agents.untried import UntriedPolicy
from visuomotor.checkpoint import load_checkpoint, save_policy
from visuomotor.configs import to_plain
from visuomotor.runs import Run, provenance
from visuomotor.studies.job import Clock, Job
from visuomotor.training.camera import PRESETS, train_camera
from visuomotor.training.encoder import EncoderConfig, train_encoder
from visuomotor.zoo import load_policy

UNTRIED = "focus-untried"
"""Folder of the focus policy as it ships."""


def train_small_encoder(job: Job) -> None:
    """Train the encoder that ships as ``small``, without any labels."""
    clock = Clock()
    path = job.runs / job.study / "encoder" / "small.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)

    def report(metrics: dict[str, Any]) -> None:
        job.say(f"encoder: {metrics}")

    train_encoder(EncoderConfig(), path, report)
    config = to_plain(EncoderConfig())
    minutes = clock.seconds / 60
    row = job.row(
        "training.encoder.minutes", minutes, "min", "--only train_encoder", n=1, config=config
    )
    job.keep([row])


def train_exposure(job: Job) -> None:
    """Train the policy that ships as ``dasha-exposure``."""
    _train(job, "exposure")


def train_focus(job: Job) -> None:
    """Train the policy that ships as ``dasha-focus``, which does not try a lens value twice."""
    _train(job, "focus")
    found = load_checkpoint(job.runs / job.study / "focus" / "policy.safetensors")
    assert isinstance(found.policy, PpoPolicy)  # written by ``_train``
    config = {"ppo": _ppo(job.runs / job.study / "focus")}
    run = Run.at(job.runs / job.study / UNTRIED, run_of(job, "focus").config())
    weights, detects = found.policy.network.state_dict(), PRESETS["focus"].task.detector
    # It learned with markers alone, which is quicker; whatever is found may be focused.
    spec = replace(found.policy.spec, config={**found.policy.spec.config, "detector": detects})
    save_policy(run.policy_file, spec, untried.NAME, config, weights, found.provenance)
    job.say(f"the policy that ships: {run.policy_file}")


def train_paper_focus(job: Job) -> None:
    """Train the paper's own focus agent: features alone, and the first detection ends it."""
    _train(job, "paper focus")


def join(job: Job) -> None:
    """Join the two trained agents into one checkpoint, ``dasha``."""
    folder = job.runs / job.study
    high = load_policy(folder / "exposure")
    low = load_policy(folder / UNTRIED)
    assert isinstance(high, PpoPolicy)  # as they are trained
    assert isinstance(low, UntriedPolicy)
    policy = hierarchical.joined(high, low)
    settings = {
        "high": {"observation": list(high.spec.observation), "ppo": _ppo(folder / "exposure")},
        "low": {
            "observation": list(low.spec.observation),
            "ppo": _ppo(folder / "focus"),
            "reach": low.config.reach,
        },
    }
    run = Run.at(folder / "both", {"joined": ["exposure", "focus"]})
    weights = hierarchical.weights_of(policy)
    save_policy(
        run.policy_file, policy.spec, hierarchical.NAME, settings, weights, {**provenance()}
    )
    job.say(f"both agents in one: {run.policy_file}")


def run_of(job: Job, preset: str) -> Run:
    """The folder of a training run."""
    return Run.at(job.runs / job.study / preset.replace(" ", "-"), to_plain(PRESETS[preset]))


def _train(job: Job, preset: str) -> None:
    run = run_of(job, preset)

    def report(metrics: dict[str, Any]) -> None:
        job.say(
            f"{preset}: {metrics['step']:,} steps, {metrics['success']:.1%}, "
            f"{metrics['mean_steps']:.2f} steps an episode, {metrics['seconds']:.0f} s"
        )

    if not (run.path / "final.json").is_file():
        train_camera(PRESETS[preset], run, report)
    last, config = run.metrics()[-1], run.config()
    standing = json.loads((run.path / "final.json").read_text(encoding="utf-8"))
    name, part = preset.replace(" ", "_"), f"--only train_{preset.replace('paper ', 'paper_')}"
    told = {
        "minutes": (last["seconds"] / 60, "min"),
        "success": (standing["best_success"], "share of episodes"),
        "mean_steps": (standing["best_mean_steps"], "steps"),
    }
    job.keep(
        [
            job.row(
                f"training.{name}.{what}",
                value,
                unit,
                part,
                seeds=[int(config["learning"]["seed"])],
                n=1,
                config=config,
                seconds=round(last["seconds"], 1),
                note="on scenes that it was not trained on, of the training split",
                run=run,
            )
            for what, (value, unit) in told.items()
        ]
    )


def _ppo(folder: Any) -> dict[str, Any]:
    """The settings of PPO that a run was trained with."""
    config: dict[str, Any] = Run.open(folder).config()["learning"]["agent"]
    return config
