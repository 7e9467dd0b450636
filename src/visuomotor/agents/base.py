"""Who decides, and who learns: the two halves of an agent.

Neither ever sees an environment or an instrument, only observations, spaces and transitions.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from visuomotor.tasks.base import PolicySpec
from visuomotor.types import Act, BoolArray, Observation

__all__ = ["Learner", "Policy", "PolicySpec"]


class Policy(Protocol):
    """Decides for B cells at once. Exploration is another policy wrapped around this one."""

    spec: PolicySpec

    def begin(self, state: Any, fresh: BoolArray) -> Any:
        """The memory with the cells of ``fresh`` (B,) emptied, as at the start of an episode;
        state is None at the very first call."""

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        """One action for each cell, (B, ...). Cells that are done get any valid action."""


class Learner(Protocol):
    """Turns batches into a better policy. Called in a row locally; apart from each other when
    targets, updates and acting run on different machines."""

    on_policy: bool
    """True: learns from what its own current policy did, and needs no targets."""

    def targets(self, batch: Any) -> Any:
        """The regression targets of a batch (Bellman targets for Q-learners)."""

    def update(self, batch: Any, targets: Any) -> dict[str, float]:
        """One gradient step; returns scalars to log."""

    def policy(self) -> Policy:
        """The policy as learned so far: greedy, for evaluation and for checkpoints."""

    def weights(self) -> dict[str, Any]:
        """What acting needs: tensors by name."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: weights, targets, optimiser, counters."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
