"""Stacks for every command that takes or records one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visuomotor.configs import read_config_file, to_plain
from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.recorded.stack_writer import PLANNED, SKIPPED, StackWriter, noted
from visuomotor.instruments.simulated.demo_view import demo_stack
from visuomotor.types import FloatArray

if TYPE_CHECKING:
    from rich.console import Console

    from visuomotor.instruments.rig_config import RigConfig

DEMO = "demo"
"""The built-in stack; a folder of that name is ``./demo``."""


def load_stack(name: str) -> FocalStack:
    """``demo``, or the stack at this path."""
    return demo_stack() if name == DEMO else FocalStack.load(Path(name))


@dataclass(frozen=True)
class Sweep:
    """A recording that is planned: these positions of this rig, into a new file."""

    config: RigConfig
    at: FloatArray
    out: Path

    @classmethod
    def plan(
        cls,
        config: RigConfig,
        out: Path,
        first: float | None = None,
        last: float | None = None,
        step: float | None = None,
    ) -> Sweep:
        """Over the rig's limits in its fine steps, where nothing else is asked. InputError for
        what cannot be done; nothing is connected or written."""
        from visuomotor.instruments.recording import planes

        low, high = config.focus.limits
        at = planes(
            low if first is None else first,
            high if last is None else last,
            config.fine_step if step is None else step,
            config.focus.limits,
        )
        StackWriter(out, config.focus.unit)  # refuses a place that cannot be written to
        return cls(config, at, out)

    def __str__(self) -> str:
        at, unit = self.at, self.config.focus.unit
        return f"{len(at)} planes from {at[0]:g} to {at[-1]:g} {unit}, {at[1] - at[0]:.4g} apart"

    def record(self, console: Console, quiet: bool) -> Sequence[float]:
        """Do it, under a bar unless quiet. Returns the positions that were recorded."""
        from rich.progress import Progress

        from visuomotor.instruments.recording import record
        from visuomotor.instruments.rig import Rig

        with Progress(console=console, disable=quiet) as bar:
            task = bar.add_task(str(self), total=len(self.at))
            return record(
                Rig(self.config),
                self.at,
                self.out,
                lambda number, _: bar.update(task, completed=number),
            )


def config_values(config: Path | None, rig: Path | None) -> Mapping[str, Any]:
    """Of a training config's file, which go over the table [sharpness] of a rig's."""
    from visuomotor.instruments.rig_config import load_rig

    values: Mapping[str, Any] = read_config_file(config) if config else {}
    task = values.get("task", {})
    if rig is None or not isinstance(task, Mapping):  # whoever reads the values refuses another
        return values
    return {**values, "task": {**to_plain(load_rig(rig).sharpness), **task}}


def recorded_first(rig: Path, stack: Path, dry_run: bool, quiet: bool) -> bool:
    """Record a stack that is not there. False where that is only said, as a dry run does.

    InputError for one whose recording was interrupted: it has fewer planes than were planned, and
    not because the drive came to one place for two of them.
    """
    from rich.console import Console

    from visuomotor.instruments.rig_config import load_rig

    if not stack.exists():
        sweep = Sweep.plan(load_rig(rig), stack)
        console = Console(highlight=False)
        if dry_run:
            console.print(f"{sweep.config.name}: would record {sweep} to {stack}, and train on it")
            return False
        sweep.record(console, quiet)
    count, about = noted(stack)
    planned, skipped = about.get(PLANNED, 0), about.get(SKIPPED, 0)
    told = isinstance(planned, int) and isinstance(skipped, int)
    if told and count + skipped < planned:
        raise InputError(
            f"{stack}: expected all {planned} planes that were planned, got {count}: remove it to "
            f"record it anew, or train on what it has with --stack alone"
        )
    return True
