"""Episodes of camera control, one row each, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visuomotor.agents.base import Policy
from visuomotor.env import VisuomotorEnv
from visuomotor.rollout import Rollout


@dataclass(frozen=True)
class CameraEpisode:
    """How one episode went."""

    success: bool
    steps: int
    exposures: int
    illuminance_lx: float
    distance_cm: float
    detected_at_start: bool
    detected: bool
    blur_at_start_px: float
    blur_px: float
    exposure_us: float
    lens: float
    level: int


def camera_episodes(
    policy: Policy,
    env: VisuomotorEnv,
    episodes: int,
    seed: int,
    begun: Callable[[int], None] | None = None,
) -> list[CameraEpisode]:
    """So many episodes to their ends, as many at once as there are cells. ``begun`` is called when
    so many cells have begun theirs; it must leave the instrument as it is."""
    rollout = Rollout(policy, env, np.random.default_rng(seed))
    rows: list[CameraEpisode] = []
    while len(rows) < episodes:
        used = min(env.num_envs, episodes - len(rows))
        rollout.reset(None if rows else seed, np.arange(env.num_envs) < used)
        first = rollout.info
        if begun is not None:
            begun(used)
        while not rollout.finished:
            rollout.step()
        rows += [_row(first, rollout.info, cell) for cell in range(used)]
    return rows


def _row(first: dict[str, Any], last: dict[str, Any], cell: int) -> CameraEpisode:
    return CameraEpisode(
        success=bool(last["success"][cell]),
        steps=int(last["steps"][cell]),
        exposures=int(last["exposures"][cell]),
        illuminance_lx=float(first["illuminance_lx"][cell]),
        distance_cm=float(first["distance_cm"][cell]),
        detected_at_start=bool(first["detected"][cell]),
        detected=bool(last["detected"][cell]),
        blur_at_start_px=float(first["blur_px"][cell]),
        blur_px=float(last["blur_px"][cell]),
        exposure_us=float(last["exposure_us"][cell]),
        lens=float(last["position"][cell]),
        level=int(last["level"][cell]),
    )


@dataclass(frozen=True)
class CameraSummary:
    """Means over episodes."""

    episodes: int
    success: float
    mean_steps: float
    """Of all episodes: those that failed have all of their steps."""
    steps_95: float
    recovered: float
    """Share that ended with the object detected, of those that began without."""
    sharp_at_start: float
    """Share that began within the blur that counts as sharp."""


def summarise(rows: Sequence[CameraEpisode], sharp_px: float = 1.5) -> CameraSummary:
    """Of the episodes together."""
    steps = np.array([row.steps for row in rows])
    lost = [row for row in rows if not row.detected_at_start]
    return CameraSummary(
        episodes=len(rows),
        success=float(np.mean([row.success for row in rows])),
        mean_steps=float(steps.mean()),
        steps_95=float(np.percentile(steps, 95)),
        recovered=float(np.mean([row.detected for row in lost])) if lost else float("nan"),
        sharp_at_start=float(np.mean([abs(row.blur_at_start_px) <= sharp_px for row in rows])),
    )
