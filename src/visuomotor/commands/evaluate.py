"""``visuomotor evaluate``: how good a policy is on stacks, where the truth is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import tyro

from visuomotor.errors import InputError


def command(
    policy: Annotated[str, tyro.conf.Positional],
    on: tuple[str, ...] = ("demo",),
    episodes: int | None = None,
    seed: int = 0,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Run a policy from every position of each stack and compare it with the shortest way.

    A stop succeeds where sharpness is above 0.9 of the stack's maximum. A policy that keeps to a
    fine step of its own is evaluated on positions that far apart, interpolated where need be.

    Args:
        policy: search:NAME, a shipped policy, a run folder or a checkpoint.
        on: Stacks: paths, or "demo".
        episodes: This many random starts instead of every position.
        seed: Of the random starts.
        json_output: Print one JSON line for each stack, with every episode.
    """
    from rich.console import Console
    from rich.table import Table

    from visuomotor.evaluate import summarise
    from visuomotor.zoo import load_policy

    chosen = load_policy(policy)
    if not on:
        raise InputError("evaluate: expected at least one stack after --on, got none")
    table = Table(title=policy, title_justify="left")
    for name in ("stack", "episodes", "success", "steps", "shortest", "exposures", "travel"):
        table.add_column(name, justify="left" if name == "stack" else "right")
    for name in on:
        stack, label = _stack(name, chosen)
        rows = _evaluate(chosen, stack, episodes, seed)
        s = summarise(rows)
        if json_output:
            result = {"stack": name, "policy": policy, "positions": stack.num_positions}
            result |= {"interpolated_from": stack.interpolated_from, **asdict(s)}
            print(json.dumps(result | {"rows": [asdict(row) for row in rows]}))
        shortest = f"{s.optimal_steps:.2f}" if s.optimal_steps else "-"
        travel = f"{s.mean_travel:.3g} {stack.unit}"
        cells = (f"{s.accuracy:.1%}", f"{s.mean_steps:.2f}", shortest, f"{s.mean_exposures:.2f}")
        table.add_row(label, str(s.episodes), *cells, travel)
    if not json_output:
        Console(highlight=False).print(table)
    return 0


def _stack(name: str, policy: Any) -> tuple[Any, str]:
    """The stack at the positions the policy moves between, and what to call it."""
    from visuomotor.commands._stacks import load_stack

    stack = load_stack(name)
    fine_step = policy.spec.config.get("fine_step")
    if fine_step:
        count = round((stack.positions[-1] - stack.positions[0]) / fine_step) + 1
        if count != stack.num_positions or not stack.is_even:
            stack = stack.resample(count)
    if stack.interpolated_from is None:
        return stack, stack.name
    return stack, f"{stack.name} ({stack.num_positions} from {stack.interpolated_from} planes)"


def _evaluate(policy: Any, stack: Any, episodes: int | None, seed: int) -> list[Any]:
    from visuomotor.env import VisuomotorEnv
    from visuomotor.evaluate import evaluate
    from visuomotor.tasks import autofocus

    cells = min(stack.num_positions if episodes is None else max(1, episodes), 256)
    instrument = stack.instrument(cells=cells, continuous=False)
    env = VisuomotorEnv(instrument, autofocus.build(policy.spec.config))
    starts = None if episodes is not None else np.asarray(stack.positions)
    return evaluate(policy, env, episodes=episodes, seed=seed, starts=starts)
