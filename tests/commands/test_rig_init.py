"""``visuomotor rig init``: what it asks, and asks again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from command_line import run


class Terminal(io.StringIO):
    """What a person types, line by line."""

    def isatty(self) -> bool:
        return True


ANSWERS = {
    "name": "x",
    "camera.driver": "microscope",
    "camera.device": "",
    "camera.exposure_ms": "12.5",
    "camera.roi": "0, 0, 64, 64",
    "focus.driver": "",
    "focus.device": "",
    "focus.towards_sample": "up",
    "focus.soft_limits": "[-18, 18]",
    "focus.never_pass": "19",
    "focus.hard_limits": "-20, 20",
    "focus.settle_ms": "3",
    "focus.backlash": "0.6",
    "focus.approach": "down",
    "focus.fine_step": "0.8",
    "channels": '{"DAPI": 0, "Cy5": 1.4}',
    "safe.position": "-10",
}


def init(capsys: pytest.CaptureFixture[str], monkeypatch: Any, *answers: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", Terminal("".join(f"{answer}\n" for answer in answers)))
    code, out, err = run(capsys, "rig", "init", "rig.toml")
    return code, out + err


def test_init_asks_for_all_that_a_rig_needs(here: Path, capsys, monkeypatch) -> None:
    from visuomotor.instruments.rig_config import load_rig

    code, _ = init(capsys, monkeypatch, *ANSWERS.values())
    assert code == 0
    rig = load_rig("rig.toml")
    assert (rig.name, rig.camera.driver, rig.focus.driver) == ("x", "microscope", "microscope")
    assert (rig.camera.exposure_ms, rig.camera.roi) == (12.5, (0, 0, 64, 64))
    assert (rig.focus.soft_limits, rig.focus.hard_limits) == ((-18.0, 18.0), (-20.0, 20.0))
    assert (rig.focus.never_pass, rig.focus.settle_ms, rig.focus.fine_step) == (19.0, 3.0, 0.8)
    assert (rig.focus.backlash, rig.focus.approach) == (0.6, "down")
    assert (dict(rig.channels), rig.safe.position) == ({"DAPI": 0, "Cy5": 1.4}, -10.0)


def test_init_has_a_default_for_what_is_left_empty(here: Path, capsys, monkeypatch) -> None:
    from visuomotor.instruments.rig_config import load_rig

    needed = ("camera.driver", "focus.towards_sample", "focus.soft_limits", "focus.never_pass")
    answers = {key: answer if key in needed else "" for key, answer in ANSWERS.items()}
    del answers["focus.approach"]  # not asked where there is no play
    aperture = ("0.4", "", "")  # asked where the fine step is left empty
    words = list(answers.values())
    code, said = init(capsys, monkeypatch, *words[:-2], *aperture, *words[-2:])
    assert code == 0, said
    rig = load_rig("rig.toml")
    assert (rig.name, rig.fine_step) == ("my microscope", 0.55 / 0.4**2 / 4)
    assert (rig.camera.exposure_ms, rig.focus.hard_limits, rig.safe.position) == (None, None, None)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"focus.soft_limits": "18, -18"}, "expected the lower one first"),
        ({"focus.soft_limits": "a lot"}, "soft_limits: expected a list, got 'a lot'"),
        ({"focus.hard_limits": "-9, 9"}, "expected them within focus: hard_limits"),
        ({"camera.roi": "0, 0, 64"}, "roi: expected 4 whole numbers"),
        ({"safe.position": "30"}, "safe: position: expected -18 to 18"),
        ({"channels": '{"Cy5": "far"}'}, "channels: Cy5: expected a distance"),
        ({"focus.fine_step": "300"}, "fine_step: expected at most the range"),
    ],
)
def test_init_asks_again_for_what_is_wrong_and_keeps_the_rest(
    here: Path, capsys, monkeypatch, wrong: dict[str, str], sentence: str
) -> None:
    """The table's other answers are the defaults of the second time."""
    from visuomotor.instruments.rig_config import load_rig

    init(capsys, monkeypatch, *ANSWERS.values())
    right = load_rig("rig.toml")
    Path("rig.toml").unlink()
    ((key, _),) = wrong.items()
    table = key.partition(".")[0]
    asked = [k for k in ANSWERS if k.partition(".")[0] == table]
    named = {key, "focus.soft_limits"} if "within" in sentence else {key}
    second = [ANSWERS[k] if k in named else "" for k in asked]
    first = ANSWERS | wrong
    keys = list(ANSWERS)
    between = key in ("focus.fine_step", "safe.position", "channels")
    end = len(keys) if between else keys.index(asked[-1]) + 1
    words = list(first.values())
    code, said = init(capsys, monkeypatch, *words[:end], *second, *words[end:])
    assert code == 0, said
    assert sentence in said
    assert load_rig("rig.toml") == right


def test_init_without_a_terminal_does_not_ask_twice(here: Path, capsys, monkeypatch) -> None:
    wrong = ANSWERS | {"focus.soft_limits": "18, -18"}
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(wrong.values())))
    code, _, err = run(capsys, "rig", "init", "rig.toml")
    assert code == 2
    assert "expected the lower one first" in err
    assert list(here.iterdir()) == []
