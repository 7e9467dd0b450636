"""Encoders and detectors by the names of their files: no table to keep."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

from visuomotor.errors import InputError, nearest


def kinds(package: str) -> list[str]:
    """Names of the public files of a package, whether or not what they need is installed."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def build(
    package: str, what: str, name: str, weights: str | Path | None, options: dict[str, Any]
) -> Any:
    """What ``build(weights, **options)`` of the named file makes.

    InputError, which begins with ``what``, for an unknown name or option.
    """
    known = kinds(package)
    if name not in known:
        raise InputError(f"{what}: {name!r} is not known; {nearest(name, known)}")
    make = importlib.import_module(f"{package}.{name}").build
    allowed = list(inspect.signature(make).parameters)[1:]
    for option in options:
        if option not in allowed:
            raise InputError(f"{what} {name} has no option {option!r}; {nearest(option, allowed)}")
    return make(None if weights is None else Path(weights), **options)


def user_file(weights: Path | None, where: str, what: str) -> Path:
    """The user's file; InputError where none was given, or there is none."""
    if weights is None:
        raise InputError(f"{where}: expected weights, the path of {what}, got none")
    if not weights.exists():
        raise InputError(f"{where}: {weights}: expected {what}, found none")
    return weights


def no_file(weights: Path | None, where: str) -> None:
    """InputError where a file was given to what brings its own weights."""
    if weights is not None:
        raise InputError(f"{where}: expected no weights, as it brings its own, got {weights}")
