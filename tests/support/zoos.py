"""A zoo with, and one without, a policy for views never seen, whatever ships with this version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from visuomotor import zoo

STAND_IN = "yu2018-exp1@1"
"""What is shipped as ``focus`` here: it knows the demo's view."""


def zoo_without_focus(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir()
    for name in zoo.names():
        if not name.startswith(f"{zoo.GENERAL}@"):
            for suffix in (".json", ".safetensors"):
                shutil.copy(zoo.FOLDER / f"{name}{suffix}", folder)
    monkeypatch.setattr(zoo, "FOLDER", folder)


def zoo_with_focus(monkeypatch: pytest.MonkeyPatch, folder: Path, *versions: int) -> None:
    zoo_without_focus(monkeypatch, folder)
    for version in versions or (1,):
        name = f"{zoo.GENERAL}@{version}"
        shutil.copy(folder / f"{STAND_IN}.safetensors", folder / f"{name}.safetensors")
        card = json.loads((folder / f"{STAND_IN}.json").read_text())
        card |= {"name": name, "summary": "a stand-in"}
        (folder / f"{name}.json").write_text(json.dumps(card))
