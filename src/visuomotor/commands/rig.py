"""``visuomotor rig``: write a rig file, check that a rig does what its file says, and measure its
fine step."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visuomotor.errors import InputError, RigError, in_words


def command(
    action: Annotated[Literal["init", "check", "calibrate"], tyro.conf.Positional],
    rig: Annotated[Path, tyro.conf.Positional],
    set: tuple[str, ...] = (),
    window: tuple[float, float] | None = None,
    write: bool = False,
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Write a rig file by asking (init), connect to a rig and check it (check), or measure its fine
    step on the sample that is there (calibrate).

    Args:
        action: init, check or calibrate.
        rig: The rig file. For calibrate it needs neither a fine_step nor [optics] yet.
        set: Of init: answers that need not be asked, such as focus.device=Z camera.exposure_ms=10.
            With any of them, only what is required is asked; with all that is, nothing.
        window: Of calibrate: look between these positions, inside the limits; by default all of
            them.
        write: Of calibrate: put the fine step into the rig file; all else in it stays.
        dry_run: Of check: connect and read, but move nothing. Of init: print the file instead. Of
            calibrate: say what would be done; connect to nothing.
        json_output: Of check: print one JSON line for each finding. Of calibrate: print one JSON
            object.
    """
    if action != "init" and set:
        raise InputError(f"rig {action}: expected no --set; what the rig is stands in its file")
    if action != "calibrate" and (window is not None or write):
        given = "--window" if window is not None else "--write"
        raise InputError(f"rig {action}: {given}: expected it with calibrate only")
    if action == "init":
        return _init(rig, set, dry_run)
    if action == "calibrate":
        return _calibrate(rig, window, write, dry_run, json_output)
    return _check(rig, dry_run, json_output)


def _check(path: Path, dry_run: bool, as_json: bool) -> int:
    from rich.console import Console

    from visuomotor.configs import to_plain
    from visuomotor.files import finite
    from visuomotor.instruments.rig_check import Finding, check_rig
    from visuomotor.instruments.rig_config import load_rig
    from visuomotor.tasks import autofocus

    config = load_rig(path)
    measure = autofocus.build(to_plain(config.sharpness)).measure
    console = Console(highlight=False, soft_wrap=True)
    marks = {"good": "[green]good[/green]", "look": "[yellow]look[/yellow]", "told": "    "}
    found: list[Finding] = []
    failure = ""

    def tell(finding: Finding) -> None:
        found.append(finding)
        if as_json:
            print(json.dumps(finite(asdict(finding))))
        else:
            mark = marks.get(finding.grade, "[red]bad[/red] ")
            console.print(f"{mark}  {finding.name + ':':17}{finding.text}")

    try:
        check_rig(config, measure, tell, move=not dry_run)
    except RigError as error:
        failure = in_words(error)
    bad = [f.name for f in found if f.grade == "bad"]
    looks = [f.name for f in found if f.grade == "look"]
    if failure:
        verdict = f"not fit: {failure}"
    elif bad:
        verdict = f"not fit for focusing: {', '.join(bad)}"
    elif looks:
        verdict = f"works; see to: {', '.join(looks)}"
    else:
        verdict = "fit for focusing" if not dry_run else "reads well; nothing was moved"
    if as_json:
        print(json.dumps({"verdict": verdict, "fit": not (failure or bad)}))
    else:
        console.print(f"[bold]{config.name}: {verdict}[/bold]")
    return 1 if failure or bad else 0


def _calibrate(
    path: Path, window: tuple[float, float] | None, write: bool, dry_run: bool, as_json: bool
) -> int:
    from rich.console import Console

    from visuomotor.configs import to_plain
    from visuomotor.files import finite
    from visuomotor.instruments.rig import Rig
    from visuomotor.instruments.rig_calibration import (
        COARSE_LOOKS,
        MOST_EXPOSURES,
        calibrate,
        load_uncalibrated,
    )
    from visuomotor.instruments.rig_editing import set_fine_step
    from visuomotor.tasks import autofocus

    config, in_file = load_uncalibrated(path, window)
    rig = Rig(config, window=window)
    (low, high), unit = rig.limits, config.focus.unit
    console = Console(highlight=False, soft_wrap=True)
    if write:
        set_fine_step(path, 1.0, dry_run=True)  # better refused now than after the exposures
    if dry_run:
        console.print(
            f"{config.name}: would look from {low:g} to {high:g} {unit}, at {COARSE_LOOKS} places "
            f"and closer around the sharpest, {MOST_EXPOSURES} exposures at most"
            + (f", and write the fine step into {path}" if write else "")
        )
        return 0
    found = calibrate(rig, autofocus.build(to_plain(config.sharpness)).measure)
    step, by_optics = found.fine_step, config.fine_step_by_optics
    written = None
    if write and step is not None:
        set_fine_step(path, step)
        written = str(path)
    if as_json:
        told = {"unit": unit, "by_optics": by_optics, "in_file": in_file, "window": [low, high]}
        print(json.dumps(finite({**asdict(found), **told, "written": written})))
        return 0 if step is not None else 1

    def length(value: float | None) -> str:
        return "none" if value is None else f"{value:.3g} {unit}"

    lines = [
        f"fine step: {'not measured' if step is None else length(step)}: {found.reason}",
        f"by optics: {length(by_optics)}",
        f"in file:   {length(in_file)}",
        f"exposures: {found.exposures}",
    ]
    if step is not None:
        if config.focus.tolerance is None and found.missed > step:
            missed = f"came to rest up to {length(found.missed)} from where it was sent"
            lines.append(f"see to:    the drive {missed}: set tolerance in [focus]")
        lines.append(f"written:   {written}" if written else "next:      the same with --write")
    console.print("\n".join(lines), markup=False)
    return 0 if step is not None else 1


def _init(path: Path, given: tuple[str, ...], dry_run: bool) -> int:
    from rich.console import Console

    from visuomotor.commands._questions import Interview
    from visuomotor.configs import from_pairs
    from visuomotor.files import write_atomically
    from visuomotor.instruments.rig_config import rig_to_toml

    if path.exists() and not dry_run:
        raise InputError(f"{path}: expected a new file, got one that is there")
    console = Console(highlight=False, soft_wrap=True)
    config = Interview(from_pairs(given), console, path).rig()
    text = rig_to_toml(config)
    if dry_run:
        print(text, end="")
        return 0
    write_atomically(path, text.encode())
    console.print(f"written: {path}\nnext:    visuomotor rig check {path}")
    return 0
