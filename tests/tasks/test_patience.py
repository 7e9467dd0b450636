"""Cut by progress: so many looks in a row without a new sharpest one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_instrument import Own, Steps
from toys import blur_stack, flat_stack

import visuomotor as vm
from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.tasks.focus_cells import FocusCells

STACK = blur_stack()


def rig(start: float):
    return STACK.instrument(start=start, continuous=False, fine_step=1.0)


def test_wandering_about_is_cut_and_taken_back_to_the_best() -> None:
    result = vm.focus(rig(12.0), Steps(*[1, 3] * 9, max_steps=20, patience=4))
    assert (result.verdict, result.position) == (vm.Verdict.TIMED_OUT, 12.0)
    assert len(result.curve) == 1 + 4, "the way back is not needed: it is there"
    assert "no picture came that was sharper than before, 4 times in a row" in result.reason
    result = vm.focus(rig(12.0), Steps(*[1] * 9, patience=4))
    assert (result.position, result.returned, result.policy_position) == (12.0, True, 16.0)
    patient = vm.focus(rig(12.0), Steps(*[1, 3] * 10))
    assert (patient.verdict, patient.exposures) == (vm.Verdict.TIMED_OUT, 21)
    assert "step limit" in patient.reason


def test_whoever_gets_on_is_not_cut() -> None:
    result = vm.focus(rig(0.0), Steps(*[1] * 12, patience=2))
    assert (result.verdict, result.position) == (vm.Verdict.FOCUSED, 12.0)


def test_stopping_in_time_is_no_time_out() -> None:
    result = vm.focus(rig(12.0), Steps(1, 3, 2, patience=2))
    assert result.verdict is vm.Verdict.TIMED_OUT
    result = vm.focus(rig(12.0), Steps(1, 2, patience=2))
    assert result.verdict is not vm.Verdict.TIMED_OUT


def test_without_a_sample_it_stays_no_sample() -> None:
    result = vm.focus(
        flat_stack().instrument(start=4.0, fine_step=1.0), Steps(*[1] * 9, patience=3)
    )
    assert result.verdict is vm.Verdict.NO_SAMPLE
    assert len(result.curve) <= 5


def test_the_noise_of_the_camera_is_no_progress() -> None:
    instrument = Own(start=2.0, noise=3.0)
    result = vm.focus(instrument, Steps(*[1, 1, 3, 3] * 5, patience=5))
    assert result.verdict is vm.Verdict.TIMED_OUT
    assert len(result.curve) <= 8


def test_it_travels_in_the_spec_and_ends_episodes_of_training() -> None:
    config = AutofocusConfig(patience=3)
    task = AutofocusTask(config)
    assert task.spec.config["patience"] == 3
    env = VisuomotorEnv(STACK.instrument(cells=2, continuous=False, fine_step=1.0), task)
    env.reset(seed=0, options={"start": np.array([12.0, 0.0])})
    for _ in range(3):
        *_, reward, terminated, _, info = env.step(np.array([1, 1]))
    assert terminated.tolist() == [True, False]
    assert info["out_of_steps"].tolist() == [True, False]
    assert reward[0] < -90
    saved = env.state_dict()
    other = VisuomotorEnv(
        STACK.instrument(cells=2, continuous=False, fine_step=1.0), AutofocusTask(config)
    )
    other.reset(seed=1)
    other.load_state_dict(saved)
    np.testing.assert_array_equal(other.task.done(), env.task.done())
    assert other.task._cells.idle.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patience": 0}, "patience: expected 1"),
        ({"patience": 3, "actions": "position"}, "patience: expected actions of steps"),
    ],
)
def test_what_makes_no_sense_is_refused(values, words: str) -> None:
    with pytest.raises(InputError, match=words):
        AutofocusTask(AutofocusConfig(**values))


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=40), st.integers(-20, 20))
@settings(deadline=None)
def test_progress_is_two_percent_of_the_range_whatever_the_unit(looks, power) -> None:
    cells, one = [FocusCells.empty(1, 3) for _ in range(2)], np.array([0])
    for number, look in enumerate(looks):
        for each, gain in zip(cells, (1.0, 2.0**power), strict=True):
            each.sharpness[0] = look * gain
            each.note_progress(one, first=number == 0)
    plain, scaled = cells
    assert plain.idle[0] == scaled.idle[0] <= len(looks) - 1
    assert min(looks) == plain.lowest[0]
    assert plain.mark[0] >= max(looks) - 0.02 * (max(looks) - min(looks)) / (1 - 0.02) - 1e-9
    # Small gains in a row add up: nothing gets far without being noticed.
