"""Changing one number in a rig file that a person wrote, comments and order left as they are."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visuomotor.errors import InputError
from visuomotor.files import write_atomically

_FINE_STEP = re.compile(r"(\s*(?:focus\s*\.\s*)?fine_step\s*=\s*)[^#\s]+(.*)", re.DOTALL)
_FOCUS = re.compile(r"""\s*\[\s*(["']?)focus\1\s*\]\s*(?:#.*)?$""")
_TABLE = re.compile(r"\s*\[")
_EMPTY = re.compile(r"\s*(?:#.*)?$")


def set_fine_step(path: Path, step: float, dry_run: bool = False) -> None:
    """Set ``fine_step`` in table [focus] of a rig file, TOML or JSON: the file is whole at every
    moment, and all else in it stays. dry_run: only find out whether that can be done.

    InputError for a file that cannot be written, or in which the place was not found.
    """
    try:
        text = path.read_bytes().decode()
        changed = _in_toml(text, step) if path.suffix == ".toml" else _in_json(text, step)
    except (OSError, ValueError) as error:  # ValueError: of UTF-8, TOML or JSON
        raise InputError(f"{path}: expected a rig file to change, but {error}") from None
    if changed is None:
        raise InputError(
            f"{path}: expected a table [focus] to put fine_step = {step!r} into; do it by hand"
        )
    if dry_run:
        return
    try:  # where the name is a link, the file that it leads to is replaced
        write_atomically(path.resolve(), changed.encode())
    except OSError as error:
        raise InputError(f"{path}: expected a rig file to write, but {error}") from None


def _in_json(text: str, step: float) -> str:
    return json.dumps(_changed(json.loads(text), step), indent=2) + "\n"


def _in_toml(text: str, step: float) -> str | None:
    """The first way of writing it that says that and nothing else; None if there is none."""
    wanted = _changed(tomllib.loads(text), step)
    for candidate in _candidates(text.splitlines(keepends=True), repr(step)):
        try:
            if tomllib.loads(candidate) == wanted:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    return None


def _candidates(lines: list[str], step: str) -> Iterator[str]:
    """Texts with the number in place of an old one, at the end of the table, or at its beginning.
    Which lines are what they look like is not known here: they may be parts of longer values."""
    for number, line in enumerate(lines):
        found = _FINE_STEP.fullmatch(line)
        if found:
            yield "".join([*lines[:number], f"{found[1]}{step}{found[2]}", *lines[number + 1 :]])
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    for header in (number for number, line in enumerate(lines) if _FOCUS.match(line)):
        behind = range(header + 1, len(lines))
        end = next((number for number in behind if _TABLE.match(lines[number])), len(lines))
        while end > header + 1 and _EMPTY.match(lines[end - 1]):
            end -= 1
        for place in (end, header + 1):
            before = "".join(lines[:place])
            before += "" if before.endswith("\n") else ending
            yield before + f"fine_step = {step}{ending}" + "".join(lines[place:])


def _changed(values: Any, step: float) -> Any:
    """Values of a rig file with another fine step."""
    focus = values.get("focus") if isinstance(values, dict) else None
    if not isinstance(focus, dict):
        raise ValueError("it has no table [focus]")
    return {**values, "focus": {**focus, "fine_step": step}}
