"""The page about rigs, run from its first command to its last."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

import visuomotor as vm

PAGE = (Path(__file__).parents[2] / "docs" / "micromanager.md").read_text(encoding="utf-8")


def test_the_page_from_first_to_last(here: Path, capsys) -> None:
    pytest.importorskip("pymmcore_plus", reason="visuomotor[micromanager] is not installed")
    pytest.importorskip("mm_test_adapters", reason="mm-test-adapters is not installed")
    lines = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S)).splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("visuomotor")]
    assert len(commands) == 9
    assert all(line.startswith(("visuomotor ", "pip install ")) for line in lines if line)
    said = {}
    for words in commands:
        # Quick: the policy need not be the best, the way to it is what counts.
        extra = ("--set", "patience=0", "threads=1") if "train" in words else ()
        code, out, err = run(capsys, *words[1:], *extra)
        assert code == 0, (words, out, err)
        said[words[1]] = out
    assert "trained on a stack that this rig recorded" in re.sub(r"\s+", " ", said["focus"])
    assert "focused" in said["focus"]
    for start in ("-10", "25"):
        code, out, _ = run(capsys, "focus", "--rig", "demo.toml", f"--start={start}", "--json")
        answer = json.loads(out)
        assert answer["policy"].startswith("runs")
        assert abs(answer["position"]) <= 1.0, answer
    stack = vm.FocalStack.load("beads.ome.tif")
    assert (stack.num_positions, stack.unit) == (71, "um")
    assert stack.positions[[0, -1]].tolist() == [-10.0, 25.0]
    # The acquisition, in a process of its own: it takes the one core of that process.
    ((code),) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("focused") == 4


def test_every_key_of_the_page_is_one(here: Path) -> None:
    import tomllib

    from visuomotor.instruments import rig_config

    ((text),) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    tables = tomllib.loads(text)
    settings = tables.pop("micromanager")
    assert set(settings) == {"config", "adapters", "properties"}
    for part in ("camera", "focus"):
        tables[part]["driver"] = "microscope"
    config = rig_config.rig_from_plain(tables, "page", Path())
    shown = set(tables["focus"])
    assert shown == {f.name for f in rig_config.fields(config.focus)}
    assert set(tables["camera"]) == {f.name for f in rig_config.fields(config.camera)}
