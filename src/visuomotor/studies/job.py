"""What every study does: train in folders that can be taken up again, and keep its rows."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visuomotor.configs import to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.results import Result, Value, merge
from visuomotor.runs import Run, commit, machine
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Standing, prepare
from visuomotor.training.local import train

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """One training run, to the end."""

    run: Run
    seed: int
    standing: Standing
    metrics: list[dict[str, Any]] = field(repr=False)
    """Of every evaluation."""


@dataclass(frozen=True)
class Job:
    """A study at work: where runs and results go, and whom to tell."""

    study: str
    config: Any
    """The study's own frozen config."""
    runs: Path
    results: Path
    command: str
    say: Say

    def train(
        self,
        name: str,
        stack: FocalStack,
        config: TrainConfig,
        others: Mapping[str, FocalStack] | None = None,
    ) -> Trained:
        """Train, go on with a run that was cut short, or take one that is there to its end."""
        prepared = prepare(stack, config)
        digests = {key: other.origin_digest for key, other in (others or {}).items()}
        origin = {"stack": stack.name, "stack_digest": prepared.origin_digest, "others": digests}
        run = Run.at(self.runs / self.study / name, to_plain(config) | origin)

        def report(metrics: dict[str, Any]) -> None:
            self.say(
                f"{name}: {metrics['step']:,} time steps, {metrics['accuracy']:.1%}, "
                f"{metrics['mean_steps']:.2f} steps, {metrics['seconds']:.0f} s"
            )

        final = run.path / "final.json"
        if not final.is_file():
            train(config, prepared, run, report, others)
        standing = Standing(**json.loads(final.read_text(encoding="utf-8")))
        standing.seconds = run.metrics()[-1]["seconds"]
        return Trained(run, config.seed, standing, run.metrics())

    def keep(self, rows: Sequence[Result]) -> None:
        """Put rows into the study's results at once, so that a later failure loses none."""
        merge(self.results, rows)
        for row in rows:
            ours = f"{row.ours:.5g}" if isinstance(row.ours, float) else row.ours
            beside = f" (paper: {row.paper})" if row.paper is not None else ""
            self.say(f"{row.metric}: {ours} {row.unit}{beside}")

    def row(
        self,
        metric: str,
        ours: Value,
        unit: str,
        part: str,
        *,
        seeds: Sequence[int] = (),
        n: int | None = None,
        config: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        note: str = "",
        run: Run | None = None,
    ) -> Result:
        """A row of this study, with the paper's number beside it where it gives one.

        run: what was trained; commit and machine are those it began with. Without one they are
        those of now. ``config`` is the study's own, unless another is given.
        """
        paper = paper_numbers(self.study).get(metric.removeprefix("shipped."), {}).get("value")
        now: dict[str, Any] = {"commit": commit(), "machine": machine()}
        origin = now if run is None else run.provenance()
        return Result(
            metric=metric,
            paper=paper,
            ours=ours,
            unit=unit,
            n=n,
            seeds=tuple(seeds),
            config=dict(to_plain(self.config) if config is None else config),
            command=f"{self.command} {part}".strip(),
            commit=origin["commit"],
            machine=origin["machine"],
            seconds=seconds,
            note=note,
        )


def results_file(study: str) -> Path:
    """The study's own ``results.json`` in a checkout, else one in the current folder."""
    folder = Path(__file__).resolve().parent
    if (folder.parents[2] / "pyproject.toml").is_file():
        return folder / study / "results.json"
    return Path(f"{study}-results.json")


def paper_numbers(study: str) -> dict[str, dict[str, Any]]:
    """What the paper reports, by metric, each with the place it stands at."""
    file = Path(__file__).parent / study / "paper.json"
    numbers: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return numbers


def middle_and_worst(values: Sequence[float], worst: Callable[..., float]) -> tuple[float, float]:
    """The median of several seeds, and the worst of them (``max`` or ``min``)."""
    return float(statistics.median(values)), float(worst(values))


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began
