"""Who is compared: every classical search, two that do not look, and shipped policies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy, PolicySpec
from visuomotor.agents.search import SearchPolicy, find_search, searches
from visuomotor.studies.generalisation.scoring import STEPS
from visuomotor.types import Act, BoolArray, Observation
from visuomotor.zoo import load_policy, names

STOP_AT_ONCE, RANDOM = "stop-at-once", "random"
BLIND_SPEC = PolicySpec(
    task="autofocus",
    version=1,
    observation=("position",),
    config={"steps": list(STEPS), "observation": ["position"]},
)
"""Of who does not look: yu2018's five actions."""


class StopAtOnce:
    """Takes every start for focus: what success is worth by itself."""

    spec = BLIND_SPEC

    def begin(self, state: Any, fresh: BoolArray) -> None:
        """It remembers nothing."""

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        """(B,) the stop."""
        return Act(np.full(len(observation["position"]), STEPS.index(0)), None, {})


class RandomActions:
    """One of the five actions by chance, the stop among them."""

    spec = BLIND_SPEC

    def begin(self, state: Any, fresh: BoolArray) -> None:
        """It remembers nothing."""

    def act(self, observation: Observation, state: Any, generator: np.random.Generator) -> Act:
        """(B,) numbers of actions."""
        return Act(generator.integers(len(STEPS), size=len(observation["position"])), None, {})


def classical() -> list[str]:
    """Every search, and the two that do not look."""
    return [STOP_AT_ONCE, RANDOM, *searches()]


def shipped(wanted: Sequence[str]) -> list[str]:
    """Those of these policies that are in the zoo, as they were named."""
    bases = {full.rpartition("@")[0] for full in names()} | set(names())
    return [name for name in wanted if name in bases]


def brent_at(tolerance: float) -> str:
    """The name of Brent's method with this tolerance, in fine steps."""
    return f"brent tolerance={tolerance:g}"


@functools.cache
def searcher(name: str) -> Policy:
    """By name: ``classical``, ``brent_at``, or whatever ``load_policy`` knows. Each is loaded once:
    policies keep nothing between calls."""
    if name == STOP_AT_ONCE:
        return StopAtOnce()
    if name == RANDOM:
        return RandomActions()
    base, _, tolerance = name.partition(" tolerance=")
    if tolerance:
        return SearchPolicy(base, tolerance=float(tolerance))
    return SearchPolicy(name) if name in searches() else load_policy(name)


def looks_in_motion(name: str) -> bool:
    """Whether all its looks but the last two are taken while the axis moves."""
    return name in searches() and bool(vars(find_search(name)).get("looks_in_motion"))
