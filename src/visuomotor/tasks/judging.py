"""The verdict: what an honest instrument says about how focusing ended.

One pure function, used wherever a focus run ends: it sees only what a rig can see.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from enum import StrEnum

import numpy as np

from visuomotor.types import BoolArray, FloatArray
from visuomotor.vision.noise import SIGNAL_OVER_NOISE

BLURRIER_FRACTION = 0.02
"""Below the start (or the best seen) by more than this share of the curve's range is "blurrier"."""
FOCUSED_FRACTION = 0.9
"""A focused end is at least this share of the sharpest look (yu2018, section III.B)."""
END_FRACTION = 0.01
"""This close to a limit, as a share of the range, is at it: searches approach, but never touch."""
FLAT_STEPS = 4
"""Looks over so many fine steps show whether pictures follow the focus."""
SAME_PLACE = 0.1
"""Positions closer than this share of a fine step are one."""


class Verdict(StrEnum):
    """How a focus run ended; ``EXPLANATIONS`` has a sentence for each."""

    FOCUSED = "focused"
    NO_SAMPLE = "no_sample"
    UNSURE = "unsure"
    AT_LIMIT = "at_limit"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"
    ERROR = "error"


EXPLANATIONS = {
    Verdict.FOCUSED: "stopped where the picture is the sharpest that was seen",
    Verdict.NO_SAMPLE: "no picture shows more structure than noise",
    Verdict.UNSURE: "ended, but not at the sharpest picture that was seen",
    Verdict.AT_LIMIT: "the picture is sharpest at the end of the range: focus may lie beyond it",
    Verdict.TIMED_OUT: "the step limit came before focus",
    Verdict.ABORTED: "stopped from outside",
    Verdict.ERROR: "the instrument or the policy failed",
}


def judge(
    positions: FloatArray,
    sharpness: FloatArray,
    noise: FloatArray | float,
    limits: tuple[float, float],
    events: Collection[str],
    fine_step: float = math.inf,
) -> Verdict:
    """The verdict on one run.

    positions, sharpness: (N,) every look in order, the last one where the run ended.
    noise:  the sharpness that nothing but the noise of each picture would have, (N,) or one for
    all; a sample is there if any look stands out from its own, so that what came after may be 0.
    limits: of the axis. ``events``: what happened besides looks, out of "stopped" (the policy
    stopped of itself), "left_range", "step_limit", "aborted", "error". fine_step: of the
    instrument: looks that lie several of them apart and hardly differ do not show where focus is.

    Order: error, aborted, no_sample, at_limit, timed_out, unsure, focused.
    """
    if "error" in events:
        return Verdict.ERROR
    if "aborted" in events:
        return Verdict.ABORTED
    if len(positions) == 0 or not np.isfinite(sharpness).all():
        return Verdict.ERROR
    if _shows_no_sample(positions, sharpness, noise, limits):
        return Verdict.NO_SAMPLE
    best = int(np.argmax(sharpness))
    if _is_at_end(positions, positions[best], limits):
        return Verdict.AT_LIMIT
    if "step_limit" in events:
        return Verdict.TIMED_OUT
    if is_flat(positions, sharpness, fine_step):
        return Verdict.UNSURE
    if "stopped" in events and sharpness[-1] >= FOCUSED_FRACTION * sharpness[best]:
        return Verdict.FOCUSED
    return Verdict.UNSURE


def limit_direction(
    positions: FloatArray, sharpness: FloatArray, limits: tuple[float, float]
) -> int:
    """+1 if the sharpest look is nearer to the upper limit, else -1: where to grow the range after
    ``at_limit``."""
    best = positions[int(np.argmax(sharpness))]
    return 1 if best >= (limits[0] + limits[1]) / 2 else -1


def is_blurrier(end: float, reference: float, curve_range: float) -> bool:
    """Whether ``end`` is below ``reference`` by more than 2 % of the curve's range."""
    return end < reference - BLURRIER_FRACTION * curve_range


def is_sharper(now: FloatArray, before: FloatArray, lowest: FloatArray) -> BoolArray:
    """(M,) whether looks (M,) are sharper than earlier ones by more than 2 % of the range seen,
    from the lowest look up: less is not told from noise, and is not called blurrier either."""
    return now > before + BLURRIER_FRACTION * (np.maximum(now, before) - lowest)


def is_flat(positions: FloatArray, sharpness: FloatArray, fine_step: float) -> bool:
    """Whether three looks or more, over four fine steps or more, hardly differ: near focus they
    would by a twentieth. What is seen does not follow the focus, as with a stage that stands still
    and says that it moves, or the fine step is far too small."""
    wide = len(positions) >= 3 and float(np.ptp(positions)) >= FLAT_STEPS * fine_step
    return bool(wide and np.ptp(sharpness) <= BLURRIER_FRACTION * sharpness.max())


def _is_at_end(positions: FloatArray, best: float, limits: tuple[float, float]) -> bool:
    """Whether the sharpest look was at an end of the range, with nothing seen between it and the
    end: the optimum may lie beyond. One look alone says nothing of the kind."""
    margin = END_FRACTION * (limits[1] - limits[0])
    below = best - limits[0] <= margin and not (positions < best).any()
    above = limits[1] - best <= margin and not (positions > best).any()
    return bool((below or above) and np.ptp(positions) > 0)


def _shows_no_sample(
    positions: FloatArray,
    sharpness: FloatArray,
    noise: FloatArray | float,
    limits: tuple[float, float],
) -> bool:
    if (sharpness <= SIGNAL_OVER_NOISE * np.asarray(noise)).all():
        return True
    # Looks all over the range that hardly differ: whatever is seen does not depend on focus.
    seen = positions.max() - positions.min()
    wide = len(positions) >= 5 and seen >= 0.5 * (limits[1] - limits[0])
    return bool(wide and np.ptp(sharpness) <= BLURRIER_FRACTION * sharpness.max())
