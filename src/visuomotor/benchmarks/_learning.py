"""How long learning takes until every start is solved: our DQN."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visuomotor.agents.base import Policy
from visuomotor.configs import to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.runs import Run
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Examiner, Standing
from visuomotor.training.local import train


@dataclass(frozen=True)
class Reached:
    """How one training run went."""

    seconds: float
    """Of learning, evaluations left out: to the first evaluation of 100 %, or all there were."""
    evaluation_seconds: float
    perfect: bool
    steps: int
    best_accuracy: float

    def __str__(self) -> str:
        end = "100 %" if self.perfect else f"{max(0.0, self.best_accuracy):.1%} at best"
        return (
            f"{end} after {self.steps:,} time steps, {self.seconds:.1f} s of learning and "
            f"{self.evaluation_seconds:.1f} s of evaluation"
        )


def learn(stack: FocalStack, config: TrainConfig, budget_s: float) -> Reached:
    """Train with ``train`` until the first evaluation that is perfect."""
    with tempfile.TemporaryDirectory() as folder, timed_evaluations() as evaluations:
        run = Run.create(Path(folder), "bench", to_plain(config))
        standing = train(config, stack, run, lambda metrics: None)
    seconds = standing.seconds - sum(evaluations)
    perfect = standing.perfect_in_a_row > 0 and seconds <= budget_s
    return Reached(seconds, sum(evaluations), perfect, standing.steps, standing.best_accuracy)


@contextmanager
def timed_evaluations() -> Iterator[list[float]]:
    """Seconds of every evaluation that an Examiner makes inside."""
    seconds: list[float] = []
    plain = Examiner.examine

    def examine(self: Examiner, policy: Policy, standing: Standing) -> dict[str, Any]:
        began = time.perf_counter()
        metrics = plain(self, policy, standing)
        seconds.append(time.perf_counter() - began)
        return metrics

    setattr(Examiner, "examine", examine)  # noqa: B010 - mypy forbids to assign to a method
    try:
        yield seconds
    finally:
        setattr(Examiner, "examine", plain)  # noqa: B010
