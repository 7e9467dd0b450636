"""``visuomotor train``: learn a policy from a recorded stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from visuomotor.configs import from_plain, read_config_file, to_plain
from visuomotor.errors import InputError


def command(
    task: Annotated[Literal["focus"], tyro.conf.Positional],
    stack: Path | None = None,
    config: Path | None = None,
    set: tuple[str, ...] = (),
    seed: int | None = None,
    runs: Path = Path("runs"),
    resume: Path | None = None,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Learn to focus one view from its pictures alone. Saves the best policy in a run folder.

    Args:
        task: What to learn.
        stack: A focal stack: OME-TIFF, multi-page TIFF, or a folder of pictures.
        config: JSON or TOML file with keys of the training config.
        set: Single values over the config's, such as ``agent.n_step=1 cells=32``.
        seed: Of everything that is random.
        runs: Where run folders go.
        resume: A run folder to go on with; the stack is the one it began with.
        json_output: Print one JSON line for each evaluation instead of a progress bar.
    """
    from visuomotor.instruments.recorded.focal_stack import FocalStack
    from visuomotor.runs import Run
    from visuomotor.training.config import TrainConfig
    from visuomotor.training.examining import prepare
    from visuomotor.training.local import train

    if resume is not None:
        run = Run.open(resume)
        asked = run.config()
        stack = Path(asked.pop("stack"))
        settings = from_plain(TrainConfig, asked, str(run.config_file))
    elif stack is None:
        raise InputError("train: expected --stack PATH (or --resume RUN), got neither")
    else:
        values = read_config_file(config) if config else {}
        settings = from_plain(TrainConfig, values, str(config))
        changes = _nested(set) | ({} if seed is None else {"seed": seed})
        settings = from_plain(TrainConfig, changes, "--set", base=settings)
    recorded = FocalStack.load(stack)
    prepared = prepare(recorded, settings)  # refuses before anything is written
    if resume is None:
        asked = to_plain(settings) | {"stack": str(stack.resolve())}
        run = Run.create(runs, task, asked)
    with _Report(run, settings, prepared, json_output) as report:
        standing = train(settings, prepared, run, report)
    report.close(stack, standing)
    return 0 if standing.best_accuracy == 1.0 else 1


def _nested(pairs: tuple[str, ...]) -> dict[str, Any]:
    """("agent.n_step=1",) -> {"agent": {"n_step": 1}}; values are JSON, or else plain text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set: expected KEY=VALUE, got {pair!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, last = key.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return values


class _Report:
    """What a person sees while it trains: a bar, or JSON lines."""

    def __init__(self, run: Any, settings: Any, stack: Any, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._run, self._as_json = run, as_json
        self._console = Console(highlight=False)
        columns = (TextColumn("time step {task.completed:,}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}"), disable=as_json)
        self._task = self._bar.add_task("warming up", total=settings.steps)
        if not as_json:
            origin = f"{stack.num_positions} positions"
            if stack.interpolated_from:
                origin += f", interpolated from {stack.interpolated_from} recorded planes"
            self._console.print(f"stack: {stack.name}: {origin}\nrun:   {run.path}")

    def __enter__(self) -> _Report:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, metrics: dict[str, Any]) -> None:
        if self._as_json:
            print(json.dumps(metrics), flush=True)
        text = (
            f"success {metrics['accuracy']:.1%} of {metrics['starts']} starts, "
            f"{metrics['mean_steps']:.2f} steps (shortest {metrics['optimal_steps']:.2f})"
        )
        self._bar.update(self._task, completed=metrics["step"], description=text)

    def close(self, stack: Path, standing: Any) -> None:
        if self._as_json:
            return
        self._console.print(
            f"best:  success {standing.best_accuracy:.1%}, {standing.best_mean_steps:.2f} steps "
            f"(shortest {standing.optimal_steps:.2f}); {standing.steps:,} time steps in "
            f"{standing.seconds:.0f} s\n"
            f"try:   visuomotor focus --stack {stack} --policy {self._run.path}"
        )
