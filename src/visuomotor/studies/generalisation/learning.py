"""What is trained: the shipped policies, and policies on more and more views.

yu2018 ends with an open question: trained on one view its policy is poor on others, better on those
of the same slide; would more views help, and fields of one slide or of many? ``views`` answers it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from visuomotor.configs import to_plain
from visuomotor.figures import views_figure
from visuomotor.results import Result, read
from visuomotor.runs import Run
from visuomotor.studies.job import Job
from visuomotor.training.general import PRESETS, GeneralConfig, Standing, train_general

FEWER_ROWS = 2_000
"""Of training on few views: the same for every number of them."""


def train_focus(job: Job) -> None:
    """Train the policy that ships as ``focus``: yu2018's five actions."""
    _ship(job, "focus")


def train_multiscale(job: Job) -> None:
    """Train the policy that ships as ``focus-multiscale``: steps of several scales."""
    _ship(job, "focus-multiscale")


def views(job: Job) -> None:
    """From one training view to many: fields of one slide, and slides."""
    for count in job.config.training_views:
        for kind, slides in (("fields", 1), ("slides", 0)):
            if count == 1 and kind == "slides":
                continue  # one view is both
            base = PRESETS["focus"]
            updates = FEWER_ROWS * base.updates_per_row
            config = replace(
                base,
                rows=FEWER_ROWS,
                evaluate_every=FEWER_ROWS,
                agent=replace(base.agent, decay_updates=updates, guided_updates=updates // 10),
                views=replace(base.views, count=count, slides=slides),
            )
            name = f"views-{count}-{kind}"
            run, standing, seconds = train(job, name, config)
            rows = [
                _row(job, f"views.{kind}.{count}.{what}", value, unit, "views", run, seconds)
                for what, value, unit in (
                    ("success", standing.success, "share of episodes"),
                    ("looks", standing.looks, "exposures"),
                )
            ]
            job.keep(rows)
    found = {
        kind: {
            int(row.metric.split(".")[2]): float(str(row.ours))
            for row in read(job.results)
            if row.metric.startswith(f"views.{kind}.") and row.metric.endswith(".success")
        }
        for kind in ("fields", "slides")
    }
    views_figure(job.results.parent / "views.png", found)
    job.say(f"success against training views: {job.results.parent / 'views.png'}")


def train(job: Job, name: str, config: GeneralConfig) -> tuple[Run, Standing, float]:
    """Train, go on with a run that was cut short, or take one that is there to its end. Its seconds
    are those of training and rendering, over all sittings."""
    run = Run.at(job.runs / job.study / name, to_plain(config))

    def report(metrics: dict[str, Any]) -> None:
        job.say(
            f"{name}: {metrics['step']:,} time steps, {metrics['success']:.1%} of unseen views, "
            f"{metrics['looks']:.2f} looks, {metrics['seconds']:.0f} s"
        )

    final = run.path / "final.json"
    if not final.is_file():
        train_general(config, run, report)
    standing = Standing(**json.loads(final.read_text(encoding="utf-8")))
    return run, standing, float(run.metrics()[-1]["seconds"])


def _ship(job: Job, preset: str) -> None:
    config = PRESETS[preset]
    run, standing, seconds = train(job, preset, config)
    part = f"train_{preset.rpartition('-')[2]}"
    told = {
        "minutes": (seconds / 60, "min"),
        "success": (standing.success, "share of episodes"),
        "looks": (standing.looks, "exposures"),
    }
    job.keep(
        [
            _row(job, f"training.{preset}.{what}", value, unit, part, run, seconds)
            for what, (value, unit) in told.items()
        ]
    )


def _row(
    job: Job, metric: str, value: float, unit: str, part: str, run: Run, seconds: float
) -> Result:
    config = run.config()
    return job.row(
        metric,
        value,
        unit,
        f"--only {part}",
        seeds=[int(config["seed"])],
        n=1,
        config=config,
        seconds=round(seconds, 1),
        note="on training's own kind of worlds, views it was not trained on",
        run=run,
    )
