"""Exposure and focus on a camera whose axes nobody was trained on, in turns.

A learned agent of camera control knows what its axes mean: which way is brighter, where a metre is.
Of a recorded grid, or a rig without optics written down, not even that is known. There focus is the
scale-free focus policy's, which compares looks; exposure climbs from where it is, whichever way is
better; and again, until neither moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.errors import InputError
from visuomotor.instruments.protocols import Axis, ExposureInstrument
from visuomotor.runner import focus
from visuomotor.tasks.focus_result import FocusResult
from visuomotor.tasks.judging import Verdict
from visuomotor.types import FloatArray, Frames
from visuomotor.vision.exposure import saturated_share
from visuomotor.vision.sharpness import smoothed

MOST_SATURATED = 0.01
"""Share of white pixels beyond which a picture does not count."""
FACTOR = 1.5
"""From one exposure to the next, where an axis has no positions of its own."""
TURNS = 4
FAILED = (Verdict.ERROR, Verdict.ABORTED)
SMOOTH_PX = 1.0
"""Before sharpness is measured, so that noise does not pass for it."""
Sharper = Literal["contrast", "relative"]
"""Which of two exposures is the sharper: by ``contrast`` in grey levels, which a longer one raises
until it saturates; or ``relative`` to brightness, which light does not change."""


@dataclass(frozen=True)
class CameraSearchResult:
    """How a search ended: where, by what of focus, after how many pictures."""

    exposure: float
    lens: float
    sharpness: float
    exposures: int
    """Pictures taken."""
    focus: FocusResult
    """The last focus run."""


def search_camera(
    instrument: Any, policy: Policy, seed: int = 0, sharper: Sharper = "contrast"
) -> CameraSearchResult:
    """Set the exposure and the lens of an instrument of one cell, from where they are.

    policy: of focus, which must not depend on what it was trained on (the shipped ``focus``). It
    ends at the sharpest picture seen that is not saturated, or where focusing failed, as ``focus``
    of the result says; InputError for another instrument.
    """
    if not isinstance(instrument, ExposureInstrument) or instrument.num_cells != 1:
        raise InputError(
            f"search_camera: expected a camera of one cell with an exposure axis and a lens, got "
            f"{type(instrument).__name__}"
        )
    climb = _Climb(instrument, sharper)
    for _ in range(TURNS):
        at = float(instrument.focus.position[0])
        found = focus(_Held(instrument, at), policy, seed)
        climb.pictures += found.exposures
        if found.verdict in FAILED:
            break
        moved = climb.lens()
        if not climb.exposures() and not moved:
            break
    return CameraSearchResult(
        exposure=float(instrument.exposure.position[0]),
        lens=float(instrument.focus.position[0]),
        sharpness=float("nan") if found.verdict in FAILED else climb.here(),
        exposures=climb.pictures,
        focus=found,
    )


class _Climb:
    """Over exposures, at the lens value of now."""

    def __init__(self, instrument: ExposureInstrument, sharper: Sharper) -> None:
        self._rig = instrument
        self._relative = sharper == "relative"
        self._measure = smoothed("tenengrad", SMOOTH_PX)
        self._ladder = _ladder(instrument)
        self._known: dict[tuple[float, float], float] = {}
        self.pictures = 0

    def exposures(self) -> bool:
        """To the best exposure near; whether that is another than before."""
        return self._climb(self._rig.exposure, self._ladder)

    def lens(self) -> bool:
        """The same by fine steps of the lens, where the focus policy was content with less."""
        low, high = self._rig.focus.limits
        here = float(self._rig.focus.position[0])
        below = np.arange(here, low - 1e-9, -self._rig.fine_step)[:0:-1]
        above = np.arange(here, high + 1e-9, self._rig.fine_step)
        return self._climb(self._rig.focus, np.concatenate([below, above]))

    def _climb(self, axis: Axis, places: FloatArray) -> bool:
        def go(number: int) -> None:
            axis.move_to(places[number : number + 1], np.array([0]))

        begun = number = int(np.abs(places - axis.position[0]).argmin())
        best = self.here()
        for step in (1, -1):
            while 0 <= number + step < len(places):
                go(number + step)
                sharpness = self.here()
                if sharpness <= best:
                    break
                number, best = number + step, sharpness
            go(number)
            if number != begun:
                break
        return number != begun

    def here(self) -> float:
        """Sharpness of the picture here, which is taken once; -1 of one that is saturated."""
        at = float(self._rig.focus.position[0]), float(self._rig.exposure.position[0])
        if at not in self._known:
            self._known[at] = self._taken()
        return self._known[at]

    def _taken(self) -> float:
        picture = self._rig.camera.grab(np.array([0]))
        self.pictures += 1
        if self._rig.roi is not None and picture.shape[1:3] != self._rig.roi[2:]:
            picture = self._rig.roi.crop(picture)
        if saturated_share(picture)[0] > MOST_SATURATED:
            return -1.0
        return float(self._sharpness(picture)[0])

    def _sharpness(self, picture: Frames) -> FloatArray:
        relative = self._measure(picture)
        if self._relative:
            return relative
        means: FloatArray = picture.mean(axis=tuple(range(1, picture.ndim)), dtype=np.float64)
        return relative * means**2


def _ladder(instrument: ExposureInstrument) -> FloatArray:
    """(E,) exposures to try: those recorded, or a factor apart."""
    recorded = getattr(instrument.exposure, "positions", None)
    if recorded is not None:
        return np.asarray(recorded, np.float64)
    low, high = instrument.exposure.limits
    count = 1 + int(np.ceil(np.log(high / max(low, 1e-9)) / np.log(FACTOR)))
    return np.geomspace(max(low, 1e-9), high, count)


class _Held:
    """The instrument, whose episodes begin where its lens stands."""

    def __init__(self, instrument: ExposureInstrument, at: float) -> None:
        self._instrument = instrument
        self._at = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instrument, name)

    def __enter__(self) -> Any:
        return self._instrument.__enter__()

    def __exit__(self, *what: Any) -> None:
        self._instrument.__exit__(*what)

    def reset(self, cells: Any, start: Any, generator: np.random.Generator) -> None:
        """At the lens value of now, and at the exposure of now."""
        begin = np.full(len(cells), self._at) if start is None else start
        self._instrument.reset(cells, begin, generator)
