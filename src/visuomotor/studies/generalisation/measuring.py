"""What is measured: how much of it, and each searcher on one view, for as many processes as there
are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visuomotor.configs import check_range
from visuomotor.errors import InputError
from visuomotor.instruments.disturbances import PRESETS, scaled
from visuomotor.runner import focus_cells
from visuomotor.studies.generalisation.episodes import (
    clean_case,
    in_processes,
    recorded_case,
    rows_of_case,
    wide_case,
)
from visuomotor.studies.generalisation.real import real_cases
from visuomotor.studies.generalisation.scoring import Row, TimeConfig
from visuomotor.studies.generalisation.searchers import searcher
from visuomotor.studies.generalisation.unseen import (
    POSITIONS,
    UNSEEN_SEED,
    WIDE_POSITIONS,
    starts_of,
    unseen_blank,
    unseen_views,
    unseen_wide,
)
from visuomotor.tasks.judging import Verdict

NAME = "generalisation"
FOCUS, MULTISCALE = "focus", "focus-multiscale"
OUTSIDE = "peak_outside"
OUTSIDE_STEPS = 20
"""Fine steps by which focus lies beyond the range, at severity 1."""
SAY_EVERY = 20
"""Views."""
Rows = dict[str, list[Row]]
"""By searcher."""
Disturbed = dict[tuple[str, float], Rows]
"""By the kind of disturbance and how many times as much as its preset."""


@dataclass(frozen=True)
class StudyConfig:
    """How much is measured. A file of these keys may be given to the command."""

    study: str = NAME
    seed: int = UNSEEN_SEED
    views: int = 200
    starts: int = 5
    """Of each view."""
    blanks: int = 200
    wide_views: int = 100
    wide_starts: int = 2
    wide_searches: tuple[str, ...] = ("golden-section", "fibonacci", "brent", "hill-climb")
    """Those that do not look everywhere: each look of a wide range is rendered."""
    disturbed_views: int = 24
    disturbed_starts: int = 3
    disturbed_searches: tuple[str, ...] = (
        "golden-section",
        "brent",
        "hill-climb",
        "two-stage-sweep",
    )
    severities: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Factors on the presets of ``instruments.disturbances``; 0 is measured once besides."""
    policies: tuple[str, ...] = (FOCUS, MULTISCALE)
    """Shipped policies; those that are not shipped are left out, with a word."""
    brent_tolerances: tuple[float, ...] = (0.25, 1.0, 2.0, 4.0, 8.0)
    """In fine steps, beside its default: which of them a policy is compared with, its success
    decides."""
    training_views: tuple[int, ...] = (1, 2, 8, 32, 128, 512)
    """How many views policies are trained on, in part ``views``."""
    data: str = "../shared/data"
    """Folder of the recordings; those that are not there are left out, with a word."""
    processes: int = 2
    time: TimeConfig = field(default_factory=TimeConfig)

    def __post_init__(self) -> None:
        some = (1, 100_000)
        check_range(self, views=some, starts=some, blanks=some, wide_views=some, wide_starts=some)
        check_range(self, disturbed_views=some, disturbed_starts=some, processes=(1, 256))
        check_range(self, seed=(0, 2**63))
        if self.study != NAME:
            raise InputError(f"study: expected a config of {NAME}, got one of {self.study!r}")
        if not self.severities or min(self.severities) <= 0:
            raise InputError(f"severities: expected factors above 0, got {list(self.severities)}")


def on_unseen(config: StudyConfig, names: Sequence[str], number: int) -> Rows:
    """One unseen view."""
    view = unseen_views(number + 1, config.seed)[number]
    starts = starts_of(number, config.starts, POSITIONS, config.seed)
    return rows_of_case(recorded_case(view, number, starts), names, config.time)


def on_wide(config: StudyConfig, names: Sequence[str], number: int) -> Rows:
    """One view over a wide range."""
    view = unseen_wide(number + 1, config.seed)[number]
    starts = starts_of(number, config.wide_starts, WIDE_POSITIONS, config.seed)
    return rows_of_case(wide_case(view, number, starts), names, config.time)


def on_disturbed(config: StudyConfig, names: Sequence[str], number: int) -> Disturbed:
    """One view, undisturbed (kind ``none``, severity 0) and in every way and severity."""
    view = unseen_views(number + 1, config.seed)[number]
    starts = starts_of(number, config.disturbed_starts, POSITIONS, config.seed)
    case = clean_case(view, number, starts)
    rows = {("none", 0.0): rows_of_case(case, names, config.time)}
    for factor in config.severities:
        for kind, preset in PRESETS.items():
            rows[kind, factor] = rows_of_case(case, names, config.time, scaled(preset, factor))
        beyond = clean_case(view, number, starts, OUTSIDE_STEPS * factor)
        rows[OUTSIDE, factor] = rows_of_case(beyond, names, config.time)
    return rows


def on_real(config: StudyConfig, names: Sequence[str], name: str) -> Rows:
    """All tiles of a real set."""
    rows: Rows = {name: [] for name in names}
    for case in real_cases(Path(config.data), name, config.starts):
        for who, found in rows_of_case(case, names, config.time).items():
            rows[who] += found
    return rows


def on_blank(config: StudyConfig, names: Sequence[str], number: int) -> dict[str, str]:
    """The verdict of each searcher on one blank field."""
    stack = unseen_blank(number + 1, config.seed)[number].stack()
    start = starts_of(number, 1, POSITIONS, config.seed)
    verdicts = {}
    for name in names:
        instrument = stack.instrument(continuous=False)
        result = focus_cells(instrument, searcher(name), seed=number, start=start)[0]
        verdicts[name] = result.verdict.value
    return verdicts


def gather(
    work: Callable[[int], Rows],
    numbers: Sequence[int],
    config: StudyConfig,
    say: Callable[[str], None] = lambda text: None,
) -> Rows:
    """The rows of all these views; says now and then how many are done."""
    rows: Rows = {}
    for done, found in enumerate(in_processes(work, numbers, config.processes), start=1):
        add(rows, found)
        if done % SAY_EVERY == 0:
            say(f"{done} of {len(numbers)} views")
    return rows


def add(rows: Rows, more: Rows) -> None:
    """Put the rows of one more view to the others."""
    for name, found in more.items():
        rows.setdefault(name, []).extend(found)


def disturbed_success(kind: str, rows: Iterable[Row]) -> float:
    """Share of successes; on a blank field the honest verdict is one."""
    if kind != "blank":
        return float(np.mean([row.success for row in rows]))
    honest = (Verdict.NO_SAMPLE.value, Verdict.UNSURE.value)
    return float(np.mean([row.verdict in honest for row in rows]))
