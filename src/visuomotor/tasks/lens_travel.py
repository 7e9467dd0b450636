"""Focus by lens travel: the two methods that anikina2021 compares with, as it trained them again.

``phase`` is the agent of its reference [11] (Chan et al. 2019): it sees the phase shift between the
two half-pupil pictures and its last lens travel, moves the lens, and is rewarded by the true
distance to focus, here in octaves. ``tenengrad`` is that of its reference [12] (Yu et al. 2018): it
sees the picture (here the encoder's features) and its last travel, and is rewarded by Tenengrad
over its maximum, for which every lens position must have been seen before. Both end when the object
is sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import check_range, from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.instruments.protocols import (
    HalfPupilCamera,
    HasCameraTruth,
    Resumable,
)
from visuomotor.models.encoders import encoder
from visuomotor.tasks.base import PolicySpec
from visuomotor.types import BoolArray, Command, FloatArray, IntArray, Observation
from visuomotor.vision.phase import LARGEST_SHIFT_PX, phase_shift_px
from visuomotor.vision.sharpness import smoothed

NAME = "lens_travel"
VERSION = 1
LARGEST_TRAVEL_V = 16.0
SMOOTH_PX = 1.0
"""Before Tenengrad, so that noise is not taken for sharpness."""


@dataclass(frozen=True)
class LensTravelConfig:
    """What is asked."""

    method: Literal["phase", "tenengrad"] = "phase"
    travels_v: tuple[float, ...] = (-16.0, -4.0, -1.0, -0.25, -0.06, 0.06, 0.25, 1.0, 4.0, 16.0)
    """What an action moves the lens by."""
    encoder: str = "small"
    """Whose features ``tenengrad`` sees."""
    sharp_px: float = 1.5
    """The object's blur at which an episode ends."""
    max_steps: int = 40
    """Actions after which the episode has failed (it terminates)."""

    def __post_init__(self) -> None:
        check_range(self, sharp_px=(0.1, 100), max_steps=(1, 10**9))
        if not self.travels_v or 0 in self.travels_v:
            raise InputError(f"{NAME}: travels_v: expected moves, none of 0, got {self.travels_v}")


PRESETS = {
    "phase": LensTravelConfig(),
    "tenengrad": LensTravelConfig(method="tenengrad"),
}


def build(config: Mapping[str, Any]) -> LensTravelTask:
    """The task from plain values, as checkpoints and config files hold them."""
    return LensTravelTask(from_plain(LensTravelConfig, config, NAME))


@dataclass
class TravelCells:
    """The state of B cells."""

    lens: FloatArray  # (B,)
    travelled: FloatArray  # (B,) by the last step
    seen: NDArray[np.float32]  # (B, n) phase shift or features of the newest look
    blur_px: FloatArray  # (B,) true
    sharpness: FloatArray  # (B,) Tenengrad over its maximum, which ``tenengrad`` alone reads
    maximum: FloatArray  # (B,) F_max
    reward: FloatArray  # (B,)
    steps: IntArray  # (B,)
    exposures: IntArray  # (B,)
    travel: FloatArray  # (B,) in all
    succeeded: BoolArray  # (B,)
    out_of_steps: BoolArray  # (B,)


class LensTravelTask:
    """The task over B cells; see ``tasks.base.Task`` for the contract of each method."""

    name = NAME
    version = VERSION
    frames = None

    def __init__(self, config: LensTravelConfig | None = None) -> None:
        self.config = config if config is not None else LensTravelConfig()
        self._moves = np.array(self.config.travels_v)
        self._measure = smoothed("tenengrad", SMOOTH_PX)
        by_phase = self.config.method == "phase"
        self._encoder = None if by_phase else encoder(self.config.encoder)
        self._size = 1 if self._encoder is None else self._encoder.size

    @property
    def observation_space(self) -> gym.spaces.Dict:
        key = "phase" if self._encoder is None else "features"
        sizes = {key: self._size, "travelled": 1}
        return gym.spaces.Dict(
            {key: gym.spaces.Box(-np.inf, np.inf, (n,), np.float32) for key, n in sizes.items()}
        )

    @property
    def action_space(self) -> gym.Space[Any]:
        return gym.spaces.Discrete(len(self._moves))

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(NAME, VERSION, tuple(self.observation_space), to_plain(self.config))

    def bind(self, instrument: Any) -> None:
        phase = self.config.method == "phase"
        known = isinstance(instrument, HasCameraTruth) and isinstance(instrument, Resumable)
        if not known or (phase and not isinstance(instrument.camera, HalfPupilCamera)):
            raise InputError(
                f"{NAME} needs an instrument that knows its focus, and for phase a camera of two "
                f"half pupils, got {type(instrument).__name__}"
            )
        self._rig: Any = instrument
        self._lens_range = instrument.focus.limits
        cells = instrument.num_cells
        numbers = {name: np.zeros(cells) for name in _NUMBERS}
        whole = {name: np.zeros(cells, np.int64) for name in ("steps", "exposures")}
        self._cells = TravelCells(
            **numbers,
            **whole,
            seen=np.zeros((cells, self._size), np.float32),
            succeeded=np.zeros(cells, np.bool_),
            out_of_steps=np.ones(cells, np.bool_),
        )

    def reset(
        self, cells: IntArray, generator: np.random.Generator, start: FloatArray | None
    ) -> None:
        s = self._cells
        for name in (*_NUMBERS, "steps", "exposures", "succeeded", "out_of_steps"):
            getattr(s, name)[cells] = 0
        self._rig.reset(cells, start, generator)
        s.lens[cells] = self._rig.focus.position[cells]
        if self._encoder is not None and len(cells):
            # A sweep over every lens position would end here; the study counts its pictures.
            self._rig.focus.move_to(self._rig.best_lens()[cells], cells)
            s.maximum[cells] = self._measure(self._rig.camera.grab(cells))
            self._rig.focus.move_to(s.lens[cells], cells)
        self._look(cells)

    def decode(self, action: NDArray[Any]) -> Command:
        """Target (B, 1) of the lens."""
        target = np.clip(self._cells.lens + self._moves[action], *self._lens_range)
        return Command(target[:, None], np.zeros(len(target), np.bool_))

    def apply(self, action: NDArray[Any], command: Command, cells: IntArray) -> None:
        s, c = self._cells, self.config
        before = s.lens[cells]
        s.lens[cells] = self._rig.focus.move_to(command.target[cells, 0], cells)
        s.travelled[cells] = s.lens[cells] - before
        s.travel[cells] += np.abs(s.travelled[cells])
        s.steps[cells] += 1
        self._look(cells)
        s.succeeded[cells] = s.blur_px[cells] <= c.sharp_px
        s.out_of_steps[cells] = (s.steps[cells] >= c.max_steps) & ~s.succeeded[cells]
        s.reward[cells] = self._rewards(cells)

    def observe(self) -> Observation:
        s = self._cells
        key = "phase" if self._encoder is None else "features"
        travelled = (s.travelled / LARGEST_TRAVEL_V)[:, None]
        return {key: s.seen.copy(), "travelled": travelled.astype(np.float32)}

    def reward(self) -> FloatArray:
        return self._cells.reward.copy()

    def done(self) -> BoolArray:
        return self._cells.succeeded | self._cells.out_of_steps

    def success(self) -> BoolArray:
        return self._cells.succeeded.copy()

    def info(self) -> dict[str, Any]:
        s = self._cells
        names = ("steps", "exposures", "travel", "blur_px", "sharpness", "out_of_steps")
        info: dict[str, Any] = {name: getattr(s, name).copy() for name in names}
        away = self._rig.best_lens() - s.lens
        info |= {"position": s.lens.copy(), "executed": s.travelled[:, None].copy()}
        info |= {"success": self.success(), "truth": away}
        # The move that leads nearest to focus.
        left = np.abs(away[:, None] - self._moves)
        return info | {"expert": left.argmin(1)}

    def state_dict(self) -> dict[str, Any]:
        cells = {key: value.copy() for key, value in vars(self._cells).items()}
        return {"cells": cells, "rig": self._rig.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        saved = {key: np.array(value) for key, value in state["cells"].items()}
        self._cells = TravelCells(**(vars(self._cells) | saved))
        self._rig.load_state_dict(state["rig"])

    def _look(self, cells: IntArray) -> None:
        s = self._cells
        if len(cells) == 0:
            return
        s.exposures[cells] += 1
        if self._encoder is None:
            shift = phase_shift_px(self._rig.camera.halves(cells))
            s.seen[cells] = (shift / LARGEST_SHIFT_PX)[:, None]
        else:
            frames = self._rig.camera.grab(cells)
            s.seen[cells] = self._encoder(frames)
            most = s.maximum[cells]
            s.sharpness[cells] = self._measure(frames) / np.where(most > 0, most, 1.0)
        s.blur_px[cells] = np.abs(self._rig.defocus_px()[cells])

    def _rewards(self, cells: IntArray) -> FloatArray:
        """(M,) minus the true distance to focus [11], in octaves of what counts as sharp: by itself
        the distance of the range's ends drowns what is left near focus; or 10 (F / F_max - 1), and
        100 at either end (yu2018, equation 2) [12]."""
        s = self._cells
        if self.config.method == "phase":
            return -np.log2(1 + s.blur_px[cells] / self.config.sharp_px)
        end = np.where(s.succeeded[cells], 100.0, np.where(s.out_of_steps[cells], -100.0, 0.0))
        return np.asarray(10 * (s.sharpness[cells] - 1) + end, np.float64)


_NUMBERS = ("lens", "travelled", "blur_px", "sharpness", "maximum", "reward", "travel")
