"""A recorded grid of focus and exposure, its axes mirrored and relabelled at random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visuomotor.camera_search import Sharper, search_camera
from visuomotor.instruments.recorded.exposure_grid import ExposureGrid
from visuomotor.studies.anikina2021.measuring import StudyConfig
from visuomotor.types import FloatArray, Frames
from visuomotor.vision.sharpness import smoothed
from visuomotor.zoo import load_policy

WITHIN = 0.05
"""Less sharp than the sharpest by no more than this share is a tie."""


@dataclass(frozen=True)
class GridEpisode:
    """From one cell, under one relabelling."""

    success: bool
    exposures: int


def present(config: StudyConfig) -> bool:
    """Whether the recording is there."""
    return Path(config.grid_data).is_dir()


def grid_episodes(config: StudyConfig, sharper: Sharper = "contrast") -> list[GridEpisode]:
    """From every cell, under ``grid_relabellings`` relabellings."""
    grid = ExposureGrid.load(config.grid_data)
    draws, policy = np.random.default_rng(config.seed), load_policy("focus")
    rows: list[GridEpisode] = []
    for _ in range(config.grid_relabellings):
        other = _relabelled(grid, draws)
        measure = relative if sharper == "relative" else None
        best = other.best_cells(WITHIN) if measure is None else other.best_cells(WITHIN, measure)
        for lens in other.lens:
            for exposure in other.exposure_us:
                rig = other.instrument(1, start=(float(lens), float(exposure)))
                rig.reset(np.array([0]), None, draws)
                found = search_camera(rig, policy, sharper=sharper)
                place = rig.focus.ids[0], rig.exposure.ids[0]
                rows.append(GridEpisode(bool(best[place]), found.exposures))
    return rows


def relative(frames: Frames) -> FloatArray:
    """(M,) Tenengrad over the squared mean."""
    return smoothed("tenengrad", 1.0)(frames)


def _relabelled(grid: ExposureGrid, draws: np.random.Generator) -> ExposureGrid:
    """Each axis perhaps mirrored, then at other numbers: another step, another start."""
    turned = grid.mirrored(bool(draws.integers(2)), bool(draws.integers(2)))

    def labels(count: int) -> FloatArray:
        step, first = np.exp(draws.uniform(-3, 3)), draws.uniform(0, 100)
        return np.asarray(first + step * np.arange(count), np.float64)

    lens, times = labels(len(turned.lens)), labels(len(turned.exposure_us))
    return turned.relabelled(lens, times, "position", "exposure")
