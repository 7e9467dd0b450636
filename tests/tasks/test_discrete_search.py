"""Shortest ways on a grid, and which starts are fair."""

from __future__ import annotations

import numpy as np
import plain_bfs as reference
from hypothesis import given
from hypothesis import strategies as st

from visuomotor.tasks.discrete_search import (
    UNREACHABLE,
    best_actions,
    distinguishable,
    moves_to_focus,
)

STEPS = (9, 1, 0, -1, -9)


@given(
    st.integers(3, 60).flatmap(lambda n: st.lists(st.booleans(), min_size=n, max_size=n)),
    st.sampled_from([STEPS, (3, 0, -3), (7, 0, -2)]),
)
def test_distances_are_those_of_breadth_first_search(in_focus, steps) -> None:
    zone = np.array(in_focus)
    found = moves_to_focus(zone, steps)
    expected = reference.distances(zone, steps)
    np.testing.assert_array_equal(np.where(found == UNREACHABLE, -1, found), expected)
    good = best_actions(found, steps)
    for position in range(len(zone)):
        if found[position] in (0, UNREACHABLE):
            continue
        assert good[position].any()
        for action in np.flatnonzero(good[position]):
            assert found[position + steps[action]] == found[position] - 1


def test_equal_pictures_with_no_common_way_are_unfair() -> None:
    zone = np.zeros(21, bool)
    zone[10] = True
    pictures = np.arange(21, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    assert distinguishable(pictures, zone, STEPS, 20).all()
    pictures[[2, 3]] = 99  # the same side, the same way: no harm
    assert distinguishable(pictures, zone, STEPS, 20).all()
    pictures[18] = 99  # now it may be either side
    fair = distinguishable(pictures, zone, STEPS, 20)
    assert np.flatnonzero(~fair).tolist() == [2, 3, 18]


def test_starts_too_far_for_the_step_limit_are_unfair() -> None:
    zone = np.zeros(101, bool)
    zone[0] = True
    pictures = np.arange(101, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    fair = distinguishable(pictures, zone, STEPS, 3)
    assert np.flatnonzero(fair).tolist() == [0, 1, 2, 8, 9, 10, 18]
