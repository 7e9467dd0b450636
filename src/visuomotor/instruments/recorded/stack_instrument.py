"""An instrument made of a recorded stack: its camera shows what was recorded where the focus axis
stands."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import ROI, FloatArray, FocusCurve, Frames, IntArray, RoiChoice


class FocalStackInstrument:
    """B cells on one stack: see ``protocols.FocusInstrument``, ``HasFocusTruth``, ``Resumable``."""

    def __init__(
        self,
        stack: FocalStack,
        start: ArrayLike | None,
        fine_step: float | None,
        roi: RoiChoice,
        cells: int,
        continuous: bool,
    ) -> None:
        if cells < 1:
            raise InputError(f"cells: expected at least 1, got {cells}")
        if fine_step is not None and not (np.isfinite(fine_step) and fine_step > 0):
            raise InputError(f"fine_step: expected a positive distance, got {fine_step}")
        self.stack = stack
        self.num_cells = cells
        self.continuous = continuous
        self.roi = stack.region(roi)
        self.focus = StackAxis(stack.positions, stack.unit, cells, snaps=not continuous)
        # Among its own positions a stack's smallest move is from one to the next, as in yu2018.
        own = stack.fine_step(self.roi) if continuous else stack.spacing
        self.fine_step = fine_step if fine_step is not None else own
        kind = StackCamera if continuous else FiniteStackCamera
        self.camera: StackCamera = kind(stack, self.roi, self.focus)
        self._start = None if start is None else self._checked_start(start, cells)

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        if start is not None:
            target = self._checked_start(start, len(cells))
        elif self._start is not None:
            target = self._start[cells]
        elif self.continuous:
            target = generator.uniform(*self.focus.limits, len(cells))
        else:
            target = self.stack.positions[
                generator.integers(0, self.stack.num_positions, len(cells))
            ]
        self.focus.move_to(target, cells)

    def focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        memo = self.stack.memo(self.roi)
        if ("curve", key) not in memo:
            memo["curve", key] = self.stack.curve(measure, self.roi)
        return [memo["curve", key]]

    def views(self) -> IntArray:
        return np.zeros(self.num_cells, np.int64)

    def pictures(self, positions: ArrayLike) -> Frames:
        """(M, H, W) what the camera would see at these positions; nothing moves."""
        frames = self.stack.frames_at(positions)
        return frames if self.roi is None else self.roi.crop(frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """A recording has nothing to put back."""

    def state_dict(self) -> dict[str, object]:
        return {"position": self.focus.position}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.focus.move_to(np.asarray(state["position"], float), np.arange(self.num_cells))

    def _checked_start(self, start: ArrayLike, count: int) -> FloatArray:
        values = np.asarray(start, np.float64)
        if values.ndim > 1 or (values.ndim == 1 and len(values) != count):
            raise InputError(f"start: expected one position or {count}, got shape {values.shape}")
        low, high = self.focus.limits
        slack = 1e-9 * (high - low)
        good = np.isfinite(values) & (values >= low - slack) & (values <= high + slack)
        if not good.all():
            bad = float(values.reshape(-1)[np.flatnonzero(~good.reshape(-1))[0]])
            unit = self.focus.unit
            raise InputError(
                f"start: expected a position from {low:g} to {high:g} {unit}, got {bad:g}"
            )
        return np.broadcast_to(values, (count,)).copy()


class StackAxis:
    """An axis over recorded positions (P,), ascending; it snaps to them, or moves freely."""

    def __init__(self, positions: FloatArray, unit: str, cells: int, snaps: bool) -> None:
        self.unit = unit
        self.limits = (float(positions[0]), float(positions[-1]))
        self.positions = positions
        self._between = (positions[1:] + positions[:-1]) / 2
        self._snaps = snaps
        self.ids = np.zeros(cells, np.int64)
        """(B,) number of the nearest of the recorded positions."""
        self._at = np.full(cells, self.limits[0])

    @property
    def position(self) -> FloatArray:
        return self._at.copy()

    def move_to(self, target: FloatArray, cells: IntArray) -> FloatArray:
        wanted = np.asarray(target, np.float64)
        if not np.isfinite(wanted).all():
            raise InputError(f"move_to: expected finite positions, got {wanted}")
        executed: FloatArray = np.clip(wanted, *self.limits)
        ids = np.searchsorted(self._between, executed)
        if self._snaps:
            executed = self.positions[ids]
        self.ids[cells] = ids
        self._at[cells] = executed
        return executed


class StackCamera:
    """Shows the stack where the axis stands, cropped to the region of interest."""

    exposure_ms = 0.0
    timeout_ms = 0.0

    def __init__(self, stack: FocalStack, roi: ROI | None, axis: StackAxis) -> None:
        self._stack, self._roi, self._axis = stack, roi, axis
        self.display_range = stack.display_range

    def grab(self, cells: IntArray) -> Frames:
        return self._cropped(self._stack.frames_at(self._axis.position[cells]))

    def _cropped(self, frames: Frames) -> Frames:
        return frames if self._roi is None else self._roi.crop(frames)


class FiniteStackCamera(StackCamera):
    """The same on a snapping axis: every picture is one of the stack's (``FiniteCamera``)."""

    def __init__(self, stack: FocalStack, roi: ROI | None, axis: StackAxis) -> None:
        super().__init__(stack, roi, axis)
        self.num_frames = stack.num_positions
        self.memo = stack.memo(roi)

    def frame_ids(self, cells: IntArray) -> IntArray:
        return self._axis.ids[cells]

    def frames(self, ids: IntArray) -> Frames:
        return self._cropped(self._stack.planes(ids))


def examples(cells: int) -> dict[str, FocalStackInstrument]:
    """Small instruments of every kind this file makes, for the contract tests."""
    stripes = np.tile(np.arange(40) // 4 % 2, (40, 1))
    planes = [100 + stripes * (60 - 10 * abs(plane - 3)) for plane in range(8)]
    stack = FocalStack(np.array(planes, np.uint8), 0.5 * np.arange(8), name="stripes")
    return {
        "recorded positions": stack.instrument(cells=cells, continuous=False),
        "interpolated positions": stack.resample(15).instrument(cells=cells, continuous=False),
        "free positions": stack.instrument(cells=cells),
        "region of interest": stack.instrument(cells=cells, roi=(4, 4, 16, 24)),
    }
