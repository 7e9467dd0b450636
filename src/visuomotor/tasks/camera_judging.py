"""The verdict on a camera control run: what an honest camera says of the picture it ended with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from visuomotor.vision.exposure import VISIBLE

LARGEST_BLANK = 0.9
"""Share of a picture that is saturated, or dark, beyond which nothing is to be seen in it."""


class CameraVerdict(StrEnum):
    """How a camera control run ended; ``EXPLANATIONS`` has a sentence for each."""

    SHARP = "sharp"
    EXPOSED = "exposed"
    DETECTED = "detected"
    BLURRED = "blurred"
    NO_OBJECT = "no_object"
    TOO_DARK = "too_dark"
    SATURATED = "saturated"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"
    ERROR = "error"


EXPLANATIONS = {
    CameraVerdict.SHARP: "the object was detected and is sharp",
    CameraVerdict.EXPOSED: "the picture is well exposed",
    CameraVerdict.DETECTED: "an object was detected, sharp or not: this policy asks no more",
    CameraVerdict.BLURRED: "an object was detected, but sharp at no lens value that was tried",
    CameraVerdict.NO_OBJECT: "the picture is well exposed, but no object was detected in it",
    CameraVerdict.TOO_DARK: "even the longest exposure that was tried shows nothing",
    CameraVerdict.SATURATED: "even the shortest exposure that was tried is all white",
    CameraVerdict.TIMED_OUT: "the step limit came before a usable exposure",
    CameraVerdict.ABORTED: "stopped from outside",
    CameraVerdict.ERROR: "the instrument or the policy failed",
}

GOOD_ENDS = frozenset({CameraVerdict.SHARP, CameraVerdict.EXPOSED, CameraVerdict.DETECTED})


@dataclass(frozen=True)
class CameraLook:
    """One picture of a run, in numbers."""

    exposure_us: float
    lens: float
    level: int
    """P, the fullest of 256 grey levels."""
    dark: float
    """Share of pixels at black."""
    saturated: float
    """Share of pixels at white."""
    detected: bool
    blur_px: float


@dataclass(frozen=True)
class CameraResult:
    """How one camera control run ended."""

    verdict: CameraVerdict
    exposure_us: float
    lens: float
    unit: str
    """Of the lens."""
    steps: int
    exposures: int
    """Pictures taken, the first included."""
    detected: bool
    box: tuple[int, int, int, int]
    """Top, left, height and width of the object; zeros where none was detected."""
    looks: tuple[CameraLook, ...] = field(repr=False)
    returned: bool
    """Exposure and lens were put back to where they started, as the end was no good one."""
    reason: str
    """One sentence for a person."""
    seconds: float = 0.0


def judge_camera(
    looks: Sequence[CameraLook],
    control: str,
    succeeded: bool,
    events: Collection[str],
    sharp_px: float | None,
) -> CameraVerdict:
    """The verdict on one run: every look in order, what was controlled (``exposure``, ``focus`` or
    ``both``), whether the task was done, what else happened ("error", "aborted"), and the blur at
    which the task counts as done; None where a detection is enough.

    Order: error, aborted, what was asked for, saturated, too_dark, timed_out, blurred, no_object.
    """
    if "error" in events:
        return CameraVerdict.ERROR
    if "aborted" in events:
        return CameraVerdict.ABORTED
    if not looks:
        return CameraVerdict.ERROR
    if succeeded:
        if control == "exposure":
            return CameraVerdict.EXPOSED
        return CameraVerdict.DETECTED if sharp_px is None else CameraVerdict.SHARP
    shortest = min(looks, key=lambda look: look.exposure_us)
    longest = max(looks, key=lambda look: look.exposure_us)
    if shortest.saturated > LARGEST_BLANK:
        return CameraVerdict.SATURATED
    if longest.level < VISIBLE[0] and longest.saturated + longest.detected == 0:
        return CameraVerdict.TOO_DARK
    usable = [look for look in looks if VISIBLE[0] <= look.level <= VISIBLE[1]]
    if control == "exposure" or not usable:
        return CameraVerdict.TIMED_OUT
    if any(look.detected for look in looks):
        return CameraVerdict.BLURRED
    return CameraVerdict.NO_OBJECT
