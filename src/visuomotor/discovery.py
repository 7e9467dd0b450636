"""Finding tasks, agents and policies by the names of their files: no table to keep."""

from __future__ import annotations

import importlib
import pkgutil


def names_in(package: str, attribute: str) -> list[str]:
    """Names of the public modules of a package that define ``attribute``, sorted.

    ``names_in("visuomotor.tasks", "build")`` are the tasks, ``names_in("visuomotor.agents",
    "load_policy")`` the agents with policies that can be saved.
    """
    path = importlib.import_module(package).__path__
    names = sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))
    return [n for n in names if hasattr(importlib.import_module(f"{package}.{n}"), attribute)]
