"""``visuomotor focus``: focus a recorded stack with any policy, and show the path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from visuomotor.errors import InputError

FALLBACK = "search:brent"


def command(
    stack: str,
    start: float | None = None,
    policy: str | None = None,
    fine_step: float | None = None,
    roi: tuple[int, int, int, int] | None = None,
    auto_roi: bool = False,
    out: Path = Path("focus.png"),
    runs: Path = Path("runs"),
    seed: int = 0,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Focus from a start position; print verdict, position and exposures, and draw the path.

    Args:
        stack: A focal stack: OME-TIFF, multi-page TIFF, a folder of pictures, or "demo".
        start: Where to start, in the stack's unit; random if not given.
        policy: search:NAME, a shipped policy, a run folder or a checkpoint. If not given: the
            newest run that was trained on this stack, else search:brent.
        fine_step: Smallest useful move in the stack's unit; by default from the focus curve.
        roi: Region to judge: top left height width, in pixels.
        auto_roi: Judge the region with the most detail.
        out: The picture of the path.
        runs: Where to look for trained runs.
        seed: Of the random start.
        json_output: Print one JSON object.
    """
    from rich.console import Console

    from visuomotor.commands._stacks import load_stack
    from visuomotor.figures import focus_figure
    from visuomotor.runner import focus
    from visuomotor.tasks.autofocus import AutofocusTask
    from visuomotor.vision.transforms import thumbnails
    from visuomotor.zoo import load_policy

    if roi is not None and auto_roi:
        raise InputError("focus: expected --roi or --auto-roi, got both")
    recorded = load_stack(stack)
    name, why = (policy, "as asked") if policy else _default_policy(recorded, runs)
    chosen = load_policy(name)
    instrument = recorded.instrument(
        start=start, fine_step=fine_step, roi="auto" if auto_roi else roi
    )
    with instrument:
        result = focus(instrument, chosen, seed=seed)
    curve = recorded.curve(AutofocusTask().measure, instrument.roi)
    before, after = thumbnails(
        instrument.pictures([result.start, result.position]), 256, recorded.display_range
    )
    title = f"{recorded.name} with {Path(name).name}"
    focus_figure(out, curve, result, before, after, title)
    answer: dict[str, Any] = {
        "verdict": str(result.verdict),
        "position": result.position,
        "unit": result.unit,
        "exposures": result.exposures,
        "start": result.start,
        "sharpness_start": result.sharpness_start,
        "sharpness_end": result.sharpness_end,
        "path": list(result.path),
        "seconds": result.seconds,
        "policy": name,
        "reason": result.reason,
        "picture": str(out),
    }
    if json_output:
        print(json.dumps(answer))
    else:
        steps = " -> ".join(f"{position:.4g}" for position in result.path)
        Console(highlight=False).print(
            f"policy:    {name} ({why})\n"
            f"verdict:   [bold]{result.verdict}[/bold]: {result.reason}\n"
            f"position:  {result.position:.6g} {result.unit} (start {result.start:.6g})\n"
            f"exposures: {result.exposures}\n"
            f"path:      {steps}\n"
            f"picture:   {out}"
        )
    return 0 if result.verdict == "focused" else 1


def _default_policy(stack: Any, runs: Path) -> tuple[str, str]:
    """What to focus with when nobody said: a policy made for this very stack, else Brent."""
    from visuomotor.checkpoint import load_checkpoint
    from visuomotor.runs import finished_runs

    for run in finished_runs(runs):
        try:
            origin = load_checkpoint(run.policy_file).provenance
        except InputError:
            continue  # somebody else's file; a person who wants it can name it
        mine = origin.get("stack_digest") == stack.origin_digest
        if mine and origin.get("accuracy") == 1.0:
            return str(run.path), "trained on this stack"
    return FALLBACK, "no run was trained on this stack to full success"
