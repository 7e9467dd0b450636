"""yu2018, section IV: the experiments in the simulator, on the simulated microscope, and on a rig.

Each part below is one function of the file; ``visuomotor study yu2018 --only exp1`` runs one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visuomotor.checkpoint import load_checkpoint
from visuomotor.configs import from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.evaluate import Summary, evaluate, summarise
from visuomotor.figures import learning_figure
from visuomotor.instruments.disturbances import DisturbanceConfig
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.microscope import MicroscopeConfig
from visuomotor.results import Result, Value
from visuomotor.runs import Run
from visuomotor.studies.job import Clock, Job, Trained, middle_and_worst
from visuomotor.studies.yu2018.adapting import RIG, adapt_on_rigs
from visuomotor.studies.yu2018.views import (
    EXP1_POSITIONS,
    EXP2_POSITIONS,
    MICROSCOPE,
    Facts,
    checked,
    exp1_view,
    exp3_view,
    facts,
    view,
)
from visuomotor.tasks.autofocus import PRESETS, AutofocusConfig
from visuomotor.training.config import TrainConfig, train_config
from visuomotor.training.examining import focus_env, prepare
from visuomotor.zoo import load_policy, names, path_of

NAME = "yu2018"
REAL_STACKS = {
    "mitochondria": "mit_dfnn_lightsheet/mitochondria",
    "pcb": "mit_pcb_camera_10",
    "beads": "ccby_beads_41",
}
FIGURE4 = {
    "exp1": "experiment 1",
    "exp2": "experiment 2",
    "exp3": "experiment 3",
    "exp1_unguided": "experiment 1, unguided",
    "exp1_paper": "experiment 1, preset paper",
}
"""Titles of the rows of figure 4."""
SHIPPED = {
    "exp1": "yu2018-exp1@2",
    "exp2": "yu2018-exp2@1",
    "exp1_paper": "yu2018-exp1-paper@1",
    "exp3": "yu2018-exp3@1",
}


@dataclass(frozen=True)
class StudyConfig:
    """What is reproduced, and with what. A file of these keys may be given to the command."""

    study: str = NAME
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    unguided_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    adapt_seeds: tuple[int, ...] = (0, 1, 2)
    """Of fine-tuning, and of the rig's disturbances."""
    rig: DisturbanceConfig = RIG
    """What is wrong with the rig."""
    real_seed: int = 0
    data: str = "../shared/data"
    """Folder of the recorded stacks; those that are not there are left out, with a word."""
    microscope: MicroscopeConfig = MICROSCOPE
    """The view of experiments 1 and 2, over the range of experiment 2."""

    def __post_init__(self) -> None:
        for name in ("seeds", "unguided_seeds", "adapt_seeds"):
            seeds = getattr(self, name)
            if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
                raise InputError(f"{name}: expected different numbers from 0, got {list(seeds)}")
        if self.study != NAME:
            raise InputError(f"study: expected a config of {NAME}, got one of {self.study!r}")


CONFIG = StudyConfig


# ---- the parts


def exp1(job: Job) -> None:
    """Experiment 1, 30.0 to 69.0 rad: preset fast, guided, every seed."""
    _same_view(job, "exp1", exp1_view(job.config.microscope), EXP1_POSITIONS, job.config.seeds)


def exp2(job: Job) -> None:
    """Experiment 2: the same view over 10.2 to 89.7 rad."""
    _same_view(job, "exp2", view(job.config.microscope), EXP2_POSITIONS, job.config.seeds)


def exp1_unguided(job: Job) -> None:
    """Experiment 1 without the expert's suggestions: exploration by chance alone."""
    stack = exp1_view(job.config.microscope)
    _same_view(job, "exp1_unguided", stack, EXP1_POSITIONS, job.config.unguided_seeds, guide=0.0)


def exp1_paper(job: Job) -> None:
    """Experiment 1 with the paper's network and numbers: 100K time steps, one seed."""
    stack = exp1_view(job.config.microscope)
    job.keep(_fact_rows(job, "exp1_paper", checked(stack, EXP1_POSITIONS), "exp1_paper"))
    config = train_config({"seed": job.config.seeds[0]}, NAME, "paper")
    trained = job.train(f"exp1_paper-seed{config.seed}", stack, config)
    best = _over_every_start(trained.run.policy_file, stack)
    perfect = (line["step"] for line in trained.metrics if line["accuracy_every_start"] == 1.0)
    kept = f"of the best of {trained.standing.evaluations} evaluations"
    share = "share of starts"

    def row(metric: str, value: Value, unit: str, note: str) -> Result:
        return job.row(
            f"exp1_paper.{metric}",
            value,
            unit,
            "--only exp1_paper",
            seeds=[trained.seed],
            n=best.episodes,
            config=trained.run.config(),
            seconds=trained.standing.seconds,
            note=f"{trained.standing.steps:,} time steps; {note}",
            run=trained.run,
        )

    at_the_end = trained.metrics[-1]["accuracy_every_start"]
    job.keep(
        [
            row("accuracy", best.accuracy, share, kept),
            row("mean_steps", best.mean_steps, "steps", kept),
            row("accuracy_at_the_end", at_the_end, share, "of the last evaluation"),
            row("steps_to_100", next(perfect, "not reached"), "time steps", "first time at 100 %"),
        ]
    )


def exp3(job: Job) -> None:
    """Experiment 3: train on one view, test on another field of its slide and on another slide."""
    config = job.config
    slide = config.microscope.specimen.slide_seed
    train_stack = exp3_view(config.microscope, slide, 1)
    tests = {
        "same_slide": exp3_view(config.microscope, slide, 2),
        "other_slide": exp3_view(config.microscope, slide + 1, 0),
    }
    for stack in (train_stack, *tests.values()):
        checked(stack, EXP1_POSITIONS)
    runs = [job.train(f"exp3-seed{seed}", train_stack, _fast(seed), tests) for seed in config.seeds]
    for name, stack in {"train": train_stack, **tests}.items():
        shares = [_over_every_start(run.run.policy_file, stack).accuracy for run in runs]
        note = f"accuracy on {stack.name}, over every start"
        job.keep(_spread(job, f"exp3.{name}", shares, "share of starts", "exp3", runs, note))


def real(job: Job) -> None:
    """The same on recorded stacks of other instruments, interpolated to 131 positions.

    The task smooths by 1 px before Tenengrad: between planes the raw one ripples with their noise.
    """
    for name, place in REAL_STACKS.items():
        path = Path(job.config.data) / place
        if not path.exists():
            job.say(f"real.{name}: left out: {path} is not there")
            continue
        config = train_config({"seed": job.config.real_seed}, NAME, "fast")
        stack = prepare(FocalStack.load(path), config)
        found = facts(stack, config.task)
        trained = job.train(f"real-{name}-seed{config.seed}", stack, config)
        rows = _rows(job, f"real.{name}", [trained], stack)
        job.keep([*rows, *_fact_rows(job, f"real.{name}", found, "real")])


def fig4(job: Job) -> None:
    """Figure 4: cost and accuracy against time steps, of the runs that are there."""
    folder = job.runs / NAME
    panels: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for part, title in FIGURE4.items():
        runs = {path.name: Run(path).metrics() for path in sorted(folder.glob(f"{part}-seed*"))}
        if any(runs.values()):
            panels[title] = runs
    if not panels:
        raise InputError(f"{folder}: expected runs of exp1, exp2 or exp3 to draw, found none")
    out = job.results.parent / "figure4.png"
    learning_figure(out, panels)
    job.say(f"figure 4: {out}")


PARTS: dict[str, Callable[[Job], None]] = {
    **{p.__name__: p for p in (exp1, exp2, exp3, real, exp1_unguided, exp1_paper, fig4)},
    "adapt": adapt_on_rigs,
}


def evaluate_shipped(job: Job) -> bool:
    """Recompute accuracies from the shipped policies; whether all are there and perfect."""
    slide = job.config.microscope.specimen.slide_seed
    views: dict[str, tuple[str, Callable[[], FocalStack]]] = {
        "exp1": ("exp1", lambda: exp1_view(job.config.microscope)),
        "exp2": ("exp2", lambda: view(job.config.microscope)),
        "exp1_paper": ("exp1_paper", lambda: exp1_view(job.config.microscope)),
        "exp3.train": ("exp3", lambda: exp3_view(job.config.microscope, slide, 1)),
        "exp3.same_slide": ("exp3", lambda: exp3_view(job.config.microscope, slide, 2)),
        "exp3.other_slide": ("exp3", lambda: exp3_view(job.config.microscope, slide + 1, 0)),
    }
    perfect = True
    for metric, (part, make) in views.items():
        policy = SHIPPED[part]
        if policy not in names():
            job.say(f"{metric}: {policy} is not shipped")
            perfect = False
            continue
        clock, stack = Clock(), make()
        origin = load_checkpoint(path_of(policy)).provenance
        own = metric in SHIPPED or metric == "exp3.train"
        if own and origin.get("stack_digest") != stack.origin_digest:
            job.say(
                f"{metric}: this machine renders the view a little differently than the training"
            )
        found = _over_every_start(policy, stack)
        perfect = perfect and (found.accuracy == 1.0 or not own)
        values = {"accuracy": found.accuracy, "mean_steps": found.mean_steps}
        values["optimal_steps"] = found.optimal_steps
        if part == "exp3":
            values = {"": found.accuracy}
        job.keep(
            [
                job.row(
                    f"shipped.{metric}.{what}".rstrip("."),
                    value,
                    "steps" if what.endswith("steps") else "share of starts",
                    "--evaluate",
                    n=found.episodes,
                    config={"policy": policy, "stack_digest": stack.origin_digest},
                    seconds=clock.seconds,
                    note=f"{policy} on {stack.name}",
                )
                for what, value in values.items()
            ]
        )
    return perfect


# ---- what the parts share


def _fast(seed: int, **agent: Any) -> TrainConfig:
    """Preset fast on the paper's task, on two threads."""
    values = {"task": to_plain(PRESETS["paper"]), "seed": seed, "agent": agent, "threads": 2}
    return train_config(values, NAME, "fast")


def _same_view(
    job: Job,
    part: str,
    stack: FocalStack,
    positions: int,
    seeds: Sequence[int],
    guide: float | None = None,
) -> None:
    """Train on one view with every seed, and keep the rows."""
    found = checked(stack, positions)
    job.keep(_fact_rows(job, part, found, part))
    agent = {} if guide is None else {"guide": guide, "guide_end": guide}
    runs = []
    for seed in seeds:
        runs.append(job.train(f"{part}-seed{seed}", stack, _fast(seed, **agent)))
        job.keep(_rows(job, part, runs, stack))


def _rows(job: Job, part: str, runs: Sequence[Trained], stack: FocalStack) -> list[Result]:
    """Accuracy and steps of the policies that were kept, over every start, and what it took to
    train them: for each the median of the seeds, the worst, and every one."""
    kept = [_over_every_start(run.run.policy_file, stack) for run in runs]
    patience = TrainConfig().patience
    held = [run.standing.perfect_in_a_row > patience for run in runs]
    lost = len(held) - sum(held)
    stayed = f"until 100 % and the next {patience} evaluations too"
    if lost:
        stayed += f"; {lost} of {len(runs)} seeds did not get there, theirs is all they took"
    first = [
        float(run.standing.steps_to_perfect if ok else run.standing.steps)
        for run, ok in zip(runs, held, strict=True)
    ]
    policy = f"of the policy that each run kept, over all {kept[0].episodes} starts"
    if stack.interpolated_from:
        policy += f"; positions interpolated from {stack.interpolated_from} planes"
    only = part.partition(".")[0]
    seconds = [run.standing.seconds for run in runs]
    rows = []
    for metric, values, unit, note in (
        ("accuracy", [s.accuracy for s in kept], "share of starts", policy),
        ("mean_steps", [s.mean_steps for s in kept], "steps", policy),
        ("seconds_to_100", seconds, "s", f"evaluations included, {stayed}"),
        (
            "steps_to_100",
            first,
            "time steps",
            f"to the first of the evaluations at 100 %, {stayed}",
        ),
    ):
        rows += _spread(job, f"{part}.{metric}", values, unit, only, runs, note)
    return rows


def _spread(
    job: Job,
    metric: str,
    values: Sequence[float],
    unit: str,
    only: str,
    runs: Sequence[Trained],
    note: str,
) -> list[Result]:
    """The median of the seeds, the worst of them, and all."""
    median, worst = middle_and_worst(values, min if unit.startswith("share") else max)
    found: dict[str, Value] = {"": median, ".worst_seed": worst, ".every_seed": list(values)}
    return [
        job.row(
            metric + suffix,
            value,
            unit,
            f"--only {only}",
            seeds=[run.seed for run in runs],
            n=len(runs),
            config=runs[0].run.config(),
            seconds=sum(run.standing.seconds for run in runs),
            note=note,
            run=runs[0].run,
        )
        for suffix, value in found.items()
    ]


def _fact_rows(job: Job, part: str, found: Facts, only: str) -> list[Result]:
    """How hard the view is, beside the accuracy on it."""

    def row(metric: str, value: float, unit: str) -> Result:
        return job.row(f"{part}.{metric}", value, unit, f"--only {only}", n=found.positions)

    return [
        row("optimal_steps", found.optimal_steps, "steps"),
        row("longest_start", found.longest, "steps"),
        row("zone_positions", found.zone_positions, "positions above 0.9 of the maximum"),
        row("peak_place", found.peak_place, "share of the range"),
    ]


def _over_every_start(policy: str | Path, stack: FocalStack) -> Summary:
    """A policy from every position of a stack."""
    loaded = load_policy(policy)
    task = from_plain(AutofocusConfig, loaded.spec.config, str(policy))
    env, _ = focus_env(task, stack, stack.num_positions)
    return summarise(evaluate(loaded, env, starts=stack.positions))
