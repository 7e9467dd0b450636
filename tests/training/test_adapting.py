"""Fine-tuning on a rig: it learns there, counts every real step, and goes on where it stood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import blur_stack

import visuomotor as vm
from visuomotor.checkpoint import Checkpoint, load_checkpoint
from visuomotor.configs import from_plain, to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.episode_log import EpisodeLog
from visuomotor.evaluate import evaluate
from visuomotor.instruments.disturbances import DisturbanceConfig, Disturbed
from visuomotor.models.feature_tail import FeatureTail
from visuomotor.replay import ROW
from visuomotor.runs import Run
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training import adapting
from visuomotor.training.adapting import AdaptConfig, adapt, check_fit
from visuomotor.training.config import TrainConfig
from visuomotor.training.local import train
from visuomotor.training.recorded_half import RecordedHalf, RecordedHalfConfig
from visuomotor.vision.transforms import thumbnails
from visuomotor.zoo import load_policy, path_of

SHIFTED = DisturbanceConfig(slip=0.05, backlash_steps=1.0, view_shift_px=1.0)
SMALL = from_plain(
    AdaptConfig,
    {
        "real_steps": 60,
        "batch": 256,
        "warmup_updates": 900,
        "updates_per_step": 2,
        "half_real_at": 60,
        "check_every": 30,
        "check_starts": 20,
        "recorded": {"shift": 0.025, "rows": 60, "cells": 32, "brightness": 0.0},
        "threads": 1,
    },
    "small",
)

QUICK = replace(
    SMALL,
    warmup_updates=5,
    patience=1000,
    batch=64,
    check_starts=4,
    recorded=replace(SMALL.recorded, rows=20, cells=8),
)
"""Learns nothing, soon."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A policy that focuses the toy, as it was recorded."""
    values = {
        "task": {"steps": [5, 1, 0, -1, -5], "frame_size_px": 32},
        "agent": {
            "batch": 256,
            "decay_updates": 1500,
            "network": {"channels": 16, "embedding": 32, "hidden": 64},
        },
        "positions": 31,
        "cells": 32,
        "steps": 2_400,
        "warmup_steps": 500,
        "threads": 1,
    }
    config = from_plain(TrainConfig, values, "test")
    run = Run.create(tmp_path_factory.mktemp("runs"), "toy", to_plain(config))
    train(config, blur_stack(), run, lambda metrics: None)
    return load_checkpoint(run.policy_file)


def rig(seed: int = 0, cells: int = 1, disturbance: DisturbanceConfig = SHIFTED) -> Disturbed:
    return Disturbed(blur_stack().instrument(cells=cells, fine_step=1.0), disturbance, seed)


def success(policy: Any) -> float:
    task = AutofocusTask(from_plain(AutofocusConfig, policy.spec.config, "test"))
    rows = evaluate(policy, VisuomotorEnv(rig(seed=99, cells=100), task), seed=99)
    return float(np.mean([row.success for row in rows]))


def run_in(folder: Path, config: AdaptConfig = SMALL) -> Run:
    return Run.at(folder, to_plain(config))


def test_it_learns_on_the_rig_what_the_recording_did_not_show(trained, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    lines: list[dict[str, Any]] = []
    before = success(trained.policy)
    standing = adapt(SMALL, trained, rig(), blur_stack(), run, lines.append)
    after = load_checkpoint(run.policy_file)
    assert success(after.policy) > before + 0.15
    assert after.provenance["adapted_from"]["stack"] == trained.provenance["stack"]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert standing.real_steps <= SMALL.real_steps
    # What was tried in checks is counted apart: it is not in the log, and nothing learns from it.
    assert standing.evaluation_steps == lines[-1]["evaluation_steps"] > 0
    log = EpisodeLog(run.log_file, ROW, 1)
    assert log.rows == standing.real_steps == lines[-1]["step"]
    log.close()
    # The convolutions stay as they were.
    old, new = (c.policy.network.state_dict() for c in (trained, after))  # type: ignore[attr-defined]
    last = max(name for name in old if name.startswith("encoder."))
    for name, value in old.items():
        if name.startswith("encoder.") and name.split(".")[1] != last.split(".")[1]:
            assert torch.equal(value, new[name]), name
    assert not torch.equal(old["trunk.weight"], new["trunk.weight"])


def test_a_run_that_was_cut_short_goes_on_and_repeats_no_real_step(trained, tmp_path: Path) -> None:
    config = QUICK
    run = run_in(tmp_path / "run", config)

    def stop_later(metrics: dict[str, Any]) -> None:
        if metrics["step"] >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(config, trained, rig(), blur_stack(), run, stop_later)
    log = EpisodeLog(run.log_file, ROW, 1)
    first = np.concatenate(list(log.read_rows()))
    log.close()
    assert 30 <= len(first) < config.real_steps
    again = run_in(tmp_path / "run", config)
    standing = adapt(config, trained, rig(1), blur_stack(), again, lambda metrics: None)
    log = EpisodeLog(run.log_file, ROW, 1)
    rows = np.concatenate(list(log.read_rows()))
    log.close()
    assert standing.real_steps == len(rows) == config.real_steps
    np.testing.assert_array_equal(rows[: len(first)], first)
    assert rows["age"][len(first)] == 0, "another sitting begins another episode"
    steps = [line["step"] for line in again.metrics()]
    assert steps == sorted(set(steps))


def test_a_log_that_was_cut_behind_the_checkpoint_is_refused(trained, tmp_path: Path) -> None:
    config = QUICK
    run = run_in(tmp_path / "run", config)
    adapt(config, trained, rig(), blur_stack(), run, lambda metrics: None)
    run.log_file.unlink()
    with pytest.raises(vm.InputError, match="at least the 60 real steps of the checkpoint, got 0"):
        adapt(config, trained, rig(), blur_stack(), run_in(run.path, config), lambda metrics: None)


def test_what_does_not_fit_together_is_refused_before_anything_moves(trained) -> None:
    stack = blur_stack()
    check_fit(trained, rig(), stack)
    with pytest.raises(vm.InputError, match="expected a dqn policy, got one of 'search'"):
        check_fit(Checkpoint(load_policy("search:brent"), "search", {}), rig(), stack)
    with pytest.raises(vm.InputError, match="expected an instrument of one cell, got 2"):
        check_fit(trained, rig(cells=2), stack)
    with pytest.raises(vm.InputError, match="recording of all of the instrument's range"):
        check_fit(trained, rig(), stack.between(5, 25))
    other = vm.FocalStack(stack.frames, stack.positions, unit="rad")
    with pytest.raises(vm.InputError, match=r"the instrument's is um, the recording's rad"):
        check_fit(trained, rig(), other)
    paper = load_checkpoint(path_of("yu2018-exp1-paper@1"))
    with pytest.raises(vm.InputError, match="encodes each picture alone"):
        check_fit(paper, rig(), stack)


@pytest.mark.parametrize(
    "values",
    [{"real_steps": 0}, {"epsilon": 1.5}, {"batch": 1}, {"half_real_at": 0}, {"margin": -1.0}],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(vm.InputError, match=next(iter(values))):
        AdaptConfig(**values)


def test_features_and_layers_behind_them_are_the_network(trained) -> None:
    network = trained.policy.network
    tail = FeatureTail(network)
    draws = np.random.default_rng(0)
    frames = torch.from_numpy(draws.integers(0, 255, (7, 32, 32)).astype(np.uint8))
    index = torch.from_numpy(draws.integers(0, 7, (9, 3)))
    past = torch.from_numpy(draws.integers(0, 6, (9, 3)))
    with torch.no_grad():
        expected = network(frames, index, past)
        torch.testing.assert_close(tail(tail.features(frames), index, past), expected)


def test_each_transition_of_the_recording_is_seen_through_one_variant(trained) -> None:
    stack = blur_stack()
    task = from_plain(AutofocusConfig, trained.policy.spec.config, "test")
    config = RecordedHalfConfig(shift=0.05, variants=6, rows=50, cells=8)
    seen: list[np.ndarray] = []

    def extract(frames: np.ndarray) -> np.ndarray:  # which variant and position, in place of more
        seen.append(frames)
        number = len(seen) - 1
        return np.array([(number, place) for place in range(len(frames))], np.float32)

    draws = np.random.default_rng(0)
    half = RecordedHalf(stack, task, trained.policy, extract, config, draws)
    assert len(seen) == 6
    instrument = stack.instrument(continuous=False)
    plain = thumbnails(instrument.pictures(stack.positions), 32, stack.display_range)
    np.testing.assert_array_equal(seen[0], plain)
    assert all((one != plain).any() for one in seen[1:])
    batch = half.sample(draws, 200, 3, 0.9)
    both = np.concatenate([batch.states, batch.next_states], 1)
    variants = batch.frames[both][:, :, 0]
    assert (variants == variants[:, :1]).all()
    assert len(np.unique(variants)) == 6


def test_the_real_half_grows_with_the_real_steps(trained, tmp_path: Path, monkeypatch) -> None:
    shares = []
    joined = adapting._joined

    def watch(one: Any, other: Any) -> Any:
        shares.append(len(other.action) / (len(one.action) + len(other.action)))
        batch = joined(one, other)
        count = len(one.action)
        for mine, whole in ((one, slice(0, count)), (other, slice(count, None))):
            np.testing.assert_array_equal(
                batch.frames[batch.states[whole]], mine.frames[mine.states]
            )
        return batch

    monkeypatch.setattr(adapting, "_joined", watch)
    config = replace(QUICK, half_real_at=30)
    adapt(config, trained, rig(), blur_stack(), run_in(tmp_path / "r", config), lambda _: None)
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[-1] == 0.5
