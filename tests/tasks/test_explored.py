"""What policies are told of past moves: those made, and how far the looks reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.analytic_views import gaussian_views
from toys import blur_stack

from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.contrast_world import ContrastWorld, WorldConfig
from visuomotor.training.general import GeneralConfig, _Episodes

STEPS = (9, 1, 0, -1, -9)
STACK = blur_stack()
LAST = STACK.num_positions - 1


def clipped(cells: int) -> VisuomotorEnv:
    rig = STACK.instrument(cells=cells, continuous=False, fine_step=1.0)
    config = AutofocusConfig(
        observation=("past_moves", "explored"), at_limits="clip", history=5, max_steps=100
    )
    return VisuomotorEnv(rig, AutofocusTask(config))


def test_moves_are_cut_short_at_the_end_and_the_end_is_remembered() -> None:
    env = clipped(1)
    seen, _ = env.reset(seed=0, options={"start": np.array([4.0])})
    np.testing.assert_array_equal(seen["explored"], [[0, 0, 0, 0]])
    told = []
    for action in (3, 4, 4, 0, 1):  # -1, -9, -9, +9, +1
        seen, *_ = env.step(np.array([action]))
        told.append(seen["explored"][0].tolist())
    np.testing.assert_array_equal(seen["past_moves"], [[1, 9, 0, -3, -1]])
    assert told == [[0, 1, 0, 0], [0, 4, 1, 0], [0, 4, 1, 0], [9, 0, 1, 0], [10, 0, 1, 0]]
    seen, _ = env.reset(seed=0, options={"start": np.array([4.0])})
    np.testing.assert_array_equal(seen["explored"], [[0, 0, 0, 0]])


@given(start=st.integers(0, LAST), actions=st.lists(st.sampled_from([0, 1, 3, 4]), max_size=20))
@settings(max_examples=30, deadline=None)
def test_what_is_explored_is_what_was_visited(start: int, actions: list[int]) -> None:
    env = clipped(1)
    seen, _ = env.reset(seed=0, options={"start": np.array([float(start)])})
    visited, cut = [start], {-1: False, 1: False}
    for action in actions:
        wanted = visited[-1] + STEPS[action]
        visited.append(min(max(wanted, 0), LAST))
        cut[-1] |= wanted < 0
        cut[1] |= wanted > LAST
        seen, *_ = env.step(np.array([action]))
    below, above = visited[-1] - min(visited), max(visited) - visited[-1]
    np.testing.assert_allclose(seen["explored"], [[below, above, cut[-1], cut[1]]], atol=1e-9)


def test_training_tells_the_same() -> None:
    """Episodes in contrast space, against ranges known to the world alone."""
    world = ContrastWorld(
        gaussian_views(5, 0), WorldConfig(range_steps=(20, 40), slip=0), STEPS, 32, 0
    )
    episodes = _Episodes(world, history=4)
    lowest, highest = world.position.clone(), world.position.clone()
    draws = torch.Generator().manual_seed(0)
    moves = torch.tensor([0, 1, 3, 4])
    for _ in range(15):
        episodes.go(episodes.everywhere, moves[torch.randint(4, (32,), generator=draws)])
        lowest, highest = lowest.minimum(world.position), highest.maximum(world.position)
    told = episodes.explored
    torch.testing.assert_close(told[:, 0], world.position - lowest, atol=1e-3, rtol=0)
    torch.testing.assert_close(told[:, 1], highest - world.position, atol=1e-3, rtol=0)
    assert (lowest[told[:, 2] > 0] - world.low[told[:, 2] > 0]).abs().max() < 1e-3
    assert (highest[told[:, 3] > 0] - world.high[told[:, 3] > 0]).abs().max() < 1e-3
    assert told[:, 2:].sum() > 10


def test_a_lookahead_longer_than_what_is_kept_is_refused() -> None:
    with pytest.raises(InputError, match="lookahead: expected less than warmup_rows"):
        GeneralConfig(lookahead=50, warmup_rows=50)
