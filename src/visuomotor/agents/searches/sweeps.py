"""Sweeps: look at evenly spaced positions, and end at the sharpest of them."""

from __future__ import annotations

import math

from visuomotor.agents.searches.shared import Search, Seen, Span, above_zero, grid, whole
from visuomotor.errors import InputError


def full_sweep(span: Span, step: float = 1) -> Search:
    """Look everywhere, from the end that is nearer to the start.

    On a curve with one peak it ends within half a step of it; any curve, however rough, ends at
    its sharpest grid point. The safest search and the most expensive.
    """
    seen = Seen(span)
    step_size = above_zero("step", step) * span.fine_step
    for position in grid(span.low, span.high, step_size, span.start):
        yield from seen.visit(position)
    return seen.best


def two_stage_sweep(span: Span, coarse: float = 9, fine: float = 1) -> Search:
    """Sweep everything coarsely, then finely one coarse step to both sides of the best.

    The idea of the two passes of Micro-Manager's JAF ("Just Another Focus"), without its early
    stop. Finds any peak that the coarse grid shows.
    """
    seen = Seen(span)
    coarse_size = above_zero("coarse", coarse) * span.fine_step
    fine_size = above_zero("fine", fine) * span.fine_step
    for position in grid(span.low, span.high, coarse_size, span.start):
        yield from seen.visit(position)
    low, high = span.clip(seen.best - coarse_size), span.clip(seen.best + coarse_size)
    for position in grid(low, high, fine_size, seen.last):
        yield from seen.visit(position)
    return seen.best


def early_stop_sweep(span: Span, step: float = 1, fraction: float = 0.85, past: int = 5) -> Search:
    """Sweep from the end that is nearer to the start, until the peak is surely passed: ``past``
    looks in a row below ``fraction`` of the sharpest of the sweep.

    Squid stops at the first look below 0.85; more than one lets a noisy look pass. The sweep goes
    on, too, while the start was sharper than anything on the way. What lies behind the stop is not
    seen: a lesser peak in front hides the highest, if it beats the start.
    """
    step_size = above_zero("step", step) * span.fine_step
    if above_zero("fraction", fraction) >= 1:
        raise InputError(f"fraction must be below 1, not {fraction!r}")
    enough = whole("past", past)
    seen = Seen(span)
    highest, below = -math.inf, 0
    for position in grid(span.low, span.high, step_size, span.start):
        sharpness = yield from seen.visit(position)
        if sharpness > highest:
            highest = sharpness
        below = below + 1 if sharpness < fraction * highest else 0
        if below >= enough and highest >= seen.sharpest:
            break
    return seen.best
