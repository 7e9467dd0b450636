"""Stacks by name, for every command that takes one."""

from __future__ import annotations

from pathlib import Path

from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.demo_view import demo_stack

DEMO = "demo"
"""The built-in stack; a folder of that name is ``./demo``."""


def load_stack(name: str) -> FocalStack:
    """``demo``, or the stack at this path."""
    return demo_stack() if name == DEMO else FocalStack.load(Path(name))
