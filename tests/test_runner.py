"""Running for a person: never blurrier than at the start, every exposure counted, honest verdicts.

The faults are provoked for real: instruments and policies that raise, hang up or lie.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import blur_stack, flat_stack, noise_stack

import visuomotor as vm
from visuomotor.agents.base import PolicySpec
from visuomotor.agents.search import searches
from visuomotor.configs import to_plain
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.types import Act
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.noise import noise_sharpness
from visuomotor.vision.transforms import smooth

STACK = blur_stack()


class Script:
    """A policy that does what it is told, then something else if it is told so."""

    def __init__(self, *actions: int, then: BaseException | None = None) -> None:
        config = AutofocusConfig()
        self.spec = PolicySpec("autofocus", 1, config.observation, to_plain(config))
        self._actions, self._then = list(actions), then

    def begin(self, state, fresh):
        return 0

    def act(self, observation, state, generator) -> Act:
        if state >= len(self._actions):
            assert self._then is not None, "the script was too short"
            raise self._then
        cells = len(observation["frames"])
        return Act(np.full(cells, self._actions[state]), state + 1, {})


def rig(start: float, **options):
    return STACK.instrument(start=start, continuous=False, fine_step=1.0, **options)


def sharpness(position: float) -> float:
    return float(tenengrad(smooth(STACK.frames_at([position]), 1.0))[0])


def test_a_good_stop_is_left_alone() -> None:
    result = vm.focus(rig(10.0), Script(1, 1, 2))
    assert result.verdict is vm.Verdict.FOCUSED
    assert (result.position, result.start, result.travel) == (12.0, 10.0, 2.0)
    assert result.exposures == 3, "the first look and two moves; stopping takes no picture"
    assert not result.returned
    assert result.path == (10.0, 11.0, 12.0)
    assert result.sharpness_end == pytest.approx(sharpness(12.0))
    assert result.curve[0] == (10.0, pytest.approx(sharpness(10.0)))


def test_a_bad_stop_is_taken_back_and_the_way_back_counts() -> None:
    result = vm.focus(rig(10.0), Script(1, 0, 2))  # 11, 20, stop
    assert result.policy_position == 20.0
    assert result.position == 11.0
    assert result.returned
    assert result.exposures == 4
    assert result.travel == 1 + 9 + 9
    raw = vm.focus(rig(10.0), Script(1, 0, 2), guard=False)
    assert (raw.position, raw.exposures) == (20.0, 3)
    assert raw.verdict is vm.Verdict.UNSURE


def test_leaving_the_range_ends_at_the_best_with_its_verdict() -> None:
    result = vm.focus(rig(14.0), Script(0, 0))
    assert result.verdict is vm.Verdict.UNSURE
    assert result.position == 14.0
    edge = blur_stack(best=0.0).instrument(start=10.0, continuous=False)
    result = vm.focus(edge, Script(4, 4))
    assert result.verdict is vm.Verdict.AT_LIMIT
    assert result.position == 0.0
    assert "(below)" in result.reason


def test_a_stop_downhill_is_not_called_focused_after_the_way_back() -> None:
    result = vm.focus(rig(25.0), Script(1, 1, 2))
    assert (result.position, result.verdict) == (25.0, vm.Verdict.UNSURE)
    assert "returned" in result.reason


def test_running_out_of_steps_times_out() -> None:
    result = vm.focus(rig(12.0), Script(*[1, 3] * 10))
    assert result.verdict is vm.Verdict.TIMED_OUT
    assert result.position == 12.0


@given(actions=st.lists(st.integers(0, 4), min_size=1, max_size=25), start=st.integers(0, 30))
@settings(max_examples=80, deadline=None)
def test_never_blurrier_than_the_start_whatever_the_policy_does(actions, start) -> None:
    result = vm.focus(rig(float(start)), Script(*actions, then=RuntimeError("lost")))
    curve = STACK.curve(lambda frames: tenengrad(smooth(frames, 1.0)))
    assert sharpness(result.position) >= sharpness(start) - 0.02 * curve.range
    assert result.exposures == len(result.curve)


@pytest.mark.parametrize("name", [f"search:{name}" for name in searches()])
@pytest.mark.parametrize("continuous", [False, True])
def test_every_search_focuses(name: str, continuous: bool) -> None:
    for start in (0.0, 9.0, 25.0, 30.0):
        instrument = STACK.instrument(start=start, continuous=continuous, fine_step=1.0)
        result = vm.focus(instrument, vm.load_policy(name))
        assert result.verdict is vm.Verdict.FOCUSED, (name, start)
        assert abs(result.position - 12.0) <= 1.0
        assert result.exposures == len(result.curve)


@pytest.mark.parametrize("name", [f"search:{name}" for name in searches()])
@pytest.mark.parametrize("stack", [flat_stack(), noise_stack()], ids=["flat", "noise"])
def test_nothing_to_focus_on_is_no_sample(name: str, stack: vm.FocalStack) -> None:
    result = vm.focus(stack.instrument(start=4.0), vm.load_policy(name))
    assert result.verdict is vm.Verdict.NO_SAMPLE


def test_one_look_at_nothing_is_no_sample_too() -> None:
    for stack in (flat_stack(), noise_stack()):
        result = vm.focus(stack.instrument(start=4.0), Script(2))
        assert result.verdict is vm.Verdict.NO_SAMPLE


def test_peak_at_the_edge_is_at_limit() -> None:
    stack = blur_stack(best=0.0)
    result = vm.focus(stack.instrument(start=9.0, fine_step=1.0), vm.load_policy("search:brent"))
    assert result.verdict is vm.Verdict.AT_LIMIT
    assert "(below)" in result.reason


def test_several_cells_at_once_equal_one_after_the_other() -> None:
    starts = np.array([0.0, 7.0, 13.0, 30.0])
    policy = vm.load_policy("search:hill-climb")
    together = vm.focus_cells(rig(0.0, cells=4), policy, start=starts)
    for start, result in zip(starts, together, strict=True):
        alone = vm.focus(rig(float(start)), policy)
        assert (alone.curve, alone.verdict) == (result.curve, result.verdict)


# -- faults -----------------------------------------------------------------------------------


def test_a_policy_that_raises_ends_in_error_at_the_best_position() -> None:
    result = vm.focus(rig(10.0), Script(1, 1, 0, then=RuntimeError("no idea")))
    assert result.verdict is vm.Verdict.ERROR
    assert "RuntimeError: no idea" in result.reason
    assert result.position == 12.0


def test_ctrl_c_is_aborted_at_the_best_position() -> None:
    result = vm.focus(rig(10.0), Script(1, 1, 0, then=KeyboardInterrupt()))
    assert result.verdict is vm.Verdict.ABORTED
    assert result.position == 12.0


@pytest.mark.parametrize("after", range(1, 5))
def test_a_camera_that_fails_ends_in_error(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = STACK.instrument(start=8.0, fine_step=1.0)
    grab, calls = instrument.camera.grab, []

    def failing(cells):
        calls.append(1)
        if len(calls) == after:
            raise TimeoutError("no picture within 1000 ms")
        return grab(cells)

    monkeypatch.setattr(instrument.camera, "grab", failing)
    result = vm.focus(instrument, Script(1, 1, 1, 2))
    expected = vm.Verdict.FOCUSED if after > 4 else vm.Verdict.ERROR
    assert result.verdict is expected
    assert "no picture within 1000 ms" in result.reason


def broken_after(instrument, looks: int, error: BaseException) -> None:
    """From that look on, once, taking a picture fails, after the move."""
    grab, calls = instrument.camera.grab, []

    def failing(cells):
        calls.append(1)
        if len(calls) == looks + 1:
            raise error
        return grab(cells)

    instrument.camera.grab = failing


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TimeoutError("no picture"), vm.Verdict.ERROR),
        (KeyboardInterrupt(), vm.Verdict.ABORTED),
        (vm.InputError("refused"), vm.Verdict.ERROR),
    ],
)
def test_a_move_whose_picture_failed_is_taken_back(error, verdict) -> None:
    instrument = STACK.instrument(start=12.0, fine_step=1.0)
    broken_after(instrument, 1, error)
    result = vm.focus(instrument, Script(0, 2))
    assert result.verdict is verdict
    assert result.position == instrument.focus.position[0] == 12.0
    assert result.policy_position == 21.0
    assert result.returned


def test_ctrl_c_on_the_way_back_is_aborted_where_it_stands() -> None:
    instrument = STACK.instrument(start=12.0, fine_step=1.0)
    broken_after(instrument, 2, KeyboardInterrupt())
    result = vm.focus(instrument, Script(0, 2))
    assert result.verdict is vm.Verdict.ABORTED
    assert result.position == instrument.focus.position[0]


def test_one_cells_failure_does_not_spoil_another_that_had_ended() -> None:
    instrument = STACK.instrument(cells=2, fine_step=1.0)
    broken_after(instrument, 3, TimeoutError("no picture"))

    class Both(Script):
        def act(self, observation, state, generator) -> Act:
            return Act(np.array([[1, 1], [2, 1], [2, 1]][state]), state + 1, {})

    first, second = vm.focus_cells(instrument, Both(), start=np.array([11.0, 3.0]))
    assert first.verdict is vm.Verdict.FOCUSED
    assert second.verdict is vm.Verdict.ERROR


def test_a_stage_that_refuses_the_way_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = rig(10.0)
    visit = AutofocusTask.visit

    def refusing(self, position, cells):
        raise OSError("stage disconnected")

    monkeypatch.setattr(AutofocusTask, "visit", refusing)
    result = vm.focus(instrument, Script(1, 0, 2))
    assert result.verdict is vm.Verdict.ERROR
    assert "stage disconnected" in result.reason
    monkeypatch.setattr(AutofocusTask, "visit", visit)
    assert vm.focus(instrument, Script(1, 1, 2)).verdict is vm.Verdict.FOCUSED, "the next run works"


def test_wrong_input_is_refused_not_judged() -> None:
    with pytest.raises(vm.InputError, match="one cell, got 3"):
        vm.focus(rig(1.0, cells=3), Script(2))
    other = Script(2)
    other.spec = PolicySpec("reach", 1, ("frames",), {})
    with pytest.raises(vm.InputError, match="got one for 'reach'"):
        vm.focus(rig(1.0), other)
    kept = Script(2)
    kept.spec.config.update(fine_step=0.3, fine_step_unit="knob")
    with pytest.raises(vm.InputError, match=r"0\.3 knob, but this instrument's focus is in um"):
        vm.focus(rig(1.0), kept)


def without(instrument, **changes):
    """The instrument with other attributes on its axis."""
    for name, value in changes.items():
        setattr(instrument.focus, name, value)
    return instrument


@pytest.mark.parametrize(
    "limits",
    [None, (), (0.0,), (5.0, 5.0), (9.0, 1.0), (0.0, np.inf), (np.nan, 1.0), ("0", "9"), 7.0],
)
def test_an_instrument_without_limits_is_refused_and_not_moved(limits) -> None:
    instrument = without(rig(3.0), limits=limits)
    before = instrument.focus.position[0]
    with pytest.raises(vm.InputError, match=r"focus\.limits: expected two finite positions"):
        vm.focus(instrument, Script(2))
    assert instrument.focus.position[0] == before


def test_what_is_no_instrument_is_refused() -> None:
    class Half:
        num_cells = 1
        fine_step = 1.0

    for thing in (Half(), STACK, None):
        with pytest.raises(vm.InputError, match="needs an instrument with a camera"):
            vm.focus(thing, Script(2))
    instrument = rig(3.0)
    del instrument.focus.limits
    with pytest.raises(vm.InputError, match="nothing is moved without limits"):
        vm.focus(instrument, Script(2))
    for step in (0.0, -1.0, np.nan, "1"):
        instrument = rig(3.0)
        instrument.fine_step = step
        with pytest.raises(vm.InputError, match="fine_step: expected a positive distance"):
            vm.focus(instrument, Script(2))


def test_a_policy_for_something_else_is_refused() -> None:
    newer = Script(2)
    newer.spec = replace(newer.spec, version=2)
    with pytest.raises(vm.InputError, match="autofocus version 1, got one for version 2"):
        vm.focus(rig(1.0), newer)
    curious = Script(2)
    curious.spec = replace(curious.spec, observation=("frames", "temperature"))
    with pytest.raises(vm.InputError, match="reads 'temperature', but its task offers frames"):
        vm.focus(rig(1.0), curious)
    unknown = Script(2)
    unknown.spec.config["step"] = [1, 0]
    with pytest.raises(vm.InputError, match="did you mean 'steps'"):
        vm.focus(rig(1.0), unknown)


@pytest.mark.parametrize("action", [5, -1, 0.5])
def test_actions_that_the_policy_does_not_have_are_an_error_at_the_best_position(action) -> None:
    result = vm.focus(rig(10.0), Script(1, 1, 0, action))
    assert (result.verdict, result.position) == (vm.Verdict.ERROR, 12.0)
    assert f"expected actions from 0 to 4, got [{action}]" in result.reason


def test_noise_is_asked_for_only_until_a_sample_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(pictures, measure):
        asked.append(len(pictures))
        return noise_sharpness(pictures, measure)

    monkeypatch.setattr("visuomotor.tasks.focus_reader.noise_sharpness", counting)
    stack = blur_stack()
    assert vm.focus(stack.instrument(), vm.load_policy("search:brent")).verdict == "focused"
    assert len(asked) == 1
    asked.clear()
    result = vm.focus(noise_stack().instrument(), vm.load_policy("search:brent"))
    assert result.verdict == "no_sample"
    assert len(asked) > 1
