"""What a training run keeps on disk: the state to go on from, and its best policy so far."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from visuomotor.agents import dqn
from visuomotor.checkpoint import save_policy
from visuomotor.configs import to_plain
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state, write_atomically
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.rollout import Rollout
from visuomotor.runs import Run
from visuomotor.training.examining import Standing

KIND = "training run"


@dataclass
class Sitting:
    """Everything that changes while training, as one file, so that another sitting can go on."""

    learner: dqn.DQN
    rollout: Rollout
    exploring: dqn.Exploring
    sampling_draws: np.random.Generator

    def __post_init__(self) -> None:
        self.standing = Standing()

    def save(self, run: Run) -> None:
        state = {
            "kind": KIND,
            "learner": self.learner.state_dict(),
            "rollout": self.rollout.state_dict(),
            "explored": self.exploring.steps,
            "sampling": self.sampling_draws.bit_generator.state,
            "standing": to_plain(self.standing),
        }
        save_state(run.trainer_file, state)

    def load(self, run: Run) -> None:
        state = load_state(run.trainer_file)
        if state.get("kind") != KIND:
            raise InputError(f"{run.trainer_file}: expected a {KIND}, got a {state.get('kind')}")
        self.learner.load_state_dict(state["learner"])
        self.rollout.load_state_dict(state["rollout"])
        self.exploring.steps = int(state["explored"])
        self.sampling_draws.bit_generator.state = state["sampling"]
        self.standing = Standing(**state["standing"])


def save_best(run: Run, learner: dqn.DQN, stack: FocalStack, standing: Standing) -> None:
    """The policy as it is now, with where it comes from and how good it was found."""
    origin = {
        **run.provenance(),
        "seed": run.config()["seed"],
        "stack": stack.name,
        "stack_digest": stack.origin_digest,
        "interpolated_from": stack.interpolated_from,
        "positions": stack.num_positions,
        "unit": stack.unit,
        "time_steps": standing.steps,
        "accuracy": standing.best_accuracy,
        "mean_steps": standing.best_mean_steps,
        "optimal_steps": standing.optimal_steps,
    }
    config = to_plain(learner.config)
    save_policy(run.policy_file, learner.spec, dqn.NAME, config, learner.weights(), origin)


def finish(run: Run, standing: Standing) -> None:
    """Say that the run is over, and how it stood: without clocks, so that equal runs end alike."""
    final = {k: value for k, value in asdict(standing).items() if not k.endswith("seconds")}
    write_atomically(run.path / "final.json", json.dumps(final, indent=2).encode())
