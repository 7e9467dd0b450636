"""Rigs side by side."""

from __future__ import annotations

import _thread
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_instrument import Steps
from toy_rig import Toy, rig

import visuomotor as vm
from visuomotor.errors import InputError
from visuomotor.instruments.recording import record
from visuomotor.instruments.workcells import Workcells, open_rig
from visuomotor.vision.transforms import percentile_range

EXAMPLES = Path(__file__).parents[2] / "examples" / "rigs"
pytestmark = pytest.mark.usefixtures("toy_driver")


def test_focusing_a_rig_from_python() -> None:
    toy = Toy(at=7.0)
    before = dict(toy.settings)
    result = vm.focus(Workcells([rig(toy)]), vm.load_policy("search:brent"))
    assert result.verdict == "focused"
    assert abs(toy.at) < 0.5
    assert (result.start, result.position) == (7.0, toy.at)
    assert toy.settings == before


def test_a_rig_outside_its_limits_is_not_moved_without_a_word() -> None:
    toy = Toy(at=15.0)
    with pytest.raises(InputError, match="stands at 15 um, outside its limits -10 to 10"):
        vm.focus(Workcells([rig(toy)]), vm.load_policy("search:brent"))
    assert toy.at == 15.0


def test_a_stage_that_sticks_within_its_tolerance_is_found_out() -> None:
    toy = Toy(at=4.0)
    toy.move = lambda target: None
    result = vm.focus(Workcells([rig(toy)]), Steps(*[3] * 9))  # a fine step each, as the tolerance
    assert (result.verdict, result.position, len(result.curve)) == ("error", 4.0, 3)
    assert "the focus axis did not move, 3 times in a row: sent to 3.5 um" in result.reason


def test_a_camera_that_repeats_itself_within_the_tolerance_is_found_out() -> None:
    toy = Toy(at=4.0)
    frozen = toy.snap()
    toy.snap = lambda: frozen
    coarse = rig(toy, focus__tolerance=3.0)  # its own guard looks only that far apart
    result = vm.focus(Workcells([coarse]), Steps(*[3] * 9))
    assert (result.verdict, result.position, toy.at) == ("error", 4.0, 4.0)
    assert "the camera repeats one picture" in result.reason


def test_the_windows_of_several_rigs_do_not_grow() -> None:
    cells = Workcells([rig(Toy(), name=f"rig {n}") for n in range(2)])
    with pytest.raises(InputError, match="grow: expected one rig, got 2"):
        cells.grow(1)


def test_one_rig_that_fails_does_not_stop_the_others() -> None:
    toys = [Toy(at=5.0), Toy(at=6.0), Toy(at=-5.0)]

    class Fails(Toy):
        def snap(self):
            if self.at != 6.0:
                raise OSError("shutter stuck")
            return super().snap()

    toys[1] = Fails(at=6.0)
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert [str(r.verdict) for r in results] == ["focused", "error", "focused"]
    assert "shutter stuck" in results[1].reason
    assert results[1].exposures == 2, "the first, and that after the way back"
    assert abs(toys[0].at) <= 1.0
    assert abs(toys[2].at) <= 1.0


@pytest.mark.parametrize("when", ["found", "restore"])
def test_one_rig_that_fails_in_coming_or_going_does_not_spoil_the_others(when: str) -> None:
    toys = [Toy(at=5.0), Toy(at=6.0), Toy(at=-5.0)]
    toys[1].broken.add(when)
    before = dict(toys[0].settings)
    cells = Workcells(
        [rig(toy, name=f"rig {n}", camera__exposure_ms=3.0) for n, toy in enumerate(toys)]
    )
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert [str(r.verdict) for r in results] == ["focused", "error", "focused"]
    assert f"no answer to {when}" in results[1].reason
    assert [toy.settings for toy in (toys[0], toys[2])] == [before, before]
    if when == "found":
        assert results[1].curve == ()
        assert np.isnan(results[1].position)
    toys[1].broken.clear()
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"), start=[5.0, 6.0, 5.0])
    assert [str(r.verdict) for r in results] == ["focused"] * 3, [r.reason for r in results]


def test_one_rig_outside_its_limits_does_not_spoil_the_others() -> None:
    toys = [Toy(at=5.0), Toy(at=16.0)]
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert [str(r.verdict) for r in results] == ["focused", "error"]
    assert "stands at 16 um" in results[1].reason
    assert toys[1].at == 16.0


def test_all_rigs_that_fail_to_open_are_an_error_each() -> None:
    toys = [Toy(), Toy()]
    for toy in toys:
        toy.broken.add("found")
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert [str(r.verdict) for r in results] == ["error", "error"]
    assert "no answer to found" in results[1].reason


def test_the_rig_that_fails_goes_back_to_its_sharpest_and_no_look_is_made_up() -> None:
    class Fails(Toy):
        def snap(self):
            if self.calls.count("snap") == 4:
                self.calls.append("snap")
                raise OSError("shutter stuck")
            return super().snap()

    toys = [Toy(at=5.0), Fails(at=6.0)]
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    _, bad = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert bad.verdict == "error"
    assert bad.returned
    sharpest = max(bad.curve, key=lambda look: look[1])[0]
    assert toys[1].at == bad.position == sharpest
    assert bad.exposures == len(bad.curve) == 5  # four, and one on the way back
    assert all(position != 0.0 or sharpness > 0 for position, sharpness in bad.curve)


def test_a_rig_that_is_done_is_asked_nothing_more_until_the_end() -> None:
    toys = [Toy(at=0.0), Toy(at=9.0)]
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    results = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert [str(r.verdict) for r in results] == ["focused"] * 2
    assert toys[0].calls.count("read") <= 3 * results[0].exposures + 8
    assert results[1].exposures > results[0].exposures


def test_where_a_rig_stands_that_no_longer_answers_is_not_guessed() -> None:
    toys = [Toy(at=5.0), Toy(at=6.0)]

    def gone(target: float) -> None:
        toys[1].broken |= {"read", "snap", "move"}
        raise OSError("unplugged")

    toys[1].move = gone
    cells = Workcells([rig(toy, name=f"rig {n}") for n, toy in enumerate(toys)])
    good, bad = vm.focus_cells(cells, vm.load_policy("search:hill-climb"))
    assert (str(good.verdict), str(bad.verdict)) == ("focused", "error")
    assert np.isnan(bad.position)


def test_ctrl_c_halts_every_rig_before_any_is_waited_for() -> None:
    toys = [Toy(at=5.0), Toy(at=6.0)]
    cells = Workcells(
        [rig(toy, name=f"rig {n}", focus__settle_ms=60_000.0) for n, toy in enumerate(toys)]
    )
    threading.Timer(0.7, _thread.interrupt_main).start()
    with cells, pytest.raises(KeyboardInterrupt):
        cells.focus.move_to(np.array([1.0, 2.0]), np.arange(2))
    assert [toy.calls.count("halt") for toy in toys] == [1, 1], "in the middle of settling"
    assert not any(one.stop.is_set() for one in cells.rigs)


class Learned:
    """A policy that learned with these grey levels."""

    def __init__(self, levels: tuple[float, float]) -> None:
        self._policy = vm.load_policy("search:hill-climb")
        kept = {**self._policy.spec.config, "display_range": list(levels)}
        self.spec = replace(self._policy.spec, config=kept)
        self.begin, self.act = self._policy.begin, self._policy.act


def test_grey_levels_that_the_camera_does_not_have_are_refused() -> None:
    cells = Workcells([rig(Toy())])
    with pytest.raises(InputError, match=r"levels 1000 to 2000, but this camera has 0 to 255"):
        vm.focus(cells, Learned((1000.0, 2000.0)))
    assert vm.focus(cells, Learned((30.0, 200.0))).verdict == "focused"
    assert vm.focus(cells, Learned((0.0, 4095.0))).verdict == "focused"


def test_grey_levels_that_the_owner_chose_go_before_those_that_were_learned() -> None:
    cells = Workcells([rig(Toy(), camera__display_range=[10.0, 210.0])])
    assert cells.reading["display_range"] == (10.0, 210.0)
    assert vm.focus(cells, Learned((1000.0, 2000.0))).verdict == "focused"


def test_a_stack_has_the_grey_levels_of_the_rig_that_recorded_it(tmp_path: Path) -> None:
    chosen = {"camera__display_range": [10.0, 210.0]}
    record(rig(Toy(), **chosen), np.linspace(-4, 4, 5), tmp_path / "chosen.ome.tif")
    record(rig(Toy()), np.linspace(-4, 4, 5), tmp_path / "found.ome.tif")
    stack = vm.FocalStack.load(tmp_path / "chosen.ome.tif")
    assert stack.display_range == stack.resample(9).display_range == (10.0, 210.0)
    assert stack.between(-2, 2).display_range == (10.0, 210.0)
    found = vm.FocalStack.load(tmp_path / "found.ome.tif")
    assert found.display_range == percentile_range(found.frames)


def test_rigs_side_by_side_must_be_alike() -> None:
    with pytest.raises(InputError, match="expected one fine step"):
        Workcells([rig(Toy()), rig(Toy(), focus__fine_step=1.0)])
    with pytest.raises(InputError, match="at least one rig"):
        Workcells([])


def test_the_simulated_example_focuses() -> None:
    result = vm.focus(
        open_rig(EXAMPLES / "simulated_microscope.toml"), vm.load_policy("search:brent")
    )
    assert result.verdict == "focused"
    assert abs(result.position) < 1.5
