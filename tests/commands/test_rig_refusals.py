"""How commands on rigs refuse, and that their dry runs do nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from command_line import SIMULATED, run

from visuomotor.zoo import default_focus


def test_dry_runs_connect_to_nothing_and_write_nothing(here: Path, capsys) -> None:
    rig = str(SIMULATED)
    code, out, _ = run(capsys, "record", "--rig", rig, "--dry-run")
    assert code == 0
    assert "would record" in out
    code, out, _ = run(capsys, "focus", "--rig", rig, "--dry-run")
    assert code == 0
    assert f"would focus with {default_focus()[0]}" in re.sub(r"\s+", " ", out)
    code, out, _ = run(capsys, "rig", "check", rig, "--dry-run")
    assert code == 0
    assert "nothing was moved" in out
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("focus",), "expected --stack PATH or --rig RIG"),
        (("focus", "--rig", "none.toml"), "expected a config file"),
        (("focus", "--rig", str(SIMULATED), "--fine-step", "2"), "a rig's is in its file"),
        (("focus", "--rig", str(SIMULATED), "--stack", "demo"), "one of them"),
        (("focus", "--rig", str(SIMULATED), "--start", "30"), "from -18 to 18 um"),
        (("focus", "--rig", str(SIMULATED), "--start", "30", "--dry-run"), "from -18 to 18 um"),
        (("focus", "--stack", "demo", "--start", "999", "--dry-run"), "expected a position from"),
        (("focus", "--stack", "demo", "--window", "1", "2"), "--window: expected it with --rig"),
        (("focus", "--rig", str(SIMULATED), "--window", "5", "4"), "expected room for a fine step"),
        (("focus", "--rig", str(SIMULATED), "--window", "40", "50"), "room for a fine step"),
        (("focus", "--rig", str(SIMULATED), "--grow=-1"), "grow: expected 0 or more, got -1"),
        (("record", "--rig", str(SIMULATED), "--first=-30"), "within the limits -18 to 18"),
        (("record", "--rig", str(SIMULATED), "--step", "0"), "a step above 0"),
        (("record", "--rig", str(SIMULATED), "--step", "40"), "expected 3 to"),
        (("record", "--rig", str(SIMULATED), "--out", "stack.png"), "ends in .ome.tif"),
        (("rig", "check", "none.toml"), "expected a config file"),
        (("train", "focus", "--rig", str(SIMULATED)), "expected --stack PATH"),
        (("train", "focus", "--rig", str(SIMULATED), "--stack", "demo"), "ends in .ome.tif"),
        (("train", "focus", "--rig", str(SIMULATED), "--resume", "r"), "no other settings"),
        (("rig", "init", "x.toml", "--set", "name=x", "camera=3"), "camera: expected keys of it"),
        (("rig", "init", "x.toml", "--set", "name=x"), "expected an answer; give --set camera"),
        (("rig", "check", str(SIMULATED), "--set", "name=x"), "expected no --set"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(here, capsys, words, message, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = run(capsys, *words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert list(here.iterdir()) == []
