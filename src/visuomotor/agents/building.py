"""From what a checkpoint holds to the policy: each agent builds its own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from visuomotor.agents.base import Policy, PolicySpec
from visuomotor.discovery import names_in
from visuomotor.errors import InputError, nearest


def built(
    agent: str, spec: PolicySpec, config: Mapping[str, Any], weights: Mapping[str, Any], where: str
) -> Policy:
    """The policy that the module ``agent`` of ``visuomotor.agents`` builds from its own config and
    weights. InputError for an agent that is not known; ``where`` begins its sentence."""
    known = names_in("visuomotor.agents", "load_policy")
    if agent not in known:
        raise InputError(f"{where}: agent: got {agent!r}; {nearest(agent, known)}")
    module = importlib.import_module(f"visuomotor.agents.{agent}")
    policy: Policy = module.load_policy(spec, config, weights, where)
    return policy
