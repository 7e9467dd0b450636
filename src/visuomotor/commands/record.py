"""``visuomotor record``: a focal stack from a rig, as OME-TIFF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro


def command(
    rig: Path,
    out: Path = Path("stack.ome.tif"),
    first: float | None = None,
    last: float | None = None,
    step: float | None = None,
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Move the focus through its range, take a picture at each position, and go back.

    Args:
        rig: The rig file.
        out: Where the stack goes. A sweep that is interrupted leaves what it has taken, which can
            be loaded as a stack if it is three planes or more.
        first: Lowest position; by default the lower limit of the rig.
        last: Highest position; by default the upper limit.
        step: Distance between planes; by default the rig's fine step.
        dry_run: Say what would be done; connect to nothing.
        json_output: Print one JSON object.
    """
    from rich.console import Console

    from visuomotor.commands._stacks import Sweep
    from visuomotor.instruments.rig_config import load_rig

    config = load_rig(rig)
    sweep = Sweep.plan(config, out, first, last, step)
    console = Console(highlight=False, stderr=json_output)
    if dry_run:
        console.print(f"{config.name}: would record {sweep} to {out}")
        return 0
    taken = sweep.record(console, quiet=json_output)
    answer = {"stack": str(out), "planes": len(taken), "first": min(taken), "last": max(taken)}
    if json_output:
        print(json.dumps(answer))
    else:
        console.print(
            f"recorded: {len(taken)} planes, {min(taken):g} to {max(taken):g} "
            f"{config.focus.unit}\n"
            f"stack:    {out}\n"
            f"try:      visuomotor score {out}",
            soft_wrap=True,
        )
    return 0
