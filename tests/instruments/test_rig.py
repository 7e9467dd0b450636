"""A rig: found out early, left as it was found, honest about its pictures."""

from __future__ import annotations

import _thread
import json
import os
import time

import numpy as np
import pytest
from toy_rig import Toy, killed, rig

import visuomotor as vm
from visuomotor.errors import DeviceTimeoutError, InputError, RigError
from visuomotor.instruments import driving
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.workcells import Workcells
from visuomotor.types import ROI

pytestmark = pytest.mark.usefixtures("toy_driver")


def test_a_rig_is_left_as_it_was_found() -> None:
    toy = Toy()
    before = dict(toy.settings)
    changes = {"camera__exposure_ms": 3.0, "camera__roi": [0, 0, 32, 32]}
    with rig(toy, **changes) as one:
        assert toy.settings == {**before, "exposure_ms": 3.0, "roi": [0, 0, 32, 32], "live": False}
        one.focus.move_to(2.0)
        assert one.exposure_ms == 3.0
    assert toy.settings == before
    assert toy.at == 2.0
    with pytest.raises(KeyboardInterrupt), rig(toy, **changes):
        raise KeyboardInterrupt
    assert toy.settings == before
    assert "close" not in toy.calls, "a connection that was lent is not closed"


def test_the_safe_state_is_taken_up_on_leaving() -> None:
    toy = Toy()
    toy.settings["shutter_open"] = True
    with rig(toy, safe={"position": -5.0, "shutter": "closed"}) as one:
        one.focus.move_to(3.0)
    assert (toy.at, toy.settings["shutter_open"]) == (-5.0, False)


def test_a_rig_that_was_only_looked_at_is_not_moved_to_its_safe_position() -> None:
    toy = Toy(at=4.0)
    with rig(toy, safe={"position": -5.0}) as one:
        one.snap()
    with (
        pytest.raises(InputError, match="roi"),
        rig(toy, (60, 60, 16, 16), safe={"position": -5.0}),
    ):
        pass
    outside = Toy(at=15.0)
    with pytest.raises(InputError, match="stands at 15"):
        vm.focus(Workcells([rig(outside, safe={"position": -5.0})]), vm.load_policy("search:brent"))
    assert (toy.at, outside.at) == (4.0, 15.0)


def test_a_unit_that_is_not_the_drives_is_refused() -> None:
    with pytest.raises(
        InputError, match="unit: expected 'um', in which the drive counts, got 'mm'"
    ):
        rig(Toy(), focus__unit="mm").__enter__()


def test_entering_twice_opens_once() -> None:
    toy = Toy()
    one = rig(toy, camera__exposure_ms=3.0)
    with one:
        with one:
            pass
        assert one.is_open
        assert toy.settings["exposure_ms"] == 3.0
    assert not one.is_open
    one.__exit__(None, None, None)


def test_limits_outside_those_of_the_drive_are_refused_and_nothing_stays_changed() -> None:
    toy = Toy()
    toy.travels = (-5.0, 20.0)
    with pytest.raises(InputError, match="within the range of the drive, -5 to 20"):
        rig(toy, camera__exposure_ms=3.0).__enter__()
    assert toy.settings["exposure_ms"] == 10.0


def test_what_cannot_be_put_back_is_said() -> None:
    toy = Toy()
    toy.broken.add("restore")
    with (
        pytest.raises(
            RigError, match=r"could not be left as it was found: .*: no answer to restore"
        ),
        rig(toy),
    ):
        pass
    result = vm.focus(Workcells([rig(toy)]), vm.load_policy("search:hill-climb"))
    assert result.verdict == "error"
    assert "could not be left" in result.reason


def test_the_run_after_one_that_was_killed_puts_back_what_that_one_found() -> None:
    toy = Toy()
    before = dict(toy.settings)
    killed(rig(toy, camera__exposure_ms=3.0))
    assert toy.settings != before
    with rig(toy, camera__exposure_ms=3.0):
        pass
    assert toy.settings == before


def test_what_a_killed_picture_left_of_shutter_and_live_mode_is_put_back_too() -> None:
    toy = Toy()
    before = dict(toy.settings)
    killed(rig(toy, camera__exposure_ms=3.0))
    toy.settings |= {"shutter_open": True, "live": True}  # by the picture that was cut off
    with rig(toy, camera__exposure_ms=3.0):
        pass
    assert toy.settings == before


def test_a_run_that_still_goes_on_elsewhere_keeps_its_note(tmp_path) -> None:
    toy = Toy()
    killed(rig(toy, camera__exposure_ms=3.0))
    (path,) = tmp_path.glob("visuomotor-rig-*.json")
    note = json.dumps(json.loads(path.read_text()) | {"process": os.getppid()})
    path.write_text(note)
    with rig(toy, camera__exposure_ms=3.0):
        pass
    assert toy.settings["exposure_ms"] == 3.0
    assert path.read_text() == note


def test_two_open_rigs_of_one_file_keep_their_own_notes(tmp_path) -> None:
    toys = [Toy(), Toy()]
    toys[0].settings["exposure_ms"] = 77.0
    with rig(toys[0], camera__exposure_ms=3.0), rig(toys[1], camera__exposure_ms=3.0):
        assert len(list(tmp_path.glob("visuomotor-rig-*.json"))) == 2
    assert [toy.settings["exposure_ms"] for toy in toys] == [77.0, 10.0]
    assert not list(tmp_path.glob("visuomotor-rig-*.json"))


def test_a_run_cut_off_while_it_put_things_back_is_finished_by_the_next() -> None:
    toy = Toy()
    before = dict(toy.settings)
    killed(rig(toy, camera__exposure_ms=3.0, camera__roi=[0, 0, 32, 32]))
    toy.settings["roi"] = None  # this much it had done
    with rig(toy):
        pass
    assert toy.settings == before


@pytest.mark.parametrize(
    "change", [{"prepared": [1]}, {"process": 10**30}, {"found": {"strange": 1}}, {"found": None}]
)
def test_a_note_that_is_none_stops_nobody(tmp_path, change) -> None:
    toy = Toy()
    killed(rig(toy, camera__exposure_ms=3.0))
    (path,) = tmp_path.glob("visuomotor-rig-*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with rig(toy) as one:
        one.snap()
    assert "strange" not in toy.settings


def test_a_note_that_cannot_be_written_keeps_nobody_from_focusing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a file" / "folder"))
    (tmp_path / "a file").write_text("")
    with rig(Toy()) as one:
        one.snap()
    assert "nothing would put it back" in caplog.text


def test_what_a_person_has_set_since_then_counts() -> None:
    toy = Toy()
    killed(rig(toy, camera__exposure_ms=3.0))
    toy.settings["exposure_ms"] = 77.0
    with rig(toy, camera__exposure_ms=3.0):
        pass
    assert toy.settings["exposure_ms"] == 77.0


def test_a_rig_that_cannot_be_opened_is_an_error_with_no_position() -> None:
    toy = Toy()
    toy.broken.add("snap")
    result = vm.focus(Workcells([rig(toy, roi=(0, 0, 16, 16))]), vm.load_policy("search:brent"))
    assert result.verdict == "error"
    assert np.isnan(result.position)
    assert "no answer to snap" in result.reason


# ---- devices that hang, and Ctrl-C


QUICK = {"camera__timeout_ms": 60.0, "focus__timeout_ms": 60.0}


def test_a_camera_that_hangs_keeps_nobody_from_the_safe_position() -> None:
    toy = Toy()
    before = dict(toy.settings)
    one = rig(toy, safe={"position": -5.0}, camera__exposure_ms=3.0, **QUICK)

    def picture_that_hangs() -> None:
        with one:
            one.focus.move_to(2.0)
            toy.hangs["snap"] = 0.8
            one.snap()

    with pytest.raises(DeviceTimeoutError, match="a picture: expected") as caught:
        picture_that_hangs()
    assert toy.at == -5.0
    assert any("could not be left" in note for note in caught.value.__notes__)
    assert toy.settings != before
    toy.hangs.clear()
    with pytest.raises(DeviceTimeoutError, match="expected it to end"):
        one.__enter__()  # what it hangs in would put the camera back in the middle of this
    time.sleep(0.8)
    assert toy.settings == before, "put back as soon as the camera answered"
    with one:
        one.snap()


def test_a_drive_that_hangs_keeps_nobody_from_putting_the_camera_back() -> None:
    toy = Toy()
    before = dict(toy.settings)
    toy.hangs["move"] = 0.4
    one = rig(toy, safe={"position": -5.0}, camera__exposure_ms=3.0, **QUICK)
    result = vm.focus(Workcells([one]), vm.load_policy("search:brent"))
    assert result.verdict == "error"
    assert "moving to" in result.reason
    assert "could not be left" in result.reason
    assert toy.settings == before
    assert "halt" in toy.calls


def test_another_rig_waits_for_what_is_put_back_late() -> None:
    toy = Toy()
    first, second = (rig(toy, camera__exposure_ms=exposure, **QUICK) for exposure in (3.0, 4.0))
    result = vm.focus(Workcells([first]), Hangs(toy, 0.5))
    assert result.verdict == "error"
    toy.hangs.clear()
    with pytest.raises(DeviceTimeoutError, match="expected it to end"):
        second.__enter__()
    time.sleep(0.5)
    with second:
        assert toy.settings["exposure_ms"] == 4.0
    assert toy.settings["exposure_ms"] == 10.0


def test_a_rig_beside_one_that_hangs_does_not_hide_it() -> None:
    hanging, fine = Toy(), Toy()
    hanging.hangs["snap"] = 0.8
    with rig(fine, **QUICK) as other:
        vm.focus(Workcells([rig(hanging, **QUICK)]), vm.load_policy("search:hill-climb"))
        other.snap()
    with pytest.raises(DeviceTimeoutError, match="expected it to end"):
        rig(hanging, **QUICK).__enter__()
    time.sleep(0.8)


class Hangs:
    """A policy under which the camera stops answering."""

    def __init__(self, toy: Toy, seconds: float) -> None:
        policy = vm.load_policy("search:hill-climb")
        self.spec, self.begin, self._act = policy.spec, policy.begin, policy.act
        self._toy, self._seconds = toy, seconds

    def act(self, *asked):
        self._toy.hangs["snap"] = self._seconds
        return self._act(*asked)


def test_a_connection_that_comes_late_is_closed(monkeypatch) -> None:
    toy = Toy()

    class Slow:
        Settings = driving.driver("toy").Settings

        @staticmethod
        def connect(settings, folder):
            time.sleep(0.3)
            return toy

    monkeypatch.setattr("visuomotor.instruments.rig.driver", lambda name: Slow)
    monkeypatch.setattr("visuomotor.instruments.rig.CONNECT_TIMEOUT_S", 0.05)
    config = rig(toy, **QUICK).config
    with pytest.raises(DeviceTimeoutError, match="connecting to toy"):
        Rig(config).__enter__()
    time.sleep(0.5)
    assert toy.calls == ["close"]


def test_a_camera_that_hangs_does_not_hold_up_the_verdict(monkeypatch) -> None:
    toy = Toy()
    toy.hangs["snap"] = 3.0

    class Module:
        connect = staticmethod(lambda settings, folder: toy)

    monkeypatch.setattr("visuomotor.instruments.rig.driver", lambda name: Module)
    one = Rig(rig(toy, **QUICK).config)
    result = vm.focus(Workcells([one]), vm.load_policy("search:brent"))
    assert result.verdict == "error"
    assert "close" not in toy.calls, "the verdict came while the camera still hung"
    assert "could not be left" in result.reason


def test_what_could_not_be_put_back_is_told_beside_what_failed_first() -> None:
    toy = Toy()
    toy.broken |= {"restore", "prepare"}
    result = vm.focus(Workcells([rig(toy)]), vm.load_policy("search:brent"))
    assert "no answer to prepare" in result.reason
    assert "could not be left" in result.reason
    assert "no answer to restore" in result.reason


def test_ctrl_c_while_leaving_leaves_all_the_same() -> None:
    toy = Toy()
    before = dict(toy.settings)

    def interrupted(position: float) -> None:
        raise KeyboardInterrupt

    one = rig(toy, safe={"position": -5.0}, camera__exposure_ms=3.0)

    def move_once() -> None:
        with one:
            one.focus.move_to(2.0)
            toy.move = interrupted

    with pytest.raises(KeyboardInterrupt):
        move_once()
    assert toy.settings == before
    assert not one.is_open


@pytest.mark.parametrize("when", ["found", "prepare", "snap", "move", "restore"])
def test_ctrl_c_at_any_time_is_a_verdict_and_leaves_the_rig_as_found(when: str) -> None:
    toy = Toy()
    before = dict(toy.settings)
    real, calls = getattr(toy, when), []

    def interrupted(*values):
        calls.append(values)
        if len(calls) == 1:
            _thread.interrupt_main()
        return real(*values)

    setattr(toy, when, interrupted)
    cells = Workcells([rig(toy, camera__exposure_ms=3.0)])
    result = vm.focus(cells, vm.load_policy("search:hill-climb"))
    assert result.verdict == "aborted", result.reason
    assert toy.settings == before
    assert vm.focus(cells, vm.load_policy("search:hill-climb")).verdict == "focused"


# ---- pictures


def test_judged_regions() -> None:
    with rig(Toy(), roi=(8, 4, 16, 24)) as one:
        assert one.roi == ROI(8, 4, 16, 24)
        assert one.snap().shape == (16, 24)
    with rig(Toy(), roi="auto") as one:
        assert one.snap().shape == (32, 32)
    with pytest.raises(InputError, match="roi"):
        rig(Toy(), roi=(60, 60, 16, 16)).__enter__()


@pytest.mark.parametrize(
    "picture",
    [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros(8, np.uint8), "a picture"],
)
def test_what_is_no_picture_is_told_of(picture) -> None:
    toy = Toy()
    toy.snap = lambda: picture
    with rig(toy) as one, pytest.raises(RigError, match="expected a picture"):
        one.snap()


def test_pictures_that_never_change_are_told_of() -> None:
    toy = Toy()
    frozen = toy.snap()
    toy.snap = lambda: frozen
    with rig(toy) as one:
        for _ in range(5):
            one.snap()  # standing still, the same picture may well come again
        one.focus.move_to(1.0)
        one.snap()
        one.focus.move_to(2.0)
        with pytest.raises(RigError, match="the same to the last bit"):
            one.snap()


def test_a_window_limits_the_search_and_not_the_way_there() -> None:
    toy = Toy(at=4.0)
    changes = {"focus__backlash": 1.5, "focus__approach": "up"}
    config = rig(toy, **changes).config
    sent: list[float] = []
    move = toy.move

    def noting(target: float) -> None:
        sent.append(target)
        move(target)

    toy.move = noting
    cells = Workcells([Rig(config, connections={"toy": toy}, window=(3.0, 5.0))])
    assert cells.focus.limits == (3.0, 5.0)
    with cells:
        assert cells.focus.move_to(np.array([-9.0]), np.arange(1)) == 3.0
    assert sent == [1.5, 3.0]
    with pytest.raises(InputError, match="room for a fine step"):
        Rig(config, connections={"toy": toy}, window=(3.0, 3.1))
    with pytest.raises(InputError, match="got a window of"):
        Rig(config, connections={"toy": toy}, window=(np.nan, 3.0))


def test_an_encoder_that_trembles_is_not_at_many_places() -> None:
    toy = Toy()
    frozen = toy.snap()
    toy.snap = lambda: frozen
    with rig(toy) as one:
        for tremble in range(5):
            toy.at = 4.0 + 0.01 * tremble
            one.focus.position()
            one.snap()


@pytest.mark.parametrize("level", [0, 255])
def test_without_light_or_with_far_too_much_there_is_no_sample_and_it_is_said(level: int) -> None:
    toy = Toy()
    toy.snap = lambda: np.full((64, 64), level, np.uint8)
    for policy in ("search:brent", "search:full", "search:hill-climb"):
        result = vm.focus(Workcells([rig(toy)]), vm.load_policy(policy))
        assert result.verdict == "no_sample"
        assert "lamp, shutter, exposure" in result.reason


def test_the_time_of_a_picture_counts_beside_its_exposure() -> None:
    toy = Toy()
    toy.settings["exposure_ms"] = 2000.0
    with rig(toy, camera__timeout_ms=100.0) as one:
        assert one.timeout_ms == 2100.0
        toy.hangs["snap"] = 0.3
        one.snap()
