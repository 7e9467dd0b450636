"""Environment steps each second: all cells at once, and single environments in a row."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

from visuomotor.benchmarks.measuring import Times
from visuomotor.configs import to_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask


def speeds(
    stack: FocalStack, task: AutofocusConfig, cells: int, steps: int, envs: int, repeats: int
) -> tuple[Times, Times]:
    """Steps of single cells each second, ours and SyncVectorEnv's, by turns.

    Both take the same random actions, (steps, cells), and hand out every observation; SyncVectorEnv
    takes as many of its shorter steps as it needs.
    """
    began = time.perf_counter()
    ours = VisuomotorEnv(stack.instrument(cells=cells, continuous=False), AutofocusTask(task))
    # Reads every picture once; SyncVectorEnv finds them read too.
    assert ours.task.frames is not None
    options: dict[str, Any] = {**to_plain(task), "stack": stack, "disable_env_checker": True}
    sync = SyncVectorEnv([lambda: gym.make("visuomotor/Autofocus-v0", **options)] * envs)
    generator = np.random.default_rng(0)
    ours.reset(seed=0)
    sync.reset(seed=0)
    fast, slow = [], []
    for _ in range(repeats):
        actions = generator.integers(0, len(task.steps), (steps, cells))
        fast.append(_steps_per_second(ours, actions))
        slow.append(_steps_per_second(sync, actions.reshape(-1, envs)))
    sync.close()
    seconds = time.perf_counter() - began
    return Times(fast, seconds), Times(slow, seconds)


def _steps_per_second(env: VisuomotorEnv | SyncVectorEnv, actions: NDArray[Any]) -> float:
    """Ours resets the cells that are done by mask; SyncVectorEnv resets by itself, and counts the
    step in which it does."""
    began = time.perf_counter()
    for action in actions:
        _, _, terminated, _, _ = env.step(action)
        if isinstance(env, VisuomotorEnv) and terminated.any():
            env.reset(options={"reset_mask": terminated})
    return float(actions.size / (time.perf_counter() - began))
