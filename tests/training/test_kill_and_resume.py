"""A training run that is killed at any moment goes on, and ends with the same numbers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file
from toys import blur_stack

from visuomotor.episode_log import EpisodeLog
from visuomotor.replay import ROW

KILLS = 10
SETTINGS = (
    "threads=1",
    "agent.precision=fp32",
    "positions=31",
    "cells=16",
    "steps=6400",
    "evaluate_every=160",
    "warmup_steps=160",
    "updates_per_row=2",
    "patience=1000",
    "task.frame_size_px=32",
    "agent.batch=64",
    "agent.network.channels=8",
)


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    code = "from visuomotor.cli import main; main()"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", "focus", "--json", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode in (0, 1), errors.decode()  # 1: not every start solved, which is fine


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stack") / "toy.tif"
    tifffile.imwrite(path, blur_stack().frames, photometric="minisblack")
    return path


def without_clocks(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def acknowledged(run: Path) -> tuple[int, int]:
    """Whole rows of the log and whole lines of the metrics: what a kill must not take back."""
    rows = 0
    if (run / "episodes.log").exists():
        copy = run.parent / f"copy-{time.monotonic_ns()}.log"
        copy.write_bytes((run / "episodes.log").read_bytes())
        log = EpisodeLog(copy, ROW, 16)
        rows = log.rows
        log.close()
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().count("\n") if metrics.exists() else 0
    return rows, lines


def test_killed_ten_times_it_ends_as_if_it_never_was(stack: Path, tmp_path: Path) -> None:
    arguments = ["--stack", str(stack), "--set", *SETTINGS]
    whole = tmp_path / "whole"
    finish(start([*arguments, "--runs", str(whole)]))
    (whole_run,) = whole.iterdir()

    cut = tmp_path / "cut"
    process = start([*arguments, "--runs", str(cut)])
    while not list(cut.glob("*/episodes.log")):
        assert process.poll() is None
        time.sleep(0.02)
    (run,) = cut.iterdir()
    draw = random.Random(0)
    before = (0, 0)
    kills = 0
    log = run / "episodes.log"
    while kills < KILLS:
        if kills % 3 == 0:  # at any moment of starting, loading and playing the log again
            until = time.monotonic() + draw.uniform(0.0, 5.0)
            most = log.stat().st_size + 40 * ROW.itemsize * 16  # a quick machine would be done
            while time.monotonic() < until and log.stat().st_size < most:
                time.sleep(0.005)
        else:  # in the middle of training, after some more rows
            aim = log.stat().st_size + draw.uniform(0, 16) * ROW.itemsize * 16
            while process.poll() is None and log.stat().st_size < aim:
                time.sleep(draw.uniform(0.0, 0.01))
        assert process.poll() is None, "it ended before it was killed ten times: train longer"
        process.kill()
        kills += 1
        process.communicate()
        now = acknowledged(run)
        assert now >= before, "something acknowledged was lost"
        assert all(n >= b for n, b in zip(now, before, strict=True))
        before = now
        process = start(["--resume", str(run)])
    finish(process)
    assert 0 < before[1] < len(without_clocks(run / "metrics.jsonl")), "kills fell into training"
    assert json.loads((run / "final.json").read_text()) == json.loads(
        (whole_run / "final.json").read_text()
    )
    assert without_clocks(run / "metrics.jsonl") == without_clocks(whole_run / "metrics.jsonl")
    ours, theirs = (load_file(path / "trainer.safetensors") for path in (run, whole_run))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    logs = [(path / "episodes.log").read_bytes() for path in (run, whole_run)]
    assert logs[0] == logs[1]
