"""anikina2021, section IV: one agent for focus, one for exposure, and both in a row.

Each part below is one function of the file; ``visuomotor study anikina2021 --only autofocus`` runs
one. What is measured are the shipped policies; the parts ``train_...`` train such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from visuomotor.agents.camera_searches import AutoExposure
from visuomotor.camera_search import Sharper
from visuomotor.results import Value
from visuomotor.studies.anikina2021 import learning
from visuomotor.studies.anikina2021.comparing import compared
from visuomotor.studies.anikina2021.drawing import FIGURES
from visuomotor.studies.anikina2021.episodes import CameraEpisode, summarise
from visuomotor.studies.anikina2021.measuring import (
    BOTH,
    EXPOSURE,
    FOCUS,
    PAPER_FOCUS,
    SHARP_PX,
    StudyConfig,
    best_constant_lens,
    best_fixed_exposure,
    best_setting_shows,
    episodes_of,
    sweeps,
)
from visuomotor.studies.anikina2021.recorded_grid import grid_episodes, present
from visuomotor.studies.job import Clock, Job
from visuomotor.zoo import load_policy, names

CONFIG = StudyConfig


# ---- the parts


def autofocus(job: Job) -> None:
    """The low-level agent by itself, at exposures that suit the light, over 140 to 200 cm."""
    config, clock = job.config, Clock()
    rows = episodes_of(config, FOCUS, start_exposure_us=None, start_well_exposed=True)
    told, fixed, costs = summarise(rows), best_constant_lens(config), sweeps(config)
    own_s = told.mean_steps * config.time.step_s
    values = {
        "autofocus.mean_steps": (told.mean_steps, "steps"),
        "autofocus.success": (told.success, "share of episodes"),
        "autofocus.steps_95": (told.steps_95, "steps"),
        "autofocus.seconds": (own_s, "s, modelled"),
        "autofocus.time_ratio": (own_s / (costs.full * config.time.sweep_s), "of a full sweep's"),
        "autofocus.time_ratio_two_stage": (
            own_s / (costs.two_stage * config.time.sweep_s),
            "of a two-stage sweep's",
        ),
        "autofocus.best_constant": (fixed.success, "share of distances"),
        "autofocus.sharp_at_start": (told.sharp_at_start, "share of episodes"),
    }
    note = (
        f"unseen scenes; full sweep {costs.full} pictures, two-stage {costs.two_stage}; best "
        f"constant {fixed.setting:.2f} V"
    )
    _keep(job, "autofocus", values, len(rows), clock, note)


def autofocus_paper(job: Job) -> None:
    """The paper's own preset: features alone, and the first detection ends an episode."""
    config, clock = job.config, Clock()
    rows = episodes_of(config, PAPER_FOCUS, start_exposure_us=None, start_well_exposed=True)
    told = summarise(rows)
    values = {
        "autofocus_paper.mean_steps": (told.mean_steps, "steps"),
        "autofocus_paper.success": (told.success, "share of episodes"),
        "autofocus_paper.sharp": (
            float(np.mean([row.detected and row.blur_px <= SHARP_PX for row in rows])),
            "share of episodes",
        ),
    }
    _keep(job, "autofocus_paper", values, len(rows), clock, "success is detection")


def exposure(job: Job) -> None:
    """The high-level agent by itself, over 13 to 300 lx, upwards and downwards."""
    config, clock = job.config, Clock()
    policy = load_policy(EXPOSURE)
    rows = episodes_of(config, policy)
    told, fixed = summarise(rows), best_fixed_exposure(config, policy)
    automatic = summarise(episodes_of(config, AutoExposure(policy.spec)))
    anywhere = summarise(episodes_of(config, policy, start_exposure_us=None))
    values = {
        "exposure.success": (told.success, "share of episodes"),
        "exposure.mean_steps": (told.mean_steps, "steps"),
        "exposure.best_fixed": (fixed.success, "share of episodes"),
        "exposure.auto.success": (automatic.success, "share of episodes"),
        "exposure.auto.mean_steps": (automatic.mean_steps, "steps"),
        "exposure_anywhere.success": (anywhere.success, "share of episodes"),
        "exposure_anywhere.mean_steps": (anywhere.mean_steps, "steps"),
    }
    note = (
        f"unseen scenes and reflectances, factory exposure at the start ({_factory(config)} us); "
        f"'anywhere' starts at any of 146; best fixed {fixed.setting:.0f} us"
    )
    _keep(job, "exposure", values, len(rows), clock, note)


def both(job: Job) -> None:
    """Both agents in a row, where the best setting shows the object, the first picture does not."""
    config, clock = job.config, Clock()
    shown, rows = best_setting_shows(config, BOTH)
    lost = [row for row, can in zip(rows, shown, strict=True) if can and not row.detected_at_start]
    told = summarise(lost)
    ends = Counter(_end(row) for row in lost if not row.success)
    values = {
        "both.detection_recovered": (told.recovered, "share of episodes"),
        "both.success": (told.success, "share of episodes"),
        "both.mean_steps": (told.mean_steps, "steps"),
        "both.best_setting_shows": (float(np.mean(shown)), "share of episodes"),
    }
    _keep(job, "both", values, len(lost), clock, f"ends that were none: {dict(ends)}")


def grid(job: Job) -> None:
    """A recorded grid of focus and exposure, never trained on, its axes mirrored and relabelled."""
    config, clock = job.config, Clock()
    if not present(config):
        job.say(f"grid: left out, as {config.grid_data} is not there")
        return
    readings: dict[str, Sharper] = {"grid": "contrast", "grid_relative": "relative"}
    for name, sharper in readings.items():
        found = grid_episodes(config, sharper)
        values = {
            f"{name}.success": (float(np.mean([row.success for row in found])), "share of starts"),
            f"{name}.exposures": (float(np.mean([row.exposures for row in found])), "pictures"),
        }
        note = f"sharper is: {sharper}; from every cell, {config.grid_relabellings} relabellings"
        _keep(job, "grid", values, len(found), clock, note)


PARTS: dict[str, Callable[[Job], None]] = {
    "train_encoder": learning.train_small_encoder,
    "train_exposure": learning.train_exposure,
    "train_focus": learning.train_focus,
    "train_paper_focus": learning.train_paper_focus,
    "join": learning.join,
    "autofocus": autofocus,
    "autofocus_paper": autofocus_paper,
    "exposure": exposure,
    "both": both,
    "grid": grid,
    "compared": compared,
    **FIGURES,
}
MEASURED = ("autofocus", "autofocus_paper", "exposure", "both", "grid")


def evaluate_shipped(job: Job) -> bool:
    """Every part that trains nothing, of the policies that ship; True if none is missing."""
    known = {name.rpartition("@")[0] for name in names()}
    missing = [name for name in (EXPOSURE, FOCUS, BOTH, PAPER_FOCUS) if name not in known]
    needed = {"autofocus": FOCUS, "autofocus_paper": PAPER_FOCUS, "exposure": EXPOSURE}
    needed["both"] = BOTH
    for name in MEASURED:
        if needed.get(name) not in missing:
            PARTS[name](job)
    if missing:
        job.say(f"left out, as they do not ship yet: {', '.join(missing)}")
    return not missing


def _keep(
    job: Job,
    part: str,
    values: Mapping[str, tuple[Value, str]],
    n: int,
    clock: Clock,
    note: str,
) -> None:
    """Rows of one part."""
    job.keep(
        [
            job.row(
                metric,
                value,
                unit,
                f"--only {part}",
                seeds=[job.config.seed],
                n=n,
                seconds=round(clock.seconds, 1),
                note=note,
            )
            for metric, (value, unit) in values.items()
        ]
    )


def _factory(config: StudyConfig) -> str:
    start = config.camera.start_exposure_us
    return "any" if start is None else f"{start:.0f}"


def _end(row: CameraEpisode) -> str:
    if not row.detected:
        return "nothing detected"
    return "blurred" if row.blur_px > SHARP_PX else "other"
