"""Fixtures for tests of instruments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from toy_rig import Toy

from visuomotor.instruments import driving


@dataclass(frozen=True)
class NoSettings:
    """Of the toy driver."""


@pytest.fixture
def toy_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A driver called "toy", and notes in a folder of this test."""

    class Module:
        @staticmethod
        def connect(settings, folder):
            return Toy()

        Settings = NoSettings

    real = driving.driver

    def both(name: str):
        return Module if name == "toy" else real(name)

    monkeypatch.setattr(driving, "driver", both)
    monkeypatch.setattr("visuomotor.instruments.rig_config.driver", both)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
