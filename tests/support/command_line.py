"""The command line as tests call it, and a rig file to call it with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from visuomotor.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "rigs"
SIMULATED = EXAMPLES / "simulated_microscope.toml"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        main(words)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def strict(text: str) -> list[dict[str, Any]]:
    """Lines of JSON, without the numbers that JSON does not have."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def simulated(**changes: str) -> str:
    """The simulated microscope's rig file, with lines of it replaced: ``start="start = 3.0"``."""
    text = SIMULATED.read_text()
    for key, line in changes.items():
        text, count = re.subn(rf"^{key} = .*$", line, text, flags=re.M)
        assert count == 1
    return text
