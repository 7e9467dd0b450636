"""The command line as a person uses it: what it prints, what it leaves behind, how it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from command_line import run
from toys import blur_stack, flat_stack

from visuomotor.discovery import names_in
from visuomotor.figures import tidy
from visuomotor.files import load_state, save_state
from visuomotor.vision.focus import measures
from visuomotor.zoo import default_focus

QUICK = ("positions=31", "cells=16", "steps=480", "evaluate_every=160", "warmup_steps=160")
TINY = ("agent.batch=32", "task.frame_size_px=32", "threads=1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("toy.tif", blur_stack().frames, photometric="minisblack")
    tifffile.imwrite("flat.tif", flat_stack().frames, photometric="minisblack")
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", names_in("visuomotor.commands", "command"))
def test_every_command_explains_itself(name: str, capsys) -> None:
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert f"visuomotor {name}" in out
    assert "(required)" in out or "default" in out


def test_no_words_and_version(capsys) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    assert all(name in out for name in names_in("visuomotor.commands", "command"))
    assert run(capsys, "--version")[1].strip().count(".") == 2


def test_demo_shows_a_table_and_a_picture(here: Path, capsys) -> None:
    code, out, _ = run(capsys, "demo", "--starts", "4", "--json")
    answer = json.loads(out)
    assert code == 0
    compared = set(answer["methods"]) - {"focus"}  # the default, in a version that ships it
    assert compared == {"learned", "brent", "hill-climb", "two-stage", "full sweep"}
    learned = answer["methods"]["learned"]
    assert learned["success"] == 1.0
    assert learned["exposures"] < answer["methods"]["brent"]["exposures"]
    assert answer["accuracy_every"] == 1.0
    assert answer["mean_steps_every"] <= 1.1 * answer["optimal_steps_every"]
    assert cv2.imread("demo.png") is not None
    assert files(here) == {"demo.png", "toy.tif", "flat.tif"}


def test_score_says_where_focus_is(here: Path, capsys) -> None:
    code, out, _ = run(capsys, "score", "toy.tif", "--json")
    answer = json.loads(out)
    assert (code, answer["focus"], answer["verdict"]) == (0, 12.0, "focused")
    assert len(answer["curves"]) == len(measures())
    assert answer["brightness"] == ["mean", "peak_brightness"]
    assert cv2.imread("score.png") is not None
    code, out, _ = run(capsys, "score", "toy.tif", "--measure", "brenner")
    assert code == 0
    assert "focus at 12 plane" in out


def test_brightness_has_no_say_in_where_focus_is_unless_nothing_else_is_asked(
    here: Path, capsys
) -> None:
    frames = blur_stack().frames.astype(np.float32)
    light = np.linspace(0.8, 1.2, len(frames))[:, None, None]  # brightest far from focus
    tifffile.imwrite("lit.tif", (frames * light).astype(np.uint8), photometric="minisblack")
    two = ("--measure", "mean", "tenengrad")
    _, out, _ = run(capsys, "score", "lit.tif", *two)
    assert "focus at 12 plane (1 of 1 measures" in out
    assert "measures of brightness do not count" in out
    _, out, _ = run(capsys, "score", "lit.tif", "--measure", "mean", "--json")
    answer = json.loads(out)
    assert (answer["verdict"], answer["brightness"]) == ("at_limit", [])


def test_score_of_nothing_is_no_sample(here: Path, capsys) -> None:
    code, out, _ = run(capsys, "score", "flat.tif", "--json")
    answer = json.loads(out)
    assert (code, answer["focus"], answer["verdict"]) == (1, None, "no_sample")


def test_focus_prints_verdict_position_exposures_and_draws(here: Path, capsys) -> None:
    code, out, _ = run(
        capsys, "focus", "--stack", "toy.tif", "--start", "3", "--policy", "search:brent"
    )
    assert code == 0
    for word in ("verdict:   focused", "position:  1", "exposures: ", "focus.png"):
        assert word in out
    assert cv2.imread("focus.png") is not None


def test_focus_beyond_the_stack_says_which_way(here: Path, capsys) -> None:
    tifffile.imwrite("edge.tif", blur_stack(best=0.0).frames, photometric="minisblack")
    words = ("focus", "--stack", "edge.tif", "--start", "9", "--policy", "search:brent")
    code, out, _ = run(capsys, *words, "--grow", "2", "--json")
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["direction"]) == (1, "at_limit", -1)
    assert "the range could not grow" in answer["reason"]
    _, out, _ = run(capsys, *words)
    assert "(below)" in out


def test_focus_on_nothing_says_no_sample(here: Path, capsys) -> None:
    code, out, _ = run(capsys, "focus", "--stack", "flat.tif", "--start", "3", "--json")
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["policy"]) == (1, "no_sample", default_focus()[0])


def test_train_then_focus_uses_what_was_trained(here: Path, capsys) -> None:
    words = ("train", "focus", "--stack", "toy.tif", "--set", *QUICK, *TINY)
    code, out, _ = run(capsys, *words, "--json", "--seed", "3")
    assert code in (0, 1)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["step"] for line in lines] == [160, 320, 480]
    (folder,) = (here / "runs").iterdir()
    names = files(folder)
    expected = {"config.json", "provenance.json", "metrics.jsonl", "episodes.log", "final.json"}
    assert expected | {"trainer.safetensors", "policy.safetensors"} <= names
    assert any("tfevents" in name for name in names)
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["agent"]["batch"]) == (3, 32)
    focus = ("focus", "--stack", "toy.tif", "--start", "3", "--json")
    best = max(line["accuracy"] for line in lines)
    mine, fallback = str(Path("runs") / folder.name), default_focus()[0]
    assert json.loads(run(capsys, *focus)[1])["policy"] == (mine if best == 1 else fallback)
    state = load_state(folder / "policy.safetensors")
    state["provenance"]["accuracy"] = 1.0
    save_state(folder / "policy.safetensors", state)
    assert json.loads(run(capsys, *focus)[1])["policy"] == mine
    code, out, _ = run(capsys, "evaluate", str(folder), "--on", "toy.tif", "--json")
    answer = json.loads(out)
    assert code == 0
    assert len(answer["rows"]) == 31
    assert answer["accuracy"] == pytest.approx(best), "what was saved is what was measured"
    code, out, _ = run(capsys, "train", "focus", "--resume", str(folder), "--json")
    assert (code in (0, 1), out) == (True, ""), "a finished run has nothing left to do"


def test_train_from_a_config_file(here: Path, capsys) -> None:
    Path("c.toml").write_text("steps = 160\n[agent]\nbatch = 16\n", encoding="utf-8")
    code, *_ = run(
        capsys, "train", "focus", "--stack", "toy.tif", "--config", "c.toml", "--set", *QUICK[:2],
        *TINY[1:], "evaluate_every=160", "warmup_steps=100",
    )  # fmt: skip
    assert code in (0, 1)
    (folder,) = (here / "runs").iterdir()
    assert json.loads((folder / "config.json").read_text())["agent"]["batch"] == 16


def test_evaluate_a_search_on_the_demo(here: Path, capsys) -> None:
    code, out, _ = run(capsys, "evaluate", "search:hill-climb", "--episodes", "5")
    assert code == 0
    assert "demo" in out
    assert "100.0%" in out


def test_list_and_doctor(capsys) -> None:
    _, out, _ = run(capsys, "list", "--json")
    answer = json.loads(out)
    assert "yu2018-exp1@1" in answer["policies"]
    assert answer["tasks"] == ["autofocus", "camera_control", "lens_travel"]
    assert answer["agents"] == ["dqn", "guided_q", "hierarchical", "ppo", "untried"]
    assert len(answer["measures"]) == len(measures())
    code, out, _ = run(capsys, "doctor", "--json")
    answer = json.loads(out)
    assert (code, answer["problems"]) == (0, [])


def broken(kind: str) -> str:
    """A stack that cannot be used; returns its path."""
    stack = blur_stack().frames
    folder = Path(kind)
    folder.mkdir()
    if kind == "mixed":
        cv2.imwrite("mixed/1.png", stack[0])
        cv2.imwrite("mixed/2.png", stack[0][:-2])
        cv2.imwrite("mixed/3.png", stack[0])
    elif kind == "two":
        tifffile.imwrite("two/a.tif", stack[:2], photometric="minisblack")
        return "two/a.tif"
    elif kind == "truncated":
        tifffile.imwrite("truncated/a.tif", stack, photometric="minisblack")
        content = Path("truncated/a.tif").read_bytes()
        Path("truncated/a.tif").write_bytes(content[: len(content) // 2])
        return "truncated/a.tif"
    elif kind == "nan":
        frames = stack.astype(np.float32)
        frames[0, 0, 0] = np.nan
        tifffile.imwrite("nan/a.tif", frames, photometric="minisblack")
        return "nan/a.tif"
    elif kind == "duplicate":
        for name in ("1", "01", "2"):
            cv2.imwrite(f"duplicate/{name}.png", stack[0])
    return kind


COMMANDS = [("score",), ("focus", "--stack"), ("train", "focus", "--stack")]
STACKS = {
    "empty": "expected pictures",
    "mixed": r"mixed.2\.png: expected a picture like 1\.png",
    "two": "expected at least 3 planes, got 2",
    "truncated": "truncated",
    "nan": "expected uint8 or uint16 pictures, got float32 with NaN",
    "duplicate": "positions: expected",
}


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize(
    "command", [("score",), ("focus", "--stack"), ("train", "focus", "--stack")]
)
def test_bad_stacks(here: Path, capsys, kind: str, command: tuple[str, ...]) -> None:
    path = broken(kind)
    before = files(here)
    code, out, err = run(capsys, *command, path)
    assert code == 2
    assert err.startswith("visuomotor: ")
    assert err.count("\n") == 1, "one sentence"
    assert re.search(STACKS[kind], err), err
    assert (out, files(here)) == ("", before), "nothing half-written"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("focus", "--stack", "toy.tif", "--start", "99"), "from 0 to 30 plane, got 99"),
        (("focus", "--stack", "toy.tif", "--start", "nan"), "got nan"),
        (("focus", "--stack", "toy.tif", "--fine-step", "-1"), "fine_step: expected a positive"),
        (("focus", "--stack", "toy.tif", "--roi", "0", "0", "99", "99"), "roi: expected"),
        (("focus", "--stack", "toy.tif", "--policy", "search:brend"), "brent"),
        (("focus", "--stack", "toy.tif", "--policy", "no/such"), "found none"),
        (("focus", "--stack", "toy.tif", "--policy", "yu2018-exp1@1"), "0.3 knob"),
        (("focus", "--stack", "nowhere"), "nowhere: expected a focal stack"),
        (("train", "focus"), "expected --stack PATH"),
        (("train", "focus", "--stack", "flat.tif"), "flat: no_sample"),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent.n_stepp=3"), "'n_step'"),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent.batch=many"), "expected int"),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent=3"), "expected a table"),
        (("train", "focus", "--stack", "toy.tif", "--set", "seed"), "expected KEY=VALUE"),
        (
            ("train", "focus", "--stack", "toy.tif", "--set", "cells=0"),
            "cells: expected 1 to 10000, got 0",
        ),
        (("train", "focus", "--stack", "toy.tif", "--config", "none.toml"), "expected a config"),
        (("train", "focus", "--stack", "toy.tif", "--preset", "papers"), "did you mean 'paper'"),
        (("study", "yu2019"), "did you mean 'yu2018'"),
        (("study", "yu2018", "--only", "exp9"), "part 'exp9' is not known; did you mean 'exp"),
        (("study", "yu2018", "--set", 'study="zhang2017"'), "expected a config of yu2018"),
        (("study", "yu2018", "--set", "microscope.optics.numerical_aperture=1.2"), "less than"),
        (("study", "yu2018", "--only", "exp1", "--evaluate"), "--only or --evaluate, got both"),
        (("train", "focus", "--resume", "."), "expected a run folder"),
        (("train", "focus", "--resume", ".", "--stack", "toy.tif"), "no other settings"),
        (("train", "focus", "--stack", "toy.tif", "--seed", "-1"), "seed: expected 0 or more"),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent.batch=0"), "batch: expected 1"),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent.gamma=NaN"), "gamma: expected"),
        (
            ("train", "focus", "--stack", "toy.tif", "--set", 'task.actions="position"'),
            "dqn chooses among steps",
        ),
        (
            ("train", "focus", "--stack", "toy.tif", "--set", 'task.observation=["frames"]'),
            "dqn reads 'past_actions'",
        ),
        (("train", "focus", "--stack", "toy.tif", "--set", "agent=5", "agent.batch=1"), "--set"),
        (("train", "focus", "--stack", "toy.tif", "--runs", "flat.tif"), "expected a folder"),
        (("focus", "--stack", "toy.tif", "--seed", "-1"), "seed: expected 0 or more"),
        (("focus", "--stack", "toy.tif", "--fine-step", "1e-9"), "fine_step: expected at most"),
        (("focus", "--stack", "toy.tif", "--out", "."), "got a folder"),
        (("demo", "--starts", "0"), "at least 1 start"),
        (("evaluate", "search:brent", "--episodes", "0"), "at least 1 episode"),
        (("score", "toy.tif", "--smooth-px", "-1"), "smooth_px: expected 0 to 100"),
        (("evaluate", "yu2019-exp1"), "did you mean 'yu2018-exp1"),
        (("score", "toy.tif", "--measure", "tenengrat"), "did you mean 'tenengrad'"),
    ],
)
def test_bad_words(here: Path, capsys, words: tuple[str, ...], expected: str) -> None:
    before = files(here)
    code, out, err = run(capsys, *words)
    assert code == 2, err
    assert expected in err
    assert err.count("\n") == 1, "one sentence"
    assert (out, files(here)) == ("", before), "nothing half-written"


def test_unknown_commands_and_flags_exit_with_2(capsys) -> None:
    assert run(capsys, "focuss")[0] == 2
    assert run(capsys, "score", "--no-such-flag")[0] == 2


def test_positions_are_shown_without_rounding() -> None:
    assert [f"{tidy(at):.4g}" for at in (-2.665e-15, -0.25, 1e3 + 1e-12)] == ["0", "-0.25", "1000"]
    assert np.isnan(tidy(float("nan")))
