"""What cameras do today: an automatic exposure by proportion, as policies of camera control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from visuomotor.agents.base import PolicySpec
from visuomotor.types import Act, BoolArray, Observation

_BLIND_FACTOR = 16.0
"""By which the exposure changes where a picture is all black or all white."""


class AutoExposure:
    """Multiplies the exposure by the best level over the one that is there, as brute-force
    automatic exposure does; by a fixed factor where the picture is black or white throughout."""

    def __init__(self, spec: PolicySpec) -> None:
        """spec: of camera control; this reads ``levels`` and ``settings``."""
        spec.require("auto-exposure", "levels", "settings")
        self.spec = replace(spec, config={**spec.config, "control": "exposure"})
        self._low, self._high = np.log(spec.config["exposure_range_us"])
        self._last = int(spec.config["exposures"]) - 1

    def begin(self, state: Any, fresh: BoolArray) -> None:
        """All it knows is in the observation."""
        return

    def act(self, observation: Observation, state: None, generator: np.random.Generator) -> Act:
        level, saturated = observation["levels"][:, 0], observation["levels"][:, 2]
        now = self._low + (observation["settings"][:, 0] + 1) / 2 * (self._high - self._low)
        change = -np.log(2) * level  # levels are log2 of P over the best one
        blind = np.log(_BLIND_FACTOR)
        change = np.where(saturated > 0.5, -blind, np.clip(change, -blind, blind))
        place = (now + change - self._low) / (self._high - self._low) * self._last
        return Act(np.clip(np.rint(place), 0, self._last).astype(np.int64), None, {})
