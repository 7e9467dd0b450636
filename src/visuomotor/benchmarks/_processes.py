"""What is measured in a process of its own; each function here is called there."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from visuomotor.configs import to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.runs import Run
from visuomotor.training.config import TrainConfig
from visuomotor.training.local import train
from visuomotor.types import Observation

WARM_UP = 20


def decision_ms(policy: str, count: int) -> list[float]:
    """(count,) milliseconds of one decision from one observation, by one thread."""
    import torch

    from visuomotor.zoo import load_policy

    torch.set_num_threads(1)
    chosen = load_policy(policy)
    size, history = (int(chosen.spec.config[key]) for key in ("frame_size_px", "history"))
    generator = np.random.default_rng(0)
    observation: Observation = {  # different pictures: every one is encoded
        "frames": generator.integers(0, 255, (1, history, size, size), dtype=np.uint8),
        "past_actions": np.zeros((1, history), np.int64),
    }
    state = chosen.begin(None, np.ones(1, np.bool_))
    times = []
    for _ in range(count + WARM_UP):
        began = time.perf_counter()
        chosen.act(observation, state, generator)
        times.append(1000 * (time.perf_counter() - began))
    return times[WARM_UP:]


def peak_memory_gb(stack: FocalStack, config: TrainConfig) -> tuple[float, int]:
    """Most memory this process ever held (GB) after a whole training run, and its time steps."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "bench", to_plain(config))
        standing = train(config, stack, run, lambda metrics: None)
    return _peak_bytes() / 1e9, standing.steps


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux hands ru_maxrss on to a new program, so it would hold what our parent once had.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
