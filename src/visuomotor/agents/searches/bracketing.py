"""Bracketing: shrink an interval around the peak of a curve that has one."""

from __future__ import annotations

import math
from typing import NamedTuple

from visuomotor.agents.searches.shared import Search, Seen, Span, above_zero, whole

GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
"""The smaller part of 1 in golden section."""
BRENT_ROUNDING = math.sqrt(2.2e-16)
"""Relative distance below which looks of a smooth curve differ by rounding only."""


def golden_section(span: Span, tolerance: float = 1) -> Search:
    """Shrink the bracket by the golden ratio with every look, until it is ``tolerance`` wide.

    Kiefer, "Sequential minimax search for a maximum", Proc. AMS 4, 1953. The number of looks is
    known beforehand. It promises the peak only when the curve has one and no flat tails.
    """
    width_wanted = above_zero("tolerance", tolerance) * span.fine_step
    seen = Seen(span)
    low, high = span.low, span.high
    left, right = low + GOLDEN * (high - low), high - GOLDEN * (high - low)
    sharpness_left = yield from seen.visit(left)
    sharpness_right = yield from seen.visit(right)
    while True:
        leftwards = sharpness_left >= sharpness_right
        if leftwards:
            high, right, sharpness_right = right, left, sharpness_left
            left = low + GOLDEN * (high - low)
        else:
            low, left, sharpness_left = left, right, sharpness_right
            right = high - GOLDEN * (high - low)
        if high - low <= width_wanted or not low < left < right < high:
            return seen.best
        if leftwards:
            sharpness_left = yield from seen.visit(left)
        else:
            sharpness_right = yield from seen.visit(right)


def fibonacci(span: Span, tolerance: float = 1) -> Search:
    """Shrink the bracket along Fibonacci numbers until it is two ``tolerance`` wide around its
    sharpest look.

    Kiefer, "Sequential minimax search for a maximum", Proc. AMS 4, 1953; Ferguson, "Fibonaccian
    searching", Comm. ACM 3, 1960. Of all searches whose number of looks is fixed beforehand, none
    leaves a smaller bracket. The range is F(m) equal parts, each at most ``tolerance``; it takes
    m - 2 looks (one less if the start is one of them). It promises the peak only when the curve has
    one and no flat tails.
    """
    width_wanted = above_zero("tolerance", tolerance) * span.fine_step
    seen = Seen(span)
    numbers = [1, 2, 3]  # F(m - 2), F(m - 1) and F(m), the parts left of the range
    while (span.high - span.low) / numbers[-1] > width_wanted * (1 + 1e-9):
        numbers.append(numbers[-1] + numbers[-2])
    part = (span.high - span.low) / numbers[-1]
    first, left, right = 0, numbers[-3], numbers[-2]  # in parts from the lower limit
    sharpness_left = yield from seen.visit(span.low + left * part)
    sharpness_right = yield from seen.visit(span.low + right * part)
    while len(numbers) > 3:
        numbers.pop()
        if sharpness_left >= sharpness_right:
            right, sharpness_right = left, sharpness_left
            left = first + numbers[-3]
            sharpness_left = yield from seen.visit(span.low + left * part)
        else:
            first, left, sharpness_left = left, right, sharpness_right
            right = first + numbers[-2]
            sharpness_right = yield from seen.visit(span.low + right * part)
    return seen.best


def brent(span: Span, tolerance: float = 0.5, max_looks: int = 500) -> Search:
    """Parabolas through the three best looks, golden sections where a parabola is no good.

    Brent, "Algorithms for minimization without derivatives", 1973, chapter 5, in the bounded
    form of Forsythe, Malcolm and Moler's ``fmin``. Micro-Manager's OughtaFocus searches so too.
    Its looks are, to the last bit, those of ``scipy.optimize.minimize_scalar`` with
    ``method="bounded"`` on the negated sharpness; only where it ends differs: at the best seen.
    """
    tolerance_size = above_zero("tolerance", tolerance) * span.fine_step
    looks_left = whole("max_looks", max_looks) - 1
    seen = Seen(span)
    low, high = span.low, span.high
    position = low + GOLDEN * (high - low)
    best = _Look(position, -(yield from seen.look(position)))
    second = third = best
    step, step_before = 0.0, 0.0
    for _ in range(looks_left):
        middle = 0.5 * (low + high)
        least = BRENT_ROUNDING * abs(best.position) + tolerance_size / 3.0  # two looks' distance
        if abs(best.position - middle) <= 2.0 * least - 0.5 * (high - low):
            break
        parabola = None
        if abs(step_before) > least:
            parabola = _parabola_step(best, second, third, low, high, step_before)
            step_before = step
        if parabola is None:
            step_before = (low if best.position >= middle else high) - best.position
            step = GOLDEN * step_before
        else:
            step, vertex = parabola, best.position + parabola
            if vertex - low < 2.0 * least or high - vertex < 2.0 * least:
                step = least if middle >= best.position else -least
        length = max(abs(step), least)
        position = best.position + (length if step >= 0 else -length)
        look = _Look(position, -(yield from seen.look(position)))

        better, worse = (look, best) if look.blur <= best.blur else (best, look)
        if worse.position < better.position:
            low = worse.position
        else:
            high = worse.position
        if better is look:
            best, second, third = look, best, second
        elif look.blur <= second.blur or second.position == best.position:
            second, third = look, second
        elif look.blur <= third.blur or third.position in (best.position, second.position):
            third = look
    return seen.best


class _Look(NamedTuple):
    position: float
    blur: float  # negated sharpness: Brent's method minimises


def _parabola_step(
    best: _Look, second: _Look, third: _Look, low: float, high: float, step_before: float
) -> float | None:
    """From the best look to the vertex of the parabola through all three; None when the vertex is
    outside the bracket, or no nearer than half the step before the last (no convergence)."""
    to_second = (best.position - second.position) * (best.blur - third.blur)
    to_third = (best.position - third.position) * (best.blur - second.blur)
    numerator = (best.position - third.position) * to_third
    numerator -= (best.position - second.position) * to_second
    denominator = 2.0 * (to_third - to_second)
    if denominator > 0:
        numerator = -numerator
    denominator = abs(denominator)
    shrinks = abs(numerator) < abs(0.5 * denominator * step_before)
    above_low = numerator > denominator * (low - best.position)
    below_high = numerator < denominator * (high - best.position)
    return numerator / denominator if shrinks and above_low and below_high else None
