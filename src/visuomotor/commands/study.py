"""``visuomotor study``: a paper's experiments, and its numbers beside ours."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import Annotated

import tyro

from visuomotor.errors import InputError, nearest


def command(
    name: Annotated[str | None, tyro.conf.Positional] = None,
    only: tuple[str, ...] = (),
    evaluate: bool = False,
    config: Path | None = None,
    set: tuple[str, ...] = (),
    out: Path | None = None,
    runs: Path = Path("runs"),
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Reproduce a paper: train, measure, and write its results.

    A run that was cut short is gone on with, and one that is there to its end is not repeated.

    Args:
        name: The study, such as yu2018; without one, all there are and their parts are listed.
        only: Only these parts of it, such as exp1.
        evaluate: Train nothing; recompute accuracies from the shipped policies.
        config: JSON or TOML file with keys of the study's config.
        set: Single values over the config's, such as ``seeds=[0,1]``.
        out: The result file; by default the study's own in a checkout, else
            ``NAME-results.json`` here.
        runs: Where run folders go.
        json_output: Print the result file at the end instead of a line for each event.
    """
    from rich.console import Console

    from visuomotor.configs import from_pairs, from_plain, read_config_file, to_plain
    from visuomotor.discovery import names_in
    from visuomotor.results import read
    from visuomotor.studies.job import Job, results_file

    known = names_in("visuomotor.studies", "PARTS")
    if name is None:
        _list(known, json_output)
        return 0
    if name not in known:
        raise InputError(f"study {name!r} is not known; {nearest(name, known)}")
    study = importlib.import_module(f"visuomotor.studies.{name}")
    for part in only:
        if part not in study.PARTS:
            close = nearest(part, study.PARTS)
            raise InputError(f"study {name}: part {part!r} is not known; {close}")
    if only and evaluate:
        raise InputError("study: expected --only or --evaluate, got both")
    settings = study.CONFIG()
    if config is not None:
        settings = from_plain(study.CONFIG, read_config_file(config), str(config), base=settings)
    settings = from_plain(study.CONFIG, from_pairs(set), "--set", base=settings)
    results = out or results_file(name)
    read(results)  # a broken file is refused before hours of training
    words = ["visuomotor", "study", name, *(["--config", str(config)] if config else [])]
    words += ["--set", *set] if set else []
    console = Console(highlight=False, stderr=json_output)
    job = Job(
        study=name,
        config=settings,
        runs=runs,
        results=results,
        command=shlex.join(words),
        say=lambda text: console.print(text, soft_wrap=True),
    )
    good = True
    if evaluate:
        good = study.evaluate_shipped(job)
    else:
        for part in only or study.PARTS:
            study.PARTS[part](job)
    console.print(f"results: {results}", soft_wrap=True)
    if json_output:
        print(json.dumps([to_plain(row) for row in read(results)]))
    return 0 if good else 1


def _list(names: list[str], as_json: bool) -> None:
    from rich.console import Console

    found = {name: importlib.import_module(f"visuomotor.studies.{name}") for name in names}
    parts = {
        name: {part: (function.__doc__ or "").strip() for part, function in study.PARTS.items()}
        for name, study in found.items()
    }
    if as_json:
        print(json.dumps(parts))
        return
    console = Console(highlight=False)
    for name, meanings in parts.items():
        console.print(f"[bold]{name}[/bold]: {found[name].__doc__}".strip(), soft_wrap=True)
        for part, meaning in meanings.items():
            console.print(f"  {part}: {meaning}", soft_wrap=True)
