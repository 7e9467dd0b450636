"""``visuomotor bench``: how fast, side by side with what others do, in one run."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import tyro

from visuomotor.errors import InputError, nearest

PACKAGE = "visuomotor.benchmarks"
PREFIX = "bench."


def command(
    name: Annotated[str | None, tyro.conf.Positional] = None,
    stack: str = "demo",
    only: tuple[str, ...] = (),
    budget_minutes: float | None = None,
    set: tuple[str, ...] = (),
    out: tuple[Path, ...] = (Path("benchmarks/results.json"),),
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Measure a benchmark's rows and merge them into result files.

    Every comparison is measured in the same run, so that ratios mean something on a machine that
    others use too.

    Args:
        name: The benchmark; without one, all there are and their rows are listed.
        stack: A focal stack: OME-TIFF, multi-page TIFF, a folder of pictures, or "demo".
        only: Only these rows.
        budget_minutes: Of learning for each training run.
        set: Single values over the benchmark's config, such as ``cells=256 repeats=3``.
        out: Result files; a row replaces the one of the same metric, others stay.
        json_output: Print one JSON line for each row.
    """
    from rich.console import Console

    from visuomotor.benchmarks.measuring import Skipped, rows_of
    from visuomotor.commands._stacks import DEMO, load_stack
    from visuomotor.configs import from_pairs, from_plain, to_plain
    from visuomotor.discovery import names_in
    from visuomotor.results import Result, merge, read
    from visuomotor.runs import commit, machine

    files = names_in(PACKAGE, "Benchmark")
    known = {n.replace("_", "-"): importlib.import_module(f"{PACKAGE}.{n}") for n in files}
    console = Console(highlight=False, stderr=json_output)
    if name is None:
        _list({name: rows_of(module.Benchmark) for name, module in known.items()}, json_output)
        return 0
    if name not in known:
        raise InputError(f"benchmark {name!r} is not known; {nearest(name, known)}")
    meanings = rows_of(known[name].Benchmark)
    asked = [row.removeprefix(PREFIX) for row in only]
    for row in asked:
        if row not in meanings:
            raise InputError(f"{name}: row {row!r} is not known; {nearest(row, meanings)}")
    wanted = [row for row in meanings if not asked or row in asked]
    changes = from_pairs(set)
    if budget_minutes is not None:
        changes["budget_minutes"] = budget_minutes
    config = from_plain(known[name].CONFIG, changes, "--set", base=known[name].CONFIG())
    if not out:
        raise InputError("bench: expected at least one file after --out, got none")
    for path in out:
        read(path)  # a broken file is refused before hours of measuring
    benchmark = known[name].Benchmark(load_stack(stack), config, wanted)
    words = ["visuomotor", "bench", name]
    words += [] if stack == DEMO else ["--stack", stack]
    words += [] if budget_minutes is None else ["--budget-minutes", f"{budget_minutes:g}"]
    words += ["--set", *set] if set else []
    origin: dict[str, Any] = {
        "command": shlex.join(words),
        "commit": commit(),
        "machine": machine(),
    }
    done: list[Result] = []
    for row in wanted:
        console.print(f"measuring {row} ...", style="dim")
        try:
            measured = getattr(benchmark, row)()
        except Skipped as reason:
            console.print(f"{row} is left out: {reason}", soft_wrap=True)
            continue
        result = Result(metric=PREFIX + row, **vars(measured), **origin)
        for path in out:  # now, so that a run that is stopped keeps what it measured
            merge(path, [result])
        done.append(result)
        if json_output:
            print(json.dumps(to_plain(result)), flush=True)
    if not json_output:
        _show(done, console)
    console.print(f"results: {', '.join(str(path) for path in out)}", soft_wrap=True)
    return 0


def _list(benchmarks: dict[str, dict[str, str]], as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        print(json.dumps(benchmarks))
        return
    console = Console(highlight=False)
    for name, rows in benchmarks.items():
        console.print(f"[bold]{name}[/bold]: visuomotor bench {name}")
        for row, meaning in rows.items():
            console.print(f"  {row}: {meaning}", soft_wrap=True)


def _show(results: list[Any], console: Any) -> None:
    """A table, and below it what its numbers leave out."""
    from rich.table import Table

    table = Table(title="side by side, in one run", title_justify="left")
    table.add_column("row", overflow="fold")
    table.add_column("ours", justify="right")
    table.add_column("unit")
    table.add_column("n", justify="right")
    for result in results:
        table.add_row(result.metric, _number(result.ours), result.unit, str(result.n))
    console.print(table)
    for result in results:
        if result.note:
            console.print(f"{result.metric}: {result.note}", soft_wrap=True)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
