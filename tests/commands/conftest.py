"""Fixtures for tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from visuomotor.instruments.drivers.microscope import SimulatedRig


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Where the simulated drive was sent."""
    sent: list[float] = []
    move = SimulatedRig.move

    def noting(self: SimulatedRig, target: float) -> None:
        sent.append(target)
        move(self, target)

    monkeypatch.setattr(SimulatedRig, "move", noting)
    return sent


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path
