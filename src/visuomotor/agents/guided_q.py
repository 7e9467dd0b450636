"""Guided Q: values learned from an omniscient searcher, for samples never seen before.

yu2018 learns one view and does poorly on others (section IV.B.3). Here the state is how contrast
changed between the last looks and how far apart they were (``models/look_comparer.py``), and the
views are many. Actions are yu2018's: discrete steps and an active stop.

A simulator knows where focus is, so what each action leads to need not be found by trial and error.
First it learns what the moves are worth to an omniscient searcher, on average over everything that
fits the looks so far and on the states that the policy itself comes to (Littman, Cassandra and
Kaelbling, "Learning policies for partially observable environments", 1995: QMDP; Ross et al.,
"Dagger", 2011):

    Q(move) = 1 - cost (1 + moves an omniscient searcher needs then)

The one mistake in it is to think that all will be known after the next look: nothing is ever worth
a look for what it shows, and where doubt remains it would dither. So later moves are worth what
they led to, as the policy judged it some looks on (n-step Q-learning; Watkins, 1989; Sutton, 1988),
and never more than to the omniscient searcher, which keeps the maximum over them from growing by
itself. The stop is worth what its outcome is on average,

    Q(stop) = p - wrong (1 - p)

where p, the probability of being in focus, is learned as such: a simulator tells it of every state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visuomotor.agents.base import PolicySpec
from visuomotor.agents.schedules import cosine_share
from visuomotor.configs import check_range, from_plain
from visuomotor.errors import InputError
from visuomotor.models.look_comparer import LookComparer, LookComparerConfig, defocus_target
from visuomotor.models.weights import load_moments, load_weights
from visuomotor.types import Act, BoolArray, FloatArray, IntArray, Observation

NAME = "guided_q"


@dataclass(frozen=True)
class GuidedQConfig:
    """How it learns, and what a look and an end are worth."""

    batch: int = 512
    learning_rate: float = 3e-3
    """Of AdamW at the start; falls along a cosine to a share at ``decay_updates``."""
    decay_updates: int = 16_000
    decay_to: float = 0.01
    average: float = 0.002
    """Share of the newest weights that the policy's take on with each update."""
    cost: float = 0.04
    """Of a look, where an end in focus is worth 1."""
    wrong: float = 2.0
    """What an end out of focus takes away ..."""
    sure_looks: tuple[int, int] = (12, 30)
    """... until the first of so many looks; then ever less, down to nothing at the second: who
    still doubts after so many will not know better."""
    guided_updates: int = 2_000
    """For so many moves are worth what an omniscient searcher makes of them, then what the policy
    does."""
    value_weight: float = 5.0
    """Of the loss of the moves' values."""
    defocus_weight: float = 0.1
    """Of the auxiliary loss: the cross-entropy of the signed way to focus."""
    network: LookComparerConfig = field(default_factory=LookComparerConfig)

    def __post_init__(self) -> None:
        share, one = (0, 1), (1, 1_000_000)
        check_range(self, batch=one, learning_rate=share, decay_updates=one, decay_to=share)
        check_range(self, average=share, cost=share, defocus_weight=(0, 1000))
        if not 0 <= self.sure_looks[0] < self.sure_looks[1]:
            raise InputError(f"sure_looks: expected two rising numbers, got {self.sure_looks}")
        check_range(self, wrong=(0, 1000), value_weight=(0, 1000), guided_updates=(0, 1_000_000))


class Guidance(NamedTuple):
    """N states and what a simulator knows of them."""

    contrast: Tensor  # (N, H, SIZE) newest look first
    moves: Tensor  # (N, H) fine steps
    explored: Tensor  # (N, 4) how far looks reach below and above, whether the range ends there
    action: Tensor  # (N,) that was taken
    outcome: Tensor  # (N,) what it was worth, judged some looks later; NaN where nobody knows
    moves_after: Tensor  # (N, A) that an omniscient searcher needs after each action
    in_focus: Tensor  # (N,) bool
    distance: Tensor  # (N,) signed way to focus in fine steps


class GuidedQ:
    """The learner; see ``agents.base.Learner``."""

    on_policy = False

    def __init__(self, spec: PolicySpec, config: GuidedQConfig, seed: int) -> None:
        self.spec = spec
        self.config = config
        with torch.random.fork_rng():  # initialise from our seed, leave the global state alone
            torch.manual_seed(seed)
            self.online = _network(spec, config.network)
        self.average = _network(spec, config.network)
        self.average.load_state_dict(self.online.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.online.parameters(), lr=config.learning_rate, weight_decay=1e-4, fused=True
        )
        self.updates = 0

    def targets(self, batch: Guidance) -> Tensor:
        """(N, A) what the moves are worth to an omniscient searcher, whom no policy surpasses. The
        stop is learned as a probability."""
        return 1 - self.config.cost * (1 + batch.moves_after.float())

    def update(self, batch: Guidance, targets: Tensor) -> dict[str, float]:
        """One step of AdamW on the three losses, then the average follows."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        values, focus, defocus = self.online(batch.contrast, batch.moves, batch.explored)
        losses = {
            "value_loss": self._value_loss(values, targets, batch),
            "stop_loss": F.binary_cross_entropy_with_logits(focus, batch.in_focus.float()),
            "defocus_loss": F.cross_entropy(defocus, defocus_target(batch.distance)),
        }
        loss = self.config.value_weight * losses["value_loss"] + losses["stop_loss"]
        loss = loss + self.config.defocus_weight * losses["defocus_loss"]
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.online.parameters(), 1.0)
        self.optimizer.step()
        self.updates += 1
        # Early averages would lag behind what is learned quickly.
        share = max(self.config.average, 9 / (9 + self.updates))
        with torch.no_grad():
            for slow, quick in zip(
                self.average.parameters(), self.online.parameters(), strict=True
            ):
                slow.lerp_(quick, share)
        return {name: value.item() for name, value in losses.items()}

    def policy(self) -> GuidedPolicy:
        """On the average of the last weights: steadier than any of them."""
        return GuidedPolicy(self.spec, self.average, self.config)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.average.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "online": self.online.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.online.load_state_dict(state["online"])
        self.average.load_state_dict(state["average"])
        load_moments(self.optimizer, state["optimizer"])
        self.updates = int(state["updates"])

    def _value_loss(self, values: Tensor, most: Tensor, batch: Guidance) -> Tensor:
        """Of values (N, A), none of which can be above ``most``."""
        if self.updates < self.config.guided_updates:
            return F.mse_loss(values, most)
        excess = F.relu(values - most).square()  # (N, A)
        at = batch.action[:, None]
        taken, best = values.gather(1, at)[:, 0], most.gather(1, at)[:, 0]
        known = ~batch.outcome.isnan()
        # Numbers everywhere: the gradient of what is masked would be that of NaN.
        miss = (taken - torch.minimum(batch.outcome.nan_to_num(0.0), best)).square()
        return torch.where(known, miss, 0.0).mean() + excess.mean()

    def _learning_rate(self) -> float:
        c = self.config
        return c.learning_rate * cosine_share(self.updates, c.decay_updates, c.decay_to)


class GuidedPolicy:
    """Does what is worth the most. Reads only past looks and the moves between them, and counts the
    looks."""

    def __init__(self, spec: PolicySpec, network: LookComparer, config: GuidedQConfig) -> None:
        self.spec = spec
        self.network = network
        self.config = config
        self._steps = np.array(spec.config["steps"])
        self._stop = spec.config["steps"].index(0)

    def begin(self, state: IntArray | None, fresh: BoolArray) -> IntArray:
        """(B,) looks before this one."""
        looks = np.zeros(len(fresh), np.int64) if state is None else state.copy()
        looks[fresh] = 0
        return looks

    def act(self, observation: Observation, state: IntArray, generator: np.random.Generator) -> Act:
        values, focus = self.judge(observation)
        # Beyond the end of the range there is nothing: pressing on would look at the same again.
        below, above, ends_below, ends_above = observation["explored"].T[..., None]
        values[(below < ends_below / 2) & (self._steps < 0)] = -np.inf
        values[(above < ends_above / 2) & (self._steps > 0)] = -np.inf
        sure, never = self.config.sure_looks
        wrong = self.config.wrong * ((never - state) / (never - sure)).clip(0, 1)
        values[:, self._stop] = focus - wrong * (1 - focus)
        return Act(values.argmax(1), state + 1, {"focus": focus, "q": values})

    @torch.inference_mode()
    def judge(self, observation: Observation) -> tuple[NDArray[np.float32], FloatArray]:
        """(B, A) values of the moves and (B,) probability of being in focus."""
        contrast = torch.from_numpy(np.asarray(observation["contrast"], np.float32))
        moves = torch.from_numpy(np.asarray(observation["past_moves"], np.float32))
        explored = torch.from_numpy(np.asarray(observation["explored"], np.float32))
        values, focus, _ = self.network(contrast, moves, explored)
        return values.numpy().copy(), focus.sigmoid().double().numpy()


def load_policy(
    spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> GuidedPolicy:
    """The policy of a checkpoint; InputError names the first weight that does not fit."""
    settings = from_plain(GuidedQConfig, config, f"{where}: agent")
    network = _network(spec, settings.network)
    load_weights(network, weights, where)
    return GuidedPolicy(spec, network, settings)


def _network(spec: PolicySpec, config: LookComparerConfig) -> LookComparer:
    task = spec.config
    if task["actions"] != "steps":
        raise InputError(
            f"{NAME} chooses among steps, but the task's actions are {task['actions']!r}"
        )
    spec.require(NAME, "contrast", "past_moves", "explored")
    return LookComparer(len(task["steps"]), config)
