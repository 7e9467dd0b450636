"""A range that grows on request: towards where it gets sharper, never past the hard limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_instrument import Growing, Own, Steps
from toys import blur_stack

import visuomotor as vm
from visuomotor.errors import InputError
from visuomotor.instruments.limits import grown
from visuomotor.instruments.protocols import CanGrow
from visuomotor.instruments.simulated.microscope import DriveConfig, Microscope, MicroscopeConfig

CLIMB = "search:hill-climb"


@pytest.mark.parametrize(("best", "direction"), [(25.0, 1), (-25.0, -1)])
def test_direction_tells_where_focus_may_lie(best: float, direction: int) -> None:
    result = vm.focus(Own(best=best, start=0.0), vm.load_policy(CLIMB))
    assert (result.verdict, result.direction) == (vm.Verdict.AT_LIMIT, direction)
    assert ("(above)" if direction > 0 else "(below)") in result.reason
    assert "grow" not in result.reason, "nobody asked"
    assert vm.focus(Own(), vm.load_policy(CLIMB)).direction == 0


@pytest.mark.parametrize("name", [CLIMB, "search:brent", "search:full"])
@pytest.mark.parametrize("best", [25.0, -25.0])
def test_focus_beyond_the_range_is_found_where_the_range_may_grow(name: str, best: float) -> None:
    rig = Growing(best=best, start=0.0)
    result = vm.focus(rig, vm.load_policy(name), grow=2)
    assert (result.verdict, result.direction) == (vm.Verdict.FOCUSED, 0), result.reason
    assert abs(result.position - best) <= 0.5
    assert rig.limits == ((-10.0, 30.0) if best > 0 else (-30.0, 10.0))
    assert f"the range grew once, to {rig.limits[0]:g} to {rig.limits[1]:g} um" in result.reason
    assert result.exposures == len(result.curve) == rig.pictures
    assert result.start == 0.0
    assert result.sharpness_start == result.curve[0][1]
    assert result.travel == pytest.approx(np.abs(np.diff(rig.been)).sum())


def test_it_grows_at_most_so_often() -> None:
    rig = Growing(best=34.0, start=0.0, hard=(-100.0, 100.0))
    once = vm.focus(rig, vm.load_policy(CLIMB), grow=1)
    assert (once.verdict, once.direction, rig.limits) == ("at_limit", 1, (-10.0, 30.0))
    assert "the range grew once, to -10 to 30 um" in once.reason
    assert once.position == 30.0
    twice = vm.focus(rig, vm.load_policy(CLIMB), grow=2)
    assert twice.verdict == "focused", "the range is kept, and 40 more are enough"
    assert rig.limits == (-10.0, 70.0)


def test_at_the_hard_limits_it_stays_at_limit_and_says_so() -> None:
    rig = Growing(best=36.0, start=0.0, hard=(-40.0, 33.0))
    result = vm.focus(rig, vm.load_policy(CLIMB), grow=5)
    assert (result.verdict, result.direction) == ("at_limit", 1)
    assert rig.limits == (-10.0, 33.0)
    assert "grew 2 times, to -10 to 33 um; the range could not grow" in result.reason
    assert max(rig.been) == result.position == 33.0


def test_a_recording_cannot_grow_and_says_so() -> None:
    instrument = blur_stack(best=0.0).instrument(start=9.0, fine_step=1.0)
    result = vm.focus(instrument, vm.load_policy("search:brent"), grow=3)
    assert (result.verdict, result.direction) == ("at_limit", -1)
    assert "the range could not grow: this instrument has no wider one" in result.reason


def test_nothing_grows_without_need() -> None:
    rig = Growing(best=2.0, start=6.0)
    result = vm.focus(rig, vm.load_policy(CLIMB), grow=3)
    assert (result.verdict, rig.limits) == ("focused", (-10.0, 10.0))
    assert "grow" not in result.reason


def test_a_learned_policy_that_left_the_range_goes_on_from_its_best() -> None:
    rig = Growing(best=12.5, start=8.0)
    result = vm.focus(rig, Steps(1, 1, 1, 1, 0, 2), grow=1)  # 10, then left; from there on again
    assert rig.limits == (-10.0, 30.0)
    assert [position for position, _ in result.curve][5:8] == [10.0, 10.0, 10.5]
    assert result.exposures == len(result.curve) == rig.pictures


@pytest.mark.parametrize("fault", ["stuck", "dead", "raises"])
def test_a_fault_beyond_the_old_range_ends_at_the_best_position_of_all(fault: str) -> None:
    rig = Growing(best=25.0, start=0.0)
    grow = rig.grow

    def breaking(direction: int) -> bool:
        if fault == "stuck":
            rig.stuck_after = len(rig.been)
        elif fault == "dead":
            rig.frozen_after = rig.pictures + 1
        else:
            rig.frozen_after, rig.grab = 0, None
        return grow(direction)

    rig.grow = breaking
    result = vm.focus(rig, vm.load_policy(CLIMB), grow=1)
    assert result.verdict is vm.Verdict.ERROR
    assert result.direction == 0
    assert result.position == rig.at == 10.0
    assert len(result.curve) == result.exposures or fault == "raises"


@given(
    best=st.floats(-60, 60),
    start=st.floats(-8, 8),
    hard=st.tuples(st.floats(-50, -10), st.floats(10, 50)),
    times=st.integers(0, 4),
    name=st.sampled_from([CLIMB, "search:brent", "search:golden", "steps"]),
    actions=st.lists(st.integers(0, 4), min_size=1, max_size=15),
)
@settings(max_examples=60, deadline=None)
def test_never_past_the_hard_limits_and_never_blurrier_than_the_best(
    best, start, hard, times, name, actions
) -> None:
    rig = Growing(best=best, start=start, hard=hard, noise=0.0)
    policy = Steps(*actions) if name == "steps" else vm.load_policy(name)
    result = vm.focus(rig, policy, grow=times)
    assert hard[0] <= min(rig.been)
    assert max(rig.been) <= hard[1]
    looks = np.array([sharpness for _, sharpness in result.curve])
    assert result.sharpness_end >= looks.max() - 0.02 * np.ptp(looks) or (
        result.verdict == "focused"
        and result.sharpness_end >= max(looks[0] - 0.02 * np.ptp(looks), 0.9 * looks.max())
    )
    assert dict(result.curve)[result.position] == result.sharpness_end, "of where it stands"
    assert result.exposures == len(result.curve)


@given(
    low=st.floats(-10, 10),
    width=st.floats(0.1, 50),
    room=st.tuples(st.floats(0, 80), st.floats(0, 80)),
    direction=st.sampled_from([1, -1]),
)
def test_ranges_grow_by_their_width_inside_the_hard_limits(low, width, room, direction) -> None:
    limits, hard = (low, low + width), (low - room[0], low + width + room[1])
    wider = grown(limits, hard, direction, least=0.5)
    space = room[1] if direction > 0 else room[0]
    if wider is None:
        assert space < 0.5 + 1e-6 or width < 0.5 + 1e-6
        return
    assert hard[0] <= wider[0] <= limits[0] < limits[1] <= wider[1] <= hard[1]
    assert wider[direction < 0] == limits[direction < 0] or direction > 0
    assert wider[1] - wider[0] == pytest.approx(width + min(width, space))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="grow: expected 0 or more, got -1"):
        vm.focus(Growing(), vm.load_policy(CLIMB), grow=-1)
    two = blur_stack().instrument(cells=2)
    with pytest.raises(InputError, match="grow: expected 0 with 2 cells, got 1"):
        vm.focus_cells(two, vm.load_policy(CLIMB), grow=1)


# -- the simulated microscope


def test_the_simulated_drive_reaches_beyond_its_range() -> None:
    drive = DriveConfig(first=-20.0, last=-5.0, reach=(-20.0, 20.0))
    instrument = Microscope(MicroscopeConfig(size_px=64, drive=drive)).instrument()
    assert isinstance(instrument, CanGrow)
    assert vm.focus(instrument, vm.load_policy(CLIMB)).verdict == "at_limit"
    result = vm.focus(instrument, vm.load_policy(CLIMB), grow=2)
    assert result.verdict == "focused"
    assert abs(result.position) <= 2.0
    assert instrument.focus.limits == (-20.0, 10.0)
    (curve,) = instrument.focus_truth(lambda frames: frames.mean((1, 2)), "mean")
    assert curve.positions[[0, -1]].tolist() == [-20.0, 10.0], "the truth grows with it"


def test_a_reach_that_does_not_hold_the_range_is_refused() -> None:
    for reach in ((0.0, 20.0), (-20.0, 1.0), (-np.inf, 20.0), (-20.0,)):
        with pytest.raises(InputError, match="reach: expected it around -5 to 5"):
            DriveConfig(first=-5.0, last=5.0, reach=reach)
    plain = Microscope(MicroscopeConfig(size_px=64)).instrument()
    assert not plain.grow(1)


# -- rigs

SIMULATED = Path(__file__).parents[1] / "examples" / "rigs" / "simulated_microscope.toml"


def test_a_rigs_window_grows_up_to_its_limits(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    text = SIMULATED.read_text()
    (tmp_path / "rig.toml").write_text(text)
    rig = vm.open_rig(tmp_path / "rig.toml", window=(-18.0, -12.0))
    assert isinstance(rig, CanGrow)
    assert rig.focus.limits == (-18.0, -12.0)
    policy = vm.load_policy(CLIMB)
    first = vm.focus_cells(rig, policy, start=[-15.0])[0]
    assert (first.verdict, first.direction) == ("at_limit", 1)
    second = vm.focus_cells(rig, policy, start=[-15.0], grow=3)[0]
    assert second.verdict == "focused", second.reason
    assert "the range grew" in second.reason
    low, high = rig.focus.limits
    assert low == -18.0
    assert high > -12.0
    assert high <= rig.rigs[0].config.focus.limits[1]
    while rig.grow(1):
        pass
    assert rig.focus.limits == rig.rigs[0].config.focus.limits == (-18.0, 18.0)
