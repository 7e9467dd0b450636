"""A run's folder: what was asked, what came out, and where it came from.

runs/20261121-093000-focus/
    config.json      provenance.json     metrics.jsonl     events.out.tfevents...
    episodes.log     trainer.safetensors (to resume)       policy.safetensors (to use)
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visuomotor.configs import read_config_file
from visuomotor.errors import InputError
from visuomotor.files import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Run:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.metrics_file = path / "metrics.jsonl"
        self.log_file = path / "episodes.log"
        self.trainer_file = path / "trainer.safetensors"
        self.policy_file = path / "policy.safetensors"

    @classmethod
    def create(cls, root: Path, name: str, config: Mapping[str, Any]) -> Run:
        """A fresh folder ``root/<time>-<name>`` with its config and provenance."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for extra in ("", *(f"-{n}" for n in range(2, 1000))):
            path = root / f"{stamp}-{name}{extra}"
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                continue
            except OSError as error:
                raise InputError(f"{root}: expected a folder to write to, but {error}") from None
        run = cls(path)
        _write_json(path / "provenance.json", provenance())
        _write_json(run.config_file, config)
        return run

    @classmethod
    def at(cls, path: Path, config: Mapping[str, Any]) -> Run:
        """The run in this very folder: begun, or taken up again. InputError if another run, asked
        for something else, is there."""
        run = cls(path)
        if run.config_file.is_file():
            if run.config() != json.loads(json.dumps(dict(config))):
                raise InputError(
                    f"{path}: expected a run of the config asked for, got one of another; give "
                    f"another folder, or remove this one"
                )
            return run
        _write_json(path / "provenance.json", provenance())
        _write_json(run.config_file, config)
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing folder; InputError if it is not a run's."""
        run = cls(path)
        if not run.config_file.is_file():
            raise InputError(f"{path}: expected a run folder with a config.json, found none")
        return run

    def config(self) -> dict[str, Any]:
        return read_config_file(self.config_file)

    def provenance(self) -> dict[str, Any]:
        """Of the first sitting."""
        text = (self.path / "provenance.json").read_text(encoding="utf-8")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    def metrics(self) -> list[dict[str, Any]]:
        """Every line of the metrics, a last torn one left out."""
        if not self.metrics_file.is_file():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append one line (it names its ``step``) and show its numbers in TensorBoard.

        A step that is already in the file (the run was killed after it and came this way again)
        is not written twice.
        """
        step = int(metrics["step"])
        if step <= self._last_step:
            return
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(metrics)) + "\n")
            file.flush()
        self._last_step = step
        for key, value in metrics.items():
            if key != "step" and isinstance(value, (int, float)):
                self._board.add_scalar(key, value, step)
        self._board.flush()

    def close(self) -> None:
        if "_board" in vars(self):
            self._board.close()

    @cached_property
    def _last_step(self) -> int:
        """Newest step in the file, which is first mended if a kill tore its last line."""
        lines = self.metrics()
        if self.metrics_file.is_file():
            whole = "".join(json.dumps(line) + "\n" for line in lines).encode()
            if whole != self.metrics_file.read_bytes():
                write_atomically(self.metrics_file, whole)
        return int(lines[-1]["step"]) if lines else -1

    @cached_property
    def _board(self) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.path))


def finished_runs(root: Path) -> list[Run]:
    """Runs below ``root`` that have a policy, the newest first."""
    done = sorted(root.glob("*/policy.safetensors"), key=lambda file: file.stat().st_mtime)
    return [Run(file.parent) for file in reversed(done)]


def provenance() -> dict[str, Any]:
    """Where a result comes from: commit, versions, machine."""
    packages = ("visuomotor", "torch", "numpy", "gymnasium", "opencv-python-headless")
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "machine": machine(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def machine() -> str:
    """Processor, cores and system in words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def commit() -> str | None:
    """The checkout's commit (with + where files other than what studies and benchmarks write were
    changed); None outside a checkout of ours."""
    here = Path(__file__).resolve().parent
    if not (here.parent.parent / "pyproject.toml").is_file():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        written = [f":(top,exclude,glob)**/{name}" for name in ("results.json", "figure*.png")]
        changed = git("status", "-s", "--", ":/", *written)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(dict(values), indent=2) + "\n").encode())
