"""One number of a rig file changes, and nothing else of it."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.errors import InputError
from visuomotor.instruments.rig_editing import set_fine_step

HEAD = 'name = "x"  # focus, fine_step = 1\n\n'
TABLE = '[focus]   # the drive\ndriver = "toy"\nsoft_limits = [\n  -1.0,\n  [1.0][0],\n]\n'
TABLE = TABLE.replace("[1.0][0]", "1.0")


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + TABLE + "\n# the camera\n[camera]\n", ["+ fine_step = 0.43\n"]),
        (HEAD + TABLE + "# set by hand", ["+ fine_step = 0.43\n"]),
        (HEAD + "[ 'focus' ]\n", ["+ fine_step = 0.43\n"]),
        (
            HEAD + TABLE + "fine_step=0.5   # by eye\n",
            ["- fine_step=0.5   # by eye\n", "+ fine_step=0.43   # by eye\n"],
        ),
        (
            'note = """\nfine_step = 1\n[focus]\n"""\n' + TABLE + "  fine_step = 1e-1\n[safe]\n",
            ["-   fine_step = 1e-1\n", "+   fine_step = 0.43\n"],
        ),
        (
            'note = """\nfine_step = 1\n[focus]\n"""\n' + TABLE + "[other]\nfine_step = 3\n",
            ["+ fine_step = 0.43\n"],
        ),
        ("[focus]\nat = [\n[1], # one\n[2]]\n[camera]\n", ["+ fine_step = 0.43\n"]),
        ("focus.fine_step = 2\n", ["- focus.fine_step = 2\n", "+ focus.fine_step = 0.43\n"]),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_comments_order_and_ends_of_lines_stay(
    tmp_path: Path, text: str, expected: list[str], ending: str
) -> None:
    rig = tmp_path / "rig.toml"
    before = text.replace("\n", ending)
    rig.write_bytes(before.encode())
    set_fine_step(rig, 0.43, dry_run=True)
    assert rig.read_bytes() == before.encode()
    set_fine_step(rig, 0.43)
    after = rig.read_bytes().decode()
    assert tomllib.loads(after)["focus"]["fine_step"] == 0.43
    assert changed_lines(before, after) == [line.replace("\n", ending) for line in expected]
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]


def test_a_last_line_that_does_not_end_is_ended(tmp_path: Path) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text("[focus]\nunit = 'um'")
    set_fine_step(rig, 0.43)
    assert rig.read_text() == "[focus]\nunit = 'um'\nfine_step = 0.43\n"


@settings(max_examples=50, deadline=None)
@given(step=st.floats(1e-9, 1e9), old=st.floats(1e-9, 1e9))
def test_any_number_reads_back_as_it_was(tmp_path_factory, step: float, old: float) -> None:
    rig = tmp_path_factory.mktemp("rig") / "rig.toml"
    rig.write_text(f"[focus]\nfine_step = {old!r} # old\n")
    set_fine_step(rig, step)
    assert tomllib.loads(rig.read_text()) == {"focus": {"fine_step": step}}


def test_a_json_file_and_a_link_to_one(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"name": "x", "focus": {"unit": "V"}, "safe": {}}))
    link = tmp_path / "rig.json"
    link.symlink_to(kept)
    set_fine_step(link, 0.5)
    assert link.is_symlink()
    assert json.loads(kept.read_text())["focus"] == {"unit": "V", "fine_step": 0.5}
    assert list(json.loads(kept.read_text())) == ["name", "focus", "safe"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("focus = { unit = 'um' }\n", "put fine_step = 0.43 into; do it by hand"),
        ("name = 'x'\n", "it has no table"),
        ("[focus\n", "expected a rig file to change, but"),
    ],
)
def test_what_cannot_be_changed_is_left_alone(tmp_path: Path, text: str, words: str) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(text)
    with pytest.raises(InputError, match=words):
        set_fine_step(rig, 0.43)
    assert rig.read_text() == text
    with pytest.raises(InputError, match="expected a rig file to change"):
        set_fine_step(tmp_path / "none.toml", 0.43)


def test_a_full_disk_leaves_the_file_whole(tmp_path: Path, monkeypatch) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text("[focus]\n")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="no space left"):
        set_fine_step(rig, 0.43)
    assert rig.read_text() == "[focus]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]
