"""The only door to motion: nothing ever leaves the limits, and what was done is reported."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visuomotor.errors import DeviceTimeoutError, InputError, RigError
from visuomotor.instruments.driving import Stopped, Worker
from visuomotor.instruments.limits import LimitedAxis, Motion
from visuomotor.instruments.rig_config import RigConfig, rig_from_plain

NUMBERS = st.floats(-1e4, 1e4, allow_nan=False, width=32)


class Drive:
    """Goes where it is sent, and notes it."""

    unit = "um"

    def __init__(self, at: float = 0.0) -> None:
        self.at = at
        self.sent: list[float] = []
        self.halts = 0
        self.error = 0.0
        self.fails = False
        self.late = 0
        self.hangs_s = 0.0

    def travel(self):
        return None

    def read(self) -> float:
        return self.at + self.error

    def move(self, target: float) -> None:
        if self.fails:
            raise OSError("on purpose")
        if self.hangs_s:
            time.sleep(self.hangs_s)
        self.sent.append(target)
        self.at = target

    def is_moving(self) -> bool:
        return self.late > 0

    def halt(self) -> None:
        self.halts += 1


class Straight:
    """A worker that makes its calls at once."""

    def call(self, what, function, timeout_s, even_late=False):
        return function()

    at_once = call


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def config(**focus) -> RigConfig:
    table = {
        "driver": "microscope",
        "towards_sample": "up",
        "soft_limits": [-10.0, 10.0],
        "never_pass": 11.0,
        "fine_step": 0.5,
    }
    values = {
        "name": "toy",
        "camera": {"driver": "microscope"},
        "focus": table | focus,
    }
    return rig_from_plain(values, "toy", Path())


def axis(drive: Drive, clock=None, **focus) -> LimitedAxis:
    return LimitedAxis(drive, config(**focus), Straight(), clock or Clock())


def test_a_million_random_commands_and_none_is_outside() -> None:
    generator = np.random.default_rng(0)
    drive = Drive()
    door = axis(drive, backlash=0.7, approach="up", longest_move=6.0, never_pass=8.0)
    # Most targets are near the limits, many far outside, some far beyond any stage.
    targets = generator.normal(0, 12, 1_000_000) * 10.0 ** generator.integers(0, 3, 1_000_000)
    for start in range(0, len(targets), 10_000):
        for target in targets[start : start + 10_000].tolist():
            executed = door.move_to(target)
            assert executed == drive.at == min(max(target, -10.0), 8.0)
        assert min(drive.sent) >= -10.0
        assert max(drive.sent) <= 8.0
        drive.sent.clear()


@given(
    here=NUMBERS,
    target=NUMBERS,
    low=st.floats(-100, 0),
    width=st.floats(0.1, 100),
    backlash=st.one_of(st.just(0.0), st.floats(1e-3, 5)),
    approach=st.sampled_from([-1, 0, 1]),
    longest=st.one_of(st.just(math.inf), st.floats(0.5, 50)),
)
def test_every_way_stays_inside_and_ends_at_the_target(
    here, target, low, width, backlash, approach, longest
) -> None:
    motion = Motion(low, low + width, backlash, approach, longest)
    way = motion.way(here, target)
    assert all(motion.low <= station <= motion.high for station in way)
    assert way[-1] == motion.clip(target)
    legs = np.diff([motion.clip(here), *way])
    assert (np.abs(legs) <= longest * (1 + 1e-6)).all()
    if approach and backlash and way[-1] not in (motion.low, motion.high):
        last = [leg for leg in legs if leg != 0]
        assert not last or last[-1] * approach > 0, "it arrives from the approach's side"


def test_backlash_is_taken_up_from_one_side() -> None:
    drive = Drive(5.0)
    assert axis(drive, backlash=1.0, approach="up").move_to(2.0) == 2.0
    assert drive.sent == [1.0, 2.0]
    drive.sent.clear()
    assert axis(drive, backlash=1.0, approach="up").move_to(4.0) == 4.0
    assert drive.sent == [4.0]
    drive.sent.clear()
    axis(drive, backlash=1.0, approach="up").move_to(-10.0)
    assert drive.sent == [-10.0], "there is no room to go past a limit"


def test_long_ways_go_in_parts_and_no_faster_than_allowed() -> None:
    drive, clock = Drive(-8.0), Clock()
    axis(drive, clock, longest_move=4.0, settle_ms=250.0).move_to(4.0)
    assert drive.sent == [-4.0, 0.0, 4.0]
    assert clock.now == pytest.approx(0.25)
    drive, clock = Drive(-8.0), Clock()
    axis(drive, clock, longest_move=4.0, max_speed=2.0, settle_ms=250.0).move_to(4.0)
    # Each part goes at the drive's own speed: only short ones with pauses are slow.
    assert np.diff([-8.0, *drive.sent]) == pytest.approx([0.2] * 60)
    assert clock.now == pytest.approx(12.0 / 2.0 + 0.25)


def test_the_side_of_the_sample_counts() -> None:
    assert config(never_pass=3.0).focus.limits == (-10.0, 3.0)
    assert config(towards_sample="down", never_pass=-3.0).focus.limits == (-3.0, 10.0)
    with pytest.raises(InputError, match="never_pass"):
        config(never_pass=-10.0)
    with pytest.raises(InputError, match="never_pass"):
        config(towards_sample="down", never_pass=10.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_target_that_is_no_number_moves_nothing(bad: float) -> None:
    drive = Drive(1.0)
    with pytest.raises(InputError, match="finite"):
        axis(drive).move_to(bad)
    assert drive.sent == []


def test_a_drive_outside_its_limits_comes_straight_in() -> None:
    drive = Drive(50.0)
    assert axis(drive, longest_move=2.0).move_to(5.0) == 5.0
    assert drive.sent == pytest.approx([10.0, 10.0 - 5 / 3, 10.0 - 10 / 3, 5.0])
    drive = Drive(50.0)
    assert axis(drive).move_to(5.0) == 5.0
    assert drive.sent == [5.0]


def test_inside_is_as_exact_as_the_drive() -> None:
    door = axis(Drive(), tolerance=0.01)
    assert [door.is_inside(at) for at in (-10.02, -10.005, 0.0, 10.005, 10.02)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_drive_that_comes_to_rest_elsewhere_is_told_of_and_halted() -> None:
    drive = Drive()
    drive.error = 0.7
    with pytest.raises(RigError, match=r"was sent to 3 um and says it is at 3\.7"):
        axis(drive).move_to(3.0)
    assert drive.halts == 1
    assert axis(drive, tolerance=0.8).move_to(4.0) == pytest.approx(4.7)


def test_a_drive_that_fails_is_halted_and_its_own_words_come_out() -> None:
    drive = Drive()
    drive.fails = True
    with pytest.raises(OSError, match="on purpose"):
        axis(drive).move_to(3.0)
    assert drive.halts == 1


def test_a_drive_that_hangs_ends_in_a_time_out() -> None:
    drive, worker = Drive(), Worker("toy")
    door = LimitedAxis(drive, config(timeout_ms=50.0), worker)
    drive.hangs_s = 0.5
    with pytest.raises(DeviceTimeoutError, match=r"moving to 3 um.*within 0\.05 s"):
        door.move_to(3.0)
    drive.hangs_s = 0.0
    time.sleep(0.5)
    assert door.move_to(4.0) == 4.0
    worker.close()


def test_a_drive_that_never_arrives_ends_in_a_time_out_and_is_halted() -> None:
    drive, clock = Drive(), Clock()
    drive.late = 1
    with pytest.raises(DeviceTimeoutError, match=r"within 3 s, it still moves"):
        axis(drive, clock, timeout_ms=3000.0).move_to(3.0)
    assert drive.halts == 1
    assert clock.now == pytest.approx(3.0, abs=0.1)


def test_a_drive_that_says_nothing_sensible_is_told_of() -> None:
    drive = Drive(math.nan)
    with pytest.raises(RigError, match="expected a position, got nan"):
        axis(drive).position()


def test_halting_waits_for_no_call_that_hangs() -> None:
    drive, worker = Drive(), Worker("toy")
    door = LimitedAxis(drive, config(timeout_ms=50.0), worker)
    drive.hangs_s = 1.0
    with pytest.raises(DeviceTimeoutError, match="moving to 3 um"):
        door.move_to(3.0)
    assert (drive.halts, drive.sent) == (1, [])
    worker.close()


def test_what_is_to_be_done_even_late_is_done_once_the_device_answers() -> None:
    worker, done = Worker("toy"), threading.Event()
    with pytest.raises(DeviceTimeoutError):
        worker.call("first", lambda: time.sleep(0.3), 0.02)
    with pytest.raises(DeviceTimeoutError, match="second: expected an answer"):
        worker.call("second", done.set, 0.02, even_late=True)
    worker.close()
    with pytest.raises(DeviceTimeoutError, match="second: expected it to end"):
        worker.wait_for_end(0.02)
    worker.wait_for_end(5.0)
    assert done.is_set()


def test_a_stop_from_outside_ends_every_wait_and_halts() -> None:
    drive, stop = Drive(), threading.Event()
    worker = Worker("toy", stop)
    door = LimitedAxis(drive, config(settle_ms=60_000.0), worker, stop=stop)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        door.move_to(3.0)
    assert drive.halts == 1
    drive.hangs_s = 2.0
    with pytest.raises(Stopped):
        door.move_to(4.0)
    assert drive.halts == 2
    worker.close()


def test_a_worker_says_what_it_still_hangs_in() -> None:
    worker = Worker("toy")
    with pytest.raises(DeviceTimeoutError, match="first: expected an answer"):
        worker.call("first", lambda: time.sleep(0.6), 0.02)
    with pytest.raises(DeviceTimeoutError, match=r"second:.*still hangs in: first"):
        worker.call("second", lambda: None, 0.02)
    assert worker.call("third", lambda: 3, 2.0) == 3
    with pytest.raises(RigError, match="fourth: division by zero"):
        worker.call("fourth", lambda: 1 / 0, 1.0)
    worker.close()


def test_a_changed_config_is_a_changed_door() -> None:
    base = config()
    narrow = replace(base, focus=replace(base.focus, soft_limits=(-1.0, 1.0)))
    assert LimitedAxis(Drive(), narrow, Straight(), Clock()).move_to(9.0) == 1.0
