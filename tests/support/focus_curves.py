"""Focus curves as functions, and a search walked over one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from visuomotor.agents.search import Search, Span

Curve = Callable[[float], float]


def gaussian(peak: float, width: float) -> Curve:
    return lambda position: math.exp(-0.5 * ((position - peak) / width) ** 2)


def lorentzian(peak: float, width: float) -> Curve:
    return lambda position: 1.0 / (1.0 + ((position - peak) / width) ** 2)


def rough(seed: int) -> Curve:
    """Unrelated values at neighbouring positions, always the same ones for the same position."""
    return lambda position: math.modf(abs(math.sin(position * 12.9898 + seed)) * 43758.5453)[0]


@dataclass
class Walk:
    looks: list[float]
    sharpness: list[float]
    end: float


def walk(running: Search, curve: Curve) -> Walk:
    looks: list[float] = []
    sharpness: list[float] = []
    try:
        looks.append(next(running))
        while True:
            assert len(looks) < 5000, "the search does not end"
            sharpness.append(curve(looks[-1]))
            looks.append(running.send(sharpness[-1]))
    except StopIteration as stop:
        return Walk(looks, sharpness, stop.value)


@st.composite
def spans(draw: st.DrawFn) -> tuple[Span, float]:
    """A range of 20 to 300 fine steps anywhere, a start in it, and a peak in it (maybe an end)."""
    low = draw(st.floats(-1000, 1000))
    fine_step = draw(st.floats(0.01, 10))
    steps = draw(st.floats(20, 300))
    high = low + steps * fine_step
    inside = st.one_of(st.sampled_from([low, high]), st.floats(low, high))
    return Span(low, high, draw(inside), fine_step, 0.0), draw(inside)


def with_start(span: Span, curve: Curve) -> Span:
    return Span(span.low, span.high, span.start, span.fine_step, curve(span.start))
