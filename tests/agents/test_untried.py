"""A value is chosen by all that it would show good, and never twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from visuomotor.agents.base import PolicySpec
from visuomotor.agents.ppo import Ppo, PpoConfig
from visuomotor.agents.untried import UntriedConfig, UntriedPolicy
from visuomotor.errors import InputError
from visuomotor.models.actor_critic import ActorCriticConfig

SPEC = PolicySpec("camera_control", 1, ("seen",), {"control": "focus"})
SPACE = Dict({"seen": Box(-1, 1, (3,), np.float32)})
FRESH = np.ones(2, bool)
DRAWS = np.random.default_rng(0)


def policy(reach: int = 5, choices: int | tuple[int, ...] = (47, 100)) -> UntriedPolicy:
    config = PpoConfig(network=ActorCriticConfig(widths=(16,), heads="sequential"))
    space = Discrete(choices) if isinstance(choices, int) else MultiDiscrete(choices)
    learner = Ppo(SPEC, SPACE, space, config, 0)
    with torch.no_grad():  # so that some values are far more probable than others
        for weights in learner.network.parameters():
            weights.mul_(3)
    return UntriedPolicy(learner.policy(), UntriedConfig(reach))


def seen(cells: int = 2) -> dict[str, np.ndarray]:
    return {"seen": np.linspace(-1, 1, 3 * cells, dtype=np.float32).reshape(cells, 3)}


def test_no_value_is_within_reach_of_one_that_was_tried() -> None:
    agent = policy()
    state, taken = agent.begin(None, FRESH), []
    for _ in range(10):
        act = agent.act(seen(), state, DRAWS)
        state = act.state
        taken.append(act.action[:, 0] * 100 + act.action[:, 1])
    for cell in np.array(taken).T:
        assert np.diff(np.sort(cell)).min() > 5


def test_of_one_choice_each_is_taken_once_the_most_probable_first() -> None:
    agent = policy(reach=0, choices=9)
    shares = agent.probabilities(seen())
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    state, taken = agent.begin(None, FRESH), []
    for _ in range(9):
        act = agent.act(seen(), state, DRAWS)
        state = act.state
        taken.append(act.action)
    np.testing.assert_array_equal(np.array(taken).T, (-shares).argsort(1))
    again = agent.act(seen(), state, DRAWS).action
    np.testing.assert_array_equal(again, taken[0], "once all were tried, from the first again")
    np.testing.assert_array_equal(taken[0], agent.trained.act(seen(), None, DRAWS).action)


def test_none_is_within_reach_of_another_even_where_nothing_is_probable() -> None:
    agent = policy(reach=50)  # a few values, and all that is probable is gone
    state, taken = agent.begin(None, FRESH), []
    for _ in range(20):
        act = agent.act(seen(), state, DRAWS)
        state = act.state
        taken.append(act.action[:, 0] * 100 + act.action[:, 1])
    for cell in np.array(taken).T:
        assert np.diff(np.sort(cell)).min() > 50


def test_what_was_tried_is_forgotten_with_the_episode() -> None:
    agent = policy()
    first = agent.act(seen(), agent.begin(None, FRESH), DRAWS)
    again = agent.act(seen(), agent.begin(first.state, np.array([True, False])), DRAWS)
    assert (again.action[0] == first.action[0]).all()
    assert (again.action[1] != first.action[1]).any()


def test_cells_are_judged_by_themselves() -> None:
    agent, both = policy(), seen()
    together = agent.act(both, agent.begin(None, FRESH), DRAWS).action
    for cell in range(2):
        one = {"seen": both["seen"][cell : cell + 1]}
        alone = agent.act(one, agent.begin(None, FRESH[:1]), DRAWS).action
        np.testing.assert_array_equal(alone[0], together[cell])


def test_probabilities_are_those_of_the_trained_policy() -> None:
    agent = policy()
    found = agent.probabilities(seen())
    assert found.shape == (2, 4700)
    assert (found.sum(1) <= 1 + 1e-6).all()
    greedy = agent.trained.act(seen(), None, DRAWS)
    place = greedy.action[:, 0] * 100 + greedy.action[:, 1]
    expected = np.exp(greedy.extras["log_prob"])
    np.testing.assert_allclose(found[np.arange(2), place], expected, rtol=1e-4)


def test_a_window_counts_and_not_a_lonely_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = policy(reach=2)
    shares = np.zeros((1, 4700))
    shares[0, 1000], shares[0, 2000:2005] = 0.2, 0.1
    monkeypatch.setattr(agent, "probabilities", lambda observation: shares.copy())
    act = agent.act(seen(1), agent.begin(None, FRESH[:1]), DRAWS)
    assert act.action.tolist() == [[20, 2]]


@pytest.mark.parametrize("space", [MultiDiscrete([47, 50]), MultiDiscrete([3] * 3)])
def test_policies_of_other_actions_are_refused(space: object) -> None:
    config = PpoConfig(network=ActorCriticConfig(widths=(8,)))
    other = Ppo(SPEC, SPACE, space, config, 0).policy()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="integer parts and hundredths"):
        UntriedPolicy(other, UntriedConfig())
