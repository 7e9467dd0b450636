"""``visuomotor record``, and ``visuomotor train --rig``, which records first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import SIMULATED, run, simulated, strict

import visuomotor as vm
from visuomotor.errors import RigError
from visuomotor.instruments.drivers.microscope import SimulatedRig


def test_a_sweep_that_is_interrupted_leaves_what_it_has(here: Path, monkeypatch) -> None:
    from visuomotor.instruments import recording
    from visuomotor.instruments.rig import Rig
    from visuomotor.instruments.rig_config import load_rig

    rig = Rig(load_rig(SIMULATED))
    stops = iter(range(100))

    def progress(number: int, position: float) -> None:
        if next(stops) == 5:
            partial = vm.FocalStack.load("cut.partial.tif")  # whole even now
            assert partial.num_positions == 6
            raise KeyboardInterrupt

    at = recording.planes(-5.0, 5.0, 0.5, (-18.0, 18.0))
    with pytest.raises(KeyboardInterrupt):
        recording.record(rig, at, "cut.ome.tif", progress)
    stack = vm.FocalStack.load("cut.ome.tif")
    assert stack.positions.tolist() == pytest.approx(at[:6].tolist())
    assert stack.unit == "um"
    assert [p.name for p in here.iterdir() if "partial" in p.name] == []


QUICK = ("positions=31", "cells=16", "steps=160", "evaluate_every=160", "warmup_steps=160")
TINY = ("agent.batch=32", "task.frame_size_px=32", "threads=1")
TABLE = """
[sharpness]
measure = "brenner"
smooth_px = 2.0
brightness_counts = true
"""


def test_training_on_a_rig_records_and_reads_sharpness_as_its_file_says(here: Path, capsys) -> None:
    Path("rig.toml").write_text(simulated() + TABLE)
    train = ("train", "focus", "--rig", "rig.toml", "--stack", "new.ome.tif", "--json")
    _, out, err = run(capsys, *train, "--set", *QUICK, *TINY, "task.smooth_px=1.5")
    assert all("step" in line for line in strict(out))
    assert out
    assert err == ""
    assert vm.FocalStack.load("new.ome.tif").positions[[0, -1]].tolist() == [-18.0, 18.0]
    (config,) = (json.loads(path.read_text()) for path in here.glob("runs/*/config.json"))
    assert config["task"]["measure"] == "brenner"
    assert config["task"]["smooth_px"] == 1.5
    assert config["task"]["brightness_counts"] is True


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RigError])
def test_training_ends_with_a_recording_that_was_cut_short(
    here: Path, capsys, monkeypatch, stop: type[BaseException]
) -> None:
    Path("rig.toml").write_text(simulated())
    snap, left = SimulatedRig.snap, iter(range(100))

    def cut(self: SimulatedRig) -> Any:
        if next(left) == 5:
            raise stop("enough")
        return snap(self)

    monkeypatch.setattr(SimulatedRig, "snap", cut)
    train = ("train", "focus", "--rig", "rig.toml", "--stack", "new.ome.tif")
    code, _, err = run(capsys, *train)
    assert (code, len(err.splitlines())) == ((130, 1) if stop is KeyboardInterrupt else (1, 1))
    assert vm.FocalStack.load("new.ome.tif").num_positions == 5
    monkeypatch.setattr(SimulatedRig, "snap", snap)
    code, _, err = run(capsys, *train)
    assert code == 2
    assert "planes that were planned, got 5: remove it" in err
    assert not Path("runs").exists()
    code, out, _ = run(capsys, *train[:2], *train[4:], "--dry-run", "--set", "task.max_steps=60")
    assert code == 0
    assert "would train" in out


def test_training_says_what_it_would_do(here: Path, capsys, monkeypatch, moves) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("a dry run connected")

    Path("rig.toml").write_text(simulated())
    monkeypatch.setattr("visuomotor.instruments.drivers.microscope.connect", connected)
    train = ("train", "focus", "--rig", "rig.toml", "--stack", "new.ome.tif", "--dry-run")
    code, out, _ = run(capsys, *train)
    assert code == 0
    assert "would record" in out
    assert "from -18 to 18 um" in out
    code, out, _ = run(capsys, "train", "focus", "--stack", "demo", "--dry-run")
    assert code == 0
    assert "demo: would train" in out
    assert [p.name for p in here.iterdir()] == ["rig.toml"]


def test_a_drive_of_coarse_steps_is_recorded_where_it_comes_to(
    here: Path, capsys, monkeypatch
) -> None:
    move = SimulatedRig.move
    monkeypatch.setattr(SimulatedRig, "move", lambda rig, to: move(rig, round(to / 1.5) * 1.5))
    Path("rig.toml").write_text(simulated())  # its fine step is 0.86 um
    train = ("train", "focus", "--rig", "rig.toml", "--stack", "new.ome.tif")
    assert run(capsys, "record", "--rig", "rig.toml", "--out", "new.ome.tif")[0] == 0
    assert vm.FocalStack.load("new.ome.tif").num_positions == 25
    code, out, err = run(capsys, *train, "--dry-run", "--set", "task.max_steps=60")
    assert (code, err) == (0, "")
    assert "would train" in out
