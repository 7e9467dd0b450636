"""Training for generality: it learns a toy, and a killed run ends as one that was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.analytic_views import gaussian_views

import visuomotor as vm
from visuomotor.agents.guided_q import GuidedQConfig
from visuomotor.configs import from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.files import save_state
from visuomotor.models.look_comparer import LookComparerConfig, defocus_target
from visuomotor.runs import Run
from visuomotor.training.contrast_world import WorldConfig
from visuomotor.training.general import PRESETS, GeneralConfig, train_general
from visuomotor.training.simulated_views import ViewsConfig, render_views

TOY = GeneralConfig(
    agent=GuidedQConfig(
        batch=256,
        decay_updates=1400,
        guided_updates=500,
        network=LookComparerConfig(look=32, hidden=64),
    ),
    world=WorldConfig(
        zone_steps=(3.0, 6.0), range_steps=(20.0, 60.0), signal_to_noise=(1e3, 1e5),
        relief=0, at_end=0, outside=0, blank=0, drift=0, wobble=0, sectioning=0, planes=0, slip=0,
    ),
    cells=64,
    rows=700,
    kept_rows=300,
    evaluate_every=350,
    threads=1,
)  # fmt: skip


def toy_run(path, config: GeneralConfig) -> Run:
    """A run whose views are the analytic ones: nothing is rendered."""
    run = Run.at(path, to_plain(config))
    train, test = gaussian_views(60, 0)._asdict(), gaussian_views(40, 1)._asdict()
    save_state(
        path / "views.safetensors", {"kind": "views", "seconds": 0.0, "train": train, "test": test}
    )
    return run


def test_it_learns_to_focus_views_it_never_saw(tmp_path) -> None:
    heard = []
    standing = train_general(TOY, toy_run(tmp_path, TOY), heard.append)
    assert standing.success > 0.9
    assert standing.looks < 12
    assert [line["step"] for line in heard] == [350 * 64, 700 * 64]
    policy = vm.load_policy(tmp_path)
    assert policy.spec.observation == ("contrast", "past_moves", "explored")


class Killed(Exception):
    """Out of the loop, as a kill would be."""


def test_a_killed_run_ends_as_one_that_was_not(tmp_path) -> None:
    config = replace(TOY, cells=16, rows=120, kept_rows=40, evaluate_every=60, warmup_rows=10)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train_general(config, toy_run(whole, config), lambda metrics: None)

    def die(metrics: dict) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_general(config, toy_run(cut, config), die)
    train_general(config, Run.open(cut), lambda metrics: None)
    one, other = (vm.load_policy(path).network.state_dict() for path in (whole, cut))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)
    lines = [Run.open(path).metrics() for path in (whole, cut)]
    assert [line["success"] for line in lines[0]] == [line["success"] for line in lines[1]]


def test_views_are_the_same_for_the_same_seed_and_full_of_detail() -> None:
    config = ViewsConfig(count=3, size_px=48, seed=4)
    one, other = render_views(config), render_views(config)
    np.testing.assert_array_equal(one.contrast, other.contrast)
    assert (one.sharpness.max(1) > 1.1 * one.sharpness.min(1)).all()
    more = render_views(replace(config, count=4))
    np.testing.assert_array_equal(one.contrast, more.contrast[:3])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_saved_and_read_back(name: str) -> None:
    assert from_plain(GeneralConfig, to_plain(PRESETS[name]), name) == PRESETS[name]


def test_a_policy_asks_for_what_it_reads(tmp_path) -> None:
    config = replace(TOY, task=replace(TOY.task, observation=("frames", "past_actions")))
    with pytest.raises(InputError, match="guided_q reads 'contrast'"):
        train_general(config, toy_run(tmp_path, config), lambda metrics: None)


def test_defocus_targets_are_distributions_around_the_distance() -> None:
    distance = torch.tensor([0.0, 1.0, -3.0, 40.0, -900.0, 5000.0])
    target = defocus_target(distance)
    torch.testing.assert_close(target.sum(1), torch.ones(6))
    middle = (target * torch.arange(target.shape[1])).sum(1) - target.shape[1] // 2
    assert (middle.sign() == distance.sign()).all()
    assert (middle.diff()[[0]] > 0).all()
