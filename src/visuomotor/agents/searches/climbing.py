"""Climbing: walk to where it gets sharper."""

from __future__ import annotations

from visuomotor.agents.searches.shared import Search, Seen, Span, steps_between, whole


def hill_climb(span: Span, step: int = 9) -> Search:
    """Walk uphill; turn round when it gets less sharp; halve the stride; end at single steps.

    The classical search of cameras, with the shrinking stride of He, Zhou and Hong, "Modified
    fast climbing search auto-focus algorithm with adaptive step size searching technique for
    digital camera", IEEE Trans. Consumer Electronics 49(2), 2003. Looks nowhere twice. Ends on a
    local maximum: neither neighbour one fine step away is sharper.
    """
    stride, seen = whole("step", step), Seen(span)
    start = seen.best
    lowest = -steps_between(span.low, start, span.fine_step)
    highest = steps_between(start, span.high, span.fine_step)

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
