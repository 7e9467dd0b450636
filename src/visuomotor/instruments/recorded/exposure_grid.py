"""A recorded grid of focus positions and exposure times: pictures of one view at every pair.

The same kind of instrument as a live camera with both axes (``protocols.ExposureInstrument``), and
every picture is known (``FiniteCamera``): a move snaps to what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.grid_files import read_grid
from visuomotor.instruments.recorded.stack_instrument import StackAxis
from visuomotor.types import (
    ROI,
    BoolArray,
    FloatArray,
    FocusCurve,
    Frame,
    Frames,
    IntArray,
    RoiChoice,
)
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import checked_roi, smooth, to_gray

MIN_POSITIONS = 2
"""Of each axis."""
SATURATED_SHARE = 0.01
"""A picture with more white pixels than this is saturated."""
SMOOTH_PX = 1.0
"""Before sharpness is measured: most of the noise of a short exposure."""


def gradient_energy(frames: Frames) -> FloatArray:
    """(M, H, W[, 3]) -> (M,) Tenengrad in grey levels: not divided by brightness, so that of the
    same view the better exposed picture is the sharper one, until it saturates."""
    means = np.array([to_gray(frame[None]).mean() for frame in frames], np.float64)
    energy: FloatArray = tenengrad(smooth(frames, SMOOTH_PX)) * means**2
    return energy


class ExposureGrid:
    """Pictures (F, E, H, W) or (F, E, H, W, 3), uint8 or uint16, at ascending focus positions (F,)
    and exposures (E,)."""

    def __init__(
        self,
        frames: Frames,
        lens: ArrayLike,
        exposure_us: ArrayLike,
        unit: str = "V",
        exposure_unit: str = "us",
        name: str = "grid",
        white: float | None = None,
    ) -> None:
        """unit, exposure_unit: "position" and "exposure" where nobody knows. white: level at which
        the camera saturates; None: the highest that the type holds."""
        self.frames = _checked_frames(np.asarray(frames), name)
        self.lens = _checked_axis(lens, self.frames.shape[0], f"{name}: lens")
        self.exposure_us = _checked_axis(exposure_us, self.frames.shape[1], f"{name}: exposure_us")
        """(E,) in ``exposure_unit``."""
        self.unit = unit
        self.exposure_unit = exposure_unit
        self.name = name
        highest = float(np.iinfo(self.frames.dtype).max)
        if white is not None and not 0 < white <= highest:
            raise InputError(f"{name}: white: expected a level up to {highest:g}, got {white:g}")
        self.white = highest if white is None else float(white)
        self._memos: dict[Hashable, dict[Any, Any]] = {}

    @classmethod
    def load(cls, folder: str | Path, exposure_first: bool = False) -> ExposureGrid:
        """Read a folder of pictures: TIFF, PNG, JPEG or BMP, one for each pair of positions.

        A table ``grid.csv`` says where each was taken: the columns file, focus and exposure, the
        last two with a unit, as in ``file,focus_V,exposure_us``. Without one, names hold two
        numbers, as in ``3_40.bmp``: focus and exposure, or the other way round (exposure_first).
        InputError for a folder that is no whole grid.
        """
        return cls(*read_grid(Path(folder), exposure_first))

    def mirrored(self, focus: bool = False, exposure: bool = False) -> ExposureGrid:
        """The same pictures with these axes the other way round, between the same limits."""
        frames, lens, times = self.frames, self.lens, self.exposure_us
        if focus:
            frames, lens = frames[::-1], (lens[0] + lens[-1] - lens)[::-1]
        if exposure:
            frames, times = frames[:, ::-1], (times[0] + times[-1] - times)[::-1]
        return self._with(frames, lens, times, None, None)

    def relabelled(
        self,
        lens: ArrayLike | None = None,
        exposure_us: ArrayLike | None = None,
        unit: str | None = None,
        exposure_unit: str | None = None,
    ) -> ExposureGrid:
        """The same pictures in the same order, at other positions (F,) and exposures (E,)."""
        lens = self.lens if lens is None else lens
        times = self.exposure_us if exposure_us is None else exposure_us
        return self._with(self.frames, lens, times, unit, exposure_unit)

    def instrument(
        self, cells: int = 1, start: tuple[float, float] | None = None, roi: RoiChoice = None
    ) -> ExposureGridInstrument:
        """An instrument of ``cells`` copies of this view. start: focus and exposure where each
        episode begins; None: at any picture."""
        return ExposureGridInstrument(self, cells, start, self.region(roi))

    # ---- the truth

    def sharpness_of_cells(
        self, measure: Callable[[Frames], FloatArray] = gradient_energy, roi: RoiChoice = None
    ) -> FloatArray:
        """(F, E) sharpness of each picture."""
        region = self.region(roi)
        rows = [measure(row if region is None else region.crop(row)) for row in self.frames]
        return np.stack(rows)

    def saturated_of_cells(
        self, share: float = SATURATED_SHARE, roi: RoiChoice = None
    ) -> BoolArray:
        """(F, E) whether more than this share of a picture's pixels are white, in any colour."""
        region = self.region(roi)
        found = np.empty(self.frames.shape[:2], bool)
        for number, row in enumerate(self.frames):
            seen = row if region is None else region.crop(row)
            white = seen >= self.white
            white = white.any(-1) if white.ndim == 4 else white
            found[number] = white.mean((1, 2)) > share
        return found

    def best_cells(
        self,
        within: float = 0.05,
        measure: Callable[[Frames], FloatArray] = gradient_energy,
        share: float = SATURATED_SHARE,
    ) -> BoolArray:
        """(F, E) which pictures are the sharpest of those that are not saturated, or less sharp by
        no more than this share. All False where every picture is saturated."""
        sharpness = np.where(
            self.saturated_of_cells(share), -np.inf, self.sharpness_of_cells(measure)
        )
        best: BoolArray = np.isfinite(sharpness) & (sharpness >= (1 - within) * sharpness.max())
        return best

    def region(self, roi: RoiChoice) -> ROI | None:
        """The region of interest as pixels; None is the whole picture."""
        if isinstance(roi, str):
            raise InputError(f"roi: expected four numbers, got {roi!r}")
        return None if roi is None else checked_roi(roi, *self.frames.shape[2:4])

    def _with(
        self,
        frames: Frames,
        lens: ArrayLike,
        times: ArrayLike,
        unit: str | None,
        time_unit: str | None,
    ) -> ExposureGrid:
        """Like this one, but for what is given."""
        unit = self.unit if unit is None else unit
        time_unit = self.exposure_unit if time_unit is None else time_unit
        return ExposureGrid(frames, lens, times, unit, time_unit, self.name, self.white)

    def memo(self, key: Hashable) -> dict[Any, Any]:
        """What was already read off these pictures within a region."""
        return self._memos.setdefault(key, {})


class ExposureGridInstrument:
    """B cells on one grid: see ``protocols.ExposureInstrument``, ``HasFocusTruth``, ``Resumable``.
    A view is an exposure: each has a focus curve of its own."""

    def __init__(
        self, grid: ExposureGrid, cells: int, start: tuple[float, float] | None, roi: ROI | None
    ) -> None:
        if cells < 1:
            raise InputError(f"cells: expected at least 1, got {cells}")
        self.grid = grid
        self.num_cells = cells
        self.roi = roi
        self.focus = StackAxis(grid.lens, grid.unit, cells, snaps=True)
        self.exposure = StackAxis(grid.exposure_us, grid.exposure_unit, cells, snaps=True)
        self.fine_step = float(grid.lens[-1] - grid.lens[0]) / (len(grid.lens) - 1)
        self.camera = GridCamera(grid, roi, self.focus, self.exposure)
        if start is not None:
            _inside("start", np.array([start[0]]), self.focus)
            _inside("start: exposure", np.array([start[1]]), self.exposure)
        self._start = start

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        count, grid = len(cells), self.grid
        if start is not None:
            target = np.broadcast_to(np.asarray(start, np.float64), count)
            _inside("start", target, self.focus)
        elif self._start is not None:
            target = np.full(count, self._start[0])
            self.exposure.move_to(np.full(count, self._start[1]), cells)
        else:
            target = generator.choice(grid.lens, count)
            self.exposure.move_to(generator.choice(grid.exposure_us, count), cells)
        self.focus.move_to(target, cells)

    def focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        memo = self.grid.memo(self.roi)
        if ("curves", key) not in memo:
            sharpness = self.grid.sharpness_of_cells(measure, self.roi)
            memo["curves", key] = [FocusCurve(self.grid.lens, column) for column in sharpness.T]
        curves: list[FocusCurve] = memo["curves", key]
        return curves

    def views(self) -> IntArray:
        return self.exposure.ids.copy()

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
        return {"position": self.focus.position, "exposure": self.exposure.position}

    def load_state_dict(self, state: dict[str, object]) -> None:
        every = np.arange(self.num_cells)
        self.focus.move_to(np.asarray(state["position"], float), every)
        self.exposure.move_to(np.asarray(state["exposure"], float), every)


class GridCamera:
    """Shows what was recorded where both axes stand: ``protocols.FiniteCamera``. Picture number
    e + E f is at focus f and exposure e."""

    timeout_ms = 0.0

    def __init__(
        self, grid: ExposureGrid, roi: ROI | None, focus: StackAxis, exposure: StackAxis
    ) -> None:
        self._flat = grid.frames.reshape(-1, *grid.frames.shape[2:])
        self._roi, self._focus, self._exposure = roi, focus, exposure
        self._exposures = len(grid.exposure_us)
        self.num_frames = len(self._flat)
        self.memo = grid.memo(roi)
        self.display_range = (0.0, grid.white)

    @property
    def exposure_ms(self) -> float:
        """The longest of all cells; 0 where the unit is not known."""
        longest = float(self._exposure.position.max())
        return longest * 1e-3 if self._exposure.unit == "us" else 0.0

    def grab(self, cells: IntArray) -> Frames:
        return self.frames(self.frame_ids(cells))

    def frame_ids(self, cells: IntArray) -> IntArray:
        ids: IntArray = self._focus.ids[cells] * self._exposures + self._exposure.ids[cells]
        return ids

    def frames(self, ids: IntArray) -> Frames:
        frames: Frames = self._flat[ids]
        return frames if self._roi is None else self._roi.crop(frames)


def _checked_frames(frames: Frames, name: str) -> Frames:
    if frames.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: expected uint8 or uint16 pictures, got {frames.dtype}")
    if not (frames.ndim == 4 or (frames.ndim == 5 and frames.shape[4] == 3)):
        raise InputError(
            f"{name}: expected shape (F, E, H, W) or (F, E, H, W, 3), got {frames.shape}"
        )
    if min(frames.shape[:2]) < MIN_POSITIONS or min(frames.shape[2:4]) < 8:
        raise InputError(
            f"{name}: expected at least {MIN_POSITIONS} x {MIN_POSITIONS} pictures of 8 x 8 "
            f"pixels, got {frames.shape}"
        )
    return frames


def _checked_axis(values: ArrayLike, count: int, name: str) -> FloatArray:
    at = np.asarray(values, np.float64)
    if at.shape != (count,):
        raise InputError(f"{name}: expected {count} numbers, got shape {at.shape}")
    if not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
        raise InputError(f"{name}: expected ascending finite numbers, got {at.tolist()}")
    return at


def _inside(name: str, target: FloatArray, axis: StackAxis) -> None:
    low, high = axis.limits
    if not ((target >= low) & (target <= high)).all():  # NaN too
        raise InputError(
            f"{name}: expected positions from {low:g} to {high:g} {axis.unit}, got {target}"
        )


def examples(cells: int) -> dict[str, ExposureGridInstrument]:
    """Small instruments of every kind this file makes, for the contract tests."""
    stripes = np.tile(np.arange(40) // 4 % 2, (40, 1))
    rows: list[list[Frame]] = [
        [(time * (5 + stripes * (4 - abs(plane - 2)))).clip(0, 255) for time in (2, 6, 18)]
        for plane in range(5)
    ]
    grid = ExposureGrid(np.array(rows).astype(np.uint8), 30 + np.arange(5), [2e3, 6e3, 18e3])
    return {
        "recorded grid": grid.instrument(cells),
        "mirrored": grid.mirrored(focus=True, exposure=True).instrument(cells),
        "region of interest": grid.instrument(cells, roi=(4, 4, 16, 24)),
    }
