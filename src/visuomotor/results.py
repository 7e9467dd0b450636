"""Result files: one row for each number that was measured, and all that is needed to repeat it.

    [{"metric": ..., "paper": ..., "ours": ..., "unit": ..., "n": ..., "seeds": [...],
      "config": {...}, "command": ..., "commit": ..., "machine": ..., "seconds": ..., "note": ...}]

A metric has one row in a file; measuring it again replaces that row and leaves the others alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visuomotor.configs import to_plain
from visuomotor.errors import InputError, nearest
from visuomotor.files import write_atomically

Value = float | str | list[Any]
"""What a row holds: a number, a word, or a list of them (one for each seed, for instance)."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measured number and where it comes from. InputError if a field is not what it says."""

    metric: str
    """Its name: the key by which rows are replaced."""
    paper: Value | None = None
    """What the paper reports, where there is a paper."""
    ours: Value
    unit: str
    n: int | None = None
    """Of how many measurements, episodes or runs ``ours`` is made."""
    seeds: tuple[int, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    """Everything that was set, JSON-ready."""
    command: str
    """What to type to measure it again."""
    commit: str | None
    machine: str
    seconds: float | None = None
    """What measuring took."""
    note: str = ""
    """What the number leaves out, in a sentence."""

    def __post_init__(self) -> None:
        for key, kinds in _KINDS.items():
            value = getattr(self, key)
            if not _is_one_of(value, kinds):
                words = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
                raise InputError(f"result {self.metric!r}: {key}: expected {words}, got {value!r}")
        if not self.metric:
            raise InputError("result: metric: expected a name, got an empty one")
        if not all(_is_one_of(seed, (int,)) for seed in self.seeds):
            raise InputError(f"result {self.metric!r}: seeds: expected integers, got {self.seeds}")


_VALUE = (float, int, str, list)
_KINDS: dict[str, tuple[type, ...]] = {
    "metric": (str,),
    "paper": (*_VALUE, type(None)),
    "ours": _VALUE,
    "unit": (str,),
    "n": (int, type(None)),
    "seeds": (tuple,),
    "config": (dict,),
    "command": (str,),
    "commit": (str, type(None)),
    "machine": (str,),
    "seconds": (float, int, type(None)),
    "note": (str,),
}
_OPTIONAL = ("paper", "n", "seeds", "config", "seconds", "note")


def read(path: Path) -> list[Result]:
    """The rows of a result file, in its order; none where there is no file.

    InputError names the file, the row and the field that is not as it should be.
    """
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a result file (JSON), but {error}") from None
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of rows, got {type(content).__name__}")
    rows = [_row(values, f"{path}: row {number}") for number, values in enumerate(content)]
    names = [row.metric for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: expected one row for each metric, got several of {name!r}")
    return rows


def merge(path: Path, rows: Sequence[Result]) -> list[Result]:
    """Put ``rows`` into the file: each replaces the row of its metric, or goes to the end.

    The file is written whole or not at all, and made if it is not there. A broken file is refused
    and left as it is. Returns what the file holds now.
    """
    merged = {row.metric: row for row in read(path)} | {row.metric: row for row in rows}
    try:
        text = json.dumps([to_plain(row) for row in merged.values()], indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: expected plain numbers and words in each row; {error}") from None
    write_atomically(path, (text + "\n").encode())
    return list(merged.values())


def _row(values: Any, where: str) -> Result:
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: expected a table of keys, got {values!r}")
    known = [f.name for f in dataclasses.fields(Result)]
    for key in values:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
    for key in known:
        if key not in values and key not in _OPTIONAL:
            raise InputError(f"{where}: expected a {key!r}, found none")
    seeds = values.get("seeds", [])
    if not isinstance(seeds, list):
        raise InputError(f"{where}: seeds: expected a list, got {seeds!r}")
    try:
        return Result(**{**values, "seeds": tuple(seeds)})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """A truth value is no number here, and a number is finite."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    return isinstance(value, kinds)
