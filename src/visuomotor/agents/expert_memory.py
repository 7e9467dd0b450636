"""What an expert said of states that were met, kept for longer than the policy that met them.

An on-policy learner throws a rollout away once it has learned from it; what the best action was in
its states stays true (Ross et al., "DAgger", 2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class ExpertMemory:
    """The states of the newest rollouts, (N, n), and the expert's actions in them, (N, K)."""

    def __init__(self, rollouts: int) -> None:
        self._rollouts = rollouts
        self._sizes: list[int] = []
        self._seen = torch.zeros(0, 0)
        self._expert = torch.zeros(0, 0, dtype=torch.long)

    def add(self, seen: Tensor, expert: Tensor) -> None:
        """Of one rollout: what nobody knows, -1 in the expert's action, is left out."""
        known = (expert >= 0).all(1)
        sizes = [*self._sizes, int(known.sum())]
        gone = sum(sizes[: -self._rollouts])
        self._sizes = sizes[-self._rollouts :]
        before = self._seen[gone:], self._expert[gone:]
        if len(before[0]):
            self._seen = torch.cat([before[0], seen[known]])
            self._expert = torch.cat([before[1], expert[known]])
        else:
            self._seen, self._expert = seen[known], expert[known]

    def __len__(self) -> int:
        return len(self._seen)

    def sample(self, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` states, from all alike, and the expert's actions."""
        chosen = torch.randint(len(self._seen), (count,), generator=draws)
        return self._seen[chosen], self._expert[chosen]

    def state_dict(self) -> dict[str, Any]:
        return {"sizes": list(self._sizes), "seen": self._seen, "expert": self._expert}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sizes = [int(size) for size in state["sizes"]]
        self._seen, self._expert = state["seen"], state["expert"]
