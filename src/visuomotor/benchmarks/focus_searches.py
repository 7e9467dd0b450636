"""Every classical search, and what is shipped, on unseen simulated views: a small version of
``studies/generalisation``, for a table within a minute or two.

Rows are made for each searcher there is; a new search brings its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property, partial

from visuomotor.benchmarks.measuring import Measured, Skipped
from visuomotor.configs import check_range, to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.studies.generalisation.measuring import (
    FOCUS,
    MULTISCALE,
    StudyConfig,
    gather,
    on_unseen,
)
from visuomotor.studies.generalisation.scoring import Summary, TimeConfig, summarise
from visuomotor.studies.generalisation.searchers import classical, shipped
from visuomotor.studies.generalisation.unseen import UNSEEN_SEED, UNSEEN_VERSION
from visuomotor.studies.job import Clock

SEARCHERS = {name.replace("-", "_"): name for name in (*classical(), FOCUS, MULTISCALE)}
"""By the beginning of their rows' names."""


@dataclass(frozen=True)
class FocusSearchesBenchConfig:
    """How much is measured."""

    views: int = 20
    """The first so many of the unseen views."""
    starts: int = 5
    """Of each."""
    seed: int = UNSEEN_SEED
    processes: int = 2
    time: TimeConfig = field(default_factory=TimeConfig)

    def __post_init__(self) -> None:
        some = (1, 100_000)
        check_range(self, views=some, starts=some, processes=(1, 256), seed=(0, 2**63))


CONFIG = FocusSearchesBenchConfig


class Benchmark:
    """Each public method is a row."""

    def __init__(
        self, stack: FocalStack | None, config: FocusSearchesBenchConfig, rows: Collection[str] = ()
    ) -> None:
        """stack: not used; the views are simulated. rows: only their searchers are run."""
        asked = [row.rpartition("_")[0] for row in rows] or list(SEARCHERS)
        wanted = [SEARCHERS[key] for key in SEARCHERS if key in asked]
        there = [*classical(), *shipped([FOCUS, MULTISCALE])]
        self._names = [name for name in wanted if name in there]
        self._config = config

    @cached_property
    def _found(self) -> tuple[dict[str, Summary], float]:
        """Every searcher that was asked for, and the seconds that all of them took together."""
        c, clock = self._config, Clock()
        study = StudyConfig(
            seed=c.seed, views=c.views, starts=c.starts, processes=c.processes, time=c.time
        )
        rows = gather(partial(on_unseen, study, self._names), range(c.views), study)
        return {name: summarise(found) for name, found in rows.items()}, clock.seconds

    def _success(self, name: str) -> Measured:
        s = self._summary(name)
        low, high = s.interval
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in s.verdicts.items())
        note = f"95 %: {low:.3f} to {high:.3f} (Wilson); {verdicts}; "
        note += f"{s.error_steps:.1f} fine steps off in the mean"
        return self._measured(s.success, "share of episodes", s, note)

    def _exposures(self, name: str) -> Measured:
        s = self._summary(name)
        note = f"95 % took at most {s.exposures_95:.0f}; {s.seconds:.1f} s modelled; "
        note += f"{s.ended_blurrier:.1%} ended blurrier than they began; an omniscient searcher "
        note += f"with yu2018's actions: {s.optimal_exposures:.1f}"
        return self._measured(s.exposures, "exposures", s, note)

    def _summary(self, name: str) -> Summary:
        if name not in self._names:
            raise Skipped(f"no policy {name!r} is shipped")
        return self._found[0][name]

    def _measured(self, value: float, unit: str, summary: Summary, note: str) -> Measured:
        config = {"unseen_version": UNSEEN_VERSION, **to_plain(self._config)}
        seconds = self._found[1]
        seeds = (self._config.seed,)
        return Measured(value, unit, summary.episodes, seconds, config, seeds, note)


def _row(
    method: Callable[[Benchmark, str], Measured], name: str, meaning: str
) -> Callable[[Benchmark], Measured]:
    def row(self: Benchmark) -> Measured:
        return method(self, name)

    row.__doc__ = meaning
    return row


for _key, _name in SEARCHERS.items():
    _share = f"Share of sighted episodes that {_name} focuses, and says so."
    _looks = f"Mean exposures of {_name}, the way back included."
    setattr(Benchmark, f"{_key}_success", _row(Benchmark._success, _name, _share))
    setattr(Benchmark, f"{_key}_exposures", _row(Benchmark._exposures, _name, _looks))
