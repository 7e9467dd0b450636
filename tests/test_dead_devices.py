"""Devices that answer and do nothing, on instruments that nobody guards: error within three steps,
at the best position known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_instrument import Own, Steps
from toys import blur_stack, flat_stack

import visuomotor as vm
from visuomotor.agents.search import searches
from visuomotor.instruments.repeated_pictures import RepeatedPictures
from visuomotor.instruments.simulated.microscope import DriveConfig, Microscope, MicroscopeConfig
from visuomotor.instruments.simulated.optics import OpticsConfig
from visuomotor.instruments.simulated.sensor import SensorConfig

SEARCHES = [f"search:{name}" for name in searches()]


@pytest.mark.parametrize("after", [0, 1, 2, 5])
@pytest.mark.parametrize("action", [0, 1, 3, 4])
def test_a_stuck_stage_is_an_error_within_three_steps(after: int, action: int) -> None:
    rig = Own(start=-1.0, best=-1.0, limits=(-40.0, 40.0), stuck_after=after)
    result = vm.focus(rig, Steps(*[action] * 20))
    assert result.verdict is vm.Verdict.ERROR
    assert "the focus axis did not move, 3 times in a row" in result.reason
    assert len(rig.been) <= 1 + after + 3 + 1, "the start, three in vain, and the way back"
    assert result.position == rig.at, "what is told is where it is"
    assert result.exposures == len(result.curve)


def test_a_stage_that_sticks_far_away_can_only_be_asked_to_come_back() -> None:
    rig = Own(start=2.0, stuck_after=1)
    result = vm.focus(rig, Steps(*[1] * 20))
    assert (result.verdict, result.position, result.returned) == (vm.Verdict.ERROR, 2.5, False)


def test_a_stage_that_sticks_and_comes_loose_ends_at_the_best_position() -> None:
    rig = Own(start=2.0)
    move, calls = rig.move_to, []

    def sticking(target, cells):
        calls.append(target)
        return np.array([rig.at]) if 2 <= len(calls) <= 4 else move(target, cells)

    rig.move_to = sticking
    result = vm.focus(rig, Steps(*[1] * 20))
    assert (result.verdict, result.position, result.returned) == (vm.Verdict.ERROR, 2.0, True)


def test_standing_still_is_right_at_the_limit_and_now_and_then() -> None:
    rig = Own(start=10.0, limits=(-10.0, 10.0))
    assert "did not move" not in vm.focus(rig, Steps(1)).reason
    rig = Own(start=2.0)
    move, calls = rig.move_to, []

    def sluggish(target, cells):
        calls.append(target)
        return move(target, cells) if len(calls) % 3 == 0 else np.array([rig.at])

    rig.move_to = sluggish
    assert vm.focus(rig, Steps(*[1, 1, 1, 3, 3, 3] * 3)).verdict is vm.Verdict.FOCUSED


def test_an_axis_that_does_not_say_where_it_is() -> None:
    rig = Own(start=2.0)
    move = rig.move_to
    rig.move_to = lambda target, cells: move(target, cells) * np.nan
    result = vm.focus(rig, Steps(1, 1))
    assert result.verdict is vm.Verdict.ERROR
    assert "does not say where it is" in result.reason


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_dead_camera_is_an_error_within_three_steps(after: int) -> None:
    rig = Own(start=-7.0, best=-7.0 + 0.5 * (after - 1), frozen_after=after)
    result = vm.focus(rig, Steps(*[1] * 20))
    assert result.verdict is vm.Verdict.ERROR
    assert "the camera repeats one picture" in result.reason
    assert result.position == rig.best, "the last true picture was the sharpest"
    assert result.returned
    assert rig.pictures <= after + 3 + 1, "of the steps, and of the way back"
    assert result.exposures == len(result.curve)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("after", [1, 3])
def test_every_search_finds_a_dead_camera_out(name: str, after: int) -> None:
    rig = Own(start=6.0, frozen_after=after)
    result = vm.focus(rig, vm.load_policy(name))
    assert result.verdict is vm.Verdict.ERROR, result.reason
    assert len(result.curve) <= after + 4
    sharpest = max(result.curve[:after], key=lambda look: look[1])[0]
    assert rig.at == result.position == pytest.approx(sharpest)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_finds_a_stuck_stage_out(name: str) -> None:
    rig = Own(start=6.0, stuck_after=0)
    result = vm.focus(rig, vm.load_policy(name))
    assert result.verdict is vm.Verdict.ERROR, result.reason
    assert result.position == 6.0


def test_a_camera_that_repeats_itself_in_places_only_is_left_alone() -> None:
    rig = Own(start=2.0, frozen_after=1)
    result = vm.focus(rig, Steps(1, 3, 1, 3))  # two positions: a view without noise may do so
    assert "repeats" not in result.reason


def test_one_grey_level_is_no_sample_with_its_own_reason() -> None:
    rig = Own()
    rig.grab = lambda cells: np.full((len(cells), 32, 32), 7, np.uint8)
    result = vm.focus(rig, vm.load_policy("search:brent"))
    assert result.verdict is vm.Verdict.NO_SAMPLE
    assert "lamp" in result.reason
    assert vm.focus(flat_stack().instrument(start=4.0), Steps(1, 1, 1)).verdict == "no_sample"


def test_one_dead_cell_of_several_rigs_does_not_stop_the_others() -> None:
    class Two(Own):
        """Keeps failures, as rigs side by side do."""

        def __init__(self) -> None:
            self.cells = [Own(start=2.0), Own(start=2.0, stuck_after=0)]
            super().__init__()
            self.num_cells, self.failures = 2, [None, None]

        @property
        def position(self):
            return np.array([cell.at for cell in self.cells])

        def move_to(self, target, cells):
            pairs = zip(target, cells, strict=True)
            return np.array([self.cells[c].move_to([t], [0])[0] for t, c in pairs])

        def grab(self, cells):
            return np.concatenate([self.cells[c].grab([0]) for c in cells])

    good, bad = vm.focus_cells(Two(), Steps(1, 3, 1, 3))
    assert (good.verdict, bad.verdict) == (vm.Verdict.FOCUSED, vm.Verdict.ERROR)
    assert "did not move" in bad.reason
    assert bad.exposures == len(bad.curve) == 3


# -- nothing that works is called dead


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("best", [0.0, 12.0, 30.0])
def test_recordings_are_never_dead(name: str, best: float) -> None:
    stack = blur_stack(best=best)
    for options in ({"continuous": False, "fine_step": 1.0}, {"fine_step": 0.3}, {}):
        for start in (0.0, 13.0, 30.0):
            result = vm.focus(stack.instrument(start=start, **options), vm.load_policy(name))
            assert result.verdict is not vm.Verdict.ERROR, result.reason


@pytest.mark.parametrize("name", SEARCHES)
def test_a_recording_with_gaps_stands_still_for_good_reason(name: str) -> None:
    stack = blur_stack(best=12.0)
    kept = [0, 1, 2, 7, 11, 12, 13, 20, 30]
    gappy = vm.FocalStack(stack.frames[kept], stack.positions[kept])
    for fine_step in (0.3, 1.0):
        instrument = gappy.instrument(start=0.0, continuous=False, fine_step=fine_step)
        result = vm.focus(instrument, vm.load_policy(name))
        assert result.verdict is not vm.Verdict.ERROR, result.reason


EXACT = SensorConfig(photon_noise=False, read_noise_e=0.0)
FAR = MicroscopeConfig(sensor=EXACT, size_px=64, drive=DriveConfig(first=-150.0, last=150.0))


@pytest.mark.parametrize("policy", ["search:hill-climb", "search:brent", 1, 3])
@pytest.mark.parametrize("contrast", ["brightfield", "fluorescence", "phase"])
def test_a_simulated_view_without_noise_is_not_dead(policy, contrast: str) -> None:
    view = replace(FAR, optics=OpticsConfig(contrast=contrast))
    instrument = Microscope(view).instrument()
    chosen = vm.load_policy(policy) if isinstance(policy, str) else Steps(*[policy] * 19)
    for start in (-142.0, 90.0):
        result = vm.focus_cells(instrument, chosen, start=start)[0]
        assert result.verdict is not vm.Verdict.ERROR, result.reason
    one, other = instrument.camera.grab(np.zeros(2, int))
    assert (one == other).all(), "free of noise"


def test_blended_pictures_that_are_the_same_over_a_step_or_two_are_not_dead() -> None:
    rows = np.arange(40) // 4 % 2
    planes = np.tile(100 + 40 * rows, (6, 40, 1)).astype(np.uint8)
    planes[:, 20, 20] += np.arange(6, dtype=np.uint8)  # five fine steps for a grey level
    stack = vm.FocalStack(planes, np.arange(6.0))
    result = vm.focus(stack.instrument(start=0.0, fine_step=0.2), vm.load_policy("search:full"))
    assert result.verdict is not vm.Verdict.ERROR, result.reason


@given(
    frames=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    places=st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
@settings(max_examples=200, deadline=None)
def test_only_one_picture_at_three_places_in_a_row_is_repeated(frames, places) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (3, 200, 200), np.uint8)
    watch, looks, last = RepeatedPictures(apart=0.5), [], None
    buffer = np.zeros((200, 200), np.uint8)
    for frame, place in zip(frames, places, strict=False):
        looks = [*looks, place] if looks and frame == last else [place]
        last = frame
        buffer[:] = pictures[frame]
        said = watch.saw(buffer, float(place))
        assert said == (len(set(looks)) == 3)
        if said:
            looks = []


def test_pictures_that_differ_in_one_pixel_are_not_the_same() -> None:
    watch = RepeatedPictures(apart=1.0)
    picture = np.random.default_rng(0).integers(0, 255, (500, 700), np.uint8)
    for place in range(9):
        picture[1, 1 + place] ^= 1  # between the pixels that are looked at first
        assert not watch.saw(picture, float(place))
