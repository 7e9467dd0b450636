"""What searches share: where they may look, what they have seen, and evenly spaced positions."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from numbers import Real

from visuomotor.errors import InputError

Search = Generator[float, float, float]
"""Yields positions, receives sharpness, returns where to end."""


@dataclass(frozen=True)
class Span:
    """Where a search may look and what is known before it: all in the axis' unit."""

    low: float
    high: float
    start: float
    fine_step: float
    sharpness_start: float

    def __post_init__(self) -> None:
        if not (-math.inf < self.low <= self.high < math.inf and math.isfinite(self.start)):
            raise InputError(f"limits must be finite and ascending, and start finite, not {self}")
        if not (math.isfinite(self.fine_step) and self.fine_step > 0):
            raise InputError(f"fine_step must be a finite number above 0, not {self.fine_step}")

    def clip(self, position: float) -> float:
        return min(max(position, self.low), self.high)


class Seen:
    """Everything looked at so far, the start included."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.best = self.last = span.clip(span.start)
        self.sharpest = -math.inf
        self._known: dict[int, float] = {}
        if math.isfinite(span.sharpness_start):
            self.sharpest = span.sharpness_start
            self._known[self._key(span.start)] = span.sharpness_start

    def look(self, position: float) -> Search:
        """Look there and remember; what is not finite is never the best."""
        position = self.span.clip(position)
        sharpness = yield position
        self.last = position
        self._known[self._key(position)] = sharpness
        if math.isfinite(sharpness) and sharpness > self.sharpest:
            self.best, self.sharpest = position, sharpness
        return sharpness

    def visit(self, position: float) -> Search:
        """Look there, or recall what was seen there."""
        key = self._key(self.span.clip(position))
        for known in (key, key - 1, key + 1):
            if known in self._known:
                return self._known[known]
        return (yield from self.look(position))

    def _key(self, position: float) -> int:
        """Millionths of a fine step: positions that differ by rounding only are one place."""
        return round((position - self.span.low) / self.span.fine_step * 1e6)


def steps_between(low: float, high: float, step: float) -> int:
    """How many steps it takes to cover the way; rounding never adds one."""
    return math.ceil((high - low) / step - 1e-9)


def grid(low: float, high: float, step: float, near: float) -> Iterator[float]:
    """low, low + step ... high (the last gap may be shorter), from the end nearer to ``near``."""
    count = steps_between(low, high, step)
    order = range(count + 1) if near - low <= high - near else range(count, -1, -1)
    return (low + k * step if k < count else high for k in order)


def above_zero(option: str, value: float) -> float:
    if not (isinstance(value, Real) and math.isfinite(value) and value > 0):
        raise InputError(f"{option} must be a finite number above 0, not {value!r}")
    return value


def whole(option: str, value: float) -> int:
    if above_zero(option, value) != int(value):
        raise InputError(f"{option} must be a whole number, not {value!r}")
    return int(value)
