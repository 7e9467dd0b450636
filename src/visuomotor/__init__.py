"""Learned closed-loop visual control for instruments and robots.

import visuomotor as vm
stack = vm.FocalStack.load("stack.ome.tif")
policy = vm.load_policy("search:brent")
result = vm.focus(stack.instrument(start=3.0), policy)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from visuomotor.errors import InputError, MissingExtraError
    from visuomotor.evaluate import evaluate, summarise
    from visuomotor.instruments.recorded.focal_stack import FocalStack
    from visuomotor.instruments.simulated.demo_view import demo_stack
    from visuomotor.instruments.workcells import open_rig
    from visuomotor.runner import focus, focus_cells
    from visuomotor.tasks.focus_result import FocusResult
    from visuomotor.tasks.judging import Verdict, judge
    from visuomotor.zoo import load_policy

__version__ = "0.1.0"

# What `visuomotor.<name>` is, and where it lives; loaded when first used, so that importing the
# package costs no PyTorch.
_PUBLIC = {
    "FocalStack": "visuomotor.instruments.recorded.focal_stack",
    "FocusResult": "visuomotor.tasks.focus_result",
    "InputError": "visuomotor.errors",
    "MissingExtraError": "visuomotor.errors",
    "Verdict": "visuomotor.tasks.judging",
    "demo_stack": "visuomotor.instruments.simulated.demo_view",
    "evaluate": "visuomotor.evaluate",
    "focus": "visuomotor.runner",
    "focus_cells": "visuomotor.runner",
    "judge": "visuomotor.tasks.judging",
    "load_policy": "visuomotor.zoo",
    "open_rig": "visuomotor.instruments.workcells",
    "summarise": "visuomotor.evaluate",
}

__all__ = [
    "FocalStack",
    "FocusResult",
    "InputError",
    "MissingExtraError",
    "Verdict",
    "__version__",
    "demo_stack",
    "evaluate",
    "focus",
    "focus_cells",
    "judge",
    "load_policy",
    "open_rig",
    "summarise",
]


for _name, _options in (("Autofocus-v0", {}), ("AutofocusFlat-v0", {"flat": True})):
    if f"visuomotor/{_name}" not in gymnasium.registry:
        gymnasium.register(
            f"visuomotor/{_name}", "visuomotor.env:make_autofocus", kwargs=dict(_options)
        )


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'visuomotor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
