"""Before and beside training: is there anything to learn here, and how far has it come?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.agents.dqn import DQN
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.evaluate import evaluate, summarise
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.tasks.discrete_search import distinguishable
from visuomotor.training.config import TrainConfig
from visuomotor.types import BoolArray


@dataclass
class Standing:
    """How far a training run has come; saved with it."""

    steps: int = 0
    evaluations: int = 0
    perfect_in_a_row: int = 0
    steps_to_perfect: int = 0
    """Time steps at the first evaluation of the last perfect row."""
    best_accuracy: float = -1.0
    best_mean_steps: float = float("inf")
    optimal_steps: float = 0.0
    seconds: float = 0.0
    """Spent in training, evaluations included, over all sittings."""
    evaluation_seconds: float = 0.0
    """Of these, in evaluations."""


class Examiner:
    """Evaluates over every start of a view and keeps the standing."""

    def __init__(
        self, config: AutofocusConfig, stack: FocalStack, others: Mapping[str, FocalStack]
    ) -> None:
        """others: views that are only tested on, by the name of their metric."""
        self._env, task = focus_env(config, stack, stack.num_positions)
        self._stack = stack
        self._fair = fair_starts(task, stack)
        kept = replace(config, display_range=stack.display_range)  # as the policy keeps it
        self._others = {
            name: (focus_env(kept, other, other.num_positions)[0], other.positions)
            for name, other in others.items()
        }

    def examine(self, policy: Policy, standing: Standing) -> dict[str, Any]:
        """One evaluation: metrics to log; ``best`` tells that there was none better before."""
        began = time.perf_counter()
        rows = evaluate(policy, self._env, starts=self._stack.positions)
        fair = summarise([row for row, ok in zip(rows, self._fair, strict=True) if ok])
        perfect = fair.accuracy == 1.0
        if perfect and standing.perfect_in_a_row == 0:
            standing.steps_to_perfect = standing.steps
        standing.perfect_in_a_row = standing.perfect_in_a_row + 1 if perfect else 0
        standing.evaluations += 1
        standing.optimal_steps = fair.optimal_steps
        best = (fair.accuracy, -fair.mean_steps) >= (
            standing.best_accuracy,
            -standing.best_mean_steps,
        )
        if best:
            standing.best_accuracy, standing.best_mean_steps = fair.accuracy, fair.mean_steps
        beside = {
            f"accuracy_{name}": summarise(evaluate(policy, env, starts=starts)).accuracy
            for name, (env, starts) in self._others.items()
        }
        standing.evaluation_seconds += time.perf_counter() - began
        return {
            **beside,
            "accuracy": fair.accuracy,
            "accuracy_every_start": summarise(rows).accuracy,
            "starts": int(self._fair.sum()),
            "mean_steps": fair.mean_steps,
            "optimal_steps": fair.optimal_steps,
            "best": best,
        }


def prepare(stack: FocalStack, config: TrainConfig) -> FocalStack:
    """The stack to train on: interpolated, if it has fewer positions than the config asks for, or
    uneven ones.

    InputError if no policy could learn from it: no detail, or no start within reach of focus.
    """
    if stack.num_positions < config.positions or not stack.is_even:
        stack = stack.resample(max(config.positions, stack.num_positions))
    _, task = focus_env(config.task, stack, stack.num_positions)
    DQN(task.spec, config.agent, config.seed)  # refuses a task it cannot act in
    curve = task.curves()[0]
    if curve.range <= 0.02 * max(curve.maximum, 1e-12):
        raise InputError(
            f"{stack.name}: no_sample: expected sharpness to change with focus, "
            f"got at most {curve.maximum:.3g} and at least {curve.maximum - curve.range:.3g}"
        )
    if not fair_starts(task, stack).any():
        raise InputError(
            f"{stack.name}: expected starts from which focus can be reached within "
            f"{config.task.max_steps} steps, got none"
        )
    return stack


def focus_env(
    config: AutofocusConfig, stack: FocalStack, cells: int
) -> tuple[VisuomotorEnv, AutofocusTask]:
    """B cells on one stack at its own positions, one of which is a fine step."""
    instrument = stack.instrument(cells=cells, continuous=False)
    task = AutofocusTask(config)
    return VisuomotorEnv(instrument, task), task


def fair_starts(task: AutofocusTask, stack: FocalStack) -> BoolArray:
    """(P,) starts that can be told apart by their pictures and solved within the step limit."""
    config, curve, frames = task.config, task.curves()[0], task.frames
    assert frames is not None  # a stack at its own positions has finitely many pictures
    sharp = curve.sharpness > config.success_fraction * curve.maximum
    pictures = frames.get(np.arange(stack.num_positions))
    return distinguishable(pictures, sharp, config.steps, config.max_steps)
