"""A recorded focal stack: pictures of one view at many focus positions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.picture_files import read_pictures
from visuomotor.types import ROI, FloatArray, FocusCurve, Frames, IntArray, RoiChoice
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import (
    checked_roi,
    content_roi,
    percentile_range,
    smooth,
    to_gray,
)

if TYPE_CHECKING:
    from visuomotor.instruments.recorded.stack_instrument import FocalStackInstrument

MIN_PLANES = 3
ZONE_FRACTION = 0.9
FINE_STEPS_IN_ZONE = 5
"""The zone above 0.9 of the maximum spans this many fine steps; yu2018's spans 3 to 8."""


class FocalStack:
    """Pictures (P, H, W) or (P, H, W, 3), uint8 or uint16, at ascending positions (P,).

    ``display_range`` maps grey levels to 8 bit, fixed for the stack: as given, else by percentiles
    of all recorded planes. ``resample`` gives a stack at other positions, blended linearly between
    the planes on both sides and labelled by ``interpolated_from``.
    """

    def __init__(
        self,
        frames: Frames,
        positions: ArrayLike,
        unit: str = "um",
        name: str = "stack",
        display_range: tuple[float, float] | None = None,
    ) -> None:
        self.frames = _checked_frames(np.asarray(frames), name)
        """The recorded planes, also of a resampled stack."""
        self.positions = _checked_positions(positions, len(self.frames), name)
        self.unit = unit
        self.name = name
        self.interpolated_from: int | None = None
        """Number of recorded planes, if the positions are not those of the planes."""
        self._recorded_at = self.positions
        self._told_range = display_range
        self.display_range = display_range or percentile_range(self.frames)
        self._memos: dict[Hashable, dict[Any, Any]] = {}

    @classmethod
    def load(
        cls,
        path: str | Path,
        spacing: float | None = None,
        unit: str | None = None,
        channel: int | None = None,
    ) -> FocalStack:
        """Read a stack: OME-TIFF, ImageJ or multi-page TIFF, or a folder of pictures.

        spacing, unit: between neighbouring planes; by default from the file's metadata, which may
        give each plane its own position, or planes are counted (unit "plane"). In a folder the
        number in each name is its position, so that a missing picture leaves a gap. channel: of a
        TIFF with several. InputError if it is no stack.
        """
        source = Path(path)
        pictures = read_pictures(source, channel)
        if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
            raise InputError(f"{source}: spacing: expected a positive distance, got {spacing}")
        step = spacing or pictures.spacing or 1.0
        told = pictures.positions if spacing is None else None
        known = unit or ("um" if spacing is not None else pictures.unit)
        name = (
            source.name.removesuffix(".tif").removesuffix(".ome") if source.suffix else source.name
        )
        at = pictures.numbers * step if told is None else told
        return cls(pictures.frames, at, known, name, pictures.display_range)

    @property
    def num_positions(self) -> int:
        return len(self.positions)

    @property
    def spacing(self) -> float:
        """Mean distance between neighbouring positions."""
        return float(self.positions[-1] - self.positions[0]) / (self.num_positions - 1)

    @property
    def is_even(self) -> bool:
        """Whether all neighbours are equally far apart."""
        return bool(np.allclose(np.diff(self.positions), self.spacing, rtol=1e-6, atol=0))

    @cached_property
    def origin_digest(self) -> str:
        """sha256 over the recorded planes and where they were taken; a resampled stack keeps it."""
        digest = hashlib.sha256(f"{self.frames.dtype} {self.frames.shape}".encode())
        digest.update(self.frames.tobytes())
        digest.update(self._recorded_at.tobytes())
        return digest.hexdigest()

    @cached_property
    def _gray(self) -> Frames:
        """(P, H, W): what the instrument's camera sees, in the recorded type."""
        if self.frames.ndim == 3:
            return self.frames
        planes = (np.rint(to_gray(plane[None])[0]) for plane in self.frames)
        gray: Frames = np.stack([plane.astype(self.frames.dtype) for plane in planes])
        return gray

    def resample(self, count: int) -> FocalStack:
        """The same view at ``count`` equally spaced positions; pictures are made when asked for."""
        if count < MIN_PLANES:
            raise InputError(f"resample: expected at least {MIN_PLANES} positions, got {count}")
        stack = FocalStack.__new__(FocalStack)
        stack.__dict__.update(self.__dict__)
        stack.positions = np.linspace(self.positions[0], self.positions[-1], count)
        stack.interpolated_from = len(self._recorded_at)
        stack._memos = {}
        return stack

    def between(self, first: float, last: float) -> FocalStack:
        """The recorded planes from one position to another, both included, as a stack."""
        slack = 1e-6 * self.spacing
        inside = (self._recorded_at >= first - slack) & (self._recorded_at <= last + slack)
        at = self._recorded_at[inside]
        return FocalStack(self.frames[inside], at, self.unit, self.name, self._told_range)

    def frames_at(self, positions: ArrayLike) -> Frames:
        """Grey pictures (M, H, W) at any positions (M,) in the range, blended linearly."""
        wanted = np.atleast_1d(np.asarray(positions, np.float64))
        low, high = self.positions[[0, -1]]
        if not np.allclose(wanted, wanted.clip(low, high), rtol=0, atol=1e-9 * (high - low)):
            raise InputError(f"{self.name}: expected positions {low:g} to {high:g}, got {wanted}")
        frames = np.empty((len(wanted), *self._gray.shape[1:]), self._gray.dtype)
        for frame, position in zip(frames, wanted, strict=True):
            frame[:] = self._blend(float(position))
        return frames

    def planes(self, ids: IntArray) -> Frames:
        """Grey pictures (M, H, W) at the stack's own positions number ``ids`` (M,)."""
        return self.frames_at(self.positions[ids])

    def curve(self, measure: Callable[[Frames], FloatArray], roi: RoiChoice = None) -> FocusCurve:
        """Sharpness at each of the stack's own positions, one picture at a time."""
        region = self.region(roi)
        sharpness = np.empty(self.num_positions)
        for number, position in enumerate(self.positions):
            picture = self._blend(float(position))[None]
            sharpness[number] = measure(picture if region is None else region.crop(picture))[0]
        return FocusCurve(self.positions, sharpness)

    def fine_step(self, roi: RoiChoice = None) -> float:
        """The smallest useful move, read off the stack's own focus curve.

        A fifth of the width of the zone above 0.9 of the maximum around the peak (Tenengrad after
        a Gaussian of 1 px); a 130th of the range if the curve is flat.
        """
        memo = self.memo(self.region(roi))
        if "fine_step" not in memo:
            curve = self.curve(lambda frames: tenengrad(smooth(frames, 1.0)), roi)
            memo["fine_step"] = zone_width(curve) / FINE_STEPS_IN_ZONE
        return float(memo["fine_step"])

    def region(self, roi: RoiChoice) -> ROI | None:
        """The region as pixels: None is the whole picture, "auto" the one with the most detail."""
        if roi is None:
            return None
        if isinstance(roi, str):
            if roi != "auto":
                raise InputError(f"roi: expected 'auto' or four numbers, got {roi!r}")
            memo = self.memo("auto")
            if "roi" not in memo:
                memo["roi"] = content_roi(self._gray)
            region: ROI = memo["roi"]
            return region
        return checked_roi(roi, *self.frames.shape[1:3])

    def memo(self, key: Hashable) -> dict[Any, Any]:
        """What was already read off this stack within a region."""
        return self._memos.setdefault(key, {})

    def instrument(
        self,
        start: ArrayLike | None = None,
        fine_step: float | None = None,
        roi: RoiChoice = None,
        cells: int = 1,
        continuous: bool = True,
    ) -> FocalStackInstrument:
        """An instrument of ``cells`` copies of this view.

        start: where each episode begins, for all cells or (B,); None: anywhere. continuous: any
        position, by interpolation, as on a rig; False: only the stack's own positions, as in
        yu2018, where every picture is known. fine_step: by default from the focus curve, or the
        spacing of its own positions.
        """
        from visuomotor.instruments.recorded.stack_instrument import FocalStackInstrument

        return FocalStackInstrument(self, start, fine_step, roi, cells, continuous)

    def _blend(self, position: float) -> Any:
        """(H, W) between the two recorded planes around ``position``."""
        at, gray = self._recorded_at, self._gray
        below = int(np.clip(np.searchsorted(at, position, side="right") - 1, 0, len(at) - 2))
        share = (position - at[below]) / (at[below + 1] - at[below])
        # Within rounding of a plane the picture is the plane, without a blend's rounding.
        if abs(share) < 1e-9:
            return gray[below]
        if abs(share - 1) < 1e-9:
            return gray[below + 1]
        mixed = (1 - share) * gray[below].astype(np.float32) + share * gray[below + 1]
        return np.rint(mixed).astype(gray.dtype)


def _checked_frames(frames: Frames, name: str) -> Frames:
    if frames.dtype not in (np.uint8, np.uint16):
        nan = " with NaN in it" if frames.dtype.kind == "f" and np.isnan(frames).any() else ""
        raise InputError(f"{name}: expected uint8 or uint16 pictures, got {frames.dtype}{nan}")
    if not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)):
        raise InputError(f"{name}: expected shape (P, H, W) or (P, H, W, 3), got {frames.shape}")
    if len(frames) < MIN_PLANES:
        raise InputError(f"{name}: expected at least {MIN_PLANES} planes, got {len(frames)}")
    if min(frames.shape[1:3]) < 8:
        raise InputError(f"{name}: expected at least 8 x 8 pixels, got {frames.shape[1:3]}")
    return frames


def _checked_positions(positions: ArrayLike, count: int, name: str) -> FloatArray:
    values = np.asarray(positions, np.float64)
    if values.shape != (count,):
        raise InputError(f"{name}: positions: expected {count} of them, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{name}: positions: expected finite numbers, got {values.tolist()}")
    steps = np.diff(values)
    if (steps <= 0).any():
        at = int(np.flatnonzero(steps <= 0)[0])
        what = "twice" if steps[at] == 0 else f"before {values[at + 1]:g}"
        raise InputError(f"{name}: positions: expected ascending ones, got {values[at]:g} {what}")
    return values


def zone_width(curve: FocusCurve) -> float:
    """Width of the stretch around the peak above 0.9 of the maximum, ends interpolated; for a flat
    curve, what makes a fine step a 130th of the range."""
    positions, sharpness = curve.positions, curve.sharpness
    level = ZONE_FRACTION * curve.maximum
    if not sharpness.min() < level:
        return float(positions[-1] - positions[0]) / 130 * FINE_STEPS_IN_ZONE
    best = int(np.argmax(sharpness))
    below = np.flatnonzero(sharpness[:best] < level)
    above = best + 1 + np.flatnonzero(sharpness[best + 1 :] < level)
    ends = [float(positions[0]), float(positions[-1])]
    if len(below):
        i = int(below[-1])
        ends[0] = float(np.interp(level, sharpness[i : i + 2], positions[i : i + 2]))
    if len(above):
        i = int(above[0])
        ends[1] = float(np.interp(level, sharpness[[i, i - 1]], positions[[i, i - 1]]))
    return ends[1] - ends[0]
