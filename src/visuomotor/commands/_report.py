"""What a person sees while a policy trains: a bar, or JSON lines."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Report:
    """Opened before training, called with each evaluation, closed with the result."""

    def __init__(self, run: Any, settings: Any, stack: Any, as_json: bool) -> None:
        self._run, self._as_json = run, as_json
        self._console = Console(highlight=False)
        columns = (TimeElapsedColumn(), BarColumn(16), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self._console, disable=as_json)
        self._task = self._bar.add_task("warming up", total=settings.steps)
        if not as_json:
            origin = f"{stack.num_positions} positions"
            if stack.interpolated_from:
                origin += f", interpolated from {stack.interpolated_from} recorded planes"
            self._console.print(f"stack: {stack.name}: {origin}\nrun:   {run.path}", soft_wrap=True)

    def __enter__(self) -> Report:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, metrics: dict[str, Any]) -> None:
        if self._as_json:
            print(json.dumps(metrics), flush=True)
        text = (
            f"{metrics['step']:,}: {metrics['accuracy']:.1%} of {metrics['starts']} starts, "
            f"{metrics['mean_steps']:.2f} steps (shortest {metrics['optimal_steps']:.2f})"
        )
        self._bar.update(self._task, completed=metrics["step"], description=text)

    def close(self, stack: str, standing: Any) -> None:
        if self._as_json:
            return
        self._console.print(
            f"best:  success {standing.best_accuracy:.1%}, {standing.best_mean_steps:.2f} steps "
            f"(shortest {standing.optimal_steps:.2f}); {standing.steps:,} time steps in "
            f"{standing.seconds:.0f} s\n"
            f"try:   visuomotor focus --stack {stack} --policy {self._run.path}",
            soft_wrap=True,
        )
