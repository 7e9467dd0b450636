"""Classical focus searches by name, and the adapter that makes any of them a policy.

The searches are in ``agents.searches``, whose docstring says what each promises.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from visuomotor.agents import searches as families
from visuomotor.agents.base import PolicySpec
from visuomotor.agents.searches.shared import Search, Span
from visuomotor.errors import InputError, nearest
from visuomotor.types import Act, BoolArray, Observation

SAME_PLACE = 1e-9
"""Two positions nearer than this part of the range are one."""


# ---- by name


def searches() -> dict[str, Callable[..., Search]]:
    """Every search by the name users write: the public generator functions of ``searches/``."""
    found = {}
    for file in pkgutil.iter_modules(families.__path__, families.__name__ + "."):
        for name, value in vars(importlib.import_module(file.name)).items():
            own = getattr(value, "__module__", None) == file.name and not name.startswith("_")
            if own and inspect.isgeneratorfunction(value):
                found[name.replace("_", "-")] = value
    return found


def find_search(name: str) -> Callable[..., Search]:
    """A search by its name or the beginning of it that fits no other ("two-stage")."""
    known = searches()
    fitting = [name] if name in known else [full for full in known if full.startswith(name)]
    if len(fitting) != 1:
        raise InputError(f"there is no search called {name!r}; {nearest(name, known)}")
    return known[fitting[0]]


# ---- the adapter


class _Cell(NamedTuple):
    """What the adapter remembers of one cell. Positions are those that the axis executed.

    It holds what the search was told, not the running generator: plain data can be stored, copied
    and taken up again, and telling a new generator the same costs a microsecond a look.
    """

    span: Span
    told: tuple[float, ...]
    best: float
    sharpest: float
    phase: Literal["starting", "searching", "returning", "stopped"]


class SearchPolicy:
    """Any search as a policy of the autofocus task with continuous positions.

    Its action is (B, 2) float64: target position, and 1.0 to stop, else 0.0. The search hears
    only sharpness; the best position is the one the axis reported, so an axis that snaps or
    clips is returned to where the sharpest picture was really taken. Returning is a motion and
    an exposure like any other. A sharpness that is not finite ends the search.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._search = find_search(name)
        self.name = self._search.__name__.replace("_", "-")
        self.options = options
        known = list(inspect.signature(self._search).parameters)[1:]
        for option in options:
            if option not in known:
                raise InputError(f"{self.name} has no option {option!r}; {nearest(option, known)}")
        next(self._search(Span(0, 1, 0, 1, 0), **options), None)  # refuses bad values right here
        keys = ("sharpness", "position", "limits", "fine_step")
        self.spec = PolicySpec(
            task="autofocus",
            version=1,
            observation=keys,
            config={"actions": "position", "observation": list(keys), "max_steps": 4096},
        )

    def begin(self, state: list[_Cell | None] | None, fresh: BoolArray) -> list[_Cell | None]:
        """A new list with the fresh cells emptied; the one handed in stays as it is."""
        cells = state if state is not None else [None] * len(fresh)
        return [None if empty else cell for cell, empty in zip(cells, fresh, strict=True)]

    def act(
        self, observation: Observation, state: list[_Cell | None], generator: np.random.Generator
    ) -> Act:
        """One move or stop for each cell; the generator is not used: searches have no chance."""
        action = np.zeros((len(state), 2))
        cells: list[_Cell | None] = []
        for index, before in enumerate(state):
            position = float(observation["position"][index])
            sharpness = float(observation["sharpness"][index])
            if before is None:
                low, high = observation["limits"][index].tolist()
                start = position if math.isfinite(position) else (low + high) / 2
                span = Span(low, high, start, float(observation["fine_step"][index]), sharpness)
                before = _Cell(span, (), span.clip(start), sharpness, "starting")
            cell = self._heard(before, position, sharpness)
            target, cell = self._decide(cell, position)
            action[index] = target, cell.phase == "stopped"
            cells.append(cell)
        return Act(action, cells, {})

    def _heard(self, cell: _Cell, position: float, sharpness: float) -> _Cell:
        """The cell after one more look; a look on the way back or after the stop adds nothing."""
        if cell.phase in ("returning", "stopped"):
            return cell._replace(phase="stopped")
        readable = math.isfinite(position) and math.isfinite(sharpness)
        if cell.phase == "starting":  # the task has looked already
            return cell._replace(phase="searching" if readable else "stopped")
        if not readable:
            return cell._replace(phase="returning")
        if sharpness > cell.sharpest:
            cell = cell._replace(best=cell.span.clip(position), sharpest=sharpness)
        return cell._replace(told=(*cell.told, sharpness))

    def _decide(self, cell: _Cell, position: float) -> tuple[float, _Cell]:
        """Where to go now. Phase "returning" here means: the search is over, not yet there."""
        if cell.phase == "searching":
            search = self._search(cell.span, **self.options)
            try:
                target = next(search)
                for sharpness in cell.told:
                    target = search.send(sharpness)
                return target, cell
            except StopIteration:
                cell = cell._replace(phase="returning")
        there = abs(position - cell.best) <= SAME_PLACE * (cell.span.high - cell.span.low)
        if cell.phase == "stopped" or there:
            at = position if math.isfinite(position) else cell.best
            return at, cell._replace(phase="stopped")
        return cell.best, cell
