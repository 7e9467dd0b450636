"""``visuomotor focus``: focus a rig or a recorded stack with any policy, and show the path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import tyro

from visuomotor.errors import InputError


def command(
    stack: str | None = None,
    rig: Path | None = None,
    start: float | None = None,
    window: tuple[float, float] | None = None,
    grow: int = 0,
    policy: str | None = None,
    fine_step: float | None = None,
    roi: tuple[int, int, int, int] | None = None,
    auto_roi: bool = False,
    out: Path = Path("focus.png"),
    runs: Path = Path("runs"),
    seed: int = 0,
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Focus a rig or a stack; print verdict, position and exposures, and draw the path. Nothing has
    to be trained for it.

    Args:
        stack: A focal stack: OME-TIFF, multi-page TIFF, a folder of pictures, or "demo".
        rig: A rig file, in place of a stack.
        start: Where to start, in the focus' unit. If not given, a rig starts where it stands, a
            stack anywhere.
        window: Of a rig: focus between these positions, inside its limits.
        grow: How often at most, where it is sharpest at an end of the range, the range is doubled
            towards there; a rig's window grows up to its limits.
        policy: search:NAME, a shipped policy, a run folder or a checkpoint. If not given: the
            newest run that was trained on this stack, or on one that this rig recorded, and solved
            every start; else the shipped policy focus, which needs no training; else, in a version
            without it, search:brent.
        fine_step: Smallest useful move in the stack's unit; by default from the focus curve. A rig
            file has its own.
        roi: Region to judge: top left height width, in pixels.
        auto_roi: Judge the region with the most detail.
        out: The picture of the path.
        runs: Where to look for trained runs.
        seed: Of the random start.
        dry_run: Say what would be done; connect to nothing.
        json_output: Print one JSON object.
    """
    from rich.console import Console

    from visuomotor.figures import focus_figure, tidy
    from visuomotor.files import finite
    from visuomotor.runner import focus_cells
    from visuomotor.zoo import load_policy

    if roi is not None and auto_roi:
        raise InputError("focus: expected --roi or --auto-roi, got both")
    if (stack is None) == (rig is None):
        raise InputError("focus: expected --stack PATH or --rig RIG, one of them")
    if rig is not None and fine_step is not None:
        raise InputError(f"focus: --fine-step: a rig's is in its file, {rig}")
    if stack is not None and window is not None:
        raise InputError("focus: --window: expected it with --rig, got it with --stack")
    region = "auto" if auto_roi else roi
    source = (
        _OnRig(rig, region, window) if rig is not None else _OnStack(str(stack), fine_step, region)
    )
    name, why = (policy, "as asked") if policy else source.default_policy(runs)
    chosen = load_policy(name)
    low, high = source.instrument.focus.limits
    unit = source.instrument.focus.unit
    slack = 1e-9 * (high - low)
    if start is not None and not low - slack <= start <= high + slack:
        raise InputError(
            f"start: expected a position from {low:g} to {high:g} {unit}, got {start:g}"
        )
    if dry_run:
        where = "anywhere" if start is None and rig is None else "where it stands"
        where = where if start is None else f"at {start:g}"
        Console(highlight=False).print(
            f"{source.name}: would focus with {name} ({why}), starting {where}, "
            f"from {low:g} to {high:g} {unit}"
        )
        return 0
    (result,) = focus_cells(source.instrument, chosen, seed=seed, start=start, grow=grow)
    drawn = source.draw(result)
    if drawn is not None:
        focus_figure(out, *drawn, f"{source.name} with {Path(name).name}")
    answer: dict[str, Any] = {
        "verdict": str(result.verdict),
        "direction": result.direction,
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
        "picture": str(out) if drawn else None,
    }
    if json_output:
        print(json.dumps(finite(answer)))
    else:
        steps = " -> ".join(f"{tidy(position):.4g}" for position in result.path)
        position, start_at = tidy(result.position), tidy(result.start)
        Console(highlight=False).print(
            f"policy:    {name} ({why})\n"
            f"verdict:   [bold]{result.verdict}[/bold]: {result.reason}\n"
            f"position:  {position:.6g} {result.unit} (start {start_at:.6g})\n"
            f"exposures: {result.exposures}\n"
            f"path:      {steps}\n"
            f"picture:   {out if drawn else 'none'}"
        )
    return 0 if result.verdict == "focused" else 1


def _perfect(runs: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(folder, provenance, stack) of finished runs that solved every start, the newest first."""
    from visuomotor.checkpoint import load_checkpoint
    from visuomotor.runs import finished_runs

    for run in finished_runs(runs):
        try:
            origin = load_checkpoint(run.policy_file).provenance
            stack = str(run.config().get("stack", ""))
        except InputError:
            continue  # somebody else's file; a person who wants it can name it
        if origin.get("accuracy") == 1.0:
            yield str(run.path), origin, stack


def _for_any(why: str) -> tuple[str, str]:
    from visuomotor.zoo import default_focus

    name, reason = default_focus()
    return name, f"{why}; {reason}"


class _OnStack:
    """A recorded stack to focus."""

    def __init__(self, stack: str, fine_step: float | None, roi: Any) -> None:
        from visuomotor.commands._stacks import load_stack

        self.stack = load_stack(stack)
        self.name = self.stack.name
        self.instrument: Any = self.stack.instrument(fine_step=fine_step, roi=roi)

    def default_policy(self, runs: Path) -> tuple[str, str]:
        """A policy made for this very stack, else the one for any."""
        for path, origin, _ in _perfect(runs):
            if origin.get("stack_digest") == self.stack.origin_digest:
                return path, "trained on this stack"
        return _for_any("no run was trained on this stack to full success")

    def draw(self, result: Any) -> tuple[Any, Any, Any, Any]:
        from visuomotor.tasks.autofocus import AutofocusTask
        from visuomotor.vision.transforms import thumbnails

        curve = self.stack.curve(AutofocusTask().measure, self.instrument.roi)
        pictures = self.instrument.pictures([result.start, result.position])
        before, after = thumbnails(pictures, 256, self.stack.display_range)
        return curve, result, before, after


class _OnRig:
    """A rig to focus."""

    def __init__(self, rig: Path, roi: Any, window: tuple[float, float] | None) -> None:
        from visuomotor.instruments.workcells import open_rig

        self.instrument: Any = open_rig(rig, roi, window)
        self.rig = self.instrument.rigs[0]
        self.name = self.rig.config.name

    def default_policy(self, runs: Path) -> tuple[str, str]:
        """A policy trained on a stack that this rig recorded, else the one for any."""
        from visuomotor.instruments.recorded.stack_writer import noted

        for path, _, stack in _perfect(runs):
            recorder = noted(Path(stack))[1].get("rig")
            if isinstance(recorder, dict) and recorder.get("name") == self.name:
                return path, "trained on a stack that this rig recorded"
        return _for_any("no run was trained on a stack of this rig to full success")

    def draw(self, result: Any) -> tuple[Any, Any, Any, Any] | None:
        """A rig's true curve is not known; its looks are drawn alone."""
        import numpy as np

        from visuomotor.vision.transforms import percentile_range, thumbnails

        if self.rig.first is None or self.rig.newest is None or not result.curve:
            return None
        pictures = np.stack([self.rig.first, self.rig.newest])
        before, after = thumbnails(pictures, 256, percentile_range(pictures))
        return None, result, before, after
