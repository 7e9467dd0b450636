"""Sweeps that end where a curve through their looks has its peak.

Each looks once at the fitted peak and ends at the sharpest it has seen. It does without that look
where the fit says nothing: looks that hardly differ, a peak outside the range, a curve that does
not follow the looks, or one too narrow or wide to be a focus curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TypeVar

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares

from visuomotor.agents.searches.shared import (
    Search,
    Seen,
    Span,
    above_zero,
    grid,
    steps_between,
)
from visuomotor.types import FloatArray

FLAT = 0.01
"""Looks that differ by no more than this share of the sharpest show no peak."""
MIN_R2 = 0.8
"""A fitted curve explains at least this share of the variance of the looks on its hill."""
NARROWEST_STEPS, WIDEST_RANGES = 0.3, 4.0
"""Standard deviation of a Gaussian that a sweep can show: in steps at least, in ranges at most."""
HILL_LOOKS = 7
"""Looks around the sharpest that a Gaussian is fitted to, at least."""

Fit = Callable[[FloatArray, FloatArray], float | None]
"""Where the peak is, from looks at 0, 1, 2 ... and their sharpness from 0 to 1; None: nowhere."""
Function = TypeVar("Function", bound=Callable[..., Search])


def gaussian_sweep(span: Span, step: float = 3) -> Search:
    """Sweep, then look at the peak of a Gaussian on a pedestal, fitted to the hill of the sharpest
    look by least squares; too near to an end of the range for one, at the vertex of a parabola.

    Micro-Manager's OughtaFocus (full sweep) and ImSwitch fit one to all looks; other hills, and
    tails that are no Gaussian, do not pull at this one.
    """
    return (yield from _sweep_and_fit(span, step, _gaussian_peak))


def parabola_sweep(span: Span, step: float = 3) -> Search:
    """Sweep, then look at the vertex of the parabola through the sharpest look and its
    neighbours."""
    return (yield from _sweep_and_fit(span, step, _parabola_peak))


def spline_sweep(span: Span, step: float = 3) -> Search:
    """Sweep, then look at the highest point of the cubic spline through all looks."""
    return (yield from _sweep_and_fit(span, step, _spline_peak))


def _in_motion(search: Function) -> Function:
    """Marks a search whose looks are taken while the axis moves, all but the last two.

    They need no time to settle: ``looks_in_motion`` is what a model of time may read.
    """
    vars(search)["looks_in_motion"] = True
    return search


@_in_motion
def continuous_sweep(span: Span, spacing: float = 2, overshoot: float = 5) -> Search:
    """Pass through the range in one direction, go back past the peak by ``overshoot``, and come to
    it from the side the sweep came from.

    openflexure's fast autofocus: the stage moves without stopping while the camera runs, and coming
    from one side takes up backlash. Here each picture is a look at where the axis was in the middle
    of its exposure, ``spacing`` apart; the peak is the vertex of the parabola through the sharpest
    and its neighbours, which openflexure does not have. Not modelled are speed, blur by motion, and
    the time to settle, which only the last two looks need.
    """
    spacing_size = above_zero("spacing", spacing) * span.fine_step
    past = above_zero("overshoot", overshoot) * span.fine_step
    seen = Seen(span)
    way, peak = yield from _sweep(seen, spacing_size, _parabola_peak)
    if span.low == span.high:
        return seen.best
    target = seen.best if peak is None else peak
    yield from seen.look(target - way * past)
    yield from seen.visit(target)
    return seen.best


def _sweep_and_fit(span: Span, step: float, fit: Fit) -> Search:
    step_size = above_zero("step", step) * span.fine_step
    seen = Seen(span)
    _, peak = yield from _sweep(seen, step_size, fit)
    if peak is not None:
        yield from seen.visit(peak)
    return seen.best


def _sweep(
    seen: Seen, step_size: float, fit: Fit
) -> Generator[float, float, tuple[float, float | None]]:
    """Look at evenly spaced positions, at most ``step_size`` apart; answers the direction of the
    sweep (1 or -1) and the fitted peak, if there is one inside the range."""
    span = seen.span
    count = max(1, steps_between(span.low, span.high, step_size))
    step_size = (span.high - span.low) / count
    looks: list[tuple[float, float]] = []
    for position in grid(span.low, span.high, step_size or span.fine_step, span.start):
        looks.append((position, (yield from seen.visit(position))))
    way = math.copysign(1.0, looks[-1][0] - looks[0][0])
    sharpness = np.array([value for _, value in sorted(looks, key=lambda look: look[0])])
    if not np.isfinite(sharpness).all() or np.ptp(sharpness) <= FLAT * sharpness.max():
        return way, None
    relative = (sharpness - sharpness.min()) / np.ptp(sharpness)
    peak = fit(np.arange(len(looks), dtype=np.float64), relative)
    inside = peak is not None and 0 <= peak <= count
    return way, span.low + peak * step_size if peak is not None and inside else None


def _gaussian_peak(x: FloatArray, y: FloatArray) -> float | None:
    hill = _hill(y)
    if hill.stop - hill.start <= 4:  # four parameters need more looks
        return _parabola_peak(x, y)
    x, y, count = x[hill], y[hill], len(x)
    if np.ptp(y) == 0:  # a hill has slopes
        return None

    def model(parameters: FloatArray) -> FloatArray:
        height, centre, sigma, pedestal = parameters
        return np.asarray(height * np.exp(-0.5 * ((x - centre) / sigma) ** 2) + pedestal)

    widest = WIDEST_RANGES * count

    def residuals(parameters: FloatArray) -> FloatArray:
        return model(parameters) - y

    fitted = least_squares(
        residuals,
        x0=(1.0, x[np.argmax(y)], max(1.0, len(x) / 3), 0.0),
        bounds=((0, -1, NARROWEST_STEPS / 2, -np.inf), (np.inf, count, 2 * widest, np.inf)),
    )
    _, centre, sigma, _ = fitted.x
    r2 = 1 - float(np.sum(residuals(fitted.x) ** 2) / np.sum((y - y.mean()) ** 2))
    if r2 < MIN_R2 or not NARROWEST_STEPS <= sigma <= widest:
        return None
    return float(centre)


def _parabola_peak(x: FloatArray, y: FloatArray) -> float | None:
    if len(y) < 3:
        return None
    middle = int(np.clip(np.argmax(y), 1, len(y) - 2))
    before, here, after = y[middle - 1 : middle + 2]
    curvature = before - 2 * here + after
    if not curvature < 0:
        return None
    return float(x[middle] + 0.5 * (before - after) / curvature)


def _spline_peak(x: FloatArray, y: FloatArray) -> float | None:
    if len(y) < 4:
        return None
    spline = CubicSpline(x, y)
    turns = spline.derivative().roots(extrapolate=False)
    near = turns[np.abs(turns - np.argmax(y)) <= 1]
    return float(near[np.argmax(spline(near))]) if len(near) else None


def _hill(y: FloatArray) -> slice:
    """The looks around the sharpest that are at least half as high, or ``HILL_LOOKS`` of them: as
    many to each side, so that a tail which is no Gaussian's does not pull to its own."""
    best = int(np.argmax(y))
    low = np.flatnonzero(y < 0.5)
    first = max((int(i) + 1 for i in low if i < best), default=0)
    last = min((int(i) - 1 for i in low if i > best), default=len(y) - 1)
    wide = max(min(best - first, last - best), HILL_LOOKS // 2)
    reach = min(wide, best, len(y) - 1 - best)
    return slice(best - reach, best + reach + 1)
