"""``visuomotor adapt`` as a person uses it: what it says, leaves behind and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tifffile
from command_line import run
from toys import blur_stack

TRAINED = (
    "positions=31", "cells=16", "steps=480", "evaluate_every=160", "warmup_steps=160",
    "agent.batch=32", "task.frame_size_px=32", "threads=1",
)  # fmt: skip
SMALL = (
    "real_steps=12", "check_every=6", "check_starts=3", "warmup_updates=3", "updates_per_step=1",
    "recorded.rows=10", "recorded.cells=4", "batch=32", "threads=1",
)  # fmt: skip
REHEARSED = ("--rehearse", "rough_rig", "--severity", "0.2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack, and one run that was trained on it for a moment."""
    from visuomotor.cli import main

    place = tmp_path_factory.mktemp("adapt")
    tifffile.imwrite(place / "toy.tif", blur_stack().frames, photometric="minisblack")
    words = ["train", "focus", "--stack", str(place / "toy.tif"), "--runs", str(place / "runs")]
    with pytest.raises(SystemExit):  # it did not learn to focus: 1
        main([*words, "--json", "--set", *TRAINED])
    (place / "runs").joinpath("one").symlink_to(next((place / "runs").iterdir()))
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_a_rehearsal_from_the_run_that_was_trained(here: Path, tmp_path, capsys) -> None:
    words = ("adapt", "runs/one", *REHEARSED, "--set", *SMALL)
    code, out, _ = run(capsys, *words, "--out", str(tmp_path / "a"), "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code in (0, 1)
    assert lines[0]["step"] == 0
    assert lines[-1]["step"] == 12
    assert {"accuracy", "serious", "evaluation_steps", "starts"} <= set(lines[0])
    asked = json.loads((tmp_path / "a" / "config.json").read_text())
    assert asked["real_steps"] == 12
    assert asked["policy"] == "runs/one"
    assert asked["disturbance"]["view_shift_px"] == pytest.approx(1.6)
    assert json.loads((tmp_path / "a" / "final.json").read_text())["real_steps"] == 12
    # The same command goes on, where nothing is left to do; another one is refused.
    code, out, _ = run(capsys, *words, "--out", str(tmp_path / "a"))
    assert code in (0, 1)
    assert "after 12 real steps" in out
    code, _, err = run(capsys, *words, "--out", str(tmp_path / "a"), "--seed", "5")
    assert code == 2
    assert "expected a run of the config asked for" in err
    # What came out is a policy as any.
    code, out, _ = run(capsys, "evaluate", str(tmp_path / "a"), "--on", "toy.tif", "--json")
    assert code == 0
    assert json.loads(out)["positions"] == 31


def test_on_a_rig_file(here: Path, tmp_path, capsys) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(
        f"""
name = "a recording"
[camera]
driver = "recording"
[focus]
driver = "recording"
towards_sample = "up"
soft_limits = [0, 30]
never_pass = 40
fine_step = 1.0
unit = "plane"
[recording]
stack = "{here / "toy.tif"}"
"""
    )
    words = ("adapt", "runs/one", "--rig", str(rig), "--set", *SMALL)
    code, out, err = run(capsys, *words, "--out", str(tmp_path / "a"))
    assert code in (0, 1), err
    assert f"visuomotor focus --policy {tmp_path / 'a'} --rig {rig}" in out.replace("\n", "")


def test_a_dry_run_writes_nothing(here: Path, tmp_path, capsys) -> None:
    out_folder = tmp_path / "a"
    words = ("adapt", "runs/one", *REHEARSED, "--out", str(out_folder), "--dry-run")
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "would adapt on toy, rough_rig x 0.2, at most 1,000 real steps" in out
    assert not out_folder.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("runs/one",), "expected --rig RIG or --rehearse PRESET"),
        (("runs/one", "--rig", "none.toml", *REHEARSED), "expected --rig RIG or --rehearse"),
        (("runs/one", "--rig", "none.toml"), "none.toml"),
        (("runs/one", "--rehearse", "rough"), "did you mean 'rough_rig'"),
        (("runs/one", "--rehearse", "rough_rig", "--severity", "-1"), "expected a factor of 0"),
        (("yu2018-exp1", *REHEARSED), "expected --stack PATH"),
        (("yu2018-exp1@9", *REHEARSED), "policy 'yu2018-exp1@9' is not known"),
        (("search:brent", *REHEARSED), "'search:brent' is not known"),
        (("runs/one", *REHEARSED, "--stack", "none.tif"), "none.tif"),
        (("runs/one", *REHEARSED, "--set", "real_stepss=3"), "'real_steps'"),
        (("runs/one", *REHEARSED, "--set", "recorded.shift=3"), "shift: expected"),
        (("yu2018-exp1", *REHEARSED, "--stack", "toy.tif"), "count in one unit"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(here: Path, tmp_path, capsys, words, expected) -> None:
    code, _, err = run(capsys, "adapt", *words, "--out", str(tmp_path / "a"))
    assert code == 2
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "a").exists()
