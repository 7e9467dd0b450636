"""A focus instrument as a user would write it: unbatched inside, and guarded by nothing."""

from __future__ import annotations

import numpy as np


class Own:
    """One cell, axis and camera in one object; sharpest at ``best``, with noise on every picture.

    stuck_after: moves after which the axis stands still, and says so. frozen_after: pictures after
    which the camera repeats the last one. Where it really stood is in ``been``.
    """

    unit = "um"
    num_cells = 1
    roi = None
    exposure_ms = timeout_ms = 0.0
    display_range = (0.0, 255.0)

    def __init__(
        self,
        best: float = 2.0,
        start: float = 6.0,
        limits=(-10.0, 10.0),
        fine_step: float = 0.5,
        stuck_after: int = 10**6,
        frozen_after: int = 10**6,
        noise: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.best, self.at, self.limits, self.fine_step = best, start, limits, fine_step
        self.stuck_after, self.frozen_after = stuck_after, frozen_after
        self.been, self.pictures = [start], 0
        self._noise, self._sigma = np.random.default_rng(seed), noise
        self._buffer = np.zeros((1, 64, 64), np.uint8)
        self.camera = self.focus = self

    @property
    def position(self):
        return np.array([self.at])

    def move_to(self, target, cells):
        for wanted in target:
            if len(self.been) <= self.stuck_after:
                self.at = float(np.clip(wanted, *self.limits))
            self.been.append(self.at)
        return np.array([self.at])[: len(target)]

    def grab(self, cells):
        if len(cells) and self.pictures < self.frozen_after:
            contrast = 80 / (1 + ((self.at - self.best) / 2) ** 2)
            stripes = np.sign(np.sin(np.arange(64) / 2))[:, None] * np.ones(64)
            picture = 120 + contrast * stripes + self._noise.normal(0, self._sigma, (64, 64))
            self._buffer[0] = picture.clip(0, 255)  # always the same memory, as some SDKs do
        self.pictures += len(cells)
        return self._buffer[: len(cells)]

    def reset(self, cells, start, generator) -> None:
        if start is not None:
            self.at = float(start[0])
            self.been.append(self.at)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        pass


class Growing(Own):
    """The same with a range that may grow up to ``hard``."""

    def __init__(self, hard=(-40.0, 40.0), **options) -> None:
        super().__init__(**options)
        self.hard = hard

    def grow(self, direction: int) -> bool:
        low, high = self.limits
        width = high - low
        if direction > 0:
            wider = (low, min(self.hard[1], high + width))
        else:
            wider = (max(self.hard[0], low - width), high)
        grew = wider[1] - wider[0] >= width + self.fine_step
        self.limits = wider if grew else self.limits
        return grew


class Steps:
    """A policy that takes the actions given, one after the other, then stops. Steps are +9, +1,
    stop, -1, -9 fine ones (actions 0 to 4)."""

    def __init__(self, *actions: int, **config) -> None:
        from visuomotor.agents.base import PolicySpec
        from visuomotor.configs import to_plain
        from visuomotor.tasks.autofocus import AutofocusConfig

        made = AutofocusConfig(**config)
        self.spec = PolicySpec("autofocus", 1, made.observation, to_plain(made))
        self._actions = actions

    def begin(self, state, fresh):
        return 0

    def act(self, observation, state, generator):
        from visuomotor.types import Act

        action = self._actions[state] if state < len(self._actions) else 2
        return Act(np.full(len(observation["frames"]), action), state + 1, {})
