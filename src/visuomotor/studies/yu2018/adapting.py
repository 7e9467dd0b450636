"""yu2018, section IV.C: the policy of experiment 1 on a rig that is not as its recording.

The paper's rig is disturbed by what it suspects: a knob that slips, a view that shifts, and starts
anywhere in the range; here with play, too. Success is judged on the undisturbed truth, on starts
and with disturbances that the run never saw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visuomotor.checkpoint import load_checkpoint
from visuomotor.configs import to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.evaluate import evaluate
from visuomotor.figures import adapting_figure, ends_figure
from visuomotor.instruments.disturbances import DisturbanceConfig, Disturbed
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.results import Result, Value
from visuomotor.runs import Run
from visuomotor.studies.job import Job, middle_and_worst
from visuomotor.studies.yu2018.views import exp1_view
from visuomotor.tasks import autofocus
from visuomotor.training.adapting import AdaptConfig, Standing, adapt
from visuomotor.training.rig_half import SERIOUS
from visuomotor.zoo import file_of, load_policy

POLICY = "yu2018-exp1@2"
RIG = DisturbanceConfig(
    slip=0.1, slip_bias=-0.05, backlash_steps=2.0, start_jitter_steps=0.5, view_shift_px=3.0
)
"""Milder than the preset ``rough_rig``, whose view shifts by up to 8 px of 256, not 3."""
FRESH_STARTS = 100
MANY_STARTS = 500
NOT_REACHED = "not reached"
_FRESH_SEED = 10_000
"""The rig of the tests draws from this on; that of a run from the run's seed."""


def adapt_on_rigs(job: Job) -> None:
    """Section IV.C: fine-tune the policy of experiment 1 on a disturbed rig, once for each seed."""
    stack = exp1_view(job.config.microscope)
    settings = [AdaptConfig(seed=seed, threads=1) for seed in job.config.adapt_seeds]
    runs = [_run(job, stack, config) for config in settings]
    seeds = [config.seed for config in settings]
    before = [_ends(POLICY, stack, job.config.rig, seed) for seed in seeds]
    after = [_ends(run.policy_file, stack, job.config.rig, seed)
             for run, seed in zip(runs, seeds, strict=True)]  # fmt: skip
    many = [_ends(run.policy_file, stack, job.config.rig, seed + MANY_STARTS, MANY_STARTS)[1]
            for run, seed in zip(runs, seeds, strict=True)]  # fmt: skip
    job.keep(_rows(job, runs, seeds, before, after, many))
    folder = job.results.parent
    lines = {f"seed {seed}": run.metrics() for run, seed in zip(runs, seeds, strict=True)}
    adapting_figure(folder / "figure6.png", lines)
    shares = {
        "trained on the recording": np.concatenate([ends for ends, _ in before]),
        "adapted on the rig": np.concatenate([ends for ends, _ in after]),
    }
    ends_figure(folder / "figure7.png", shares, load_policy(POLICY).spec.config["success_fraction"])
    job.say(f"figures 6 and 7: {folder}")


def _run(job: Job, stack: FocalStack, config: AdaptConfig) -> Run:
    """Adapt, go on with a run that was cut short, or take one that is there to its end."""
    name = f"adapt-seed{config.seed}"
    asked = {"policy": POLICY, "stack": stack.name, "stack_digest": stack.origin_digest}
    asked |= {"disturbance": to_plain(job.config.rig)}
    run = Run.at(job.runs / job.study / name, to_plain(config) | asked)
    if not (run.path / "final.json").is_file():
        checkpoint = load_checkpoint(file_of(POLICY))
        rig = Disturbed(stack.instrument(fine_step=stack.spacing), job.config.rig, config.seed)
        adapt(config, checkpoint, rig, stack, run, lambda m: job.say(f"{name}: {_words(m)}"))
    return run


def _words(metrics: dict[str, Any]) -> str:
    return (
        f"{metrics['step']:,} real steps, {metrics['accuracy']:.1%} of fresh starts, "
        f"{metrics['mean_steps']:.2f} steps, {metrics['seconds']:.0f} s"
    )


def _ends(
    policy: str | Path,
    stack: FocalStack,
    rig: DisturbanceConfig,
    seed: int,
    starts: int = FRESH_STARTS,
) -> tuple[np.ndarray, float]:
    """(N,) sharpness where fresh episodes ended, as a share of the maximum, and their success."""
    loaded = load_policy(policy)
    inner = stack.instrument(cells=FRESH_STARTS, fine_step=stack.spacing)
    env = VisuomotorEnv(
        Disturbed(inner, rig, _FRESH_SEED + seed), autofocus.build(loaded.spec.config)
    )
    rows = evaluate(loaded, env, starts, seed=_FRESH_SEED + seed)
    ends = np.array([row.sharpness_end / row.maximum for row in rows])
    return ends, float(np.mean([row.success for row in rows]))


def _real_steps(run: Run) -> tuple[float | str, float | str]:
    """Until a check whose starts all succeed, the first and the last of them: the policy of the
    last is kept. NOT_REACHED where there is none."""
    perfect = [float(line["step"]) for line in run.metrics() if line["accuracy"] == 1.0]
    return (perfect[0], perfect[-1]) if perfect else (NOT_REACHED, NOT_REACHED)


def _rows(
    job: Job,
    runs: Sequence[Run],
    seeds: Sequence[int],
    before: Sequence[tuple[np.ndarray, float]],
    after: Sequence[tuple[np.ndarray, float]],
    many: Sequence[float],
) -> list[Result]:
    finals = [Standing(**json.loads((run.path / "final.json").read_text())) for run in runs]
    seconds = [run.metrics()[-1]["seconds"] for run in runs]
    fresh = f"of {FRESH_STARTS} fresh starts on the disturbed rig, judged on the truth"
    apart = [float(final.evaluation_steps) for final in finals]
    rows: list[Result] = _step_rows(job, runs, seeds)
    for metric, values, unit, worst, note in (
        ("real_steps_in_all", [float(final.real_steps) for final in finals],
         "actions on the rig", max, "of training, to the end of the run"),
        ("check_steps", apart, "actions on the rig", max, "of all checks, apart from training"),
        ("serious_failures_before", [float(np.mean(ends < SERIOUS)) for ends, _ in before],
         "share of starts", min, f"{fresh}: ended below half of the maximum"),
        ("success_before", [good for _, good in before], "share of starts", min, fresh),
        ("serious_failures_after", [float(np.mean(ends < SERIOUS)) for ends, _ in after],
         "share of starts", max, f"{fresh}: ended below half of the maximum"),
        ("success_after", [good for _, good in after], "share of starts", min, fresh),
        ("success_after_many", many, "share of starts", min,
         f"of {MANY_STARTS} further starts: 100 of 100 happens to a policy that is not perfect"),
        ("seconds", seconds, "s", max, "one thread, checks included"),
    ):  # fmt: skip
        median, far = middle_and_worst(values, worst)
        found: dict[str, Value] = {"": median, ".worst_seed": far, ".every_seed": list(values)}
        rows += [
            job.row(
                f"adapt.{metric}{suffix}", value, unit, "--only adapt", seeds=seeds,
                n=len(runs), config=runs[0].config(), seconds=sum(seconds), note=note, run=runs[0],
            )
            for suffix, value in found.items()
        ]  # fmt: skip
    return rows


def _step_rows(job: Job, runs: Sequence[Run], seeds: Sequence[int]) -> list[Result]:
    """Real steps: of the slowest seed, and of every one."""
    checked = f"all of {AdaptConfig().check_starts} fresh starts on the rig succeed"
    rows = []
    for metric, values, note in (
        ("real_steps", [_real_steps(run)[1] for run in runs],
         f"to the last check in which {checked}: its policy is kept, and success_after is of it"),
        ("real_steps_first", [_real_steps(run)[0] for run in runs],
         f"to the first check in which {checked}; later checks may not"),
    ):  # fmt: skip
        reached = [value for value in values if not isinstance(value, str)]
        slowest = max(reached) if len(reached) == len(values) else NOT_REACHED
        found: dict[str, Value] = {"": slowest, ".every_seed": values}
        rows += [
            job.row(
                f"adapt.{metric}{suffix}", value, "actions on the rig", "--only adapt",
                seeds=seeds, n=len(runs), config=runs[0].config(), run=runs[0],
                note=note if suffix else f"{note}; the slowest seed",
            )
            for suffix, value in found.items()
        ]  # fmt: skip
    return rows
