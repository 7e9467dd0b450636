"""Focusing a recorded stack: environment speed, learning time, decision time, memory, Tenengrad."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median
from typing import Any

from visuomotor.benchmarks import _environment, _learning, _pictures, _processes
from visuomotor.benchmarks.measuring import Measured, Skipped, Times, in_fresh_process
from visuomotor.configs import check_range, to_plain
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.tasks.autofocus import PRESETS
from visuomotor.training.config import TrainConfig
from visuomotor.training.examining import prepare
from visuomotor.zoo import resolve

MINUTE_S = 60.0


@dataclass(frozen=True)
class FocusBenchConfig:
    """How much is measured."""

    repeats: int = 7
    """Of everything that takes seconds; the median counts."""
    cells: int = 1024
    steps: int = 32
    """Of all cells, in each repeat."""
    sync_envs: int = 64
    """Single environments behind SyncVectorEnv."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of our training; stable-baselines3 takes the first."""
    budget_minutes: float = 20.0
    """Of learning, evaluations left out, for each training run."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(patience=0, threads=2))
    sb3_buffer_size: int = 50_000
    """Transitions; of 84 x 84 pictures these are 2 GB."""
    memory_steps: int = 100_000
    """Time steps of the run whose memory is measured, as many as an experiment of yu2018."""
    policy: str = "yu2018-exp1"
    decisions: int = 500

    def __post_init__(self) -> None:
        some = (1, 1_000_000)
        check_range(self, repeats=some, cells=some, steps=some, sync_envs=some, decisions=some)
        check_range(self, budget_minutes=(0, 10_000), sb3_buffer_size=(100, math.inf))
        check_range(self, memory_steps=(1, math.inf))
        if not self.seeds:
            raise InputError("FocusBench: seeds: expected at least one, got none")
        if self.steps * self.cells % self.sync_envs:
            raise InputError(
                f"FocusBench: sync_envs: expected a divisor of steps x cells, {self.steps} x "
                f"{self.cells}, got {self.sync_envs}"
            )


CONFIG = FocusBenchConfig


class Benchmark:
    """Each public method is a row."""

    def __init__(
        self, stack: FocalStack, config: FocusBenchConfig, rows: Collection[str] = ()
    ) -> None:
        """rows: those that will be asked for; what they need and is not there is refused now."""
        self._stack = prepare(stack, config.train)
        self._config = config
        if any(row.startswith("sb3") for row in rows):
            self._sb3_settings()  # refuses if the extra is missing

    def env_steps_per_second(self) -> Measured:
        """Environment steps each second, all cells together, finished ones reset by mask."""
        times, _ = self._speeds
        return self._median(times, "steps/s", self._env_config)

    def sync_vector_env_steps_per_second(self) -> Measured:
        """Environment steps each second of single environments behind SyncVectorEnv."""
        _, times = self._speeds
        note = "a step in which SyncVectorEnv resets an environment counts as one"
        return self._median(times, "steps/s", self._env_config, note)

    def env_ratio_to_sync_vector_env(self) -> Measured:
        """How many times as many environment steps each second ours makes."""
        return self._ratio(*self._speeds, self._env_config)

    def seconds_to_100_guided(self) -> Measured:
        """Seconds of learning until every start is solved, guided by the expert (our default)."""
        return self._seconds_to_100(guided=True)

    def seconds_to_100_unguided(self) -> Measured:
        """Seconds of learning until every start is solved, without the expert."""
        return self._seconds_to_100(guided=False)

    def sb3_seconds_to_100(self) -> Measured:
        """Seconds of learning until every start is solved, stable-baselines3's DQN."""
        reached, seconds = self._sb3_run
        note = str(reached) if reached.perfect else f"a lower bound: {reached}"
        return Measured(
            reached.seconds, "s", 1, seconds, self._sb3_config, self._config.seeds[:1], note
        )

    def sb3_ratio_guided(self) -> Measured:
        """How many times as long stable-baselines3 learns, ours being guided."""
        return self._sb3_ratio(guided=True)

    def sb3_ratio_unguided(self) -> Measured:
        """How many times as long stable-baselines3 learns, ours not being guided."""
        return self._sb3_ratio(guided=False)

    def decision_ms(self) -> Measured:
        """One decision of a shipped policy from one observation, by one thread."""
        began, c = time.perf_counter(), self._config
        values = in_fresh_process(_processes.decision_ms, c.policy, c.decisions)
        times = Times(values, time.perf_counter() - began)
        return self._median(times, "ms", {"policy": resolve(c.policy), "threads": 1})

    def peak_memory_gb(self) -> Measured:
        """Most memory a whole training run holds, the interpreter and PyTorch included."""
        if sys.platform == "win32":
            raise Skipped("Windows does not tell a process its peak memory through Python")
        began = time.perf_counter()
        every = self._config.memory_steps
        config = replace(self._config.train, steps=every, patience=every)
        peak, steps = in_fresh_process(_processes.peak_memory_gb, self._stack, config)
        note = f"{steps:,} time steps in a process of its own"
        seconds = time.perf_counter() - began
        return Measured(
            peak, "GB", 1, seconds, self._on_stack(to_plain(config)), (config.seed,), note
        )

    def tenengrad_2mp_ms(self) -> Measured:
        """Tenengrad of a picture of 2 megapixels, uint8."""
        times, _ = self._tenengrad
        return self._median(times, "ms", {"shape_px": list(_pictures.SHAPE_PX)})

    def tenengrad_2mp_scipy_ms(self) -> Measured:
        """Tenengrad of that picture by scipy.ndimage.sobel in float64, as a textbook has it."""
        _, times = self._tenengrad
        return self._median(times, "ms", {"shape_px": list(_pictures.SHAPE_PX)})

    def tenengrad_ratio_to_scipy(self) -> Measured:
        """How many times as long SciPy's way takes."""
        fast, slow = self._tenengrad
        return self._ratio(slow, fast, {"shape_px": list(_pictures.SHAPE_PX)})

    # -- each measurement is made once, for all rows that show it ------------------------------

    @cached_property
    def _speeds(self) -> tuple[Times, Times]:
        c = self._config
        return _environment.speeds(
            self._stack, PRESETS["paper"], c.cells, c.steps, c.sync_envs, c.repeats
        )

    @cached_property
    def _tenengrad(self) -> tuple[Times, Times]:
        return _pictures.tenengrad_ms(5 * self._config.repeats)

    @cached_property
    def _guided(self) -> tuple[list[_learning.Reached], float]:
        return self._learn(guided=True)

    @cached_property
    def _unguided(self) -> tuple[list[_learning.Reached], float]:
        return self._learn(guided=False)

    @cached_property
    def _sb3_run(self) -> tuple[_learning.Reached, float]:
        from visuomotor.benchmarks import _stable_baselines3

        began, config = time.perf_counter(), self._train(guided=False, seed=self._config.seeds[0])
        settings = self._sb3_settings()
        reached = _stable_baselines3.learn(self._stack, config, self._budget_s, settings)
        return reached, time.perf_counter() - began

    def _sb3_settings(self) -> dict[str, Any]:
        from visuomotor.benchmarks import _stable_baselines3

        config = self._train(guided=False, seed=self._config.seeds[0])
        return _stable_baselines3.settings(config, self._config.sb3_buffer_size)

    # -- rows from measurements ----------------------------------------------------------------

    def _learn(self, guided: bool) -> tuple[list[_learning.Reached], float]:
        began = time.perf_counter()
        runs = [
            _learning.learn(self._stack, self._train(guided, seed), self._budget_s)
            for seed in self._config.seeds
        ]
        return runs, time.perf_counter() - began

    def _train(self, guided: bool, seed: int) -> TrainConfig:
        config = replace(self._config.train, seed=seed, patience=0)
        if guided:
            return config
        return replace(config, agent=replace(config.agent, guide=0.0, guide_end=0.0))

    def _seconds_to_100(self, guided: bool) -> Measured:
        runs, seconds = self._guided if guided else self._unguided
        found = _median_seconds(runs)
        seeds = self._config.seeds
        note = "; ".join(f"seed {seed}: {run}" for seed, run in zip(seeds, runs, strict=True))
        return Measured(
            found if math.isfinite(found) else "not reached",
            "s",
            len(runs),
            seconds,
            self._on_stack(to_plain(self._train(guided, seeds[0]))),
            seeds,
            note,
        )

    def _sb3_ratio(self, guided: bool) -> Measured:
        runs, our_seconds = self._guided if guided else self._unguided
        reached, their_seconds = self._sb3_run
        ours = _median_seconds(runs)
        known = math.isfinite(ours)
        note = "one seed of theirs, the median of ours"
        if not reached.perfect:
            note += f"; a lower bound: stable-baselines3 reached {reached}"
        return Measured(
            reached.seconds / ours if known else "not reached by ours",
            "times",
            len(runs),
            our_seconds + their_seconds,
            self._sb3_config | {"ours": to_plain(self._train(guided, self._config.seeds[0]))},
            self._config.seeds,
            note,
        )

    @property
    def _sb3_config(self) -> dict[str, Any]:
        return self._on_stack(
            {
                "budget_minutes": self._config.budget_minutes,
                "evaluate_every": self._config.train.evaluate_every,
                "threads": self._config.train.threads,
                "stable_baselines3": self._sb3_settings(),
            }
        )

    @property
    def _budget_s(self) -> float:
        return MINUTE_S * self._config.budget_minutes

    @property
    def _env_config(self) -> dict[str, Any]:
        c = self._config
        sizes = {"cells": c.cells, "steps": c.steps, "sync_envs": c.sync_envs}
        return self._on_stack(sizes | {"task": to_plain(PRESETS["paper"])})

    def _on_stack(self, config: dict[str, Any]) -> dict[str, Any]:
        stack = self._stack
        facts = {"positions": stack.num_positions, "interpolated_from": stack.interpolated_from}
        return {"stack": stack.name, **facts, **config}

    def _median(self, times: Times, unit: str, config: dict[str, Any], note: str = "") -> Measured:
        return Measured(
            median(times.values), unit, len(times.values), times.seconds, config, note=note
        )

    def _ratio(self, above: Times, below: Times, config: dict[str, Any]) -> Measured:
        ratio = median(above.values) / median(below.values)
        return Measured(ratio, "times", len(above.values), above.seconds, config)


def _median_seconds(runs: list[_learning.Reached]) -> float:
    """Infinite where most runs did not get there."""
    return median([run.seconds if run.perfect else math.inf for run in runs])
