"""Experience replay: columns, a sampler, and pictures by number.

One row holds one time step of all B cells. A state is not stored but gathered: the last pictures of
its episode by number, so no picture is stored twice and a transition takes some 50 bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visuomotor.frames import FrameSource
from visuomotor.types import BoolArray, ByteArray, FloatArray, IntArray

ROW = np.dtype(
    [
        ("frame", "<i8"),  # number of the picture seen
        ("next_frame", "<i8"),  # number of the picture after the action
        ("came_by", "<i2"),  # action (+ 1) that led to this picture, 0 at the start
        ("action", "<i2"),  # what the loss indexes
        ("executed", "<f8"),  # motion really made, in the axis' unit
        ("reward", "<f4"),
        ("terminated", "?"),
        ("truncated", "?"),
        ("random", "?"),  # the action was neither greedy nor the expert's
        ("age", "<i4"),  # steps since the episode began
    ]
)


class Batch(NamedTuple):
    """N transitions over U different pictures."""

    frames: ByteArray  # (U, h, w)
    states: IntArray  # (N, history) which frames, newest first
    past_actions: IntArray  # (N, history)
    next_states: IntArray  # (N, history)
    next_past_actions: IntArray  # (N, history)
    action: IntArray  # (N,)
    reward: NDArray[np.float32]  # (N,) discounted sum over the steps that follow
    discount: NDArray[np.float32]  # (N,) gamma^steps, 0 where the episode terminated


class Replay:
    """The newest ``capacity`` time steps of B cells, sampled uniformly."""

    def __init__(self, frames: FrameSource, capacity: int, cells: int, history: int) -> None:
        self.frames = frames
        self._history = history
        self._rows = np.zeros((max(2, capacity // cells), cells), ROW)
        self._times = 0
        """Rows ever added: row t lives at t modulo the length."""

    def add(self, row: NDArray[Any]) -> None:
        """One time step of all cells: (B,) of dtype ROW."""
        self._rows[self._times % len(self._rows)] = row
        self._times += 1

    def sample(self, generator: np.random.Generator, size: int, n_step: int, gamma: float) -> Batch:
        """``size`` transitions with n-step returns.

        The sum runs on to the end of the episode, to ``n_step`` rewards, or to just before a random
        action, whichever is first: a random blunder says nothing about the policy (Watkins' cut).
        """
        oldest = max(0, self._times - len(self._rows))
        # Rows whose history or future may be overwritten stay out.
        first = oldest + (self._history - 1 if oldest else 0)
        time = generator.integers(first, self._times, size)
        cell = generator.integers(0, self._rows.shape[1], size)
        reward, discount, last = self._returns(time, cell, n_step, gamma)
        state, past = self._state(time, cell)
        next_state, next_past = self._next_state(last, cell)
        ids, index = np.unique(np.concatenate([state, next_state]), return_inverse=True)
        index = index.reshape(2 * size, self._history)
        return Batch(
            self.frames.get(ids),
            index[:size],
            past,
            index[size:],
            next_past,
            self._at(time, cell)["action"].astype(np.int64),
            reward.astype(np.float32),
            discount.astype(np.float32),
        )

    def _at(self, time: IntArray, cell: IntArray) -> NDArray[Any]:
        rows: NDArray[Any] = self._rows[time % len(self._rows), cell]
        return rows

    def _returns(
        self, time: IntArray, cell: IntArray, n_step: int, gamma: float
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Discounted sums, discounts of what comes after, and the last row of each sum."""
        total, discount = np.zeros(len(time)), np.ones(len(time))
        going: BoolArray = np.ones(len(time), np.bool_)
        last = time.copy()
        for step in range(n_step):
            row = self._at(np.minimum(time + step, self._times - 1), cell)
            if step > 0:
                going = going & (time + step < self._times) & ~row["random"]
            total += np.where(going, discount * row["reward"], 0.0)
            discount = np.where(going, discount * gamma, discount)
            last = np.where(going, time + step, last)
            ended = going & (row["terminated"] | row["truncated"])
            discount = np.where(going & row["terminated"], 0.0, discount)
            going = going & ~ended
        return total, discount, last

    def _state(self, time: IntArray, cell: IntArray) -> tuple[IntArray, IntArray]:
        """Pictures and actions up to these rows, (N, history) each, newest first."""
        age = self._at(time, cell)["age"]
        pictures, actions = [], []
        for back in range(self._history):
            row = self._at(np.maximum(time - np.minimum(back, age), 0), cell)
            pictures.append(row["frame"])
            actions.append(np.where(back <= age, row["came_by"], 0))
        return np.stack(pictures, 1), np.stack(actions, 1).astype(np.int64)

    def _next_state(self, time: IntArray, cell: IntArray) -> tuple[IntArray, IntArray]:
        """The states after these rows."""
        state, past = self._state(time, cell)
        row = self._at(time, cell)
        newest, by = row["next_frame"][:, None], row["action"].astype(np.int64)[:, None] + 1
        return (
            np.concatenate([newest, state[:, :-1]], 1),
            np.concatenate([by, past[:, :-1]], 1),
        )
