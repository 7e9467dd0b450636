"""``visuomotor demo``: the main job on what is built in, as a table and a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from visuomotor.errors import InputError

POLICY = "yu2018-exp1@1"
"""Trained on the demo's one view."""
METHODS = {
    "learned": POLICY,
    "brent": "search:brent",
    "hill-climb": "search:hill-climb",
    "two-stage": "search:two-stage-sweep",
    "full sweep": "search:full-sweep",
}


def command(
    starts: int = 20,
    out: Path = Path("demo.png"),
    seed: int = 0,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Focus a built-in stack from random starts, learned against classical searches.

    The policy that is the default everywhere, focus, comes first, in a version that ships it.

    Args:
        starts: How many random starts.
        out: The picture.
        seed: Of the starts.
        json_output: Print one JSON object.
    """
    from rich.console import Console
    from rich.table import Table

    from visuomotor.instruments.simulated.demo_view import demo_stack
    from visuomotor.runner import focus
    from visuomotor.zoo import GENERAL, card, load_policy

    if starts < 1 or seed < 0:
        raise InputError(f"demo: expected at least 1 start and a seed of 0 or more, got {starts}")
    stack = demo_stack()
    generator = np.random.default_rng(seed)
    positions = stack.positions[generator.integers(0, stack.num_positions, starts)]
    task_curve = _truth(stack, METHODS["learned"])
    rows: dict[str, dict[str, float]] = {}
    shown: dict[str, Any] = {}
    far = int(np.argmax(np.abs(positions - task_curve.best_position)))
    methods = _methods()
    for method, name in methods.items():
        policy = load_policy(name)
        began = time.perf_counter()
        results = [
            # Free positions: every picture is made and read when it is taken, as on a rig.
            focus(stack.instrument(start=start, fine_step=stack.spacing), policy)
            for start in positions
        ]
        seconds = time.perf_counter() - began
        sharp = task_curve.at(np.array([r.position for r in results])) / task_curve.maximum
        rows[method] = {
            "success": float(np.mean(sharp > 0.9)),
            "exposures": float(np.mean([r.exposures for r in results])),
            "travel": float(np.mean([r.travel for r in results])),
            "ms": 1000 * seconds / starts,
        }
        shown[method] = results[far]
    every = _every_start(stack, load_policy(POLICY))
    _picture(out, stack, task_curve, shown)
    if json_output:
        print(json.dumps({"starts": starts, "methods": rows, **every, "picture": str(out)}))
        return 0
    table = Table(
        title=f"{starts} random starts on the demo's stack ({stack.num_positions} positions)",
        title_justify="left",
    )
    table.add_column("method")
    for name in ("success", "exposures", f"travel ({stack.unit})", "compute (ms)"):
        table.add_column(name, justify="right")
    for method, row in rows.items():
        table.add_row(
            method,
            f"{row['success']:.0%}",
            f"{row['exposures']:.1f}",
            f"{row['travel']:.1f}",
            f"{row['ms']:.1f}",
        )
    console = Console(highlight=False)
    console.print(table)
    if GENERAL in methods:
        console.print(f"{GENERAL} is {methods[GENERAL]}: {card(methods[GENERAL])['summary']}")
    console.print(
        f"learned is {POLICY}: {card(POLICY)['summary']}\n"
        f"from every one of {every['starts_every']} starts: {every['accuracy_every']:.1%} success "
        f"in {every['mean_steps_every']:.2f} steps (shortest possible "
        f"{every['optimal_steps_every']:.2f}, the stop counted)\n"
        f"success: ends where sharpness is above 0.9 of the maximum; exposures: pictures taken, "
        f"the first and the way back included\n"
        f"picture: {out}"
    )
    return 0


def _methods() -> dict[str, str]:
    """What is compared, by name; the first is the one whose pictures are shown."""
    from visuomotor.zoo import GENERAL, SEARCH_PREFIX, default_focus

    name, _ = default_focus()
    return METHODS if name.startswith(SEARCH_PREFIX) else {GENERAL: name, **METHODS}


def _truth(stack: Any, policy: str) -> Any:
    """The stack's focus curve, as the learned policy's task measures it."""
    from visuomotor.tasks import autofocus
    from visuomotor.zoo import load_policy

    task = autofocus.build(load_policy(policy).spec.config)
    return stack.curve(task.measure)


def _every_start(stack: Any, policy: Any) -> dict[str, Any]:
    from visuomotor.env import VisuomotorEnv
    from visuomotor.evaluate import evaluate, summarise
    from visuomotor.tasks import autofocus

    cells = stack.num_positions
    rig = stack.instrument(cells=cells, continuous=False)
    env = VisuomotorEnv(rig, autofocus.build(policy.spec.config))
    summary = summarise(evaluate(policy, env, starts=stack.positions))
    return {
        "starts_every": summary.episodes,
        "accuracy_every": summary.accuracy,
        "mean_steps_every": summary.mean_steps,
        "optimal_steps_every": summary.optimal_steps,
    }


def _picture(out: Path, stack: Any, curve: Any, results: dict[str, Any]) -> None:
    from visuomotor.figures import demo_figure

    learned = next(iter(results.values()))
    ends = np.array([learned.start, learned.position])
    before, after = stack.frames_at(ends)
    demo_figure(out, curve, results, before, after, stack.unit)
