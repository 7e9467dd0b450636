"""An instrument that disturbs another one, to test focus policies and to adapt them.

``Disturbed`` wraps any focus instrument: its drive slips, its pictures flicker, its sample drifts.
What is disturbed can be measured exactly, because the instrument below stays as it is: the drive
only believes where it stands (``DeadReckons``), and the truth is the undisturbed curve.

Every disturbance is off by default, adds to the others, and takes no random numbers while it is
off. ``PRESETS`` has one severity of each, ``scaled`` makes it weaker or stronger.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.disturbed_devices import (
    DisturbedAxis,
    DisturbedCamera,
    DisturbedCells,
)
from visuomotor.instruments.protocols import (
    CanFail,
    ChoosesReading,
    FocusInstrument,
    HasFocusTruth,
    Resumable,
)
from visuomotor.types import ROI, FloatArray, IntArray


@dataclass(frozen=True)
class DisturbanceConfig:
    """What goes wrong, and by how much. The way that a picture takes: blank, view, brightness,
    noise, spot."""

    slip: float = 0.0
    """Standard deviation of the relative error of each move: 0.1 falls short or over by 10 %."""
    slip_bias: float = 0.0
    """Mean of that error: -0.1 falls short by 10 %."""
    backlash_steps: float = 0.0
    """Fine steps of motion that do nothing after a change of direction."""
    start_jitter_steps: float = 0.0
    """An episode starts up to so many fine steps beside its start, which the drive does not know;
    0.5 makes the starts of a grid continuous."""
    focus_drift_steps: float = 0.0
    """Fine steps by which the sample, and focus with it, rises from each look to the next."""
    view_shift_px: float = 0.0
    """The view is shifted by up to so many pixels each way, anew for each episode."""
    view_drift_px: float = 0.0
    """Standard deviation, each way, of the view's random walk from each look to the next, pixels.
    """
    brightness_drift: float = 0.0
    """Share by which each look is brighter than the one before; negative: darker."""
    brightness_slope: float = 0.0
    """Share of brightness gained over the range of positions; none in its middle."""
    flicker: float = 0.0
    """Standard deviation of a random gain, the share of each picture's brightness."""
    dropout: float = 0.0
    """Probability that a picture is dark."""
    noise: float = 0.0
    """Standard deviation of added noise, the share of the camera's display range."""
    spot_px: float = 0.0
    """Diameter in pixels of a saturated disc that is always at the same place, and never blurred.
    """
    blank: bool = False
    """There is no sample: each picture is as grey all over as the episode's first is on average.
    The truth stays that of the sample which is missing."""

    def __post_init__(self) -> None:
        far = (0, 1e6)
        check_range(self, slip=(0, 10), slip_bias=(-1, 10), backlash_steps=far)
        check_range(self, start_jitter_steps=far, focus_drift_steps=(-1e6, 1e6))
        check_range(self, view_shift_px=far, view_drift_px=far, spot_px=far)
        check_range(self, brightness_drift=(-1, 10), brightness_slope=(-2, 2))
        check_range(self, flicker=(0, 10), dropout=(0, 1), noise=(0, 10))

    @property
    def moves(self) -> bool:
        """Whether the drive comes elsewhere than it believes."""
        motion = self.slip, self.slip_bias, self.backlash_steps
        return any((*motion, self.start_jitter_steps, self.focus_drift_steps))


PRESETS: dict[str, DisturbanceConfig] = {
    "noise": DisturbanceConfig(noise=0.03),
    "brightness_drift": DisturbanceConfig(brightness_drift=-0.05),
    "backlash": DisturbanceConfig(backlash_steps=3.0),
    "slip": DisturbanceConfig(slip=0.15, slip_bias=-0.05),
    "view_drift": DisturbanceConfig(view_drift_px=2.0),
    "flicker": DisturbanceConfig(flicker=0.1, dropout=0.02),
    "spot": DisturbanceConfig(spot_px=24.0),
    "blank": DisturbanceConfig(blank=True, noise=0.01),
    "rough_rig": DisturbanceConfig(
        slip=0.15, slip_bias=-0.1, backlash_steps=2.0, start_jitter_steps=0.5, view_shift_px=8.0
    ),
}
"""One severity of each disturbance. ``rough_rig`` is what yu2018 (section IV.C) suspects on its
robot: a knob that slips, a view that shifts a little, and starts anywhere in the range."""


def scaled(config: DisturbanceConfig, factor: float) -> DisturbanceConfig:
    """All amounts times factor; a blank field stays blank, but for factor 0, which disturbs
    nothing. InputError where an amount leaves its range, as a probability above 1 does."""
    if not (np.isfinite(factor) and factor >= 0):
        raise InputError(f"scaled: expected a factor of 0 or more, got {factor}")
    amounts = {f.name: factor * getattr(config, f.name) for f in fields(config)}
    return replace(config, **{**amounts, "blank": config.blank and factor > 0})


class Disturbed:
    """Another instrument, disturbed: a ``FocusInstrument`` that ``DeadReckons``; it knows focus,
    can be resumed, fails and chooses its reading where the one within does.

    A reset brings the drive to the start, however far it was off before. The truth is the curve of
    the instrument within, and holds at ``true_position``. All cells share one generator.
    """

    def __init__(self, instrument: Any, config: DisturbanceConfig, seed: int) -> None:
        """seed: of every random number; nothing is drawn from a task's generator."""
        if not isinstance(instrument, FocusInstrument):
            raise InputError(
                f"Disturbed: expected an instrument with a camera and a focus axis, "
                f"got {type(instrument).__name__}"
            )
        if seed < 0:
            raise InputError(f"seed: expected 0 or more, got {seed}")
        self.inner = instrument
        self.config = config
        self.num_cells = count = instrument.num_cells
        self.fine_step = instrument.fine_step
        self._generator = np.random.default_rng(seed)
        self._cells = DisturbedCells(
            believed=np.full(count, np.nan),
            true=np.full(count, np.nan),
            play=np.zeros(count),
            offset=np.zeros((count, 2)),
            spot=self._generator.random((count, 2)) if config.spot_px else np.zeros((count, 2)),
            level=np.full(count, np.nan),
            looks=np.zeros(count, np.int64),
        )
        self.focus = DisturbedAxis(instrument, config, self._cells, self._generator)
        self.camera = DisturbedCamera(instrument, self.focus, self._cells, self._generator)
        # Attributes, not methods: what the instrument within cannot do, this one must not promise.
        if isinstance(instrument, HasFocusTruth):
            self.focus_truth = instrument.focus_truth
            self.views = instrument.views
        if isinstance(instrument, CanFail):
            self.failures = instrument.failures
        if isinstance(instrument, ChoosesReading):
            self.reading = instrument.reading
        if isinstance(instrument, Resumable):
            self._resumable: Resumable = instrument
            self.state_dict = self._state_dict
            self.load_state_dict = self._load_state_dict

    @property
    def roi(self) -> ROI | None:
        return self.inner.roi

    @property
    def true_position(self) -> FloatArray:
        """(B,) where each cell is: what its pictures show."""
        return self.focus.true_position

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        self.inner.reset(cells, start, generator)
        self.focus.begin(cells)
        self.camera.begin(cells)

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.inner.__exit__(kind, error, trace)

    def _state_dict(self) -> dict[str, Any]:
        return {
            "inner": self._resumable.state_dict(),
            "cells": {key: value.copy() for key, value in vars(self._cells).items()},
            "random": self._generator.bit_generator.state,
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self._resumable.load_state_dict(state["inner"])
        for key, value in state["cells"].items():
            getattr(self._cells, key)[:] = value  # the axis and the camera hold the same arrays
        self._generator.bit_generator.state = state["random"]


def examples(cells: int) -> dict[str, Disturbed]:
    """Instruments whose disturbances keep what every instrument promises: in the first picture
    after a reset, position alone decides."""
    from visuomotor.instruments.recorded import stack_instrument
    from visuomotor.instruments.simulated import microscope

    recorded = stack_instrument.examples(cells)
    simulated = microscope.examples(cells)
    motion = DisturbanceConfig(slip=0.2, slip_bias=-0.1, backlash_steps=2.0, focus_drift_steps=0.5)
    light = DisturbanceConfig(view_drift_px=3.0, brightness_drift=-0.1)
    return {
        "nothing disturbed": Disturbed(recorded["recorded positions"], DisturbanceConfig(), 0),
        "motion": Disturbed(recorded["free positions"], motion, 0),
        "view and light drift": Disturbed(recorded["region of interest"], light, 0),
        "motion, two views": Disturbed(simulated["two views"], motion, 0),
    }
