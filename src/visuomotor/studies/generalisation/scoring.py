"""What an episode is worth where the truth is known: pure functions, no instrument and no policy.

Success on a simulated view: verdict ``focused``, within the depth of field of the sharpest
position, and noise-free sharpness above 0.9 of the maximum. On a recording: verdict ``focused``
within the stated tolerance of the stated truth; where the truth is an end of the range, the verdict
``at_limit`` that names this end is right as well.

A start is *blind* where its pictures hold no measurable signal: nowhere within one coarse step
(over a wide range: a quarter of it) does the noise-free sharpness differ from that at the start by
more than half a standard deviation of what noise does to it. Neither does any start see a thing on
a view whose sharpest picture would be called ``no_sample``. Blind starts are scored apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visuomotor.configs import check_range
from visuomotor.tasks.discrete_search import moves_to_focus
from visuomotor.tasks.focus_result import FocusResult
from visuomotor.tasks.judging import Verdict, is_blurrier, limit_direction
from visuomotor.types import BoolArray, FloatArray, FocusCurve, IntArray
from visuomotor.vision.noise import SIGNAL_OVER_NOISE

STEPS = (9, 1, 0, -1, -9)
"""yu2018's five actions, in fine steps."""
COARSE_STEP = 9
SEEN_DEVIATIONS = 0.5
WILSON_Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True)
class TimeConfig:
    """What a look and a move are taken to last: a model, no measurement."""

    exposure_s: float = 0.1
    settle_s: float = 0.1
    """After a move; none after a look that is taken in motion."""
    speed_steps_per_s: float = 200.0
    """Fine steps; at a fine step of 0.5 um these are 0.1 mm/s."""
    compute_s: float = 0.01
    """For each look: to read the picture and decide."""

    def __post_init__(self) -> None:
        check_range(self, exposure_s=(0, 60), settle_s=(0, 60), compute_s=(0, 60))
        check_range(self, speed_steps_per_s=(1e-3, 1e9))

    def seconds(self, exposures: int, travel_steps: float, in_motion: bool = False) -> float:
        """Of one episode; in_motion: only the last two looks need to settle."""
        settled = min(exposures, 2) if in_motion else exposures
        looking = exposures * (self.exposure_s + self.compute_s) + settled * self.settle_s
        return looking + travel_steps / self.speed_steps_per_s


@dataclass(frozen=True)
class Truth:
    """What is known of one view."""

    curve: FocusCurve
    """Free of noise where it is simulated; of a recording, as it was recorded."""
    fine_step: float
    focus: tuple[tuple[float, float], ...]
    """Stretches in which an end is in focus, from and to, the tolerance included."""
    blind: BoolArray
    """(P,) of ``curve.positions``: starts whose pictures hold no measurable signal."""
    fraction: float = 0.9
    """The end's sharpness is above this share of the maximum; 0: only its position counts."""
    end: int = 0
    """+1, -1: the truth is the upper, lower end of the range; ``at_limit`` there is right too."""
    beyond: bool = False
    """Focus lies beyond that end: nothing but ``at_limit`` is right."""

    def error(self, position: float) -> float:
        """Distance from the nearest middle of what counts as focus, in fine steps."""
        middles = (sum(stretch) / 2 for stretch in self.focus)
        return min(abs(position - middle) for middle in middles) / self.fine_step

    def in_focus(self, positions: FloatArray) -> BoolArray:
        """(M,) whether each position lies in one of the stretches."""
        slack = 1e-6 * self.fine_step
        inside = [(positions >= a - slack) & (positions <= b + slack) for a, b in self.focus]
        return np.asarray(np.any(inside, axis=0))

    @cached_property
    def optimal_exposures(self) -> IntArray:
        """(P,) of an omniscient searcher with yu2018's five actions, from each position of the
        curve."""
        at, step = self.curve.positions, self.fine_step
        grid = np.arange(at[0], at[-1] + 0.5 * step, step)
        good = (self.curve.at(grid) > self.fraction * self.curve.maximum) & self.in_focus(grid)
        if not good.any():  # it lies between two positions
            good[int(np.argmax(self.curve.at(grid)))] = True
        nearest = np.rint((at - at[0]) / step).astype(np.int64)
        moves = moves_to_focus(good, STEPS)[np.clip(nearest, 0, len(grid) - 1)]
        return np.asarray(moves + 1)


@dataclass(frozen=True)
class Row:
    """One episode. Distances in fine steps."""

    view: int
    start_steps: float
    """From the lower limit."""
    success: bool
    verdict: str
    error_steps: float
    exposures: int
    travel_steps: float
    seconds: float
    """By ``TimeConfig``."""
    blurrier: bool
    """Noise-free, it ended below its start by more than 2 % of the curve's range."""
    sharpness: float
    """At the end, noise-free, as a share of the maximum."""
    optimal_exposures: int
    """See ``Truth``."""
    blind: bool


@dataclass(frozen=True)
class Summary:
    """Of the episodes of one searcher that begin where there is something to see."""

    episodes: int
    success: float
    interval: tuple[float, float]
    """95 %, Wilson."""
    error_steps: float
    exposures: float
    exposures_95: float
    """95 of 100 episodes took no more."""
    travel_steps: float
    seconds: float
    ended_blurrier: float
    false_focused: float
    """Episodes that were called focused and were not, as a share of all."""
    no_sample: float
    """Good fields called so."""
    verdicts: dict[str, int]
    optimal_exposures: float
    blind_share: float
    """Of all episodes."""
    blind_honest: float
    """Of the blind ones: ended ``unsure`` or ``no_sample``, or truly focused. 1 if there is none.
    """


def truth_of_view(
    curve: FocusCurve,
    noise: FloatArray,
    floor: float,
    fine_step: float,
    depth: float,
    coarse_steps: float = COARSE_STEP,
) -> Truth:
    """Of a simulated view.

    curve: noise-free, (P,). noise: (P,) standard deviation of a look's sharpness at each of these
    positions; floor: what noise adds to it in the mean. depth: of field, in the axis' unit.
    coarse_steps: how far, in fine steps, a start may look before it counts as blind.
    """
    best = middle_of_peak(curve)
    if curve.maximum <= (SIGNAL_OVER_NOISE - 1) * floor:
        blind = np.ones(len(curve.positions), np.bool_)
    else:
        blind = blind_starts(curve, noise, coarse_steps * fine_step)
    return Truth(curve, fine_step, ((best - depth, best + depth),), blind)


def middle_of_peak(curve: FocusCurve, fraction: float = 0.9) -> float:
    """The middle of the stretch around the sharpest position that is above this share of the
    maximum: of a flat top, the highest point is anywhere."""
    sharp = curve.sharpness > fraction * curve.maximum
    best = int(np.argmax(curve.sharpness))
    below = np.flatnonzero(~sharp[:best])
    above = np.flatnonzero(~sharp[best:])
    first = int(below[-1]) + 1 if len(below) else 0
    last = best + int(above[0]) - 1 if len(above) else len(sharp) - 1
    return float(curve.positions[first] + curve.positions[last]) / 2


def noise_of(noisy: FloatArray, clean: FloatArray, reach: int = COARSE_STEP) -> FloatArray:
    """(P,) standard deviation of the sharpness of noisy looks (P,) around its noise-free value and
    what noise adds to it, among the ``reach`` neighbours on both sides."""
    excess = noisy - clean
    around = [excess[max(0, i - reach) : i + reach + 1] for i in range(len(excess))]
    return np.array([part.std(ddof=1) if len(part) > 1 else 0.0 for part in around])


def score(
    result: FocusResult,
    truth: Truth,
    time: TimeConfig,
    view: int = 0,
    in_motion: bool = False,
    position: float | None = None,
) -> Row:
    """One episode as a row. in_motion: the searcher's looks are taken in motion, all but two.
    position: where it truly ended, if the drive only believes where it is."""
    curve, step = truth.curve, truth.fine_step
    here = result.position if position is None else position
    known = math.isfinite(here)
    here = here if known else result.start
    at_start, at_end = curve.at(np.array([result.start, here]))
    inside = bool(truth.in_focus(np.array([here]))[0])
    sharp = truth.fraction == 0 or at_end > truth.fraction * curve.maximum
    focused = result.verdict is Verdict.FOCUSED and not truth.beyond
    said = focused or _names_the_end(result, truth)
    start_index = int(np.argmin(np.abs(curve.positions - result.start)))
    travel = result.travel / step
    return Row(
        view=view,
        start_steps=float((result.start - curve.positions[0]) / step),
        success=bool(known and inside and sharp and said),
        verdict=result.verdict.value,
        error_steps=truth.error(here),
        exposures=result.exposures,
        travel_steps=travel,
        seconds=time.seconds(result.exposures, travel, in_motion),
        blurrier=is_blurrier(float(at_end), float(at_start), curve.range),
        sharpness=float(at_end / curve.maximum) if curve.maximum > 0 else 0.0,
        optimal_exposures=int(truth.optimal_exposures[start_index]),
        blind=bool(truth.blind[start_index]),
    )


def summarise(rows: Sequence[Row]) -> Summary:
    """Of all episodes of one searcher; blind starts apart."""
    seen = [row for row in rows if not row.blind] or list(rows)
    blind = [row for row in rows if row.blind]
    honest = {Verdict.UNSURE.value, Verdict.NO_SAMPLE.value}
    count = len(seen)
    wins = sum(row.success for row in seen)
    exposures = [row.exposures for row in seen]
    wrong = [row.verdict == Verdict.FOCUSED.value and not row.success for row in seen]
    empty = [row.verdict == Verdict.NO_SAMPLE.value for row in seen]
    good = [row.success or row.verdict in honest for row in blind]
    return Summary(
        episodes=count,
        success=wins / count,
        interval=wilson(wins, count),
        error_steps=float(np.mean([row.error_steps for row in seen])),
        exposures=float(np.mean(exposures)),
        exposures_95=float(np.percentile(exposures, 95)),
        travel_steps=float(np.mean([row.travel_steps for row in seen])),
        seconds=float(np.mean([row.seconds for row in seen])),
        ended_blurrier=float(np.mean([row.blurrier for row in seen])),
        false_focused=float(np.mean(wrong)),
        no_sample=float(np.mean(empty)),
        verdicts=dict(sorted(Counter(row.verdict for row in seen).items())),
        optimal_exposures=float(np.mean([row.optimal_exposures for row in seen])),
        blind_share=len(blind) / len(rows),
        blind_honest=float(np.mean(good)) if good else 1.0,
    )


def wilson(wins: int, count: int) -> tuple[float, float]:
    """95 % interval of a share. Wilson, J. American Statistical Association 22 (1927)."""
    share, z2 = wins / count, WILSON_Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = WILSON_Z / (1 + z2 / count)
    half *= math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def cheapest_as_good(found: dict[str, Summary], success: float) -> tuple[str, bool]:
    """Of several settings of a searcher the one with the fewest exposures that succeeds as often,
    and True; else the most successful one, and False."""
    good = [name for name, summary in found.items() if summary.success >= success]
    if good:
        return min(good, key=lambda name: found[name].exposures), True
    return max(found, key=lambda name: (found[name].success, -found[name].exposures)), False


def blind_starts(curve: FocusCurve, noise: FloatArray, reach: float) -> BoolArray:
    """(P,) whether a start at each position of the curve is blind: see the head of the file."""
    at, sharpness = curve.positions, curve.sharpness
    lows = np.searchsorted(at, at - reach * (1 + 1e-9))
    highs = np.searchsorted(at, at + reach * (1 + 1e-9), side="right")
    change = [
        np.abs(sharpness[low:high] - here).max()
        for low, high, here in zip(lows, highs, sharpness, strict=True)
    ]
    return np.asarray(change) <= SEEN_DEVIATIONS * noise


def _names_the_end(result: FocusResult, truth: Truth) -> bool:
    """``at_limit`` at the end of the range that the truth lies at."""
    if truth.end == 0 or result.verdict is not Verdict.AT_LIMIT:
        return False
    positions, sharpness = (np.array(values) for values in zip(*result.curve, strict=True))
    low, high = truth.curve.positions[[0, -1]]
    return limit_direction(positions, sharpness, (float(low), float(high))) == truth.end
