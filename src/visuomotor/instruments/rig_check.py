"""Is a rig fit for focusing? Reads, moves a little, and says what was found, for a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from visuomotor.instruments.recorded.focal_stack import FINE_STEPS_IN_ZONE, zone_width
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import RigConfig
from visuomotor.types import FloatArray, FocusCurve, Frame, Frames
from visuomotor.vision.noise import noise_sharpness

Grade = Literal["good", "look", "bad", "told"]
REPEATS = 5
SWEEP_STEPS = 12
"""Fine steps to each side of where the rig stands, that a check sweeps."""
ROOM_STEPS = 4
"""Fine steps, at least, that a check needs to move in."""
SATURATED_SHARE = 0.01
FOLLOWS = 1.5
"""Pictures of two places differ by at least this many times what two pictures of one do."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    grade: Grade
    """"good"; "look": a person should see to it; "bad": focusing will not work; "told": a fact."""
    text: str
    value: float | None = None


def check_rig(
    config: RigConfig,
    measure: Callable[[Frames], FloatArray],
    tell: Callable[[Finding], None],
    move: bool = True,
) -> None:
    """Look at one thing after another, and go back to where the rig stood, or to its safe position.

    measure: sharpness of pictures (M, H, W[, 3]) as the rig file has it read. tell: is called with
    each finding as it is made; where it raises, the rig is put back all the same. move: without it,
    the rig is connected to and read, but nothing moves; nor does it where the drive stands outside
    its limits. RigError where it breaks off; what was found until then has been told.
    """

    def tell_all(findings: Iterator[Finding]) -> None:
        for finding in findings:
            tell(finding)

    began = time.perf_counter()
    # The way to the safe position is a move too, and made below where moves are wanted.
    with Rig(replace(config, safe=replace(config.safe, position=None))) as rig:
        tell(Finding("connection", "good", f"open after {time.perf_counter() - began:.1f} s"))
        check = _Check(rig, measure)
        tell_all(check.position())
        tell_all(check.pictures())
        if not move or not check.is_inside:
            return
        tell_all(check.room())
        if not check.has_room:
            return
        safe = config.safe.position
        try:
            tell_all(check.moves())
            tell_all(check.sweeps())
        finally:
            rig.focus.move_to(check.start if safe is None else safe)


class _Check:
    """The looks, in their order."""

    def __init__(self, rig: Rig, measure: Callable[[Frames], FloatArray]) -> None:
        self._rig, self._axis = rig, rig.focus
        self._measure = measure
        self._unit = rig.focus.unit
        self._step = rig.config.fine_step
        self.start = rig.focus.position()
        low, high = rig.focus.limits
        self.is_inside = rig.focus.is_inside(self.start)
        # Play is taken up only where an approach has room for it before the limit.
        motion = rig.focus.motion
        self._low = low + (motion.backlash if motion.approach > 0 else 0.0)
        self._high = high - (motion.backlash if motion.approach < 0 else 0.0)
        self._centre = min(max(self.start, self._low), self._high)
        self.has_room = self._high - self._low >= ROOM_STEPS * self._step

    def position(self) -> Iterator[Finding]:
        low, high = self._axis.limits
        text = f"{self.start:.6g} {self._unit}, limits {low:g} to {high:g}"
        if self.is_inside:
            yield Finding("position", "good", text, self.start)
        else:
            outside = f"{text}: it stands outside them; move it inside by hand, and check again"
            yield Finding("position", "bad", outside, self.start)

    def room(self) -> Iterator[Finding]:
        if not self.has_room:
            backlash = self._axis.motion.backlash
            text = (
                f"the limits, less a backlash of {backlash:g}, leave no {ROOM_STEPS} fine steps of "
                f"{self._step:.3g} {self._unit} to move in: nothing was moved"
            )
            yield Finding("room", "look", text, self._high - self._low)

    def pictures(self) -> Iterator[Finding]:
        times, taken = [], []
        for _ in range(3):
            began = time.perf_counter()
            taken.append(self._rig.snap())
            times.append(1e3 * (time.perf_counter() - began))
        frame = taken[-1]
        size = " x ".join(str(n) for n in frame.shape)
        ms = float(np.median(times))
        yield Finding("picture", "good", f"{size} {frame.dtype}, {ms:.3g} ms each", ms)
        black, white = self._rig.display_range
        full = float((frame >= white).mean())
        level = f"grey levels {frame.min()} to {frame.max()} of {black:g} to {white:g}"
        if full > SATURATED_SHARE:
            yield Finding("light", "look", f"{level}: {full:.1%} saturated; expose less", full)
        elif float(frame.max()) < black + 0.05 * (white - black):
            yield Finding("light", "look", f"{level}: dark; expose more", full)
        else:
            yield Finding("light", "good", level, full)
        sharp = float(self._measure(frame[None])[0])
        noise = float(noise_sharpness(frame[None], self._measure)[0])
        ratio = sharp / noise if noise > 0 else np.inf
        text = (
            f"{sharp:.4g} {self._rig.config.sharpness.measure}, {ratio:.3g} times that of its noise"
        )
        yield Finding("sharpness here", "told", text, sharp)
        self._still = _difference(taken[0], taken[1])

    def moves(self) -> Iterator[Finding]:
        room = self._high - self._low
        way = min(SWEEP_STEPS * self._step, 0.45 * room)
        here = self._centre
        there = here + way if here + way <= self._high else here - way
        self._axis.move_to(here)
        before = self._rig.snap()
        times, missed, seen = [], [], before
        for target in (there, here) * REPEATS:
            began = time.perf_counter()
            came_to = self._axis.move_to(target)
            times.append(1e3 * (time.perf_counter() - began))
            missed.append(abs(came_to - target))
            if target == there:
                seen = self._rig.snap()
        ms, error = float(np.median(times)), max(missed)
        text = f"{way:.4g} {self._unit} take {ms:.3g} ms, settling included"
        yield Finding("move", "told", text, ms)
        grade: Grade = "good" if error <= 0.5 * self._step else "look"
        text = f"within {error:.3g} {self._unit} of where it was sent, {2 * REPEATS} times"
        yield Finding("arrival", grade, text, error)
        moved = _difference(before, seen)
        ratio = moved / self._still if self._still > 0 else (np.inf if moved > 0 else 0.0)
        if ratio >= FOLLOWS:
            yield Finding("pictures follow", "good", "pictures change with the focus", ratio)
        else:
            text = "pictures do not change with the focus: no sample, far off, or the wrong drive"
            yield Finding("pictures follow", "bad", text, ratio)

    def sweeps(self) -> Iterator[Finding]:
        reach = SWEEP_STEPS * self._step
        steps = np.arange(-SWEEP_STEPS, SWEEP_STEPS + 1, dtype=np.float64)
        at: FloatArray = self._centre + steps * self._step
        at = at[(at >= self._low) & (at <= self._high)]
        up = self._sweep(at)
        again = self._sweep(at)
        down = self._sweep(at[::-1])[::-1]
        level = max(float(up.max()), 1e-300)
        noise = float(np.median(np.abs(again - up))) / level
        text = f"the same place is as sharp again within {noise:.2%} of the maximum"
        yield Finding("repeatability", "good" if noise < 0.05 else "look", text, noise)
        contrast = float(np.ptp(up)) / level
        if contrast < max(0.1, 5 * noise):
            text = (
                f"sharpness hardly changes within {reach:.3g} {self._unit}: cannot tell backlash "
                f"or fine step here; move nearer to focus and check again"
            )
            yield Finding("focus curve", "look", text, contrast)
            return
        best = int(np.argmax(up))
        inside = 0 < best < len(at) - 1
        text = f"sharpest at {at[best]:.5g} {self._unit}" + (
            "" if inside else ", the end of the sweep: focus the rig, and check again"
        )
        yield Finding("focus curve", "good" if inside else "look", text, float(at[best]))
        play = _shift(at, 0.5 * (up + again), down)
        told = f"{play:.3g} {self._unit} between sweeps up and down"
        if abs(play) <= self._step:
            yield Finding("backlash", "good", told, play)
        else:
            advice = f'{told}: set backlash = {1.5 * abs(play):.3g} and approach = "up"'
            yield Finding("backlash", "look", advice, play)
        if inside:
            estimate = zone_width(FocusCurve(at, up)) / FINE_STEPS_IN_ZONE
            fits = 0.4 <= estimate / self._step <= 2.5
            text = (
                f"{estimate:.3g} {self._unit} by this sample's curve, {self._step:.3g} in the file"
            )
            yield Finding("fine step", "good" if fits else "look", text, estimate)

    def _sweep(self, at: FloatArray) -> FloatArray:
        sharpness = []
        for target in at:
            self._axis.move_to(float(target))
            sharpness.append(float(self._measure(self._rig.snap()[None])[0]))
        return np.array(sharpness)


def _difference(one: Frame, other: Frame) -> float:
    """Mean absolute difference of two pictures, each by its own mean: brightness alone is none."""
    a, b = one.astype(np.float32), other.astype(np.float32)
    return float(np.abs(a / max(a.mean(), 1e-6) - b / max(b.mean(), 1e-6)).mean())


def _shift(at: FloatArray, up: FloatArray, down: FloatArray) -> float:
    """How far the curve of the way down lies below that of the way up, where they fit best."""
    spacing = float(at[1] - at[0])
    shifts = np.linspace(-0.5, 0.5, 401) * (at[-1] - at[0])
    misfits = []
    for shift in shifts:
        inside = (at - shift >= at[0]) & (at - shift <= at[-1])
        moved = np.interp(at[inside] - shift, at, down)
        misfits.append(float(np.mean((up[inside] - moved) ** 2)) if inside.sum() > 4 else np.inf)
    best = float(shifts[int(np.argmin(misfits))])
    return best if abs(best) > 1e-9 * spacing else 0.0
