"""The only door to motion: every move of a rig's motor goes through ``LimitedAxis``.

It clips to the limits, goes long ways in parts and no faster than allowed, takes up backlash from
one side, waits until things have settled, and reports where the motor says it came to. (Within an
acquisition, a hardware autofocus that is locked moves the motor; it is sent inside the limits too.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from visuomotor.errors import DeviceTimeoutError, InputError, RigError
from visuomotor.instruments.driving import SLICE_S, AxisDriver, Stopped, Worker
from visuomotor.instruments.rig_config import RigConfig

T = TypeVar("T")

MS = 1e-3
POLL_S = 2e-3
PART_S = 0.1
"""A speed is kept by going in parts of this duration."""
ROUNDING = 1e-9
"""Of a part, or of a step: a way this much longer than some parts needs no other one."""


class MissedError(RigError):
    """A motor came to rest elsewhere than it was sent."""

    def __init__(self, words: str, executed: float) -> None:
        super().__init__(words)
        self.executed = executed
        """Where it says it is."""


def grown(
    limits: tuple[float, float], hard: tuple[float, float], direction: int, least: float
) -> tuple[float, float] | None:
    """Limits made wider by their own width, up (+1) or down (-1), as far as the hard ones let them;
    None where they gain less than ``least``."""
    low, high = limits
    if direction > 0:
        wider = (low, max(high, min(high + (high - low), hard[1])))
    else:
        wider = (min(low, max(low - (high - low), hard[0])), high)
    gain = (wider[1] - wider[0]) - (high - low)
    return wider if gain >= least * (1 - ROUNDING) else None


class Clock(Protocol):
    """``time``, or a test's."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class Motion:
    """How a motor may be moved, in its own unit."""

    low: float
    high: float
    backlash: float = 0.0
    approach: int = 0
    """+1 or -1: sign of the last motion of every move; 0: any."""
    longest: float = math.inf
    """A longer way is gone in parts."""
    max_speed: float = math.inf
    """Units a second, on average over each part."""

    def __post_init__(self) -> None:
        # A drive goes each part at its own speed; short ones, with pauses, keep to a slower one.
        object.__setattr__(self, "longest", min(self.longest, PART_S * self.max_speed))

    @classmethod
    def of(cls, config: RigConfig) -> Motion:
        """As a rig file has it."""
        focus = config.focus
        return cls(
            *focus.limits,
            backlash=focus.backlash,
            approach={"up": 1, "down": -1, "any": 0}[focus.approach],
            longest=focus.longest_move or math.inf,
            max_speed=focus.max_speed or math.inf,
        )

    def clip(self, position: float) -> float:
        return min(max(position, self.low), self.high)

    def way(self, here: float, target: float) -> list[float]:
        """Where to send the motor, one after the other, to get from here to target: all of it
        within the limits, the last of it the target, clipped.

        From the wrong side it first goes past the target by the backlash (as far as the limits
        allow) and comes back. A motor that stands outside its limits first comes in, at once: it
        may be sent nowhere outside them.
        """
        end, inside = self.clip(target), self.clip(here)
        stations = [end]
        wrong_side = self.backlash > 0 and (end - here) * self.approach < 0
        if wrong_side:
            past = self.clip(end - self.approach * self.backlash)
            stations = [past, end] if past != end else [end]
        in_parts = math.isfinite(self.longest)
        way = [inside] if in_parts and inside not in (here, stations[0]) else []
        for station in stations:
            way += self._parts(way[-1] if way else inside, station)
        return way

    def _parts(self, here: float, there: float) -> list[float]:
        count = max(1, math.ceil(abs(there - here) / self.longest - ROUNDING))
        parts = [here + (there - here) * part / count for part in range(1, count)]
        return [*(self.clip(part) for part in parts), there]


class LimitedAxis:
    """One motor behind its limits, unbatched."""

    def __init__(
        self,
        drive: AxisDriver,
        config: RigConfig,
        worker: Worker,
        clock: Clock = time,
        stop: threading.Event | None = None,
    ) -> None:
        """stop: once set, every wait ends in ``Stopped``."""
        self.motion = Motion.of(config)
        self.unit = config.focus.unit
        self.tolerance = config.tolerance
        self.moved = False
        """It has been sent somewhere."""
        self.last = math.nan
        """Where the motor last said it was."""
        self._drive = drive
        self._name = f"{config.name}: focus drive"
        self._worker = worker
        self._clock = clock
        self._stop = threading.Event() if stop is None else stop
        self._settle_s = config.focus.settle_ms * MS
        self._timeout_s = config.focus.timeout_ms * MS

    @property
    def limits(self) -> tuple[float, float]:
        return self.motion.low, self.motion.high

    def position(self) -> float:
        """Where the motor says it is. RigError if it says nothing that is a position."""
        where = self._ask("reading the position", self._drive.read)
        if not math.isfinite(where):
            raise RigError(f"{self._name}: expected a position, got {where}")
        self.last = float(where)
        return self.last

    def is_inside(self, position: float) -> bool:
        """Whether it lies within the limits, as exactly as the motor comes to rest."""
        return self.motion.low - self.tolerance <= position <= self.motion.high + self.tolerance

    def move_to(self, target: float) -> float:
        """Go to target, clipped to the limits; returns where the motor says it came to.

        InputError for a target that is not finite; MissedError where it came to rest further from
        the target than the tolerance, DeviceTimeoutError where it did not arrive in time. In both
        cases, and on Ctrl-C, it has been told to halt.
        """
        if not math.isfinite(target):
            raise InputError(f"move_to: expected a finite position, got {target}")
        end = self.motion.clip(target)
        try:
            here = self.position()
            if here == end:
                return here
            for waypoint in self.motion.way(here, end):
                self._go(here, waypoint)
                here = waypoint
            self._pause(self._settle_s)
            executed = self.position()
        except BaseException:
            self._try_to_halt()
            raise
        if abs(executed - end) > self.tolerance:
            self._try_to_halt()
            words = f"was sent to {end:.6g} {self.unit} and says it is at {executed:.6g}"
            raise MissedError(f"{self._name}: {words}", executed)
        return executed

    def halt(self) -> None:
        """Stop moving now, whatever the motor is asked else."""
        self._worker.at_once(f"{self._name}: halting", self._drive.halt, self._timeout_s)

    def _go(self, here: float, waypoint: float) -> None:
        began = self._clock.monotonic()
        what = f"moving to {waypoint:.6g} {self.unit}"
        self.moved = True
        self._ask(what, lambda: self._drive.move(waypoint))
        while self._ask(what, self._drive.is_moving):
            if self._clock.monotonic() - began > self._timeout_s:
                raise DeviceTimeoutError(
                    f"{self._name}: {what}: expected it there within {self._timeout_s:g} s, "
                    f"it still moves"
                )
            self._pause(POLL_S)
        due = began + abs(waypoint - here) / self.motion.max_speed
        self._pause(due - self._clock.monotonic())

    def _ask(self, what: str, question: Callable[[], T]) -> T:
        return self._worker.call(f"{self._name}: {what}", question, self._timeout_s)

    def _pause(self, seconds: float) -> None:
        """In slices, so that a stop is heard."""
        while seconds > 0:
            if self._stop.is_set():
                raise Stopped(f"{self._name}: stopped from outside")
            self._clock.sleep(min(seconds, SLICE_S))
            seconds -= SLICE_S

    def _try_to_halt(self) -> None:
        """What went wrong already is the error to be told, not that halting failed too."""
        try:
            self.halt()
        except Exception:
            return
