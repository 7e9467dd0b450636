"""The one environment: an instrument and a task, behind Gymnasium's interfaces.

``VisuomotorEnv`` is the batched one (B cells, no autoreset, masked resets); ``SingleEnv`` shows its
one cell as an ordinary ``gymnasium.Env``, for ``gymnasium.make`` and for other libraries.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.tasks.base import Task
from visuomotor.types import BoolArray, FloatArray, Observation

SingleObservation = dict[str, Any]


class VisuomotorEnv(VectorEnv[Observation, NDArray[Any], NDArray[Any]]):
    """B cells of one instrument doing one task.

    A cell whose episode is over is frozen: it does not move, takes no picture and is rewarded 0,
    until ``reset(options={"reset_mask": (B,) bool})`` names it. ``options["start"]`` (B,) sets
    where the reset cells start; without it the instrument chooses.
    """

    def __init__(self, instrument: Any, task: Task) -> None:
        task.bind(instrument)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}
        self.instrument = instrument
        self.task = task
        self.num_envs = int(instrument.num_cells)
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, self.num_envs)
        self.action_space = batch_space(task.action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        if isinstance(seed, list):
            raise InputError("reset: expected one seed for all cells, got a list")
        super().reset(seed=seed)
        options = options or {}
        mask: BoolArray = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(
                f"reset_mask: expected bool of shape ({self.num_envs},), "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        cells = np.flatnonzero(mask)
        start = options.get("start")
        starts: FloatArray | None = None
        if start is not None:
            starts = np.broadcast_to(np.asarray(start, np.float64), (self.num_envs,))[cells]
        self.task.reset(cells, self.np_random, starts)
        return self.task.observe(), self.task.info()

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        actions = np.asarray(actions)
        active = ~self.task.done()
        command = self.task.decode(actions)
        self.task.apply(actions, command, np.flatnonzero(active))
        reward = np.where(active, self.task.reward(), 0.0)
        truncated = np.zeros(self.num_envs, np.bool_)
        return self.task.observe(), reward, self.task.done(), truncated, self.task.info()

    def current(self) -> tuple[Observation, dict[str, Any]]:
        """What the cells see now, without doing anything."""
        return self.task.observe(), self.task.info()

    def close_extras(self, **kwargs: Any) -> None:
        self.instrument.__exit__(None, None, None)

    def state_dict(self) -> dict[str, Any]:
        """Cells, instrument and random state, for a run that goes on exactly."""
        random = self.np_random.bit_generator.state
        return {"task": self.task.state_dict(), "random": random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.task.load_state_dict(state["task"])
        self.np_random.bit_generator.state = state["random"]


class SingleEnv(gym.Env[SingleObservation, Any]):
    """One cell as a ``gymnasium.Env``. Its arrays are those of the batched one without axis 0."""

    def __init__(self, instrument: Any, task: Task) -> None:
        self.batched = VisuomotorEnv(instrument, task)
        if self.batched.num_envs != 1:
            raise InputError(f"SingleEnv shows one cell, the instrument has {instrument.num_cells}")
        self.observation_space = task.observation_space
        self.action_space = task.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[SingleObservation, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self.batched.reset(seed=seed, options=options)
        return _first(observation), _first(info)

    def step(self, action: Any) -> tuple[SingleObservation, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.batched.step(
            np.asarray(action)[None]
        )
        return (
            _first(observation),
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            _first(info),
        )

    def close(self) -> None:
        self.batched.close()


def make_autofocus(stack: Any = None, flat: bool = False, **config: Any) -> gym.Env[Any, Any]:
    """``gymnasium.make("visuomotor/Autofocus-v0", stack=PATH, **config)``.

    stack: a FocalStack or a path to one; none takes the demo's. ``config`` holds keys of
    AutofocusConfig. flat: one Box instead of a dict, for libraries without dict observations.
    """
    from visuomotor.instruments.recorded.focal_stack import FocalStack
    from visuomotor.instruments.simulated.demo_view import demo_stack
    from visuomotor.tasks import autofocus

    if stack is None:
        stack = demo_stack()
    elif not isinstance(stack, FocalStack):
        stack = FocalStack.load(stack)
    instrument = stack.instrument(continuous=False)
    env: gym.Env[Any, Any] = SingleEnv(instrument, autofocus.build(config))
    return gym.wrappers.FlattenObservation(env) if flat else env


def _first(values: dict[str, Any]) -> dict[str, Any]:
    """The first (only) cell of every array; numbers stay NumPy scalars or arrays."""
    return {key: value[0] for key, value in values.items()}
