"""Policies by name: the trained ones that ship here, classical searches, run folders, files.

Each shipped policy is three things that never change: ``name@version.safetensors``, its card
``name@version.json`` (what it is, what it was trained on, its numbers, its sha256), and its name.
``name`` alone is the newest version.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from visuomotor.agents.base import Policy
from visuomotor.agents.search import SearchPolicy, searches
from visuomotor.errors import InputError, nearest

FOLDER = Path(__file__).resolve().parent
SEARCH_PREFIX = "search:"
GENERAL = "focus"
"""The shipped policy for views that it never saw."""


def names() -> list[str]:
    """Every shipped policy as ``name@version``, oldest version first."""
    found = [path.name.removesuffix(".safetensors") for path in FOLDER.glob("*@*.safetensors")]
    return sorted(found, key=lambda name: (_base(name), _version(name)))


def card(name: str) -> dict[str, Any]:
    """What is known of a shipped policy."""
    text = (FOLDER / f"{resolve(name)}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def resolve(name: str) -> str:
    """``name@version`` of a shipped policy; a bare name is its newest version."""
    known = names()
    if name in known:
        return name
    versions = [item for item in known if _base(item) == name]
    if not versions:
        raise InputError(f"policy {name!r} is not known; {nearest(name, _choices())}")
    return versions[-1]


def path_of(name: str) -> Path:
    """The file of a shipped policy, its sha256 checked against the card."""
    full = resolve(name)
    path = FOLDER / f"{full}.safetensors"
    expected = card(full)["sha256"]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise InputError(f"{path}: expected sha256 {expected}, got {found}: the file was changed")
    return path


def default_focus() -> tuple[str, str]:
    """The policy that focuses where nobody chose one and none was trained for the view, and why:
    the newest shipped ``focus``, or Brent's search in a version that has none."""
    versions = [name for name in names() if _base(name) == GENERAL]
    if versions:
        return versions[-1], "it is for views that it never saw"
    return f"{SEARCH_PREFIX}brent", "no policy for views never seen ships with this version"


def load_policy(name: str | Path) -> Policy:
    """A policy by name.

    ``"search:brent"`` and its like, a shipped policy (``"yu2018-exp1"``), a run folder, or a
    checkpoint file. InputError with the nearest known name otherwise.
    """
    text = str(name)
    if text.startswith(SEARCH_PREFIX):
        return SearchPolicy(text.removeprefix(SEARCH_PREFIX))
    from visuomotor.checkpoint import load_checkpoint

    return load_checkpoint(file_of(name)).policy


def file_of(name: str | Path) -> Path:
    """The file of a trained policy: a shipped one, that of a run folder, or a checkpoint file.

    InputError with the nearest known name otherwise.
    """
    path = Path(name)
    if path.is_dir():
        path = path / "policy.safetensors"
        if not path.is_file():
            raise InputError(f"{name}: expected a run folder with a policy.safetensors, found none")
    elif not path.is_file():
        if path.suffix or len(path.parts) > 1:
            raise InputError(f"{name}: expected a run folder or a checkpoint file, found none")
        path = path_of(str(name))
    return path


def _choices() -> list[str]:
    bases = {_base(name) for name in names()}
    return sorted(bases) + names() + [SEARCH_PREFIX + search for search in searches()]


def _base(name: str) -> str:
    return name.rpartition("@")[0]


def _version(name: str) -> int:
    return int(name.rpartition("@")[2])
