"""What benchmarks share: what a row returns, and processes of their own for what needs one."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What one row found; the command adds where and when."""

    ours: float | str | list[Any]
    unit: str
    n: int
    """Measurements behind ``ours``, their median if there are several."""
    seconds: float
    """What measuring took."""
    config: dict[str, Any]
    seeds: tuple[int, ...] = ()
    note: str = ""


class Skipped(Exception):
    """A row cannot be measured on this machine; the message says why."""


@dataclass(frozen=True)
class Times:
    """The same thing measured several times."""

    values: list[float] = field(default_factory=list)
    seconds: float = 0.0
    """What all of it took, what it is compared with included."""


def rows_of(benchmark: type) -> dict[str, str]:
    """The rows of a benchmark in the order of the file, each with the line that explains it."""
    methods = {name: value for name, value in vars(benchmark).items() if inspect.isfunction(value)}
    return {
        name: (inspect.getdoc(method) or "").partition("\n")[0]
        for name, method in methods.items()
        if not name.startswith("_")
    }


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """What ``function`` answers in a process of its own, which is started anew (spawned)."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(function, *arguments).result()
