"""The verdict on a camera run: what a camera itself can see, in the order in which it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.tasks.camera_judging import (
    EXPLANATIONS,
    GOOD_ENDS,
    LARGEST_BLANK,
    CameraLook,
    CameraVerdict,
    judge_camera,
)

GOOD = CameraLook(1e4, 40.0, 100, 0.0, 0.0, False, float("inf"))
SEEN = replace(GOOD, detected=True, blur_px=4.0)
DARK = replace(GOOD, exposure_us=4.5e6, level=2, dark=1.0)
WHITE = replace(GOOD, exposure_us=1e3, level=255, saturated=1.0)
LOOKS = st.builds(
    CameraLook,
    exposure_us=st.floats(1e3, 4.5e6),
    lens=st.floats(24, 70),
    level=st.integers(0, 255),
    dark=st.floats(0, 1),
    saturated=st.floats(0, 1),
    detected=st.booleans(),
    blur_px=st.floats(0, 50) | st.just(float("inf")),
)
CONTROLS = ("exposure", "focus", "both")


def judge(*looks: CameraLook, control: str = "both", done: bool = False, event: str = ""):
    return judge_camera(looks, control, done, {event} - {""}, sharp_px=1.5)


@pytest.mark.parametrize(
    ("control", "end"), [("exposure", "exposed"), ("focus", "sharp"), ("both", "sharp")]
)
def test_what_was_asked_for(control: str, end: str) -> None:
    found = judge(GOOD, SEEN, control=control, done=True)
    assert found == end
    assert found in GOOD_ENDS


def test_a_detection_that_is_enough_is_not_called_sharp() -> None:
    for control in ("focus", "both"):
        found = judge_camera([GOOD, SEEN], control, True, set(), sharp_px=None)
        assert found == "detected"
        assert found in GOOD_ENDS


def test_a_blurred_object_and_none_at_all() -> None:
    assert judge(GOOD, SEEN) is CameraVerdict.BLURRED
    assert judge(SEEN, GOOD) is CameraVerdict.BLURRED, "wherever it was seen"
    assert judge(GOOD, GOOD) is CameraVerdict.NO_OBJECT
    assert judge(GOOD, DARK, WHITE, control="focus") is CameraVerdict.SATURATED


@pytest.mark.parametrize("control", CONTROLS)
def test_darkness_is_what_the_longest_exposure_does_not_light(control: str) -> None:
    assert judge(DARK, control=control) is CameraVerdict.TOO_DARK
    short = replace(DARK, exposure_us=1e3)
    assert judge(short, DARK, control=control) is CameraVerdict.TOO_DARK
    lit = replace(DARK, level=25)
    assert judge(short, lit, control=control) is not CameraVerdict.TOO_DARK
    assert judge(replace(DARK, level=24), control=control) is CameraVerdict.TOO_DARK
    lamp = replace(DARK, saturated=0.05)
    assert judge(lamp, control=control) is CameraVerdict.TIMED_OUT, "a lamp in the dark shows"
    assert judge(replace(DARK, detected=True), control=control) is CameraVerdict.TIMED_OUT


@pytest.mark.parametrize("control", CONTROLS)
def test_saturation_is_what_the_shortest_exposure_does_not_lower(control: str) -> None:
    assert judge(WHITE, control=control) is CameraVerdict.SATURATED
    assert judge(WHITE, replace(WHITE, exposure_us=1e5), control=control) == "saturated"
    half = replace(WHITE, saturated=LARGEST_BLANK)
    assert judge(half, replace(WHITE, exposure_us=1e5), control=control) == "timed_out"


def test_a_usable_exposure_that_never_came() -> None:
    assert judge(replace(GOOD, level=176)) is CameraVerdict.TIMED_OUT
    assert judge(replace(GOOD, level=175)) is CameraVerdict.NO_OBJECT
    assert judge(GOOD, control="exposure") is CameraVerdict.TIMED_OUT


def test_failures_come_first() -> None:
    for looks in ([DARK], [WHITE], [SEEN], [GOOD, SEEN]):
        for done in (False, True):
            assert judge(*looks, done=done, event="error") is CameraVerdict.ERROR
            assert judge(*looks, done=done, event="aborted") is CameraVerdict.ABORTED
    assert judge_camera([GOOD], "both", True, {"error", "aborted"}, 1.5) is CameraVerdict.ERROR


def test_without_a_look_nothing_is_known() -> None:
    assert judge() is CameraVerdict.ERROR
    assert judge(event="error") is CameraVerdict.ERROR


def test_stopped_in_the_first_look_is_aborted_not_an_error() -> None:
    assert judge(event="aborted") is CameraVerdict.ABORTED


@given(
    st.lists(LOOKS, max_size=12),
    st.sampled_from(CONTROLS),
    st.booleans(),
    st.sets(st.sampled_from(["error", "aborted"])),
    st.none() | st.just(1.5),
)
@settings(deadline=None)
def test_always_one_verdict_and_good_only_where_the_task_was_done(
    looks, control, done, events, sharp_px
) -> None:
    found = judge_camera(looks, control, done, events, sharp_px)
    assert found in EXPLANATIONS
    if found in GOOD_ENDS:
        assert done
        assert not events
    if done and not events and looks:
        assert found in GOOD_ENDS
    if found is CameraVerdict.SHARP:
        assert sharp_px is not None
    if found is CameraVerdict.BLURRED:
        assert any(look.detected for look in looks)
    if found is CameraVerdict.NO_OBJECT:
        assert not any(look.detected for look in looks)


@given(st.lists(LOOKS, min_size=1, max_size=8, unique_by=lambda look: look.exposure_us))
@settings(deadline=None, max_examples=50)
def test_it_does_not_matter_in_which_order_they_were_seen(looks) -> None:
    for control in CONTROLS:
        assert judge(*looks, control=control) is judge(*reversed(looks), control=control)


def test_every_verdict_has_its_sentence() -> None:
    assert set(EXPLANATIONS) == set(CameraVerdict)
