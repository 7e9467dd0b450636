"""Camera control: an exposure time at which the picture is usable, then a lens in focus.

The three tasks of anikina2021 (DASHA) on one instrument: the high-level agent's (``exposure``), the
low-level one's (``focus``), and both in a row. Settings are absolute, not steps: each action is one
of 146 exposure times, or the integer part and the hundredths of a lens value. ``PRESETS`` has the
paper's own readings beside the defaults, which also see how the camera is set and what the last
look showed, may recover from a useless exposure, and end when the object is sharp, not merely
detected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.instruments.protocols import (
    CanFail,
    ExposureInstrument,
    HasCameraTruth,
    Resumable,
)
from visuomotor.tasks.base import PolicySpec
from visuomotor.tasks.camera_cells import DARK, LEVELS, SATURATED, SETTINGS, CameraCells
from visuomotor.tasks.camera_config import NAME, PRESETS, CameraControlConfig
from visuomotor.tasks.camera_reader import CameraReader, Look
from visuomotor.tasks.camera_rewards import (
    exposure_reward,
    focus_reward,
    quality_of_blur,
)
from visuomotor.types import BoolArray, Command, FloatArray, IntArray, Observation
from visuomotor.vision.detail import SIZE as DETAIL
from visuomotor.vision.exposure import is_usable, is_visible

__all__ = ["NAME", "PRESETS", "VERSION", "CameraControlConfig", "CameraControlTask", "build"]

VERSION = 1


def build(config: Mapping[str, Any]) -> CameraControlTask:
    """The task from plain values, as checkpoints and config files hold them."""
    return CameraControlTask(from_plain(CameraControlConfig, config, NAME))


class CameraControlTask:
    """The task over B cells; see ``tasks.base.Task`` for the contract of each method."""

    name = NAME
    version = VERSION
    frames = None

    def __init__(
        self, config: CameraControlConfig | None = None, for_a_person: bool = False
    ) -> None:
        """for_a_person: never ask the instrument for the truth, which a rig does not know."""
        self.config = config if config is not None else CameraControlConfig()
        self._for_a_person = for_a_person
        low, high = self.config.exposure_range_us
        self.exposures_us: FloatArray = np.geomspace(low, high, self.config.exposures)
        self._coarse = int(np.floor(self.config.lens_range[0]))
        lens = [int(np.floor(self.config.lens_range[1])) - self._coarse + 1, 100]
        exposures = [self.config.exposures]
        self._counts = {"exposure": exposures, "focus": lens}.get(
            self.config.control, exposures + lens
        )
        """How many values each component of an action has."""
        self._reader = CameraReader(
            self.config,
            features="features" in self.config.observation,
            details="detail" in self.config.observation,
            objects=self.config.control != "exposure",
            quality=not for_a_person,
        )

    # -- spaces ------------------------------------------------------------------------------

    @property
    def observation_space(self) -> gym.spaces.Dict:
        sizes = {
            "features": self._reader.size,
            "histogram": 10,
            "edges": 11,
            "levels": LEVELS,
            "detail": DETAIL,
            "settings": SETTINGS,
        }
        spaces: dict[str, gym.Space[Any]] = {
            key: gym.spaces.Box(-np.inf, np.inf, (self.config.history * size,), np.float32)
            for key, size in sizes.items()
        }
        spaces["focusing"] = gym.spaces.Box(0, 1, (1,), np.float32)
        return gym.spaces.Dict({key: spaces[key] for key in self.config.observation})

    @property
    def action_space(self) -> gym.Space[Any]:
        """Number of the exposure time; integer part and hundredths of the lens; or all three."""
        if self.config.control == "exposure":
            return gym.spaces.Discrete(self._counts[0])
        return gym.spaces.MultiDiscrete(self._counts)

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(NAME, VERSION, self.config.observation, to_plain(self.config))

    # -- episodes ----------------------------------------------------------------------------

    def bind(self, instrument: Any) -> None:
        if not isinstance(instrument, ExposureInstrument):
            raise InputError(
                f"{NAME} needs an instrument with a camera, an exposure axis and a lens, got "
                f"{type(instrument).__name__}"
            )
        self._rig: ExposureInstrument = instrument
        self._can_fail = instrument if isinstance(instrument, CanFail) else None
        self._truth: HasCameraTruth | None = None
        if not self._for_a_person and _knows(instrument):
            self._truth = instrument
        by_truth = self.config.quality == "truth" and self._truth is None
        if by_truth and not self._for_a_person:
            raise InputError(
                f"{NAME}: quality: expected 'brisque' on an instrument that does not know its "
                f"focus, got 'truth' on {type(instrument).__name__}"
            )
        self._reader.prepare()
        self._cells = CameraCells.empty(
            instrument.num_cells, self.config.history, self._reader.size
        )

    def reset(
        self, cells: IntArray, generator: np.random.Generator, start: FloatArray | None
    ) -> None:
        s = self._cells
        for array in (s.executed, s.reward, s.steps, s.exposures, s.travel):
            array[cells] = 0
        for flag in (s.succeeded, s.unusable, s.out_of_steps):
            flag[cells] = False
        s.focusing[cells] = self.config.control == "focus"
        self._rig.reset(cells, start, generator)
        s.exposure_us[cells] = self._rig.exposure.position[cells]
        s.lens[cells] = self._rig.focus.position[cells]
        self._look(cells, first=True)

    def decode(self, action: NDArray[Any]) -> Command:
        """Target (B, 2): exposure time in us and lens. What is not being set stays as it is."""
        s, control = self._cells, self.config.control
        parts = np.asarray(action).reshape(len(action), -1)
        if not ((parts >= 0) & (parts < self._counts)).all():
            raise InputError(f"{NAME}: expected actions below {self._counts}, from 0, got {parts}")
        exposure, lens = s.exposure_us.copy(), s.lens.copy()
        if control != "focus":
            chosen = self.exposures_us[action if control == "exposure" else action[:, 0]]
            exposure = np.where(s.focusing, exposure, chosen)
        if control != "exposure":
            coarse, fine = action[:, -2], action[:, -1]
            low, high = self.config.lens_range
            value = np.clip(self._coarse + coarse + fine / 100, low, high)
            lens = np.where(s.focusing, value, lens)
        return Command(np.stack([exposure, lens], 1), np.zeros(len(exposure), np.bool_))

    def apply(self, action: NDArray[Any], command: Command, cells: IntArray) -> None:
        s = self._cells
        before = np.stack([s.exposure_us, s.lens], 1)[cells]
        lens, exposing = cells[s.focusing[cells]], cells[~s.focusing[cells]]
        s.lens[lens] = self._rig.focus.move_to(command.target[lens, 1], lens)
        s.exposure_us[exposing] = self._rig.exposure.move_to(command.target[exposing, 0], exposing)
        s.executed[cells] = np.stack([s.exposure_us, s.lens], 1)[cells] - before
        s.travel[cells] += np.abs(s.executed[cells, 1])
        s.steps[cells] += 1
        self._look(cells)
        self._judge(cells)

    def visit(self, exposure_us: float, cell: int) -> None:
        """Expose one cell for so long and look, outside the episode's steps."""
        cells = np.array([cell])
        self._cells.exposure_us[cells] = self._rig.exposure.move_to(np.array([exposure_us]), cells)
        self._look(cells)

    def observe(self) -> Observation:
        s = self._cells
        values: Observation = {}
        for key in self.config.observation:
            value = s.focusing if key == "focusing" else getattr(s, key)
            values[key] = value.reshape(len(value), -1).astype(np.float32)
        return values

    def reward(self) -> FloatArray:
        return self._cells.reward.copy()

    def done(self) -> BoolArray:
        s = self._cells
        return s.succeeded | s.unusable | s.out_of_steps | self._failed()

    def success(self) -> BoolArray:
        return self._cells.succeeded.copy()

    def info(self) -> dict[str, Any]:
        s = self._cells
        info: dict[str, Any] = {
            "position": s.lens.copy(),
            "exposure_us": s.exposure_us.copy(),
            "level": s.level.copy(),
            "saturated": s.levels[:, 0, SATURATED].copy(),
            "dark": s.levels[:, 0, DARK].copy(),
            "detected": s.detected.copy(),
            "box": s.box.copy(),
            "blur_px": s.blur_px.copy(),
            "quality": s.quality.copy(),
            "executed": s.executed.copy(),
            "steps": s.steps.copy(),
            "exposures": s.exposures.copy(),
            "travel": s.travel.copy(),
            "focusing": s.focusing.copy(),
            "success": self.success(),
            "unusable": s.unusable.copy(),
            "out_of_steps": s.out_of_steps.copy(),
            "failed": self._failed(),
        }
        if self._truth is not None:
            # What counts is the picture there is: blurred, it has other grey levels than in focus.
            exposing = self.config.control != "focus"
            best = self._truth.best_exposure_us(focused=not exposing), self._truth.best_lens()
            info["best_exposure_us"], info["best_lens"] = best
            info["illuminance_lx"] = self._truth.illuminance_lx()
            info["distance_cm"] = self._truth.distance_cm()
            info["expert"] = self._expert(*best)
        return info

    # -- state -------------------------------------------------------------------------------

    def _look(self, cells: IntArray, first: bool = False) -> None:
        """Expose the cells (M,) once and read the pictures."""
        s = self._cells
        frames = self._rig.camera.grab(cells) if len(cells) else np.zeros((0, 1, 1), np.uint8)
        seen = ~self._failed()[cells]
        cells, frames = cells[seen], frames[seen]
        if len(cells) == 0:
            return
        look = self._reader.look(frames)
        s.exposures[cells] += 1
        s.level[cells], s.detected[cells], s.box[cells] = look.level, look.detected, look.box
        s.note_look(
            cells,
            first,
            features=look.features,
            histogram=look.histogram,
            edges=look.edges,
            levels=look.levels,
            detail=look.detail,
            settings=self._settings(cells),
        )
        if self._truth is not None:
            s.blur_px[cells] = np.abs(self._truth.defocus_px()[cells])
        elif self.config.control != "exposure":
            measured = self._reader.blur_px(frames, look.box)
            more = np.sqrt(np.maximum(measured**2 - self.config.edge_px**2, 0))
            s.blur_px[cells] = np.where(look.detected, more, np.inf)
        s.quality[cells] = self._quality(frames, look, cells)

    def _quality(self, frames: NDArray[Any], look: Look, cells: IntArray) -> FloatArray:
        """(M,) B, where a reward asks for it: of the box while focusing, else of the picture."""
        s = self._cells
        if self.config.quality == "truth" or self._for_a_person:
            return quality_of_blur(s.blur_px[cells])
        focusing, quality = s.focusing[cells], np.zeros(len(cells))
        between = ~focusing & is_visible(look.level) & ~is_usable(look.level)
        boxed = focusing & look.detected
        quality[between] = self._reader.quality(frames[between])
        quality[boxed] = self._reader.quality(frames[boxed], look.box[boxed])
        return quality

    def _judge(self, cells: IntArray) -> None:
        """Rewards of the cells' last looks, who hands over to whom, and what is over."""
        s, c = self._cells, self.config
        focusing, level = s.focusing[cells].copy(), s.level[cells]
        s.reward[cells] = np.where(
            focusing,
            focus_reward(s.detected[cells], s.quality[cells]),
            exposure_reward(level, s.quality[cells]),
        )
        sharp = s.detected[cells]
        if c.sharp_px is not None:
            sharp = sharp & (s.blur_px[cells] <= c.sharp_px)
        good, shown = is_usable(level), is_visible(level)
        failed = self._failed()[cells]
        s.succeeded[cells] = ~failed & np.where(focusing, sharp, good & (c.control == "exposure"))
        s.unusable[cells] = c.strict & ~focusing & ~shown
        if c.control == "both":
            # What was sharp enough to be usable may be too bright once in focus, or the light went.
            lost = focusing & ~shown & ~c.strict & ~s.succeeded[cells]
            s.focusing[cells] = (focusing | good) & ~lost
        s.out_of_steps[cells] = (s.steps[cells] >= c.max_steps) & ~s.succeeded[cells]

    def _settings(self, cells: IntArray) -> FloatArray:
        """(M, SETTINGS) how the camera is set: exposure and lens, -1 to 1 over their ranges, and
        the lens' hundredths as an angle, which are too fine for a share of its range."""
        s = self._cells
        low, high = np.log(self.config.exposure_range_us)
        exposure = 2 * (np.log(np.maximum(s.exposure_us[cells], 1e-9)) - low) / (high - low) - 1
        first, last = self.config.lens_range
        lens = 2 * (s.lens[cells] - first) / (last - first) - 1
        angle = 2 * np.pi * s.lens[cells]
        return np.stack([exposure, lens, np.cos(angle), np.sin(angle)], 1)

    def _expert(self, exposure_us: FloatArray, lens: FloatArray) -> IntArray:
        """(B, ...) the action that the truth suggests: exposures (B,) and lens values (B,)."""
        low, high = np.log(self.config.exposure_range_us)
        place = (np.log(np.maximum(exposure_us, 1e-9)) - low) / (high - low)
        number = np.rint(place * (self.config.exposures - 1))
        chosen: IntArray = np.clip(number, 0, self.config.exposures - 1).astype(np.int64)
        hundredths = np.rint(np.clip(lens, *self.config.lens_range) * 100).astype(np.int64)
        coarse, fine = hundredths // 100 - self._coarse, hundredths % 100
        if self.config.control == "exposure":
            return chosen
        if self.config.control == "focus":
            return np.stack([coarse, fine], 1)
        return np.stack([chosen, coarse, fine], 1)

    def _failed(self) -> BoolArray:
        """(B,) cells whose rig failed."""
        if self._can_fail is None:
            return np.zeros(self._rig.num_cells, np.bool_)
        return np.array([failure is not None for failure in self._can_fail.failures])

    def state_dict(self) -> dict[str, Any]:
        if not isinstance(self._rig, Resumable):
            raise InputError(f"{type(self._rig).__name__} cannot save its state for a resumed run")
        cells = {key: value.copy() for key, value in vars(self._cells).items()}
        return {"cells": cells, "rig": self._rig.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not isinstance(self._rig, Resumable):
            raise InputError(f"{type(self._rig).__name__} cannot take up a saved state")
        saved = {key: np.array(value) for key, value in state["cells"].items()}
        self._cells = CameraCells(**(vars(self._cells) | saved))
        self._rig.load_state_dict(state["rig"])


def _knows(instrument: object) -> TypeGuard[HasCameraTruth]:
    """Asked apart, so that what else is known of the instrument is not forgotten."""
    return isinstance(instrument, HasCameraTruth)
