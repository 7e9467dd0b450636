"""The verdict sees only what a rig can see, and is honest about it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visuomotor.tasks.judging import (
    EXPLANATIONS,
    Verdict,
    is_blurrier,
    is_sharper,
    judge,
    limit_direction,
)

LIMITS = (0.0, 10.0)
AMOUNTS = st.integers(0, 10**6).map(lambda thousandths: thousandths / 1000)
HILL = [(2.0, 1.0), (4.0, 3.0), (6.0, 9.0), (8.0, 4.0), (6.0, 9.0)]


def verdict(looks, *events: str, noise: float = 0.0) -> Verdict:
    positions, sharpness = np.array(looks, float).T
    return judge(positions, sharpness, noise, LIMITS, set(events))


def test_a_stop_at_the_top_of_a_hill_is_focused() -> None:
    assert verdict(HILL, "stopped") is Verdict.FOCUSED


def test_a_stop_well_below_the_best_look_is_unsure() -> None:
    assert verdict([*HILL, (8.0, 4.0)], "stopped") is Verdict.UNSURE


def test_one_look_can_be_focus() -> None:
    assert verdict([(5.0, 3.0)], "stopped") is Verdict.FOCUSED


@pytest.mark.parametrize("looks", [HILL[:1], HILL])
def test_nothing_above_noise_is_no_sample(looks) -> None:
    assert verdict(looks, "stopped", noise=8.0) is Verdict.NO_SAMPLE


def test_black_pictures_are_no_sample() -> None:
    assert verdict([(5.0, 0.0)], "stopped") is Verdict.NO_SAMPLE


def test_a_flat_sweep_is_no_sample_but_a_flat_spot_is_not() -> None:
    wide = [(x, 5.0 + 0.01 * x) for x in range(1, 10)]
    assert verdict(wide, "stopped") is Verdict.NO_SAMPLE
    narrow = [(5 + 0.1 * x, 5.0) for x in range(9)]
    assert verdict(narrow, "stopped") is Verdict.FOCUSED


@pytest.mark.parametrize(("edge", "direction"), [(0.0, -1), (10.0, 1)])
def test_sharpest_at_the_end_is_at_limit_with_a_direction(edge: float, direction: int) -> None:
    looks = [(5.0, 1.0), (abs(edge - 2), 2.0), (edge, 3.0)]
    assert verdict(looks, "stopped") is Verdict.AT_LIMIT
    positions, sharpness = np.array(looks).T
    assert limit_direction(positions, sharpness, LIMITS) == direction


def test_leaving_the_range_and_running_out_of_steps() -> None:
    assert verdict(HILL, "left_range") is Verdict.UNSURE, "the best look was well inside"
    assert verdict([(8.0, 4.0), (10.0, 9.0)], "left_range") is Verdict.AT_LIMIT
    assert verdict(HILL, "step_limit") is Verdict.TIMED_OUT
    assert verdict(HILL) is Verdict.UNSURE


def test_failures_come_first() -> None:
    assert verdict(HILL, "stopped", "error") is Verdict.ERROR
    assert verdict(HILL, "stopped", "aborted") is Verdict.ABORTED
    assert verdict([(1.0, float("nan"))], "stopped") is Verdict.ERROR


@given(
    st.lists(st.tuples(st.floats(0, 10), AMOUNTS), min_size=1, max_size=20),
    AMOUNTS,
    st.sets(st.sampled_from(["stopped", "left_range", "step_limit", "aborted", "error"])),
    st.floats(1e-3, 1e3),
)
def test_always_one_verdict_and_units_of_sharpness_do_not_matter(
    looks, noise, events, gain
) -> None:
    positions, sharpness = np.array(looks, float).T
    first = judge(positions, sharpness, noise, LIMITS, events)
    assert first in EXPLANATIONS
    # Scaling by powers of two is exact, so that no tie is broken by rounding.
    power = 2.0 ** round(np.log2(gain))
    assert judge(positions, sharpness * power, noise * power, LIMITS, events) is first
    if first is Verdict.FOCUSED:
        assert sharpness[-1] >= 0.9 * sharpness.max()
        assert "stopped" in events


@given(st.lists(AMOUNTS, min_size=3, max_size=3))
def test_sharper_is_what_is_not_called_blurrier_the_other_way_round(looks) -> None:
    lowest, before, now = np.sort(looks)
    sharper = bool(is_sharper(*np.array([[now], [before], [lowest]]))[0])
    assert sharper == is_blurrier(before, now, curve_range=now - lowest)
    assert not is_sharper(*np.array([[before], [before], [lowest]]))[0]


def test_blurrier_is_two_percent_of_the_range() -> None:
    assert not is_blurrier(0.985, 1.0, curve_range=1.0)
    assert is_blurrier(0.975, 1.0, curve_range=1.0)
