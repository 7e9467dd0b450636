"""Frozen dataclasses from plain JSON or TOML and back, strictly: an unknown key is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from visuomotor.errors import InputError, nearest

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

    C = TypeVar("C", bound=DataclassInstance)
else:
    C = TypeVar("C")


def to_plain(config: Any) -> Any:
    """A frozen dataclass (nested ones too) as JSON-ready dicts, lists, numbers and strings."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_plain(item) for item in config]
    if isinstance(config, Mapping):
        return {str(key): to_plain(value) for key, value in config.items()}
    return config


def from_plain(kind: type[C], values: Mapping[str, Any], where: str, base: C | None = None) -> C:
    """Build ``kind`` from ``values``; what is not named stays as in ``base`` (or its default).

    Raises InputError that names ``where`` and the field: unknown key (with the nearest known one),
    missing key, wrong type, value not among the choices.
    """
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, fields)}")
    changes = {
        key: _checked(hints[key], value, f"{where}: {key}", getattr(base, key, None))
        for key, value in values.items()
    }
    if base is not None:
        return dataclasses.replace(base, **changes)
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in changes:
            raise InputError(f"{where}: expected a key {name!r}, found none")
    return kind(**changes)


def from_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """("agent.n_step=1",) -> {"agent": {"n_step": 1}}; values are JSON, or else plain text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set: expected KEY=VALUE, got {pair!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, last = key.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise InputError(f"--set: {pair!r} goes into {parent!r}, which was set as a whole")
        inner[last] = value
    return values


def read_config_file(path: Path) -> dict[str, Any]:
    """A JSON or TOML file as a dict; InputError if it is neither."""
    if not path.is_file():
        raise InputError(f"{path}: expected a config file (.json or .toml), found none")
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:  # of either format, or of UTF-8
        raise InputError(f"{path}: expected JSON or TOML, but {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a table of keys, got {type(values).__name__}")
    return values


def _checked(hint: Any, value: Any, where: str, base: Any) -> Any:
    """``value`` as the field's type, or InputError."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a table of keys, got {value!r}")
        return from_plain(hint, value, where, base)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        rest = [choice for choice in choices if choice is not type(None)]
        return _checked(rest[0], value, where, base)
    if origin is typing.Literal:
        if value not in choices:
            raise InputError(f"{where}: got {value!r}; {nearest(str(value), map(str, choices))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where}: expected a list, got {value!r}")
        return tuple(_checked(choices[0], item, where, None) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (
        not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)
    ):
        raise InputError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def check_range(config: object, **limits: tuple[float, float]) -> None:
    """InputError for the first field of ``config`` named that is not a finite number within its
    (lowest, highest); None passes."""
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            kind = type(config).__name__.removesuffix("Config")
            upper = f" to {high:g}" if math.isfinite(high) else " or more"
            raise InputError(f"{kind}: {name}: expected {low:g}{upper}, got {value}")
