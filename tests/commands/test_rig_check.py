"""``visuomotor rig check``: what it finds, and that it leaves the rig as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import EXAMPLES, SIMULATED, run, simulated, strict

from visuomotor.errors import RigError
from visuomotor.instruments.drivers.microscope import SimulatedRig


def test_a_check_finds_play_and_says_what_to_do(here: Path, capsys) -> None:
    text = (
        SIMULATED.read_text()
        .replace("start = 11.0", "start = 1.0")
        .replace("play = 0.4", "play = 2.4")
    )
    text = text.replace("backlash = 0.6", "backlash = 0.0").replace(
        'approach = "up"', 'approach = "any"'
    )
    Path("rig.toml").write_text(text)
    code, out, _ = run(capsys, "rig", "check", "rig.toml", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    by_name = {f.get("name"): f for f in found}
    assert code == 0
    assert by_name["backlash"]["grade"] == "look"
    assert abs(by_name["backlash"]["value"]) == pytest.approx(2.4, abs=0.5)
    assert by_name["pictures follow"]["grade"] == "good"
    assert found[-1] == {"verdict": "works; see to: backlash", "fit": True}


def test_a_check_of_nothing_to_see(here: Path, capsys) -> None:
    flat = np.random.default_rng(0).normal(100, 2, (9, 64, 64)).astype(np.uint8)
    same = np.repeat(flat[:1], 9, 0)
    tifffile.imwrite("stack.ome.tif", same, photometric="minisblack", metadata={"axes": "ZYX"})
    text = (EXAMPLES / "recorded_stack.toml").read_text()
    Path("rig.toml").write_text(text.replace("[0.0, 40.0]", "[0.0, 8.0]"))
    code, out, _ = run(capsys, "rig", "check", "rig.toml")
    assert code == 1
    assert "not fit" in out


def test_a_dry_check_moves_nothing_whatever_the_safe_position(here: Path, capsys, moves) -> None:
    Path("rig.toml").write_text(simulated(shutter='shutter = "closed"\nposition = 2.0'))
    assert run(capsys, "rig", "check", "rig.toml", "--dry-run")[0] == 0
    assert moves == []
    assert run(capsys, "rig", "check", "rig.toml")[0] == 0
    assert moves[-1] == 2.0


@pytest.mark.parametrize("start", [-19.0, 19.0])
def test_a_drive_outside_its_limits_is_a_persons_business(
    here: Path, capsys, moves, start: float
) -> None:
    Path("rig.toml").write_text(simulated(start=f"start = {start}"))
    for words in (("--dry-run",), ()):
        code, out, _ = run(capsys, "rig", "check", "rig.toml", "--json", *words)
        found = {f.get("name"): f for f in strict(out)}
        assert code == 1
        assert found["position"]["grade"] == "bad"
        assert "move it inside by hand" in found["position"]["text"]
        assert "picture" in found
        assert "move" not in found
    code, _, err = run(capsys, "record", "--rig", "rig.toml")
    assert code == 2
    assert f"within its limits -18 to 18 um, it stands at {start:g}" in err
    assert moves == []
    assert [p.name for p in here.iterdir()] == ["rig.toml"]


@pytest.mark.parametrize(
    ("approach", "start", "room"),
    [("up", -18.0, (-14.0, 18.0)), ("down", 18.0, (-18.0, 14.0)), ("up", 17.0, (-14.0, 18.0))],
)
def test_a_check_leaves_room_to_take_up_backlash(
    here: Path, capsys, monkeypatch, approach: str, start: float, room: tuple[float, float]
) -> None:
    from visuomotor.instruments.limits import LimitedAxis

    targets: list[float] = []
    move_to = LimitedAxis.move_to

    def noting(self: LimitedAxis, target: float) -> float:
        targets.append(target)
        return move_to(self, target)

    monkeypatch.setattr(LimitedAxis, "move_to", noting)
    changes = {"start": f"start = {start}", "backlash": "backlash = 4.0"}
    Path("rig.toml").write_text(simulated(**changes, approach=f'approach = "{approach}"'))
    assert run(capsys, "rig", "check", "rig.toml")[0] == 0
    *measured, last = targets
    assert last == start
    assert len(set(measured)) > 10
    assert min(measured) >= room[0]
    assert max(measured) <= room[1]


def test_a_check_without_room_moves_nothing_and_says_so(here: Path, capsys, moves) -> None:
    changes = {"soft_limits": "soft_limits = [8.0, 18.0]", "backlash": "backlash = 9.0"}
    Path("rig.toml").write_text(simulated(**changes))
    code, out, _ = run(capsys, "rig", "check", "rig.toml", "--json")
    found = strict(out)
    assert code == 0
    assert found[-2]["name"] == "room"
    assert found[-1] == {"verdict": "works; see to: room", "fit": True}
    assert moves == []


def test_numbers_that_json_does_not_have_are_null(here: Path, capsys, monkeypatch) -> None:
    ramp = np.linspace(0, 200, 64 * 64).reshape(64, 64)
    frames = np.stack([ramp * (9 - n) / 9 for n in range(9)]).astype(np.uint8)
    tifffile.imwrite("stack.ome.tif", frames, photometric="minisblack", metadata={"axes": "ZYX"})
    text = (EXAMPLES / "recorded_stack.toml").read_text()
    Path("rig.toml").write_text(text.replace("[0.0, 40.0]", "[0.0, 8.0]"))
    _, out, _ = run(capsys, "rig", "check", "rig.toml", "--json")
    found = {f.get("name"): f for f in strict(out)}
    assert found["pictures follow"]["value"] is None  # a recording has no noise: infinitely much

    def dead(self: object) -> float:
        raise RigError("the drive is gone")

    monkeypatch.setattr("visuomotor.instruments.drivers.recording.RecordedRig.read", dead)
    code, out, _ = run(capsys, "focus", "--rig", "rig.toml", "--json")
    assert code == 1
    (answer,) = strict(out)
    assert answer["verdict"] == "error"
    assert answer["position"] is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_a_check_that_cannot_be_printed_puts_the_rig_back(
    here: Path, capsys, moves, monkeypatch, stop: type[BaseException]
) -> None:
    """Be it Ctrl-C or a full disk, and even while somebody holds on to the exception."""
    Path("rig.toml").write_text(simulated(start="start = 3.0"))
    put_back: list[object] = []

    def no_room(self: object, text: str, *_: object) -> None:
        if "backlash" in text:
            raise stop("no room")

    def restore(self: object, found: object) -> None:
        put_back.append(found)
        raise RigError("the camera is gone")

    monkeypatch.setattr("rich.console.Console.print", no_room)
    monkeypatch.setattr(SimulatedRig, "restore", restore)
    words = ("rig", "check", "rig.toml")
    if stop is OSError:
        with pytest.raises(OSError, match="no room"):
            run(capsys, *words)
    else:
        code, _, err = run(capsys, *words)
        assert code == 130
        assert err.startswith("visuomotor: stopped; ")
        assert "could not be left as it was found: the camera is gone" in err
        assert len(err.splitlines()) == 1
    assert moves[-1] == 3.0
    assert len(put_back) == 1


@pytest.mark.parametrize("words", [("rig", "check"), ("record", "--rig")])
def test_what_could_not_be_put_back_is_told_behind_the_error(
    here: Path, capsys, monkeypatch, words: tuple[str, ...]
) -> None:
    Path("rig.toml").write_text(simulated())

    def dead(self: object, *_: object) -> None:
        raise RigError("the camera is gone")

    monkeypatch.setattr(SimulatedRig, "snap", dead)
    monkeypatch.setattr(SimulatedRig, "restore", dead)
    code, out, err = run(capsys, *words, "rig.toml")
    assert code == 1
    assert "the camera is gone; " in out + err
    assert "could not be left as it was found: the camera is gone" in out + err
