"""A rig's fine step, read off the sample: a short look over a window, then at the peak's width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visuomotor.configs import from_plain, read_config_file
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import (
    FINE_STEPS_IN_ZONE,
    ZONE_FRACTION,
    zone_width,
)
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import FocusConfig, RigConfig, rig_from_plain
from visuomotor.types import FloatArray, FocusCurve, Frames
from visuomotor.vision.noise import SIGNAL_OVER_NOISE, noise_sharpness

COARSE_LOOKS = 21
FINE_LOOKS = 11
FINE_SWEEPS = 3
MOST_EXPOSURES = COARSE_LOOKS + (FINE_SWEEPS + 1) * FINE_LOOKS
"""The last fine sweep is made twice."""
PROVISIONAL_STEPS = 100
"""Where a file does not say what a fine step is, a window has so many until that is measured."""
SPACINGS_IN_ZONE = 3
"""Looks closer than a third of the zone tell its width."""
UNSTEADY = 0.15
"""Of the range of sharpness: looks that differ by more, a sweep later, tell no width."""
DISAGREEMENT = 1.5
"""Nor do two sweeps whose zones differ by such a factor."""


@dataclass(frozen=True)
class Calibration:
    """What looking found; distances and positions in the focus' unit."""

    fine_step: float | None
    """A fifth of the zone, to three digits; None where it could not be measured."""
    reason: str
    """How it was measured, or why it could not be."""
    exposures: int
    missed: float
    """How far from its target the drive came to rest, at most."""
    zone: float | None = None
    """Width of the zone above 0.9 of the maximum."""
    position: float | None = None
    """The sharpest one."""


def load_uncalibrated(
    path: str | Path, window: tuple[float, float] | None = None
) -> tuple[RigConfig, float | None]:
    """A rig file that need not tell a fine step, and the one that it gives by number. InputError
    and MissingExtraError as in ``load_rig``.

    Where neither number nor [optics] tells, a hundredth of the window (of the limits without one)
    stands in for it, and for the tolerance that goes with it.
    """
    file = Path(path)
    plain = read_config_file(file)
    focus = plain.get("focus")
    told = isinstance(focus, Mapping) and "fine_step" in focus
    if isinstance(focus, Mapping) and not told:
        checked = from_plain(FocusConfig, focus, f"{file}: focus")
        if "optics" not in plain or checked.unit != "um":
            low, high = _within(checked.limits, window)
            plain["focus"] = {**focus, "fine_step": (high - low) / PROVISIONAL_STEPS}
    config = rig_from_plain(plain, str(file), file.parent)
    return config, config.focus.fine_step if told else None


def calibrate(rig: Rig, measure: Callable[[Frames], FloatArray]) -> Calibration:
    """Measure the fine step in the rig's window, and go back to where the rig stood (its safe
    position goes before, where the file has one).

    A coarse sweep, then finer ones around the sharpest place until the zone above 0.9 of the
    maximum has enough looks; the last one is made twice, and both have to tell the same. All sweeps
    go the way the drive approaches. measure: sharpness of pictures (M, H, W[, 3]) as the rig file
    has it read. RigError where the rig fails; InputError, and nothing moves, where it stands
    outside its limits.
    """
    with rig:
        start = rig.focus.position()
        if not rig.focus.is_inside(start):
            low, high = rig.focus.limits
            raise InputError(
                f"{rig.config.name}: expected the focus within its limits {low:g} to {high:g} "
                f"{rig.config.focus.unit}, it stands at {start:g}; move it inside by hand"
            )
        looks = _Looks(rig, measure)
        try:
            return looks.calibration()
        finally:
            rig.focus.move_to(start)


class _Looks:
    """The sweeps, in their order, and what they tell."""

    def __init__(self, rig: Rig, measure: Callable[[Frames], FloatArray]) -> None:
        self._rig, self._measure = rig, measure
        self._unit = rig.config.focus.unit
        motion = rig.focus.motion
        low, high = rig.limits
        # Play is taken up only where an approach has room for it before the limit.
        self._low = max(low, motion.low + (motion.backlash if motion.approach > 0 else 0.0))
        self._high = min(high, motion.high - (motion.backlash if motion.approach < 0 else 0.0))
        if not self._low < self._high:
            raise InputError(
                f"{rig.config.name}: expected room beside a backlash of {motion.backlash:g}, "
                f"got a window from {low:g} to {high:g} {self._unit}"
            )
        self._upwards = motion.approach >= 0
        self._exposures = 0
        self._missed = 0.0
        self._shows_sample = False

    def calibration(self) -> Calibration:
        coarse = self._sweep(self._low, self._high, COARSE_LOOKS)
        problem = self._coarse_problem(coarse)
        if problem:
            return self._failed(problem)
        curve = coarse
        for _ in range(FINE_SWEEPS):
            curve = self._sweep(*self._around_best(curve), FINE_LOOKS)
            if _tells_width(curve):
                break
        else:
            return self._failed(self._fine_problem(curve))
        ends = curve.positions[[0, -1]]
        again = self._sweep(float(ends[0]), float(ends[1]), FINE_LOOKS)
        problem = self._again_problem(curve, again)
        if problem:
            return self._failed(problem)
        mean = FocusCurve(curve.positions, (curve.sharpness + again.at(curve.positions)) / 2)
        zone = zone_width(mean)
        return Calibration(
            fine_step=float(f"{zone / FINE_STEPS_IN_ZONE:.3g}"),
            reason=f"a fifth of the zone above {ZONE_FRACTION:g} of the maximum, {zone:.3g} "
            f"{self._unit} wide around {mean.best_position:.5g}",
            exposures=self._exposures,
            missed=self._missed,
            zone=zone,
            position=mean.best_position,
        )

    def _sweep(self, low: float, high: float, count: int) -> FocusCurve:
        """Looks from low to high, at the positions where the drive says it came to."""
        at = np.linspace(low, high, count)
        # Play that the file does not know of is taken up before the first look.
        before = (self._high - self._low) / (COARSE_LOOKS - 1)
        if not self._upwards:
            at, before = at[::-1], -before
        self._rig.focus.move_to(min(max(float(at[0]) - before, self._low), self._high))
        seen: dict[float, float] = {}
        for target in at:
            here = self._rig.focus.move_to(float(target))
            self._missed = max(self._missed, abs(here - float(target)))
            if here in seen:  # a drive of coarse steps came to the same place again
                continue
            picture = self._rig.snap()[None]
            self._exposures += 1
            seen[here] = float(self._measure(picture)[0])
            noise = float(noise_sharpness(picture, self._measure)[0])
            self._shows_sample |= seen[here] > SIGNAL_OVER_NOISE * noise
        positions = np.array(sorted(seen))
        return FocusCurve(positions, np.array([seen[position] for position in positions]))

    def _around_best(self, curve: FocusCurve) -> tuple[float, float]:
        """Where to look closer: as far as the next looks, and all of the zone."""
        best = int(np.argmax(curve.sharpness))
        ends = curve.positions[[0, -1]]
        half = max(_spacing(curve), zone_width(curve))
        if best in (0, len(curve.positions) - 1):
            half = float(ends[1] - ends[0]) / 2
        at = float(curve.positions[best])
        return max(self._low, at - half), min(self._high, at + half)

    # -- what is wrong, in words; "" for nothing

    def _coarse_problem(self, curve: FocusCurve) -> str:
        window = f"from {self._low:g} to {self._high:g} {self._unit}"
        apart = f"{_spacing(curve):.3g} {self._unit} apart"
        advice = "look at sample and light, or give another --window around the focus"
        if not self._shows_sample:
            return f"no sample: no picture {window} shows more structure than noise; {advice}"
        level = ZONE_FRACTION * curve.maximum
        if not curve.sharpness.min() < level:
            return f"flat: pictures {window}, {apart}, are about equally sharp; {advice}"
        ends = curve.sharpness[[0, -1]] >= level
        if int(np.argmax(curve.sharpness)) in (0, len(curve.sharpness) - 1) or ends.any():
            at_low = ends[0] if ends[0] != ends[1] else curve.sharpness[0] >= curve.sharpness[-1]
            end = self._low if at_low else self._high
            return (
                f"at the end: the sharpest pictures reach the end of the window at {end:g} "
                f"{self._unit}, so that their zone is not seen whole; move or widen --window"
            )
        return ""

    def _fine_problem(self, curve: FocusCurve) -> str:
        if len(curve.positions) <= FINE_LOOKS // 2:
            return (
                f"the drive is too coarse: it came to {len(curve.positions)} places only from "
                f"{curve.positions[0]:.5g} to {curve.positions[-1]:.5g} {self._unit}"
            )
        return (
            f"no clear peak: around {curve.best_position:.5g} {self._unit} the pictures do not "
            f"get sharper and blurrier again as one zone; give a narrower --window around the focus"
        )

    def _again_problem(self, curve: FocusCurve, again: FocusCurve) -> str:
        changed = float(np.median(np.abs(again.at(curve.positions) - curve.sharpness)))
        one, other = zone_width(curve), zone_width(again)
        same = max(one, other) < DISAGREEMENT * min(one, other)
        if _tells_width(again) and same and changed <= UNSTEADY * curve.range:
            return ""
        return (
            f"unsteady: a second sweep told another curve, with a zone of {other:.3g} in place of "
            f"{one:.3g} {self._unit}; look at light, vibration and play, and try again"
        )

    def _failed(self, reason: str) -> Calibration:
        return Calibration(None, reason, self._exposures, self._missed)


def _spacing(curve: FocusCurve) -> float:
    """Between neighbouring looks, on average; 0 of a single one."""
    count = len(curve.positions)
    return float(np.ptp(curve.positions)) / (count - 1) if count > 1 else 0.0


def _tells_width(curve: FocusCurve) -> bool:
    """Enough looks in the zone, and beyond it on both sides."""
    closed = (curve.sharpness[[0, -1]] < ZONE_FRACTION * curve.maximum).all()
    return bool(closed and zone_width(curve) >= SPACINGS_IN_ZONE * _spacing(curve) > 0)


def _within(limits: tuple[float, float], window: tuple[float, float] | None) -> tuple[float, float]:
    """The part of the limits in the window; the limits where there is none."""
    if window is None:
        return limits
    low, high = max(limits[0], window[0]), min(limits[1], window[1])
    return (low, high) if low < high else limits
