"""What a task is: the whole of what is asked of an instrument, and nothing about who answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.frames import FrameSource
from visuomotor.types import BoolArray, Command, FloatArray, IntArray, Observation


@dataclass(frozen=True)
class PolicySpec:
    """What a policy was made for. It travels in the checkpoint; the runner builds the task from it.

    task:        name of the task, as ``tasks`` finds it.
    version:     of the task's contract; a checkpoint of another version is refused.
    observation: the observation keys it reads, and no others are computed for it.
    config:      the task's config as plain JSON (action set, frame size, history ...).
    """

    task: str
    version: int
    observation: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)

    def require(self, agent: str, *keys: str) -> None:
        """InputError if the task does not offer these observations to the agent."""
        for key in keys:
            if key not in self.observation:
                raise InputError(
                    f"{agent} reads {key!r}, but the task offers {', '.join(self.observation)}"
                )


class Task(Protocol):
    """A task over B cells. State is the task's own arrays; the environment only carries it along.

    The order within a step: ``decode`` the action, ``apply`` it to the instrument (only to the
    cells that are active), then read ``observe``, ``reward``, ``done`` off the new state.
    Spaces are known before any instrument is there.
    """

    name: str
    version: int

    @property
    def observation_space(self) -> gym.spaces.Dict:
        """Of one cell."""

    @property
    def action_space(self) -> gym.Space[Any]:
        """Of one cell."""

    @property
    def spec(self) -> PolicySpec:
        """What a policy trained on this task will carry."""

    @property
    def frames(self) -> FrameSource | None:
        """Where the pictures of observations are, when all of them are known beforehand: then
        ``info["frame_id"]`` (B,) names each cell's newest. None: a learner keeps its own."""

    def bind(self, instrument: Any) -> None:
        """Take up an instrument; refuse one that lacks a part, or whose units do not fit."""

    def reset(
        self, cells: IntArray, generator: np.random.Generator, start: FloatArray | None
    ) -> None:
        """Begin an episode in each cell named; the first look counts as an exposure."""

    def decode(self, action: NDArray[Any]) -> Command:
        """What the action (B, ...) means here and now, in physical units; moves nothing."""

    def apply(self, action: NDArray[Any], command: Command, cells: IntArray) -> None:
        """Carry the command out on the cells named (the others are frozen: no motion, no
        exposure), look, and remember the action and the executed motion."""

    def observe(self) -> Observation:
        """Arrays by key, first axis B."""

    def reward(self) -> FloatArray:
        """(B,) of the last step."""

    def done(self) -> BoolArray:
        """(B,) the episode is over; limits that belong to the task included."""

    def success(self) -> BoolArray:
        """(B,) it is over, and well."""

    def info(self) -> dict[str, Any]:
        """(B, ...) arrays for collectors, evaluators and logs: ``expert``, ``truth``, ``success``,
        ``executed``, ``frame_id`` ... A policy never sees them at test time."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on exactly, the instrument's state included."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
