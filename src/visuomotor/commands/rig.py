"""``visuomotor rig``: write a rig file, and check that a rig does what its file says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from visuomotor.errors import InputError, RigError, in_words


def command(
    action: Annotated[Literal["init", "check"], tyro.conf.Positional],
    rig: Annotated[Path, tyro.conf.Positional],
    set: tuple[str, ...] = (),
    dry_run: bool = False,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Write a rig file by asking (init), or connect to a rig and check it (check).

    Args:
        action: init or check.
        rig: The rig file.
        set: Of init: answers that need not be asked, such as focus.device=Z camera.exposure_ms=10.
            With any of them, only what is required is asked; with all that is, nothing.
        dry_run: Of check: connect and read, but move nothing. Of init: print the file instead.
        json_output: Of check: print one JSON line for each finding.
    """
    if action == "init":
        return _init(rig, set, dry_run)
    if set:
        raise InputError("rig check: expected no --set; what the rig is stands in its file")
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
