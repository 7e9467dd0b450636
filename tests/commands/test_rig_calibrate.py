"""``visuomotor rig calibrate``: the fine step, measured, told, and written where that is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import EXAMPLES, SIMULATED, run, simulated, strict

import visuomotor as vm
from visuomotor.errors import RigError
from visuomotor.instruments.drivers.microscope import SimulatedRig

WORDS = ("rig", "calibrate", "rig.toml")


def without_a_step() -> str:
    """The simulated microscope's file before anybody knows of a fine step."""
    text = re.sub(r"\[optics\].*?\n\n", "", simulated(), flags=re.S)
    assert "optics" not in text.partition("[microscope]")[0]
    return text


def recording(planes: np.ndarray, high: float) -> str:
    tifffile.imwrite("stack.ome.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    text = (EXAMPLES / "recorded_stack.toml").read_text().replace("fine_step = 0.5\n", "")
    return text.replace("[0.0, 40.0]", f"[0.0, {high}]")


def test_a_rig_whose_file_tells_no_fine_step(here: Path, capsys, moves) -> None:
    text = without_a_step()
    Path("rig.toml").write_text(text)
    code, _, err = run(capsys, "rig", "check", "rig.toml")
    assert code == 2
    assert "visuomotor rig calibrate measures it" in err
    code, out, _ = run(capsys, *WORDS, "--write", "--json")
    (found,) = strict(out)
    assert code == 0
    assert (found["by_optics"], found["in_file"], found["written"]) == (None, None, "rig.toml")
    assert found["exposures"] <= 65
    assert moves[-1] == 11.0  # where it stood
    lines = Path("rig.toml").read_text().splitlines()
    assert [line for line in lines if line not in text] == [f"fine_step = {found['fine_step']}"]
    assert "backlash = 0.6               # more than the play below" in lines

    # It is what a stack of the same rig tells of itself, and what a check finds good.
    record = ("record", "--rig", "rig.toml", "--first=-3", "--last=4", "--step=0.2")
    assert run(capsys, *record, "--out", "stack.ome.tif")[0] == 0
    by_stack = vm.FocalStack.load("stack.ome.tif").fine_step()
    assert found["fine_step"] == pytest.approx(by_stack, rel=0.1)
    assert not [path.name for path in here.iterdir() if path.name.startswith(".")]


def test_it_stands_beside_what_optics_and_the_file_say(here: Path, capsys) -> None:
    text = simulated(never_pass="never_pass = 19.0\nfine_step = 0.7")
    Path("rig.toml").write_text(text)
    code, out, _ = run(capsys, *WORDS, "--window=-6", "6")
    assert code == 0
    assert "by optics: 0.859 um" in out
    assert "in file:   0.7 um" in out
    assert re.search(r"exposures: \d\d\n", out)
    assert "next:      the same with --write" in out
    assert Path("rig.toml").read_text() == text


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_where_there_is_no_sample_nothing_is_written(here: Path, capsys, words) -> None:
    noise = np.random.default_rng(0).normal(100, 5, (41, 64, 64)).astype(np.uint8)
    text = recording(noise, 40.0)
    Path("rig.toml").write_text(text)
    code, out, _ = run(capsys, *WORDS, "--write", *words)
    assert code == 1
    assert "no sample: no picture from 0 to 40 " in out
    if words:
        (found,) = strict(out)
        assert (found["fine_step"], found["zone"], found["written"]) == (None, None, None)
    else:
        assert "fine step: not measured: no sample" in out
        assert "exposures: 21\n" in out
        assert "written" not in out
    assert Path("rig.toml").read_text() == text


def test_a_peak_beyond_the_window_is_not_taken_for_one(here: Path, capsys, moves) -> None:
    text = without_a_step()
    Path("rig.toml").write_text(text)
    code, out, _ = run(capsys, *WORDS, "--window=3", "12", "--write")
    assert code == 1
    assert "reach the end of the window at 3 um" in out
    assert Path("rig.toml").read_text() == text
    *looked, back = moves
    assert min(looked) >= 3.0 - 0.6  # taking up play may leave the window
    assert back == 11.0


def test_a_dry_run_connects_to_nothing(here: Path, capsys, monkeypatch) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("a dry run connected")

    text = without_a_step()
    Path("rig.toml").write_text(text)
    monkeypatch.setattr("visuomotor.instruments.drivers.microscope.connect", connected)
    code, out, _ = run(capsys, *WORDS, "--dry-run", "--window", "-30", "4", "--write")
    assert code == 0
    assert "would look from -18 to 4 um" in out
    assert "65 exposures at most, and write the fine step into rig.toml" in out
    assert Path("rig.toml").read_text() == text


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RigError])
def test_what_breaks_it_off_leaves_rig_and_file_as_they_were(
    here: Path, capsys, monkeypatch, moves, stop: type[BaseException]
) -> None:
    snap, left = SimulatedRig.snap, iter(range(100))
    put_back: list[object] = []

    def cut(self: SimulatedRig):
        if next(left) == 30:
            raise stop("enough")
        return snap(self)

    restore = SimulatedRig.restore

    def restored(self: SimulatedRig, found) -> None:
        put_back.append(found)
        restore(self, found)

    monkeypatch.setattr(SimulatedRig, "snap", cut)
    monkeypatch.setattr(SimulatedRig, "restore", restored)
    text = without_a_step()
    Path("rig.toml").write_text(text)
    code, _, err = run(capsys, *WORDS, "--write")
    assert code == (130 if stop is KeyboardInterrupt else 1)
    assert len(err.splitlines()) == 1
    assert moves[-1] == 11.0
    assert len(put_back) == 1
    assert Path("rig.toml").read_text() == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rig", "calibrate", "none.toml"), "expected a config file"),
        (("rig", "calibrate", str(SIMULATED), "--set", "name=x"), "expected no --set"),
        (("rig", "check", str(SIMULATED), "--write"), "--write: expected it with calibrate only"),
        (("rig", "init", "x.toml", "--window", "1", "2"), "--window: expected it with calibrate"),
        (("rig", "calibrate", str(SIMULATED), "--window", "5", "4"), "room for a fine step"),
        (("rig", "calibrate", str(SIMULATED), "--window", "40", "50"), "room for a fine step"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(here: Path, capsys, words, message) -> None:
    code, _, err = run(capsys, *words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("soft_limits = [5.0, -5.0]", "the lower one first"),
        ("soft_limit = [5.0, -5.0]", "did you mean 'soft_limits'"),
        ("", "expected a key 'soft_limits'"),
    ],
)
def test_all_else_in_the_file_is_read_strictly(here: Path, capsys, change, message) -> None:
    text = without_a_step().replace("soft_limits = [-18.0, 18.0]", change)
    Path("rig.toml").write_text(text)
    code, _, err = run(capsys, *WORDS)
    assert code == 2
    assert message in err


def test_a_file_that_cannot_be_changed_is_refused_before_anything_moves(
    here: Path, capsys, moves
) -> None:
    tables = {
        "name": '"x"',
        "camera": '{ driver = "microscope" }',
        "focus": '{ driver = "microscope", towards_sample = "up", soft_limits = [-18, 18], '
        "never_pass = 19 }",
    }
    Path("rig.toml").write_text("".join(f"{key} = {value}\n" for key, value in tables.items()))
    code, _, err = run(capsys, *WORDS, "--write")
    assert code == 2
    assert "do it by hand" in err
    assert moves == []
    assert run(capsys, *WORDS, "--dry-run")[0] == 0


def test_it_is_one_json_object_without_numbers_that_json_does_not_have(here: Path, capsys) -> None:
    flat = np.full((41, 64, 64), 90, np.uint8)
    Path("rig.toml").write_text(recording(flat, 40.0))
    code, out, _ = run(capsys, *WORDS, "--json")
    assert code == 1
    assert json.loads(out)["fine_step"] is None
