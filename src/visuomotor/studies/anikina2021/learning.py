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

REACH = {"exposure": 0, "focus": 5}
"""Of the agents that ship, by preset: values to either side of one that are as good as it."""


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
    """Train the policy that ships as ``dasha-exposure``; it does not try an exposure twice."""
    _train(job, "exposure")
    _untried(job, "exposure")


def train_focus(job: Job) -> None:
    """Train the policy that ships as ``dasha-focus``; it does not try a lens value twice."""
    _train(job, "focus")
    _untried(job, "focus")


def train_paper_focus(job: Job) -> None:
    """Train the paper's own focus agent: features alone, and the first detection ends it."""
    _train(job, "paper focus")


def join(job: Job) -> None:
    """Join the two trained agents into one checkpoint, ``dasha``."""
    parts: list[hierarchical.Part] = []
    policies: list[UntriedPolicy] = []
    for preset in REACH:
        policy = load_policy(_shipping(job, preset))
        assert isinstance(policy, UntriedPolicy)  # as they are trained
        policies.append(policy)
        parts.append(_acting(job, preset, policy.trained))
    both = hierarchical.joined(*policies)
    config, weights = hierarchical.saved_form(both, *parts)
    run = Run.at(job.runs / job.study / "both", {"joined": list(REACH)})
    save_policy(run.policy_file, both.spec, hierarchical.NAME, config, weights, {**provenance()})
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
    name, part = preset.replace(" ", "_"), f"--only train_{preset.replace(' ', '_')}"
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


def _untried(job: Job, preset: str) -> None:
    """Save a trained policy as it ships."""
    found = load_checkpoint(run_of(job, preset).policy_file)
    assert isinstance(found.policy, PpoPolicy)  # written by ``_train``
    # It learned with markers alone, which is quicker; whatever is found may be focused.
    config = {**found.policy.spec.config, "detector": PRESETS[preset].task.detector}
    spec, part = replace(found.policy.spec, config=config), _acting(job, preset, found.policy)
    run = Run.at(_shipping(job, preset), run_of(job, preset).config())
    save_policy(run.policy_file, spec, part.agent, part.config, part.weights, found.provenance)
    job.say(f"the policy that ships: {run.policy_file}")


def _shipping(job: Job, preset: str) -> Path:
    """Folder of a policy as it ships."""
    return job.runs / job.study / f"{preset}-untried"


def _acting(job: Job, preset: str, policy: PpoPolicy) -> hierarchical.Part:
    """What acting needs of a policy that was trained in this study."""
    ppo_config = run_of(job, preset).config()["learning"]["agent"]
    config, weights = ppo.without_critic(ppo_config, policy.network.state_dict())
    return hierarchical.Part(untried.NAME, {"reach": REACH[preset], "ppo": config}, weights)
