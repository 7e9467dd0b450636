"""Rigs side by side as one instrument: one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from visuomotor.configs import to_plain
from visuomotor.errors import InputError, RigError
from visuomotor.instruments.driving import SLICE_S, Stopped
from visuomotor.instruments.rig import Rig
from visuomotor.instruments.rig_config import load_rig, rig_from_plain
from visuomotor.types import ROI, FloatArray, Frame, Frames, IntArray, RoiChoice


def open_rig(
    path: str | Path, roi: RoiChoice = None, window: tuple[float, float] | None = None
) -> Workcells:
    """The instrument that a rig file describes: hardware, a recording or a simulator.

    window: where in the file's limits to focus; ``focus(..., grow=N)`` may go beyond it.

    Nothing is connected yet: ``with open_rig(path) as rig:`` connects, and leaves the rig as it was
    found. Functions that run a policy do so themselves. InputError for what is wrong in the file;
    MissingExtraError, with the line to install it, where a driver's SDK is missing.
    """
    return Workcells([Rig(load_rig(path), roi, window=window)])


class Workcells:
    """B rigs, one a cell: see ``protocols.FocusInstrument``.

    They share unit, fine step, limits and size of picture. Calls go to all rigs named at once, a
    thread each. The exception of one rig among several, be it in coming or going, ends that cell
    alone: it is kept in ``failures``, and the cell is neither moved nor exposed until it is reset;
    of a single rig it is raised.
    """

    def __init__(self, rigs: Sequence[Rig]) -> None:
        if not rigs:
            raise InputError("Workcells: expected at least one rig, got none")
        self.rigs = list(rigs)
        self.num_cells = len(self.rigs)
        self.fine_step = self._shared("fine step", lambda rig: rig.config.fine_step)
        self.reading: dict[str, Any] = to_plain(
            self._shared("sharpness", lambda rig: rig.config.sharpness)
        )
        chosen = self._shared("display_range", lambda rig: rig.config.camera.display_range)
        if chosen is not None:  # by the rig's owner: goes before what a policy learned with
            self.reading["display_range"] = chosen
        self.failures: list[Exception | None] = [None] * self.num_cells
        self.focus = WorkcellAxis(self)
        self.camera = WorkcellCamera(self)

    @property
    def roi(self) -> ROI | None:
        """What the first rig's pictures are judged on."""
        return self.rigs[0].roi

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        """Without a start the rigs stay where they stand: a person chose the place."""
        if start is not None:
            low, high = self.focus.limits
            if not ((start >= low) & (start <= high)).all():  # NaN too
                raise InputError(
                    f"start: expected positions from {low:g} to {high:g} {self.focus.unit}, "
                    f"got {start.tolist()}"
                )
        for cell in cells:
            if self.rigs[cell].is_open:
                self.failures[cell] = None
        if start is not None:
            self.focus.move_to(start, cells)
            return
        self.each(cells, lambda rig, _: _check_place(rig))

    def __enter__(self) -> Self:
        self.failures[:] = [None] * self.num_cells
        for cell, rig in enumerate(self.rigs):
            try:
                rig.__enter__()
            except RigError as error:
                self.failures[cell] = error
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        if all(self.failures):
            raise next(error for error in self.failures if error is not None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Every rig is left, whatever happens to the others."""
        raised: BaseException | None = None
        for cell, rig in reversed(list(enumerate(self.rigs))):
            try:
                rig.__exit__(kind, error or self.failures[cell], trace)
            except Exception as problem:
                self.failures[cell] = self.failures[cell] or problem
                raised = raised or (problem if self.num_cells == 1 else None)
            except BaseException as problem:
                raised = problem
        if raised is not None:
            raise raised

    def grow(self, direction: int) -> bool:
        """``protocols.CanGrow``, of a single rig: several share one range."""
        if self.num_cells != 1:
            raise InputError(f"grow: expected one rig, got {self.num_cells}")
        grew = self.rigs[0].grow(direction)
        self.focus.limits = self.rigs[0].limits
        return grew

    def each(self, cells: IntArray, what: Callable[[Rig, int], Any]) -> list[Any]:
        """``what(rig, number in cells)`` of each cell named; None where it failed."""
        if self.num_cells == 1:
            return [what(self.rigs[0], 0) for _ in cells]

        def guarded(number: int, cell: int) -> Any:
            if self.failures[cell] is not None:
                return None
            try:
                return what(self.rigs[cell], number)
            except Stopped:
                raise  # no failure of its own
            except Exception as error:
                self.failures[cell] = error
                return None

        interrupted = False
        try:
            with ThreadPoolExecutor(max_workers=self.num_cells) as pool:
                calls = [pool.submit(guarded, number, cell) for number, cell in enumerate(cells)]
                try:
                    while wait(calls, timeout=SLICE_S).not_done:
                        pass
                except BaseException:  # Ctrl-C halts every rig, before its thread is waited for
                    interrupted = True
                    for rig in self.rigs:
                        rig.stop.set()
                    raise
            return [call.result() for call in calls]
        finally:
            for rig in self.rigs if interrupted else []:
                rig.stop.clear()

    def _shared(self, name: str, value: Callable[[Rig], Any]) -> Any:
        there = [rig for rig in self.rigs if rig.is_open]  # one that failed to open says nothing
        values = [value(rig) for rig in there or self.rigs]
        if any(other != values[0] for other in values):
            raise InputError(f"Workcells: expected one {name} for all rigs, got {values}")
        return values[0]


def _check_place(rig: Rig) -> None:
    """Where it stands it starts, so that must be a place where it may be."""
    where, (low, high) = rig.focus.position(), rig.limits
    if not low - rig.focus.tolerance <= where <= high + rig.focus.tolerance:
        raise InputError(
            f"{rig.config.name}: the focus stands at {where:g} {rig.focus.unit}, outside its "
            f"limits {low:g} to {high:g}; move it inside, or name a start"
        )


class WorkcellAxis:
    """The focus drives of all cells."""

    def __init__(self, cells: Workcells) -> None:
        self._cells = cells
        self.unit: str = cells._shared("unit", lambda rig: rig.config.focus.unit)
        self.limits: tuple[float, float] = cells._shared("range", lambda rig: rig.limits)
        self._last = np.full(cells.num_cells, np.nan)

    @property
    def position(self) -> FloatArray:
        """(B,) where each drive says it is; where one failed, where it last said it was."""
        self.read(np.arange(self._cells.num_cells))
        return self._last.copy()

    def read(self, cells: IntArray) -> FloatArray:
        """(M,) the same of the cells named."""
        where = self._cells.each(cells, lambda rig, _: rig.focus.position())
        self._note(cells, where)
        return self._last[cells]

    def move_to(self, target: FloatArray, cells: IntArray) -> FloatArray:
        wanted = np.asarray(target, np.float64)
        if not np.isfinite(wanted).all():
            raise InputError(f"move_to: expected finite positions, got {wanted}")
        wanted = wanted.clip(*self.limits)
        came_to = self._cells.each(cells, lambda rig, n: rig.focus.move_to(float(wanted[n])))
        self._note(cells, came_to)
        return self._last[cells]

    def _note(self, cells: IntArray, where: list[Any]) -> None:
        for cell, position in zip(cells, where, strict=True):
            if position is not None:
                self._last[cell] = position


class WorkcellCamera:
    """The cameras of all cells."""

    def __init__(self, cells: Workcells) -> None:
        self._cells = cells
        self._like: Frame = np.zeros((8, 8), np.uint8)
        """The newest picture that came."""

    @property
    def timeout_ms(self) -> float:
        """Of the slowest."""
        return max(rig.timeout_ms for rig in self._cells.rigs)

    @property
    def exposure_ms(self) -> float:
        """Of the first; 0 where it does not tell."""
        return self._cells.rigs[0].exposure_ms or 0.0

    @property
    def display_range(self) -> tuple[float, float]:
        shared: tuple[float, float] = self._cells._shared(
            "range of grey levels", lambda rig: rig.display_range
        )
        return shared

    def grab(self, cells: IntArray) -> Frames:
        """The picture of a cell that failed is black."""
        pictures = self._cells.each(cells, lambda rig, _: rig.snap())
        good = next((picture for picture in pictures if picture is not None), self._like)
        self._like = good
        for picture in pictures:
            if picture is not None and (picture.shape, picture.dtype) != (good.shape, good.dtype):
                raise InputError(
                    f"Workcells: expected pictures of one kind, got {good.dtype} {good.shape} and "
                    f"{picture.dtype} {picture.shape}"
                )
        if len(pictures) == 1 and pictures[0] is not None:
            alone: Frames = pictures[0][None]  # not copied: it may be large
            return alone
        black = np.zeros_like(good)
        filled = [black if picture is None else picture for picture in pictures]
        return np.stack(filled) if filled else np.zeros((0, *good.shape), good.dtype)


def examples(cells: int) -> dict[str, Workcells]:
    """Rigs of the drivers that need no SDK, for the contract tests; free of noise."""
    view = {
        "sensor": {"photon_noise": False, "read_noise_e": 0.0},
        "size_px": 48,
        "drive": {"first": -10.0, "last": 12.0},
    }

    def values(never_pass: float) -> dict[str, Any]:
        focus = {"towards_sample": "up", "soft_limits": [-9.0, 12.0], "never_pass": never_pass}
        return {
            "name": f"example, {never_pass:g} never passed",
            "camera": {"driver": "microscope"},
            "focus": {"driver": "microscope", "fine_step": 0.5, **focus},
            "microscope": {"view": view},
        }

    whole, cut = values(13.0), values(10.0)
    return {
        name: Workcells([Rig(rig_from_plain(table, name, Path()), roi) for _ in range(cells)])
        for name, table, roi in (
            ("rigs", whole, None),
            ("rigs that may not pass, region of interest", cut, (4, 4, 16, 24)),
        )
    }
