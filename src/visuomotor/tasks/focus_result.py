"""How one focus run ended, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from visuomotor.tasks.judging import (
    EXPLANATIONS,
    FOCUSED_FRACTION,
    Verdict,
    is_flat,
    limit_direction,
)
from visuomotor.types import FloatArray


@dataclass(frozen=True)
class FocusResult:
    """How one focus run ended."""

    position: float
    verdict: Verdict
    exposures: int
    """Pictures taken, the first and those of the way back included."""
    sharpness_start: float
    sharpness_end: float
    curve: tuple[tuple[float, float], ...]
    """(position, sharpness) of every look in order."""
    seconds: float
    start: float
    unit: str
    travel: float
    """Distance moved, in ``unit``."""
    policy_position: float
    """Where the policy itself ended, before any way back."""
    returned: bool
    """The guard went back to a sharper position than the policy's end."""
    reason: str
    """One sentence for a person."""
    direction: int = 0
    """With ``at_limit``: +1 or -1, which way along the axis focus may lie; else 0."""

    @property
    def path(self) -> tuple[float, ...]:
        """Positions of every look in order."""
        return tuple(position for position, _ in self.curve)


@dataclass
class Trace:
    """Every look of one cell, in all the ranges that were searched."""

    positions: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    exposures: int = 0
    """Before the range grew for the last time."""
    travel: float = 0.0
    """The same, and the way from there to where focusing went on."""
    growth: str = ""
    """What became of the range, in words."""

    @property
    def best(self) -> int | None:
        """Number of the sharpest look; None if no look could be measured."""
        if not np.isfinite(self.sharpness).any():
            return None
        return int(np.nanargmax(self.sharpness))

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Positions and sharpness of all looks."""
        return np.array(self.positions), np.array(self.sharpness)

    def direction(self, limits: tuple[float, float]) -> int:
        """+1 or -1: the end of the range that the sharpest look is nearer to."""
        return limit_direction(*self.arrays, limits)

    def add(self, info: dict[str, Any], cell: int) -> None:
        self.positions.append(float(info["position"][cell]))
        self.sharpness.append(float(info["sharpness"][cell]))
        self.noise.append(float(info["noise"][cell]))


def failed(unit: str, error: BaseException) -> FocusResult:
    """Of a run that could not begin: nothing is known but why."""
    nan = float("nan")
    verdict, reason = _ending(error)
    return FocusResult(
        position=nan,
        verdict=verdict,
        exposures=0,
        sharpness_start=nan,
        sharpness_end=nan,
        curve=(),
        seconds=0.0,
        start=nan,
        unit=unit,
        travel=0.0,
        policy_position=nan,
        returned=False,
        reason=reason,
    )


def spoiled(result: FocusResult, error: BaseException) -> FocusResult:
    """A result after something went wrong besides; what it said of an earlier failure stays."""
    if result.verdict not in (Verdict.ERROR, Verdict.ABORTED):
        verdict, reason = _ending(error)
        return replace(result, verdict=verdict, reason=reason, direction=0)
    parts = [part for part in _parts(error) if part not in result.reason]
    return replace(result, reason="; ".join([result.reason, *parts]))


def in_words(error: BaseException | None) -> str:
    """With its kind: it may be any."""
    return "; ".join(_parts(error))


def reason(
    verdict: Verdict,
    trace: Trace,
    failure: str,
    returned: bool,
    direction: int,
    fine_step: float,
    impatient: int | None,
) -> str:
    """The sentence of a result. impatient: so many looks in a row without progress cut the run;
    None if that was not what ended it."""
    text = EXPLANATIONS[verdict]
    if verdict is Verdict.ERROR and failure:
        text += f": {failure}"
    if verdict is Verdict.AT_LIMIT:
        text += f" ({'above' if direction > 0 else 'below'})"
    if verdict is Verdict.TIMED_OUT and impatient is not None:
        text = f"no picture came that was sharper than before, {impatient} times in a row"
    if verdict is Verdict.NO_SAMPLE and not np.any(trace.sharpness):
        text = "every picture is of one grey level: see to lamp, shutter, exposure"
    if verdict is Verdict.UNSURE and is_flat(*trace.arrays, fine_step):
        text = "pictures hardly change over the positions that were looked at"
    if verdict is Verdict.FOCUSED and len(trace.positions) == 1:
        text = "the policy stopped at its first look; there is no other to compare it with"
    elif verdict is Verdict.FOCUSED and trace.sharpness[-1] < max(trace.sharpness):
        text = f"stopped within {1 - FOCUSED_FRACTION:.0%} of the sharpest picture that was seen"
    text += f"; {trace.growth}" if trace.growth else ""
    return text + ("; returned to the sharpest position seen" if returned else "")


def _ending(error: BaseException) -> tuple[Verdict, str]:
    if isinstance(error, KeyboardInterrupt):
        return Verdict.ABORTED, "; ".join([EXPLANATIONS[Verdict.ABORTED], *_parts(error)])
    return Verdict.ERROR, f"{EXPLANATIONS[Verdict.ERROR]}: {in_words(error)}"


def _parts(error: BaseException | None) -> list[str]:
    """The error, and what was noted of it on its way, such as what could not be put back."""
    own = [] if isinstance(error, KeyboardInterrupt) else [f"{type(error).__name__}: {error}"]
    return [*own, *getattr(error, "__notes__", [])]
