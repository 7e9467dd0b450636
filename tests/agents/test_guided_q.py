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
NEW = np.zeros(2, int)


def looks(count: int, seed: int = 0, size: int = TASK.history) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    contrast = rng.normal(0, 1, (count, size, SIZE)).astype(np.float32)
    return {
        "contrast": contrast,
        "past_moves": rng.integers(-9, 10, (count, size)).astype(float),
        "explored": np.concatenate([rng.uniform(0, 50, (count, 2)), np.zeros((count, 2))], 1),
    }


class Sure(LookComparer):
    """As probable to be in focus as it is told, and as fond of the first move."""

    def __init__(self, probability: float, move: float) -> None:
        super().__init__(len(SPEC.config["steps"]), SMALL.network)
        self.move = move
        self.logit = float(np.log(probability / (1 - probability)))

    def forward(self, contrast, moves, explored):
        count = len(contrast)
        values = torch.zeros(count, len(SPEC.config["steps"]))
        values[:, 0] = self.move
        return values, torch.full((count,), self.logit), torch.zeros(count, 41)


@pytest.mark.parametrize(("move", "stops"), [(0.5, True), (0.9, False)])
def test_it_stops_where_no_move_is_worth_more(move: float, stops: bool) -> None:
    """0.9 sure of focus, and wrong ends cost 2: the stop is worth 0.7."""
    policy = GuidedPolicy(SPEC, Sure(0.9, move), replace(SMALL, wrong=2.0))
    act = policy.act(looks(2), NEW, np.random.default_rng(0))
    assert (act.action == (STOP if stops else 0)).all()
    np.testing.assert_allclose(act.extras["q"][:, STOP], 0.7, atol=1e-6)
    np.testing.assert_allclose(act.extras["focus"], 0.9, atol=1e-6)


def test_who_looks_on_and_on_is_content_with_less() -> None:
    policy = GuidedPolicy(SPEC, Sure(0.6, 0.3), replace(SMALL, wrong=2.0, sure_looks=(4, 8)))
    state, stops = policy.begin(None, np.ones(2, bool)), []
    for _ in range(9):
        act = policy.act(looks(2), state, np.random.default_rng(0))
        stops.append(bool((act.action == STOP).all()))
        state = act.state
    assert stops == [False] * 7 + [True] * 2  # 0.6 - 0.4 * 0.5 is the first above 0.3
    np.testing.assert_array_equal(policy.begin(state, np.array([True, False])), [0, 9])
    np.testing.assert_array_equal(state, [9, 9])
    with pytest.raises(InputError, match="sure_looks: expected two rising"):
        replace(SMALL, sure_looks=(5, 5))


def test_it_never_presses_on_where_the_range_ended() -> None:
    policy = GuidedPolicy(SPEC, Sure(0.1, 0.9), SMALL)  # fond of moving up
    observation = looks(4)
    # At the upper end; near it; there without having found it to be the end; at the lower end.
    observation["explored"] = np.array([[9, 0, 0, 1], [9, 4, 0, 1], [9, 0, 0, 0], [0, 9, 1, 0.0]])
    moves = np.array(SPEC.config["steps"])[
        policy.act(observation, np.zeros(4, int), np.random.default_rng(0)).action
    ]
    assert moves[0] < 0
    assert (moves[1:] > 0).all()


def test_levels_do_not_matter_but_changes_do() -> None:
    """The same looks under twice the light, and of a sample with twice the contrast."""
    network = LookComparer(5, LookComparerConfig())
    observation = looks(8)
    contrast = torch.from_numpy(observation["contrast"])
    contrast[..., :BANDS] += 12  # well above the noise
    moves = torch.from_numpy(observation["past_moves"]).float()
    explored = torch.from_numpy(observation["explored"]).float()
    brighter, stronger = contrast.clone(), contrast.clone()
    brighter[..., : NOISE + 1] += 2 * np.log(2)
    brighter[..., BRIGHTNESS] += np.log(2)
    stronger[..., :BANDS] += 1.0
    for other in (brighter, stronger):
        for one, two in zip(
            network(contrast, moves, explored), network(other, moves, explored), strict=True
        ):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    other = contrast.clone()
    other[:, 0, :BANDS] += 0.5  # the newest look alone
    assert not torch.allclose(
        network(contrast, moves, explored)[1], network(other, moves, explored)[1]
    )


def test_absent_octaves_are_as_if_they_were_not_there() -> None:
    network = LookComparer(5, LookComparerConfig())
    observation = looks(4)
    contrast = torch.from_numpy(observation["contrast"])
    moves = torch.from_numpy(observation["past_moves"]).float()
    contrast[..., 5:9] = ABSENT
    features, _ = network.compare(contrast, moves)
    assert torch.isfinite(features).all()
    assert features.abs().max() < 10


def guidance(count: int = 64) -> Guidance:
    seen = looks(count)
    draws = torch.Generator().manual_seed(0)
    return Guidance(
        torch.from_numpy(seen["contrast"]),
        torch.from_numpy(seen["past_moves"]).float(),
        torch.from_numpy(seen["explored"]).float(),
        torch.randint(0, 5, (count,), generator=draws),
        torch.where(torch.arange(count) % 4 == 0, torch.nan, 0.2),
        torch.randint(1, 9, (count, 5), generator=draws),
        torch.arange(count) % 2 == 0,
        torch.linspace(-30, 30, count),
    )


def test_it_learns_what_an_omniscient_searcher_needs() -> None:
    learner = GuidedQ(SPEC, replace(SMALL, learning_rate=3e-3, decay_updates=400), 0)
    batch = guidance()
    first = learner.update(batch, learner.targets(batch))
    for _ in range(300):
        last = learner.update(batch, learner.targets(batch))
    assert last["value_loss"] < 0.3 * first["value_loss"]
    assert last["stop_loss"] < 0.3 * first["stop_loss"]


def test_then_a_move_is_worth_what_it_led_to_and_never_more_than_to_the_omniscient() -> None:
    learner = GuidedQ(SPEC, replace(SMALL, decay_updates=800, guided_updates=0), 0)
    batch = guidance()
    most = learner.targets(batch)
    low = most.gather(1, batch.action[:, None])[:, 0] < 0.9
    batch = batch._replace(outcome=torch.where(low, 5.0, batch.outcome))  # too good to be true
    for _ in range(600):
        learner.update(batch, most)
    values, _, _ = learner.online(batch.contrast, batch.moves, batch.explored)
    at = batch.action[:, None]
    taken, best = values.gather(1, at)[:, 0].detach(), most.gather(1, at)[:, 0]
    known = ~batch.outcome.isnan()
    torch.testing.assert_close(
        taken[known], torch.minimum(batch.outcome, best)[known], atol=0.1, rtol=0
    )
    assert (values - most).max() < 0.2


def test_a_policy_comes_back_from_its_weights_and_refuses_others() -> None:
    learner = GuidedQ(SPEC, SMALL, 0)
    config = to_plain(SMALL)
    loaded = load_policy(SPEC, config, learner.weights(), "here")
    seen = looks(3)
    one, two = (
        p.act(seen, np.zeros(3, int), np.random.default_rng(0)) for p in (learner.policy(), loaded)
    )
    np.testing.assert_array_equal(one.action, two.action)
    wider = AutofocusTask(replace(TASK, steps=(9, 3, 1, 0, -1, -3, -9))).spec
    with pytest.raises(InputError, match="head"):
        load_policy(wider, config, learner.weights(), "here")
    positions = AutofocusTask(replace(TASK, actions="position")).spec
    with pytest.raises(InputError, match="chooses among steps"):
        load_policy(positions, config, learner.weights(), "here")
    with pytest.raises(InputError, match="reads 'contrast'"):
        load_policy(AutofocusTask(AutofocusConfig()).spec, config, learner.weights(), "here")
