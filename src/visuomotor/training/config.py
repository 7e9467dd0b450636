"""What a training run is asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visuomotor.agents.dqn import DQNConfig
from visuomotor.configs import check_range, from_plain, read_config_file
from visuomotor.errors import InputError, nearest
from visuomotor.tasks.autofocus import AutofocusConfig

FOLDER = Path(__file__).resolve().parent / "presets"


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Steps are time steps of single cells."""

    task: AutofocusConfig = field(default_factory=AutofocusConfig)
    agent: DQNConfig = field(default_factory=DQNConfig)
    positions: int = 131
    """A stack with fewer positions is interpolated to this many, and labelled so."""
    cells: int = 64
    """Episodes that are collected side by side."""
    steps: int = 100_000
    """At most this many time steps (yu2018: 100K)."""
    warmup_steps: int = 1_000
    """Time steps before the first gradient step."""
    updates_per_row: int = 4
    """Gradient steps for each time step of all cells."""
    replay_steps: int = 100_000
    evaluate_every: int = 1_000
    """Time steps between evaluations over every start (yu2018: 1K)."""
    patience: int = 10
    """Stop once this many further evaluations in a row after a perfect one are perfect too."""
    seed: int = 0
    threads: int = 0
    """Of PyTorch; 0 leaves its default. One thread in fp32 repeats to the bit."""

    def __post_init__(self) -> None:
        one, zero = (1, math.inf), (0, math.inf)
        check_range(self, positions=(3, 100_000), cells=(1, 10_000), steps=one, warmup_steps=zero)
        check_range(self, updates_per_row=one, replay_steps=(100, math.inf), evaluate_every=one)
        check_range(self, patience=zero, seed=zero, threads=(0, 1024))


def train_config(values: Mapping[str, Any], where: str, preset: str = "fast") -> TrainConfig:
    """The config that ``values`` (read from ``where``) describe over a file of ``presets/``."""
    files = {file.stem: file for file in FOLDER.glob("*.toml")}
    if preset not in files:
        raise InputError(f"preset {preset!r} is not known; {nearest(preset, files)}")
    base = from_plain(TrainConfig, read_config_file(files[preset]), preset, base=TrainConfig())
    return from_plain(TrainConfig, values, where, base=base)
