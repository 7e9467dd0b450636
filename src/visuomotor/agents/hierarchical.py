"""Two agents in a row: one makes the picture usable, then the other focuses (anikina2021, DASHA).

Section III.A: the high-level agent does not set goals, as elsewhere in hierarchical learning; it
sets up the exposure in which the low-level agent can work, and hands over once that is good. Each
is an agent of its own, with its own observations, actions and rewards, (9) to (12), and learns from
its own part of an episode; this file joins what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from visuomotor.agents.base import Policy, PolicySpec
from visuomotor.agents.building import built
from visuomotor.errors import InputError
from visuomotor.types import Act, BoolArray, Observation

NAME = "hierarchical"
_SHARED = ("history", "exposures", "exposure_range_us", "lens_range", "encoder", "encoder_weights")
"""What both parts must have been trained with: as one task they see and set the camera alike."""


class Memory(NamedTuple):
    """Of both policies."""

    high: Any
    low: Any


class HierarchicalPolicy:
    """``high`` chooses the exposure while ``focusing`` is 0, then ``low`` the lens.

    Both may be any policies of the camera control task, learned or not. Both are asked at every
    step, as cells are in different phases; what a cell's phase does not use is not carried out.
    """

    def __init__(self, spec: PolicySpec, high: Policy, low: Policy) -> None:
        """spec: of the task of both. InputError for policies that are not for its parts."""
        spec.require(NAME, "focusing", *high.spec.observation, *low.spec.observation)
        for policy, control in ((high, "exposure"), (low, "focus")):
            got = policy.spec.config.get("control")
            if policy.spec.task != spec.task or got != control:
                raise InputError(
                    f"{NAME}: expected a policy of {spec.task} that controls {control}, got one of "
                    f"{policy.spec.task} that controls {got}"
                )
        for key in _SHARED:
            theirs = [policy.spec.config.get(key) for policy in (high, low)]
            if theirs[0] != theirs[1]:
                raise InputError(
                    f"{NAME}: {key}: expected the same for both parts, got {theirs[0]} of the high "
                    f"one and {theirs[1]} of the low one"
                )
        self.spec = spec
        self.high = high
        self.low = low

    def begin(self, state: Memory | None, fresh: BoolArray) -> Memory:
        before = Memory(None, None) if state is None else state
        return Memory(self.high.begin(before.high, fresh), self.low.begin(before.low, fresh))

    def act(self, observation: Observation, state: Memory, generator: np.random.Generator) -> Act:
        high = self.high.act(observation, state.high, generator)
        low = self.low.act(observation, state.low, generator)
        action = np.concatenate([high.action[:, None], low.action], 1)
        # What is not carried out was not tried; and at another exposure all may be tried again.
        exposing = observation["focusing"][:, 0] < 0.5
        kept = Memory(self.high.begin(high.state, ~exposing), self.low.begin(low.state, exposing))
        return Act(action, kept, {})


class Part(NamedTuple):
    """One of the two policies as a checkpoint holds it."""

    agent: str
    """The module of ``visuomotor.agents`` that can build it again."""
    config: Mapping[str, Any]
    """That agent's own."""
    weights: Mapping[str, Tensor]


def joined(high: Policy, low: Policy) -> HierarchicalPolicy:
    """Two policies as one, for the task that has both of their parts in a row."""
    config = {**low.spec.config, "control": "both"}
    keys = dict.fromkeys([*high.spec.observation, *low.spec.observation, "focusing"])
    config["observation"] = list(keys)
    spec = replace(low.spec, observation=tuple(keys), config=config)
    return HierarchicalPolicy(spec, high, low)


def saved_form(
    policy: HierarchicalPolicy, high: Part, low: Part
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and weights of a checkpoint of both, from those of its parts."""
    config: dict[str, Any] = {}
    weights: dict[str, Tensor] = {}
    for name, one, part in (("high", policy.high, high), ("low", policy.low, low)):
        observation = list(one.spec.observation)
        config[name] = {"agent": part.agent, "observation": observation, "config": part.config}
        weights |= {f"{name}.{key}": value for key, value in part.weights.items()}
    return config, weights


def load_policy(
    spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> HierarchicalPolicy:
    """The policy of a checkpoint. config: for ``high`` and ``low`` the agent, its config, and the
    observations that it reads."""
    parts: list[Policy] = []
    for name, control in (("high", "exposure"), ("low", "focus")):
        if name not in config:
            raise InputError(f"{where}: agent: expected a key {name!r}, found none")
        own = config[name]
        for key in ("agent", "observation", "config"):
            if key not in own:
                raise InputError(f"{where}: {name}: expected a key {key!r}, found none")
        observation = list(own["observation"])
        part = replace(
            spec,
            observation=tuple(observation),
            config={**spec.config, "control": control, "observation": observation},
        )
        begin = f"{name}."
        kept = {
            key.removeprefix(begin): value
            for key, value in weights.items()
            if key.startswith(begin)
        }
        parts.append(built(own["agent"], part, own["config"], kept, f"{where}: {name}"))
    return HierarchicalPolicy(spec, *parts)
