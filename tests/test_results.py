"""Result files: rows are merged by metric, and a file is whole, or as it was."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from visuomotor.errors import InputError
from visuomotor.results import Result, merge, read

SPEED = Result(metric="a.speed", ours=3.5, unit="1/s", command="x", commit=None, machine="m")
PATH = Result(
    metric="a.path",
    paper=[1, 2],
    ours=[1, 2.5, "far"],
    unit="um",
    n=3,
    seeds=(0, 1),
    config={"nested": {"key": [1, None]}},
    command="x --y",
    commit="0123abcd+",
    machine="m",
    seconds=1.5,
    note="a note",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "results.json"


def test_rows_come_back_as_they_went(file: Path) -> None:
    assert read(file) == []
    assert merge(file, [SPEED, PATH]) == [SPEED, PATH]
    assert read(file) == [SPEED, PATH]
    keys = ["metric", "paper", "ours", "unit", "n", "seeds", "config", "command"]
    keys += ["commit", "machine", "seconds", "note"]
    assert [list(row) for row in json.loads(file.read_text())] == [keys, keys]


def test_a_row_replaces_the_one_of_its_metric(file: Path) -> None:
    other = replace(SPEED, metric="b")
    merge(file, [SPEED, PATH])
    again = replace(SPEED, ours=4)
    assert merge(file, [other, again]) == [again, PATH, other]
    assert read(file) == [again, PATH, other]


def test_a_write_that_breaks_off_leaves_the_file_as_it_was(file: Path, monkeypatch) -> None:
    merge(file, [SPEED])
    before = file.read_bytes()

    def break_off(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", break_off)
    with pytest.raises(OSError, match="no space left"):
        merge(file, [PATH])
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[{", "JSON"),
        ("{}", "list of rows, got dict"),
        ("[3]", "row 0: expected a table"),
        ("without metric", "row 1: expected a 'metric'"),
        ("unknown key", "row 1: unknown key 'unitt'; did you mean 'unit'"),
        ("wrong type", "row 1: result 'a.path': unit: expected str, got 3"),
        ("NaN", "ours: expected float or int or str or list, got nan"),
        ("twice", "one row for each metric, got several of 'a.speed'"),
    ],
)
def test_a_broken_file_is_refused_and_left_alone(file: Path, content: str, words: str) -> None:
    merge(file, [SPEED, PATH])
    rows = json.loads(file.read_text())
    if content == "without metric":
        del rows[1]["metric"]
    elif content == "unknown key":
        rows[1]["unitt"] = "um"
    elif content == "wrong type":
        rows[1]["unit"] = 3
    elif content == "NaN":
        rows[1]["ours"] = float("nan")
    elif content == "twice":
        rows.append(rows[0])
    file.write_text(content if content[0] in "[{" else json.dumps(rows))
    before = file.read_bytes()
    for use in (lambda: read(file), lambda: merge(file, [SPEED])):
        with pytest.raises(InputError, match=r"results\.json") as error:
            use()
        assert words in str(error.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [{"metric": ""}, {"ours": float("inf")}, {"ours": True}, {"n": 1.5}, {"seeds": ("0",)}],
)
def test_a_row_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="result"):
        replace(SPEED, **wrong)


def test_what_json_cannot_hold_is_refused(file: Path) -> None:
    for config in ({"key": float("nan")}, {"key": object()}):
        with pytest.raises(InputError, match="plain numbers and words"):
            merge(file, [replace(SPEED, config=config)])
    assert not file.exists()


def test_the_table_of_faults_is_what_was_measured() -> None:
    folder = Path(__file__).parents[1] / "benchmarks"
    table = (folder / "README.md").read_text(encoding="utf-8")
    table = table.split("<!-- faults -->")[1].split("<!-- end of faults -->")[0]
    shown = [[cell.strip() for cell in row.split("|")[2:-1]] for row in table.split("\n")[4:]]
    measured = []
    for row in read(folder / "results.json"):
        if row.metric.startswith("bench.fault_"):
            verdicts = [end.split(": ")[1] for end in row.note.split(";")[0].split(", ")]
            measured.append([*verdicts, f"{row.ours:.0f} of {row.n}"])
    assert measured
    assert sorted(row for row in shown if row) == sorted(measured)
