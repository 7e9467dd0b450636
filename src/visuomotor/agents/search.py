"""Classical focus searches, and the adapter that makes any of them a policy.

A search is a public generator function of this file: it yields a position to look at, receives
the sharpness measured there, and returns the position to end at, which is always the sharpest
it has seen, the start included. It never looks outside the limits. Options that are lengths
count in fine steps. To add a search, write the function; ``searches`` finds it by its name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np

from visuomotor.agents.base import PolicySpec
from visuomotor.errors import InputError, nearest
from visuomotor.types import Act, BoolArray, Observation

Search = Generator[float, float, float]
"""Yields positions, receives sharpness, returns where to end."""

GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
"""The smaller part of 1 in golden section."""
BRENT_ROUNDING = math.sqrt(2.2e-16)
"""Relative distance below which looks of a smooth curve differ by rounding only."""
SAME_PLACE = 1e-9
"""Two positions nearer than this part of the range are one."""


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


# ---- the searches


def full_sweep(span: Span, step: float = 1) -> Search:
    """Look everywhere, from the end that is nearer to the start.

    On a curve with one peak it ends within half a step of it; any curve, however rough, ends at
    its sharpest grid point. The safest search and the most expensive.
    """
    seen = _Seen(span)
    step_size = _above_zero("step", step) * span.fine_step
    for position in _grid(span.low, span.high, step_size, span.start):
        yield from seen.visit(position)
    return seen.best


def two_stage_sweep(span: Span, coarse: float = 9, fine: float = 1) -> Search:
    """Sweep everything coarsely, then finely one coarse step to both sides of the best.

    The idea of the two passes of Micro-Manager's JAF ("Just Another Focus"), without its early
    stop. Finds any peak that the coarse grid shows.
    """
    seen = _Seen(span)
    coarse_size = _above_zero("coarse", coarse) * span.fine_step
    fine_size = _above_zero("fine", fine) * span.fine_step
    for position in _grid(span.low, span.high, coarse_size, span.start):
        yield from seen.visit(position)
    low, high = span.clip(seen.best - coarse_size), span.clip(seen.best + coarse_size)
    for position in _grid(low, high, fine_size, seen.last):
        yield from seen.visit(position)
    return seen.best


def hill_climb(span: Span, step: int = 9) -> Search:
    """Walk uphill; turn round when it gets less sharp; halve the stride; end at single steps.

    The classical search of cameras, with the shrinking stride of He, Zhou and Hong, "Modified
    fast climbing search auto-focus algorithm with adaptive step size searching technique for
    digital camera", IEEE Trans. Consumer Electronics 49(2), 2003. Looks nowhere twice. Ends on a
    local maximum: neither neighbour one fine step away is sharper.
    """
    stride, seen = _whole("step", step), _Seen(span)
    start = seen.best
    lowest = -_steps_between(span.low, start, span.fine_step)
    highest = _steps_between(start, span.high, span.fine_step)

    def position_of(count: int) -> float:
        return span.clip(start + count * span.fine_step)

    here, sharpness_here = 0, seen.sharpest  # here counts fine steps from the start
    direction = 1 if highest >= -lowest else -1
    while True:
        for way in (direction, -direction):
            while (there := min(max(here + way * stride, lowest), highest)) != here:
                sharpness = yield from seen.visit(position_of(there))
                if not sharpness > sharpness_here:
                    break
                here, sharpness_here = there, sharpness
        if stride == 1:
            return seen.best
        stride //= 2
        direction = 1 if seen.last > position_of(here) else -1  # on the side where the axis is


def golden_section(span: Span, tolerance: float = 1) -> Search:
    """Shrink the bracket by the golden ratio with every look, until it is ``tolerance`` wide.

    Kiefer, "Sequential minimax search for a maximum", Proc. AMS 4, 1953. The number of looks is
    known beforehand. It promises the peak only when the curve has one and no flat tails.
    """
    width_wanted = _above_zero("tolerance", tolerance) * span.fine_step
    seen = _Seen(span)
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


def brent(span: Span, tolerance: float = 0.5, max_looks: int = 500) -> Search:
    """Parabolas through the three best looks, golden sections where a parabola is no good.

    Brent, "Algorithms for minimization without derivatives", 1973, chapter 5, in the bounded
    form of Forsythe, Malcolm and Moler's ``fmin``. Micro-Manager's OughtaFocus searches so too.
    Its looks are, to the last bit, those of ``scipy.optimize.minimize_scalar`` with
    ``method="bounded"`` on the negated sharpness; only where it ends differs: at the best seen.
    """
    tolerance_size = _above_zero("tolerance", tolerance) * span.fine_step
    looks_left = _whole("max_looks", max_looks) - 1
    seen = _Seen(span)
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


# ---- what searches share


class _Seen:
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


def _steps_between(low: float, high: float, step: float) -> int:
    """How many steps it takes to cover the way; rounding never adds one."""
    return math.ceil((high - low) / step - 1e-9)


def _grid(low: float, high: float, step: float, near: float) -> Iterator[float]:
    """low, low + step ... high (the last gap may be shorter), from the end nearer to ``near``."""
    count = _steps_between(low, high, step)
    order = range(count + 1) if near - low <= high - near else range(count, -1, -1)
    return (low + k * step if k < count else high for k in order)


def _above_zero(option: str, value: float) -> float:
    if not (isinstance(value, Real) and math.isfinite(value) and value > 0):
        raise InputError(f"{option} must be a finite number above 0, not {value!r}")
    return value


def _whole(option: str, value: float) -> int:
    if _above_zero(option, value) != int(value):
        raise InputError(f"{option} must be a whole number, not {value!r}")
    return int(value)


# ---- by name


def searches() -> dict[str, Callable[..., Search]]:
    """Every search by the name users write: the public generator functions of this file."""
    return {
        name.replace("_", "-"): value
        for name, value in globals().items()
        if inspect.isgeneratorfunction(value) and not name.startswith("_")
    }


def find_search(name: str) -> Callable[..., Search]:
    """A search by its name or the beginning of it that fits no other ("two-stage")."""
    known = searches()
    fitting = [name] if name in known else [full for full in known if full.startswith(name)]
    if len(fitting) != 1:
        raise InputError(f"there is no search called {name!r}; {nearest(name, known)}")
    return known[fitting[0]]


# ---- the adapter


class _Cell(NamedTuple):
    """What the adapter remembers of one cell. Positions are those that the axis executed.

    It holds what the search was told, not the running generator: plain data can be stored, copied
    and taken up again, and telling a new generator the same costs a microsecond a look.
    """

    span: Span
    told: tuple[float, ...]
    best: float
    sharpest: float
    phase: Literal["starting", "searching", "returning", "stopped"]


class SearchPolicy:
    """Any search as a policy of the autofocus task with continuous positions.

    Its action is (B, 2) float64: target position, and 1.0 to stop, else 0.0. The search hears
    only sharpness; the best position is the one the axis reported, so an axis that snaps or
    clips is returned to where the sharpest picture was really taken. Returning is a motion and
    an exposure like any other. A sharpness that is not finite ends the search.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._search = find_search(name)
        self.name = self._search.__name__.replace("_", "-")
        self.options = options
        known = list(inspect.signature(self._search).parameters)[1:]
        for option in options:
            if option not in known:
                raise InputError(f"{self.name} has no option {option!r}; {nearest(option, known)}")
        next(self._search(Span(0, 1, 0, 1, 0), **options), None)  # refuses bad values right here
        keys = ("sharpness", "position", "limits", "fine_step")
        self.spec = PolicySpec(
            task="autofocus",
            version=1,
            observation=keys,
            config={"actions": "position", "observation": list(keys), "max_steps": 4096},
        )

    def begin(self, state: list[_Cell | None] | None, fresh: BoolArray) -> list[_Cell | None]:
        """A new list with the fresh cells emptied; the one handed in stays as it is."""
        cells = state if state is not None else [None] * len(fresh)
        return [None if empty else cell for cell, empty in zip(cells, fresh, strict=True)]

    def act(
        self, observation: Observation, state: list[_Cell | None], generator: np.random.Generator
    ) -> Act:
        """One move or stop for each cell; the generator is not used: searches have no chance."""
        action = np.zeros((len(state), 2))
        cells: list[_Cell | None] = []
        for index, before in enumerate(state):
            position = float(observation["position"][index])
            sharpness = float(observation["sharpness"][index])
            if before is None:
                low, high = observation["limits"][index].tolist()
                start = position if math.isfinite(position) else (low + high) / 2
                span = Span(low, high, start, float(observation["fine_step"][index]), sharpness)
                before = _Cell(span, (), span.clip(start), sharpness, "starting")
            cell = self._heard(before, position, sharpness)
            target, cell = self._decide(cell, position)
            action[index] = target, cell.phase == "stopped"
            cells.append(cell)
        return Act(action, cells, {})

    def _heard(self, cell: _Cell, position: float, sharpness: float) -> _Cell:
        """The cell after one more look; a look on the way back or after the stop adds nothing."""
        if cell.phase in ("returning", "stopped"):
            return cell._replace(phase="stopped")
        readable = math.isfinite(position) and math.isfinite(sharpness)
        if cell.phase == "starting":  # the task has looked already
            return cell._replace(phase="searching" if readable else "stopped")
        if not readable:
            return cell._replace(phase="returning")
        if sharpness > cell.sharpest:
            cell = cell._replace(best=cell.span.clip(position), sharpest=sharpness)
        return cell._replace(told=(*cell.told, sharpness))

    def _decide(self, cell: _Cell, position: float) -> tuple[float, _Cell]:
        """Where to go now. Phase "returning" here means: the search is over, not yet there."""
        if cell.phase == "searching":
            search = self._search(cell.span, **self.options)
            try:
                target = next(search)
                for sharpness in cell.told:
                    target = search.send(sharpness)
                return target, cell
            except StopIteration:
                cell = cell._replace(phase="returning")
        there = abs(position - cell.best) <= SAME_PLACE * (cell.span.high - cell.span.low)
        if cell.phase == "stopped" or there:
            at = position if math.isfinite(position) else cell.best
            return at, cell._replace(phase="stopped")
        return cell.best, cell
