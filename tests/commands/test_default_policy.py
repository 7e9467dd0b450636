"""What focuses where nobody chose a policy: with and without a shipped one for views never seen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import SIMULATED, run
from zoos import STAND_IN, zoo_with_focus, zoo_without_focus

import visuomotor as vm
from visuomotor import zoo

NONE_SHIPS = "no policy for views never seen ships with this version"


def test_the_default_is_the_newest_shipped_one_or_a_search(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        zoo_without_focus(patch, tmp_path / "without")
        name, why = zoo.default_focus()
        assert (name, why) == ("search:brent", NONE_SHIPS)
        assert vm.load_policy(name).spec.task == "autofocus"
    zoo_with_focus(monkeypatch, tmp_path / "with", 2, 10, 1)
    # One for steps of several scales is none for what "focus" is asked for.
    for suffix in (".json", ".safetensors"):
        (zoo.FOLDER / f"focus-multiscale@11{suffix}").touch()
    name, why = zoo.default_focus()
    assert name == "focus@10" == zoo.resolve("focus")
    assert "never saw" in why
    assert vm.load_policy(name).spec == vm.load_policy(STAND_IN).spec


@pytest.mark.parametrize("on", [("--stack", "demo"), ("--rig", str(SIMULATED))])
def test_focus_takes_the_default_and_says_why(here: Path, capsys, monkeypatch, on) -> None:
    words = ("focus", *on, "--dry-run")
    for number, (make, name, why) in enumerate(
        [(zoo_without_focus, "search:brent", NONE_SHIPS), (zoo_with_focus, "focus@1", "it is for")]
    ):
        with monkeypatch.context() as patch:
            make(patch, here / f"zoo-{number}")
            code, out, _ = run(capsys, *words)
            said = re.sub(r"\s+", " ", out)
            assert code == 0
            assert f"would focus with {name} (no run was trained on " in said
            assert f"to full success; {why}" in said
            _, out, _ = run(capsys, *words, "--policy", "search:hill-climb")
            assert "would focus with search:hill-climb (as asked)" in re.sub(r"\s+", " ", out)


def test_focus_with_the_shipped_policy_needs_no_training(here: Path, capsys, monkeypatch) -> None:
    zoo_with_focus(monkeypatch, here / "zoo")
    code, out, _ = run(capsys, "focus", "--stack", "demo", "--start", "60", "--json")
    answer = json.loads(out)
    assert (code, answer["policy"], answer["verdict"]) == (0, "focus@1", "focused")
    assert not Path("runs").exists()


def test_the_demo_compares_the_default_first_where_it_ships(here, capsys, monkeypatch) -> None:
    from visuomotor.commands import demo

    few = {name: demo.METHODS[name] for name in ("learned", "brent")}
    monkeypatch.setattr(demo, "METHODS", few)
    monkeypatch.setattr(demo, "_every_start", lambda *_: EVERY_START)
    with monkeypatch.context() as patch:
        zoo_without_focus(patch, here / "without")
        assert demo._methods() == few
    zoo_with_focus(monkeypatch, here / "with")
    code, out, _ = run(capsys, "demo", "--starts", "1")
    assert code == 0
    rows = re.findall(r"^\W*(focus|learned|brent) .* ([\d.]+) .* [\d.]+ .* [\d.]+\W*$", out, re.M)
    assert [name for name, _ in rows] == ["focus", "learned", "brent"]
    focus, learned, brent = (float(exposures) for _, exposures in rows)
    assert focus == learned < brent  # the stand-in is the learned one
    assert "focus is focus@1: a stand-in" in out


EVERY_START = {
    "starts_every": 131,
    "accuracy_every": 1.0,
    "mean_steps_every": 4.8,
    "optimal_steps_every": 4.7,
}
