"""Real recordings are learned from their pictures: every start that can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import visuomotor as vm
from visuomotor.configs import to_plain
from visuomotor.runs import Run
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import prepare
from visuomotor.training.local import train


@pytest.mark.parametrize(
    ("name", "planes"),
    [("mit_dfnn_lightsheet/mitochondria", 34), ("mit_pcb_camera_10", 10), ("ccby_beads_41", 41)],
)
def test_every_distinguishable_start_of_a_real_stack(
    shared_data: Path, tmp_path: Path, name: str, planes: int
) -> None:
    config = TrainConfig(patience=0)  # until the first perfect evaluation
    recorded = vm.FocalStack.load(shared_data / name)
    stack = prepare(recorded, config)
    assert (stack.num_positions, stack.interpolated_from) == (131, planes)
    run = Run.create(tmp_path, "focus", to_plain(config))
    standing = train(config, stack, run, lambda metrics: None)
    assert standing.best_accuracy == 1.0
    policy = vm.load_policy(run.path)
    assert policy.spec.observation == ("frames", "past_actions"), "pictures only"
    for start in np.quantile(recorded.positions, [0.05, 0.5, 0.95]):
        start = stack.positions[np.argmin(np.abs(stack.positions - start))]
        result = vm.focus(recorded.instrument(start=float(start)), policy)
        assert result.verdict is vm.Verdict.FOCUSED
        assert result.exposures == len(result.curve) <= 21
