"""Focus on samples never seen before: every searcher on the frozen unseen views and real tiles.

Each part below is one function of the file; ``visuomotor study generalisation --only searches``
runs one. The policies that it measures are the shipped ones; ``train_focus`` and
``train_multiscale`` train such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visuomotor.configs import to_plain
from visuomotor.errors import InputError
from visuomotor.figures import searchers_figure, severity_figure
from visuomotor.results import Value, read
from visuomotor.studies.generalisation.drawing import curves_of, points_of
from visuomotor.studies.generalisation.episodes import in_processes
from visuomotor.studies.generalisation.learning import train_focus, train_multiscale, views
from visuomotor.studies.generalisation.measuring import (
    FOCUS,
    MULTISCALE,
    Rows,
    StudyConfig,
    add,
    disturbed_success,
    gather,
    on_blank,
    on_disturbed,
    on_real,
    on_unseen,
    on_wide,
)
from visuomotor.studies.generalisation.real import SETS, present
from visuomotor.studies.generalisation.scoring import Summary, cheapest_as_good, summarise
from visuomotor.studies.generalisation.searchers import brent_at, classical, shipped
from visuomotor.studies.generalisation.unseen import UNSEEN_VERSION
from visuomotor.studies.job import Clock, Job
from visuomotor.tasks.judging import Verdict

ROWS = {
    "success": "share of episodes",
    "exposures": "exposures",
    "exposures_95": "exposures",
    "error_steps": "fine steps",
    "travel_steps": "fine steps",
    "seconds": "s, modelled",
    "ended_blurrier": "share of episodes",
    "false_focused": "share of episodes",
}
"""Fields of a ``Summary`` that become rows for each searcher."""


CONFIG = StudyConfig


# ---- the parts


def searches(job: Job) -> None:
    """Every search, two that do not look, and shipped policies on the unseen simulated views."""
    _searches(job, classical())


def real(job: Job) -> None:
    """The same on tiles of real recordings."""
    _real(job, classical())


def blank(job: Job) -> None:
    """Fields with nothing on them: who says so?"""
    config, clock = job.config, Clock()
    names = [*classical(), *_shipped(job)]
    work = partial(on_blank, config, names)
    verdicts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for found in in_processes(work, range(config.blanks), config.processes):
        for name in names:
            verdicts[name][found[name]] += 1
    for name in names:
        share = verdicts[name][Verdict.NO_SAMPLE.value] / config.blanks
        note = _words(verdicts[name])
        _keep(job, "blank", {f"blank.{_id(name)}.no_sample": share}, config.blanks, clock, note)
        if name == FOCUS:
            _keep(job, "blank", {"blank.no_sample": share}, config.blanks, clock, note)


def wide(job: Job) -> None:
    """Ranges of 1,000 fine steps, where every look is rendered when it is taken."""
    config, clock = job.config, Clock()
    names = [*config.wide_searches, *_shipped(job)]
    rows = gather(partial(on_wide, config, names), range(config.wide_views), config, job.say)
    found = {name: summarise(rows[name]) for name in names}
    _keep_summaries(job, "wide", "unseen_wide", found, clock)
    if MULTISCALE in found:
        best = found[MULTISCALE]
        values = {
            "unseen_wide.success": best.success,
            "unseen_wide.exposures": best.exposures,
        }
        _keep(job, "wide", values, best.episodes, clock, _note(best))


def disturbances(job: Job) -> None:
    """Success against severity, one curve for each disturbance, on pictures free of noise."""
    config, clock = job.config, Clock()
    names = [*config.disturbed_searches, *_shipped(job)]
    found: dict[tuple[str, float], Rows] = {}
    work = partial(on_disturbed, config, names)
    views = range(config.disturbed_views)
    for done, by_kind in enumerate(in_processes(work, views, config.processes), start=1):
        job.say(f"{done} of {len(views)} views")
        for key, rows in by_kind.items():
            add(found.setdefault(key, {}), rows)
    for (kind, factor), rows in found.items():
        for name in names:
            end = f".{factor:g}" if factor else ""
            share = disturbed_success(kind, rows[name])
            shares = {f"unseen_disturbed.{kind}.{_id(name)}{end}": share}
            if kind == "none":
                blurrier = summarise(rows[name]).ended_blurrier
                shares[f"unseen_clean.{_id(name)}.ended_blurrier"] = blurrier
            words = _words(Counter(row.verdict for row in rows[name]))
            _keep(job, "disturbances", shares, len(rows[name]), clock, words)


def figures(job: Job) -> None:
    """Success against exposures, and against severity, of the results that are there."""
    folder, rows = job.results.parent, read(job.results)
    points, curves = points_of(rows), curves_of(rows)
    if not points and not curves:
        raise InputError(f"{job.results}: expected rows of searches or disturbances, found none")
    if points:
        searchers_figure(folder / "searchers.png", points)
        job.say(f"success against exposures: {folder / 'searchers.png'}")
    if curves:
        severity_figure(folder / "disturbances.png", curves)
        job.say(f"success against severity: {folder / 'disturbances.png'}")


PARTS: dict[str, Callable[[Job], None]] = {
    part.__name__: part
    for part in (
        *(train_focus, train_multiscale, views),
        *(searches, real, blank, wide, disturbances, figures),
    )
}


def evaluate_shipped(job: Job) -> bool:
    """Recompute the rows of shipped policies and of Brent; whether all asked for exist."""
    names = _shipped(job)
    if names:
        _searches(job, ["brent"])
        _real(job, [])
        wide(replace(job, config=replace(job.config, wide_searches=("brent",))))
    return len(names) == len(job.config.policies)


# ---- what the parts share


def _searches(job: Job, base: Sequence[str]) -> None:
    config, clock = job.config, Clock()
    policies = _shipped(job)
    brents = [brent_at(tolerance) for tolerance in config.brent_tolerances]
    names = [*base, *brents, *policies]
    rows = gather(partial(on_unseen, config, names), range(config.views), config, job.say)
    found = {name: summarise(rows[name]) for name in names}
    _keep_summaries(job, "searches", "unseen_sim", found, clock)
    first = next(iter(found.values()))
    shares = {
        "unseen_sim.blind_share": first.blind_share,
        "unseen_sim.optimal_exposures": first.optimal_exposures,
    }
    count = config.views * config.starts
    _keep(job, "searches", shares, count, clock, "the same for every searcher")
    honest = {f"unseen_sim.{_id(name)}.blind_honest": s.blind_honest for name, s in found.items()}
    words = "of starts without a measurable signal: unsure, no_sample, or truly focused"
    _keep(job, "searches", honest, round(count * first.blind_share), clock, words)
    rivals = {name: s for name, s in found.items() if name in ("brent", *brents)}
    for name, metric in ((FOCUS, ""), (MULTISCALE, "_multiscale")):
        if name in found and rivals:
            _keep_against(job, metric, found[name], rivals, clock)
    if FOCUS in found:
        ours = found[FOCUS]
        values = {
            "unseen_sim.success": ours.success,
            "unseen.ended_blurrier": ours.ended_blurrier,
            "good.no_sample": ours.no_sample,
        }
        _keep(job, "searches", values, ours.episodes, clock, _note(ours))


def _real(job: Job, base: Sequence[str]) -> None:
    config, data = job.config, Path(job.config.data)
    names = [*base, *_shipped(job)]
    there = present(data)
    for name in [name for name in SETS if name not in there]:
        job.say(f"unseen_real.{name}: left out: {data / SETS[name].place} is not there")
    if not there:
        return
    clock = Clock()
    found: dict[str, dict[str, Summary]] = {name: {} for name in names}
    work = partial(on_real, config, names)
    for one, rows in zip(there, in_processes(work, there, config.processes), strict=True):
        for name in names:
            found[name][one] = summarise(rows[name])
    counted = [one for one in there if SETS[one].counted]
    for name in names:
        sets = found[name]
        episodes = sum(summary.episodes for summary in sets.values())
        shares = [[one, sets[one].success, sets[one].exposures] for one in there]
        macro: dict[str, Value] = {f"unseen_real.{_id(name)}.sets": list(shares)}
        if counted:
            mean = float(np.mean([sets[one].success for one in counted]))
            looks = float(np.mean([sets[one].exposures for one in counted]))
            macro[f"unseen_real.{_id(name)}.success"] = mean
            macro[f"unseen_real.{_id(name)}.exposures"] = looks
            if name == FOCUS:
                macro["unseen_real.success"] = mean
        words = f"success: mean over {len(counted)} sets, usbcase apart; sets: success, exposures"
        _keep(job, "real", macro, episodes, clock, words)


def _shipped(job: Job) -> list[str]:
    there = shipped(job.config.policies)
    for name in job.config.policies:
        if name not in there:
            job.say(f"{name}: left out: no such policy is shipped")
    return there


def _keep_against(
    job: Job, metric: str, ours: Summary, rivals: dict[str, Summary], clock: Clock
) -> None:
    """Exposures against Brent's where it succeeds as often."""
    name, as_good = cheapest_as_good(rivals, ours.success)
    theirs = rivals[name]
    words = "the cheapest with the same success" if as_good else "none succeeds as often: the best"
    note = f"{ours.exposures:.2f} to {theirs.exposures:.2f} exposures of {name}, {words}; success "
    note += f"{ours.success:.1%} to {theirs.success:.1%}"
    ratio = ours.exposures / theirs.exposures
    values = {f"unseen_sim.exposure_ratio{metric}": ratio}
    _keep(job, "searches", values, ours.episodes, clock, note)


def _keep_summaries(
    job: Job, part: str, head: str, found: Mapping[str, Summary], clock: Clock
) -> None:
    for name, summary in found.items():
        values = asdict(summary)
        rows = {f"{head}.{_id(name)}.{key}": values[key] for key in ROWS}
        _keep(job, part, rows, summary.episodes, clock, _note(summary))


def _keep(
    job: Job, part: str, values: Mapping[str, Value], count: int, clock: Clock, note: str
) -> None:
    """Rows with what set them, not the whole config."""
    config = job.config
    set_by = {
        "unseen_version": UNSEEN_VERSION,
        "seed": config.seed,
        "views": {
            "blank": config.blanks,
            "wide": config.wide_views,
            "disturbances": config.disturbed_views,
        }.get(part, config.views),
        "starts": {"wide": config.wide_starts, "disturbances": config.disturbed_starts}.get(
            part, config.starts
        ),
        "time": to_plain(config.time),
    }
    job.keep(
        [
            job.row(
                metric,
                value,
                ROWS.get(metric.rpartition(".")[2], _unit(metric)),
                f"--only {part}",
                seeds=[config.seed],
                n=count,
                config=set_by,
                seconds=round(clock.seconds, 1),
                note=note,
            )
            for metric, value in values.items()
        ]
    )


def _unit(metric: str) -> str:
    if "exposure_ratio" in metric:
        return "times"
    if metric.endswith("exposures"):
        return "exposures"
    return "[set, success, exposures]" if metric.endswith("sets") else "share of episodes"


def _id(name: str) -> str:
    return name.replace(" tolerance=", "_")


def _note(summary: Summary) -> str:
    low, high = summary.interval
    return f"success 95 %: {low:.3f} to {high:.3f} (Wilson); {_words(summary.verdicts)}"


def _words(verdicts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
