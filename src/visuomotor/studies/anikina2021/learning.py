"""What is trained: the encoder, the two agents of DASHA, and the paper's own preset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from visuomotor.agents import hierarchical, ppo, untried
from visuomotor.agents.ppo import PpoPolicy
from visuomotor.agents.untried import UntriedPolicy
from visuomotor.checkpoint import load_checkpoint, save_policy
from visuomotor.configs import to_plain
from visuomotor.runs import Run, provenance
from visuomotor.studies.job import Clock, Job
from visuomotor.training.camera import PRESETS, train_camera
from visuomotor.training.encoder import EncoderConfig, train_encoder
from visuomotor.zoo import load_policy


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
    run, detects = Run.at(_untried(job), run_of(job, "focus").config()), PRESETS["focus"].task
    # It learned with markers alone, which is quicker; whatever is found may be focused.
    config = {**found.policy.spec.config, "detector": detects.detector}
    part = _acting(job, "focus", found.policy)
    save_policy(
        run.policy_file,
        replace(found.policy.spec, config=config),
        untried.NAME,
        {"ppo": part.config},
        part.weights,
        found.provenance,
    )
    job.say(f"the policy that ships: {run.policy_file}")


def train_paper_focus(job: Job) -> None:
    """Train the paper's own focus agent: features alone, and the first detection ends it."""
    _train(job, "paper focus")


def join(job: Job) -> None:
    """Join the two trained agents into one checkpoint, ``dasha``."""
    folder = job.runs / job.study
    high, low = load_policy(folder / "exposure"), load_policy(_untried(job))
    assert isinstance(high, PpoPolicy)  # as they are trained
    assert isinstance(low, UntriedPolicy)
    policy, focusing = hierarchical.joined(high, low), _acting(job, "focus", low.trained)
    config, weights = hierarchical.saved_form(
        policy,
        _acting(job, "exposure", high),
        focusing._replace(
            agent=untried.NAME, config={"reach": low.config.reach, "ppo": focusing.config}
        ),
    )
    run = Run.at(folder / "both", {"joined": ["exposure", "focus"]})
    save_policy(run.policy_file, policy.spec, hierarchical.NAME, config, weights, {**provenance()})
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


def _untried(job: Job) -> Path:
    """Folder of the focus policy as it ships."""
    return job.runs / job.study / "focus-untried"


def _acting(job: Job, preset: str, policy: PpoPolicy) -> hierarchical.Part:
    """What acting needs of a policy that was trained in this study."""
    ppo_config = run_of(job, preset).config()["learning"]["agent"]
    return hierarchical.Part(ppo.NAME, *ppo.without_critic(ppo_config, policy.network.state_dict()))
