"""Guided Q: when its policy stops, and what its learner takes from guidance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from visuomotor.agents.guided_q import (
    Guidance,
    GuidedPolicy,
    GuidedQ,
    GuidedQConfig,
    load_policy,
)
from visuomotor.configs import to_plain
from visuomotor.errors import InputError
from visuomotor.models.look_comparer import LookComparer, LookComparerConfig
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.general import TASK
from visuomotor.vision.contrast import ABSENT, BANDS, BRIGHTNESS, NOISE, SIZE

SPEC = AutofocusTask(TASK).spec
SMALL = GuidedQConfig(network=LookComparerConfig(look=16, hidden=16), batch=64)
STOP = SPEC.config["steps"].index(0)


def looks(count: int, seed: int = 0, size: int = TASK.history) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    contrast = rng.normal(0, 1, (count, size, SIZE)).astype(np.float32)
    return {"contrast": contrast, "past_moves": rng.integers(-9, 10, (count, size)).astype(float)}


class Sure(LookComparer):
    """As probable to be in focus as it is told, and fond of the first move."""

    def __init__(self, probability: float) -> None:
        super().__init__(len(SPEC.config["steps"]), SMALL.network)
        self.logit = float(np.log(probability / (1 - probability)))

    def forward(self, contrast, moves):
        count = len(contrast)
        values = torch.zeros(count, len(SPEC.config["steps"]))
        values[:, 0] = 1
        return values, torch.full((count,), self.logit), torch.zeros(count, 41)


@pytest.mark.parametrize(("probability", "stops_after"), [(0.99, 0), (0.9, 9), (0.7, 29)])
def test_it_stops_sooner_the_surer_it_is(probability: float, stops_after: int) -> None:
    config = replace(SMALL, stop_above=0.985, stop_decay=0.01, stop_least=0.6)
    policy = GuidedPolicy(SPEC, Sure(probability), config)
    state = policy.begin(None, np.ones(2, bool))
    for before in range(stops_after + 1):
        act = policy.act(looks(2), state, np.random.default_rng(0))
        stops = act.action == STOP
        assert stops.all() if before == stops_after else not stops.any(), before
        state = act.state


def test_it_never_stops_below_the_least_and_a_fresh_cell_counts_anew() -> None:
    policy = GuidedPolicy(SPEC, Sure(0.5), SMALL)
    state = np.array([200, 200])
    assert (policy.act(looks(2), state, np.random.default_rng(0)).action == 0).all()
    np.testing.assert_array_equal(policy.begin(state, np.array([True, False])), [0, 200])
    np.testing.assert_array_equal(state, [200, 200])


def test_levels_do_not_matter_but_changes_do() -> None:
    """The same looks under twice the light, and of a sample with twice the contrast."""
    network = LookComparer(5, LookComparerConfig())
    observation = looks(8)
    contrast = torch.from_numpy(observation["contrast"])
    contrast[..., :BANDS] += 12  # well above the noise
    moves = torch.from_numpy(observation["past_moves"]).float()
    brighter, stronger = contrast.clone(), contrast.clone()
    brighter[..., : NOISE + 1] += 2 * np.log(2)
    brighter[..., BRIGHTNESS] += np.log(2)
    stronger[..., :BANDS] += 1.0
    for other in (brighter, stronger):
        for one, two in zip(network(contrast, moves), network(other, moves), strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    other = contrast.clone()
    other[:, 0, :BANDS] += 0.5  # the newest look alone
    assert not torch.allclose(network(contrast, moves)[1], network(other, moves)[1])


def test_absent_octaves_are_as_if_they_were_not_there() -> None:
    network = LookComparer(5, LookComparerConfig())
    observation = looks(4)
    contrast = torch.from_numpy(observation["contrast"])
    moves = torch.from_numpy(observation["past_moves"]).float()
    contrast[..., 5:9] = ABSENT
    features, _ = network.compare(contrast, moves)
    assert torch.isfinite(features).all()
    assert features.abs().max() < 10


def test_it_learns_what_an_omniscient_searcher_needs() -> None:
    learner = GuidedQ(SPEC, replace(SMALL, learning_rate=3e-3, decay_updates=400), 0)
    seen = looks(64)
    needed = torch.randint(1, 9, (64, 5), generator=torch.Generator().manual_seed(0))
    batch = Guidance(
        torch.from_numpy(seen["contrast"]),
        torch.from_numpy(seen["past_moves"]).float(),
        needed,
        torch.arange(64) % 2 == 0,
        torch.linspace(-30, 30, 64),
    )
    first = learner.update(batch, learner.targets(batch))
    for _ in range(300):
        last = learner.update(batch, learner.targets(batch))
    assert last["value_loss"] < 0.3 * first["value_loss"]
    assert last["stop_loss"] < 0.3 * first["stop_loss"]


def test_a_policy_comes_back_from_its_weights_and_refuses_others() -> None:
    learner = GuidedQ(SPEC, SMALL, 0)
    config = to_plain(SMALL)
    loaded = load_policy(SPEC, config, learner.weights(), "here")
    seen, state = looks(3), np.zeros(3, np.int64)
    one, two = (p.act(seen, state, np.random.default_rng(0)) for p in (learner.policy(), loaded))
    np.testing.assert_array_equal(one.action, two.action)
    wider = AutofocusTask(replace(TASK, steps=(9, 3, 1, 0, -1, -3, -9))).spec
    with pytest.raises(InputError, match="head"):
        load_policy(wider, config, learner.weights(), "here")
    positions = AutofocusTask(replace(TASK, actions="position")).spec
    with pytest.raises(InputError, match="chooses among steps"):
        load_policy(positions, config, learner.weights(), "here")
    with pytest.raises(InputError, match="reads 'contrast'"):
        load_policy(AutofocusTask(AutofocusConfig()).spec, config, learner.weights(), "here")
