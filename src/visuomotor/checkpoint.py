"""Trained policies as files: weights, and all that is needed to run them without their trainer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from visuomotor.agents.base import Policy, PolicySpec
from visuomotor.agents.building import built
from visuomotor.discovery import names_in
from visuomotor.errors import InputError, nearest
from visuomotor.files import load_state, save_state


class Checkpoint(NamedTuple):
    """A policy and where it comes from."""

    policy: Policy
    agent: str
    provenance: dict[str, Any]
    """Of the training: commit, versions, seed, machine, digest of the stack ..."""


def save_policy(
    path: Path,
    spec: PolicySpec,
    agent: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write a policy; ``agent`` is the module of ``visuomotor.agents`` that can build it again."""
    state = {
        "kind": "policy",
        "spec": asdict(spec),
        "agent": agent,
        "config": dict(config),
        "weights": dict(weights),
        "provenance": dict(provenance),
    }
    save_state(path, state)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a policy. InputError for anything that is not one, or one this version cannot run."""
    state = load_state(path)
    if state.get("kind") != "policy":
        raise InputError(f"{path}: expected a policy, got the state of a {state.get('kind')}")
    try:
        return _rebuild(path, state)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected a whole policy, but {error!r} is missing") from None


def _rebuild(path: Path, state: Mapping[str, Any]) -> Checkpoint:
    saved = state["spec"]
    tasks = names_in("visuomotor.tasks", "build")
    if saved["task"] not in tasks:
        raise InputError(
            f"{path}: the policy is for the task {saved['task']!r}; {nearest(saved['task'], tasks)}"
        )
    task = importlib.import_module(f"visuomotor.tasks.{saved['task']}")
    if saved["version"] != task.VERSION:
        raise InputError(
            f"{path}: expected {saved['task']} version {task.VERSION}, got {saved['version']}"
        )
    spec = PolicySpec(saved["task"], saved["version"], tuple(saved["observation"]), saved["config"])
    task.build(spec.config)  # refuses what this version does not know
    policy = built(state["agent"], spec, state["config"], state["weights"], str(path))
    return Checkpoint(policy, state["agent"], state["provenance"])
