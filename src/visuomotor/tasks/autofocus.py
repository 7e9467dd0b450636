"""Autofocus: look, move the focus, look again, and stop where the picture is sharp.

The Markov decision process of yu2018 (section III): three pictures and three actions as state,
coarse and fine steps both ways and an active stop as actions, reward (2), and three failures that
all end the episode. A config turns it into its relatives: other steps, absolute positions for the
classical searches, other observations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from visuomotor.configs import check_range, from_plain, to_plain
from visuomotor.errors import InputError
from visuomotor.frames import FrameBank
from visuomotor.instruments.protocols import (
    CanFail,
    FiniteCamera,
    FocusInstrument,
    HasFocusTruth,
    Resumable,
)
from visuomotor.tasks.base import PolicySpec
from visuomotor.tasks.device_watch import DeviceWatch
from visuomotor.tasks.focus_cells import FocusCells
from visuomotor.tasks.focus_fit import MAX_GRID, check_actions, check_instrument, fine_step_on
from visuomotor.tasks.focus_reader import FocusReader
from visuomotor.tasks.focus_truth import FocusTruth
from visuomotor.types import (
    BoolArray,
    Command,
    FloatArray,
    FocusCurve,
    Frames,
    IntArray,
    Observation,
)
from visuomotor.vision import contrast, focus
from visuomotor.vision.noise import SIGNAL_OVER_NOISE
from visuomotor.vision.sharpness import smoothed

NAME = "autofocus"
VERSION = 1
NO_ACTION = 0
"""In ``past_actions``: nothing led to this picture; action a is stored as a + 1."""


@dataclass(frozen=True)
class AutofocusConfig:
    """What is asked. Distances count in fine steps of the rig."""

    actions: Literal["steps", "position"] = "steps"
    """"steps": one of ``steps``; "position": a target in the axis' unit and a stop flag."""
    steps: tuple[int, ...] = (9, 1, 0, -1, -9)
    """Displacement of each action in fine steps; 0 stops (yu2018: 2.7 and 0.3, so 9 : 1)."""
    observation: tuple[str, ...] = ("frames", "past_actions")
    """Which of frames, past_actions, contrast, past_moves, explored, sharpness, position, limits,
    fine_step the policy sees."""
    frame_size_px: int = 84
    history: int = 3
    """How many pictures, and the actions or moves that led to them, are seen."""
    at_limits: Literal["fail", "clip"] = "fail"
    """A step beyond the range ends the episode (yu2018), or goes as far as it can."""
    max_steps: int = 20
    """Steps, the stop included, after which the episode has failed (it terminates)."""
    patience: int | None = None
    """Looks in a row without a new sharpest one (by more than 2 % of the range seen) after which it
    has failed, too; None, as in the paper, has all of its steps. For ``steps`` only: a sweep
    rightly looks long without progress."""
    success_fraction: float = 0.9
    """A stop succeeds where sharpness is above this share of the maximum."""
    reward_scale: float = 10.0
    """c of reward (2), on F relative to its maximum."""
    reward_end: float = 100.0
    """t of reward (2): plus for success, minus for every failure."""
    measure: str = "tenengrad"
    smooth_px: float = 1.0
    """Sigma of the Gaussian before the measure, so that noise is not taken for sharpness."""
    brightness_counts: bool = False
    """Multiply by the squared mean grey level, which undoes the measures' division by it: for
    instruments on which what is out of focus is dark (confocal microscopes, light sheets)."""
    fine_step: float | None = None
    """The fine step a policy was trained with on its one view; None takes the rig's own."""
    fine_step_unit: str = ""
    """Unit of ``fine_step``; a rig with another unit is refused."""
    display_range: tuple[float, float] | None = None
    """Grey levels that it saw as black and white; None takes the camera's own."""


PRESETS = {
    "default": AutofocusConfig(),
    "paper": AutofocusConfig(smooth_px=0.0),
}
"""``paper`` reads Tenengrad off the picture as it is, as yu2018 does."""


def build(config: Mapping[str, Any]) -> AutofocusTask:
    """The task from plain values, as checkpoints and config files hold them."""
    return AutofocusTask(from_plain(AutofocusConfig, config, "autofocus"))


class AutofocusTask:
    """The task over B cells; see ``tasks.base.Task`` for the contract of each method."""

    name = NAME
    version = VERSION

    def __init__(self, config: AutofocusConfig | None = None, for_a_person: bool = False) -> None:
        """for_a_person: estimate what noise alone would measure, which the verdict needs, and never
        ask the instrument for the truth, which a rig does not know."""
        self.config = config if config is not None else AutofocusConfig()
        _check(self.config)
        self._steps = np.array(self.config.steps, np.int64)
        self._for_a_person = for_a_person
        self._measure = smoothed(self.config.measure, self.config.smooth_px)

    # -- spaces ------------------------------------------------------------------------------

    @property
    def observation_space(self) -> gym.spaces.Dict:
        c = self.config
        shape = (c.history, c.frame_size_px, c.frame_size_px)
        spaces: dict[str, gym.Space[Any]] = {
            "frames": gym.spaces.Box(0, 255, shape, np.uint8),
            "past_actions": gym.spaces.MultiDiscrete([len(c.steps) + 1] * c.history),
            "contrast": gym.spaces.Box(-np.inf, np.inf, (c.history, contrast.SIZE), np.float32),
            "past_moves": gym.spaces.Box(-np.inf, np.inf, (c.history,), np.float64),
            "explored": gym.spaces.Box(0, np.inf, (4,), np.float64),
            "sharpness": gym.spaces.Box(0, np.inf, (), np.float64),
            "position": gym.spaces.Box(-np.inf, np.inf, (), np.float64),
            "limits": gym.spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "fine_step": gym.spaces.Box(0, np.inf, (), np.float64),
        }
        return gym.spaces.Dict({key: spaces[key] for key in c.observation})

    @property
    def action_space(self) -> gym.Space[Any]:
        if self.config.actions == "steps":
            return gym.spaces.Discrete(len(self.config.steps))
        return gym.spaces.Box(np.array([-np.inf, 0.0]), np.array([np.inf, 1.0]), dtype=np.float64)

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(NAME, VERSION, self.config.observation, to_plain(self.config))

    @property
    def frames(self) -> FrameBank | None:
        self._reader.read_all()  # whoever asks may want any of them
        return self._reader.bank

    # -- episodes ----------------------------------------------------------------------------

    def bind(self, instrument: Any) -> None:
        check_instrument(instrument)
        own, unit = self.config.fine_step, self.config.fine_step_unit
        self.fine_step = fine_step_on(instrument, own, unit)
        self._rig: FocusInstrument = instrument
        self._can_fail = instrument if isinstance(instrument, CanFail) else None
        watched = self._for_a_person and not isinstance(instrument.camera, FiniteCamera)
        self._watch = DeviceWatch(instrument, self.fine_step) if watched else None
        self._reader = FocusReader(
            instrument.camera, self.config, self.measure, instrument.num_cells, self._saw
        )
        # Noise matters only until a look has shown that there is a sample.
        self._seeks_sample = np.full(instrument.num_cells, self._for_a_person)
        self._cells = FocusCells.empty(instrument.num_cells, self.config.history)
        self._truth: FocusTruth | None = None
        if isinstance(instrument, HasFocusTruth) and not self._for_a_person:
            key = (self.config.measure, self.config.smooth_px, self.config.brightness_counts)
            self._truth = FocusTruth(instrument, self.measure, key, self.config.success_fraction)
            if self.config.actions == "steps":
                self._truth.plan(self.config.steps, self.fine_step, self._rig.focus.limits)

    def measure(self, frames: Frames) -> FloatArray:
        """Sharpness as this task reads it, (M, H, W[, 3]) -> (M,)."""
        sharpness = self._measure(frames)
        if self.config.brightness_counts:
            sharpness = sharpness * frames.mean(axis=tuple(range(1, frames.ndim))) ** 2
        return sharpness

    def reset(
        self, cells: IntArray, generator: np.random.Generator, start: FloatArray | None
    ) -> None:
        s = self._cells
        for array in (s.past_actions, s.past_moves, s.explored, s.executed, s.reward, s.steps):
            array[cells] = 0
        s.exposures[cells] = 0
        s.travel[cells] = 0
        for flag in (s.stopped, s.left_range, s.out_of_steps):
            flag[cells] = False
        s.maximum[cells] = 0.0
        self._rig.reset(cells, start, generator)
        self._look(cells, self._rig.focus.position[cells], first=True)

    def decode(self, action: NDArray[Any]) -> Command:
        here = self._cells.position
        if self.config.actions == "position":
            stop = action[:, 1] > 0.5
            return Command(np.where(stop, here, action[:, 0])[:, None], stop)
        if self._for_a_person:
            check_actions(action, len(self._steps))
        step = self._steps[action]
        return Command((here + step * self.fine_step)[:, None], step == 0)

    def apply(self, action: NDArray[Any], command: Command, cells: IntArray) -> None:
        s = self._cells
        low, high = self._rig.focus.limits
        slack = 1e-6 * (high - low)  # rounding is not leaving
        target, stop = command.target[cells, 0], command.stop[cells]
        too_far = np.where(target > high + slack, 1.0, np.where(target < low - slack, -1.0, 0.0))
        moving = cells[~stop]
        before = s.position[moving]
        s.executed[cells] = 0.0
        came_to = self._rig.focus.move_to(target[~stop], moving)
        if self._watch is not None:
            self._watch.moved(moving, before, target[~stop], came_to)
        taken = action[moving] + 1 if self.config.actions == "steps" else NO_ACTION
        s.past_actions[moving, 1:] = s.past_actions[moving, :-1]
        s.past_actions[moving, 0] = taken
        self._look(moving, came_to)
        s.executed[moving, 0] = s.position[moving] - before
        s.past_moves[moving, 1:] = s.past_moves[moving, :-1]
        s.past_moves[moving, 0] = s.executed[moving, 0] / self.fine_step
        s.explore(moving, s.past_moves[moving, 0], too_far[~stop])
        s.travel[moving] += np.abs(s.executed[moving, 0])
        s.steps[cells] += 1
        s.stopped[cells] = stop
        # A search is not sent outside by rounding or curiosity: it is clipped, not failed.
        fails = self.config.actions == "steps" and self.config.at_limits == "fail"
        s.left_range[cells] = (too_far != 0) & fails
        patience = self.config.patience or np.inf
        over = (s.steps[cells] >= self.config.max_steps) | (s.idle[cells] >= patience)
        s.out_of_steps[cells] = over & ~stop
        relative = self._sharpness()[cells] / np.where(s.maximum[cells] > 0, s.maximum[cells], 1.0)
        end = np.where(self.success()[cells], 1.0, np.where(self.done()[cells], -1.0, 0.0))
        s.reward[cells] = (
            self.config.reward_scale * (relative - 1.0) + self.config.reward_end * end
        )  # yu2018, equation (2), with F relative to F_max

    def visit(self, position: FloatArray, cells: IntArray) -> None:
        """Move the cells to position (M,) and look, outside the episode's steps: the guard's way
        back to the best position. Motion and exposure are counted."""
        s = self._cells
        before = s.position[cells]
        self._look(cells, self._rig.focus.move_to(position, cells))
        s.travel[cells] += np.abs(s.position[cells] - before)

    def observe(self) -> Observation:
        s = self._cells
        count = self._rig.num_cells
        values: Observation = {}
        for key in self.config.observation:
            if key == "frames":
                values[key] = self._reader.history()
            elif key == "contrast":
                values[key] = self._reader.contrast_history()
            elif key == "limits":
                values[key] = np.tile(np.array(self._rig.focus.limits, np.float64), (count, 1))
            elif key == "fine_step":
                values[key] = np.full(count, self.fine_step)
            else:
                values[key] = getattr(s, key).copy()
        return values

    def reward(self) -> FloatArray:
        return self._cells.reward.copy()

    def done(self) -> BoolArray:
        s = self._cells
        return s.stopped | s.left_range | s.out_of_steps | self._failed()

    def success(self) -> BoolArray:
        s = self._cells
        return s.stopped & (self._sharpness() > self.config.success_fraction * s.maximum)

    def info(self) -> dict[str, Any]:
        s = self._cells
        info: dict[str, Any] = {
            "position": s.position.copy(),
            "sharpness": s.sharpness.copy(),
            "maximum": s.maximum.copy(),
            "noise": s.noise.copy(),
            "executed": s.executed.copy(),
            "steps": s.steps.copy(),
            "exposures": s.exposures.copy(),
            "travel": s.travel.copy(),
            "success": self.success(),
            "stopped": s.stopped.copy(),
            "left_range": s.left_range.copy(),
            "out_of_steps": s.out_of_steps.copy(),
            "failed": self._failed(),
        }
        if self._reader.bank is not None:
            info["frame_id"] = self._reader.newest_ids()
        if self._truth is not None:
            info |= self._truth.undisturbed(s.sharpness)
            info["truth"] = self._truth.distance(s.position)
            if self.config.actions == "steps":
                sharp = self._sharpness() > self.config.success_fraction * s.maximum
                expert, info["optimal_steps"] = self._truth.shortest_way(s.position)
                info["expert"] = np.where(sharp, self.config.steps.index(0), expert)
        return info

    def curves(self) -> list[FocusCurve]:
        """The true focus curve of each view; none where the instrument does not know."""
        return self._truth.curves if self._truth else []

    # -- state -------------------------------------------------------------------------------

    def _look(self, cells: IntArray, at: FloatArray, first: bool = False) -> None:
        """Expose the cells (M,), which stand at (M,), once; read sharpness and thumbnail."""
        s = self._cells
        if len(cells) == 0:
            return
        s.position[cells] = at
        cells = cells[~self._failed()[cells]]
        if first:
            self._seeks_sample[cells] = self._for_a_person
            if self._watch is not None:
                self._watch.begin(cells)
        sharpness, noise = self._reader.look(cells, first, self._seeks_sample[cells])
        self._seeks_sample[cells] &= sharpness <= SIGNAL_OVER_NOISE * noise
        seen = ~self._failed()[cells]
        cells = cells[seen]
        s.sharpness[cells], s.noise[cells] = sharpness[seen], noise[seen]
        s.exposures[cells] += 1
        if self._truth is not None:
            s.maximum[cells] = self._truth.maximum()[cells]
        else:
            s.maximum[cells] = np.maximum(s.maximum[cells], s.sharpness[cells])
        if self.config.patience is not None:
            s.note_progress(cells, first)

    def _saw(self, cells: IntArray, pictures: Frames) -> None:
        if self._watch is not None:
            self._watch.saw(cells, self._cells.position[cells], pictures)

    def _sharpness(self) -> FloatArray:
        """(B,) of the newest look as it counts: where the instrument disturbs it, the true one."""
        seen = self._cells.sharpness
        return seen if self._truth is None else self._truth.sharpness(seen)

    def _failed(self) -> BoolArray:
        """(B,) cells whose rig failed."""
        if self._can_fail is None:
            return np.zeros(self._rig.num_cells, np.bool_)
        return np.array([failure is not None for failure in self._can_fail.failures])

    def state_dict(self) -> dict[str, Any]:
        if not isinstance(self._rig, Resumable):
            raise InputError(f"{type(self._rig).__name__} cannot save its state for a resumed run")
        cells = {key: value.copy() for key, value in vars(self._cells).items()}
        return {"cells": cells, "reader": self._reader.state_dict(), "rig": self._rig.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not isinstance(self._rig, Resumable):
            raise InputError(f"{type(self._rig).__name__} cannot take up a saved state")
        saved = {key: np.array(value) for key, value in state["cells"].items()}
        self._cells = FocusCells(**(vars(self._cells) | saved))
        self._reader.load_state_dict(state["reader"])
        self._rig.load_state_dict(state["rig"])


def for_view(
    spec: PolicySpec, fine_step: float, unit: str, display_range: tuple[float, float]
) -> PolicySpec:
    """The spec of a policy that learned one view at this fine step, between these grey levels,
    and keeps to both."""
    kept = {"fine_step": fine_step, "fine_step_unit": unit, "display_range": list(display_range)}
    return replace(spec, config={**spec.config, **kept})


def _check(config: AutofocusConfig) -> None:
    known: tuple[str, ...] = ("frames", "past_actions", "contrast", "past_moves", "explored")
    known += ("sharpness", "position", "limits", "fine_step")
    for key in config.observation:
        if key not in known:
            raise InputError(f"autofocus: observation: got {key!r}; known: {', '.join(known)}")
    if config.actions == "steps" and (0 not in config.steps or len(set(config.steps)) < 2):
        raise InputError(f"autofocus: steps: expected moves and one 0 to stop, got {config.steps}")
    focus.measure(config.measure)
    if max(abs(step) for step in config.steps) > MAX_GRID:
        raise InputError(f"autofocus: steps: expected at most {MAX_GRID}, got {config.steps}")
    check_range(config, frame_size_px=(8, 4096), history=(1, 1000), max_steps=(1, 10**9))
    check_range(config, patience=(1, 10**9))
    if config.patience is not None and config.actions != "steps":
        raise InputError(
            f"autofocus: patience: expected actions of steps with it, got {config.actions!r}"
        )
    check_range(config, success_fraction=(0, 1), smooth_px=(0, 100), fine_step=(1e-12, 1e12))
