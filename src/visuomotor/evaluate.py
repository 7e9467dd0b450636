"""How good a policy is where the truth is known: one row per episode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.rollout import Rollout
from visuomotor.types import FloatArray


@dataclass(frozen=True)
class Episode:
    """One focus episode of a policy, without guard; positions and distances in the axis' unit.

    Where the instrument disturbs itself (``protocols.DeadReckons``), positions and sharpness are
    the true ones; ``travel`` is what its drive believes.
    """

    start: float
    end: float
    success: bool
    steps: int
    """Actions, the stop included."""
    exposures: int
    travel: float
    reward: float
    sharpness_start: float
    sharpness_end: float
    maximum: float
    """F_max of the view."""
    distance: float
    """From the sharpest position at the end."""
    optimal_steps: int
    """Of an omniscient searcher with the same actions, the stop included; 0 where not defined."""


@dataclass(frozen=True)
class Summary:
    """Means over episodes."""

    episodes: int
    accuracy: float
    mean_steps: float
    optimal_steps: float
    mean_exposures: float
    mean_travel: float


def evaluate(
    policy: Policy,
    env: VisuomotorEnv,
    episodes: int | None = None,
    seed: int = 0,
    starts: FloatArray | None = None,
) -> list[Episode]:
    """Run a policy to the end of each episode, as many at once as the environment has cells.

    starts: where the episodes begin; else ``episodes`` random ones (default: one for each cell).
    """
    if seed < 0 or (episodes is not None and episodes < 1):
        raise InputError(
            f"evaluate: expected at least 1 episode and a seed of 0 or more, "
            f"got {episodes} and {seed}"
        )
    count = len(starts) if starts is not None else episodes or env.num_envs
    rollout = Rollout(policy, env, np.random.default_rng(seed))
    rows: list[Episode] = []
    for first in range(0, count, env.num_envs):
        used = min(env.num_envs, count - first)
        mask = np.arange(env.num_envs) < used
        begin: FloatArray | None = None
        if starts is not None:
            begin = np.zeros(env.num_envs)
            begin[:used] = starts[first : first + used]
        rows += _episodes(rollout, mask, seed if first == 0 else None, begin)
    return rows


def summarise(rows: Sequence[Episode]) -> Summary:
    """Means; the steps of the omniscient searcher beside the policy's."""
    return Summary(
        episodes=len(rows),
        accuracy=float(np.mean([row.success for row in rows])),
        mean_steps=float(np.mean([row.steps for row in rows])),
        optimal_steps=float(np.mean([row.optimal_steps for row in rows])),
        mean_exposures=float(np.mean([row.exposures for row in rows])),
        mean_travel=float(np.mean([row.travel for row in rows])),
    )


def _episodes(
    rollout: Rollout, mask: np.ndarray, seed: int | None, starts: FloatArray | None
) -> list[Episode]:
    rollout.reset(seed, mask, starts)
    first = rollout.info
    reward = np.zeros(len(mask))
    while not rollout.finished:
        reward += rollout.step().reward
    last = rollout.info
    optimal = first.get("optimal_steps", np.zeros(len(mask), np.int64))
    ends = [
        (info.get("true_position", info["position"]), info.get("true_sharpness", info["sharpness"]))
        for info in (first, last)
    ]
    (start, sharpness_start), (end, sharpness_end) = ends
    distance = np.abs(last.get("truth", np.full(len(mask), np.nan)))
    return [
        Episode(
            start=float(start[cell]),
            end=float(end[cell]),
            success=bool(last["success"][cell]),
            steps=int(last["steps"][cell]),
            exposures=int(last["exposures"][cell]),
            travel=float(last["travel"][cell]),
            reward=float(reward[cell]),
            sharpness_start=float(sharpness_start[cell]),
            sharpness_end=float(sharpness_end[cell]),
            maximum=float(last["maximum"][cell]),
            distance=float(distance[cell]),
            optimal_steps=int(optimal[cell]),
        )
        for cell in np.flatnonzero(mask)
    ]


class _CallableModule(ModuleType):
    """This file, which is ``visuomotor.evaluate`` as soon as anything imports it: it has the name
    of the function that the package offers, so it is called like that function."""

    def __call__(self, *args: Any, **kwargs: Any) -> list[Episode]:
        return evaluate(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
