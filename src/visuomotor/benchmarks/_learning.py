"""How long learning takes until every start is solved: our DQN."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from visuomotor.configs import to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.runs import Run
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import Standing
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
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "bench", to_plain(config))
        standing = train(config, stack, run, lambda metrics: None)
    return reached(standing, standing.seconds, budget_s)


def reached(standing: Standing, seconds: float, budget_s: float) -> Reached:
    """seconds: of the whole run, evaluations included; budget_s: of learning."""
    learning = seconds - standing.evaluation_seconds
    perfect = standing.perfect_in_a_row > 0 and learning <= budget_s
    return Reached(
        learning, standing.evaluation_seconds, perfect, standing.steps, standing.best_accuracy
    )
