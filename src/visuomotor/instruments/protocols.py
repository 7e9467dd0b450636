"""What an instrument is made of.

An instrument holds B cells: independent copies, or rigs side by side. Every call names the cells it
means (``cells``: (M,) integer indices), so that a cell that is done is neither moved nor exposed.
Positions are in the axis' own unit, pictures are raw grey levels; nothing here knows a task.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from visuomotor.types import ROI, FloatArray, FocusCurve, Frames, IntArray


@runtime_checkable
class Camera(Protocol):
    """Takes pictures. A picture is exposed after the call, never a stale one from a buffer."""

    exposure_ms: float
    timeout_ms: float
    """A picture that takes longer than this is an error (0: the camera never blocks)."""
    display_range: tuple[float, float]
    """Grey levels shown as 0 and 255: fixed for the camera, so that brightness stays comparable."""

    def grab(self, cells: IntArray) -> Frames:
        """One new picture of each cell named: (M, H, W) or (M, H, W, 3), uint8 or uint16."""


@runtime_checkable
class FiniteCamera(Camera, Protocol):
    """A camera whose every possible picture is known beforehand, as in a recording without noise.

    What is read off a picture can then be read once and looked up, and pictures stored by number.
    """

    num_frames: int
    memo: dict[Any, Any]
    """For what was read off these pictures, so that it is read once: shared by every camera of the
    same recording and region of interest."""

    def frame_ids(self, cells: IntArray) -> IntArray:
        """(M,) the number of the picture that ``grab`` would return now for each cell."""

    def frames(self, ids: IntArray) -> Frames:
        """The pictures of these numbers, (M, H, W) or (M, H, W, 3)."""


@runtime_checkable
class HalfPupilCamera(Camera, Protocol):
    """A camera whose pixels see the two halves of the pupil apart, as for phase-detection focus."""

    def halves(self, cells: IntArray) -> Frames:
        """(M, 2, H, W): one new picture through the left half and one through the right, of the
        same moment. Out of focus they are shifted against each other, one way with the lens too
        strong, the other way with it too weak."""


@runtime_checkable
class Axis(Protocol):
    """One thing that moves."""

    unit: str
    limits: tuple[float, float]

    @property
    def position(self) -> FloatArray:
        """(B,) where each cell is."""

    def move_to(self, target: FloatArray, cells: IntArray) -> FloatArray:
        """Move the cells named to target (M,) and return where they came to (M,): the executed
        motion, clipped to the limits. A target that is not finite is refused with InputError."""


@runtime_checkable
class FocusInstrument(Protocol):
    """A camera and a focus axis: a microscope, a camera with a focusing lens, a recorded stack."""

    num_cells: int
    camera: Camera
    focus: Axis
    fine_step: float
    """The smallest useful focus move, in the axis' unit; actions count in it."""
    roi: ROI | None
    """What pictures are judged on; None is the whole picture."""

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        """Bring the cells to start (M,), or to random positions that the instrument allows."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the instrument in its safe state, with what was changed restored."""


@runtime_checkable
class ExposureInstrument(FocusInstrument, Protocol):
    """A focus instrument whose exposure time is an axis too, for each cell by itself. A reset to a
    given start leaves exposure as it is."""

    exposure: Axis
    """Unit "us", or "exposure" where a recording does not say."""


@runtime_checkable
class HasCameraTruth(Protocol):
    """A camera that knows its light and its scene: a simulator. All are (B,), of now."""

    def defocus_px(self) -> FloatArray:
        """Signed diameter of the object's circle of confusion; above 0 the lens is too strong."""

    def best_lens(self) -> FloatArray:
        """Where on the focus axis the object is in focus."""

    def best_exposure_us(self, focused: bool = True) -> FloatArray:
        """The exposure at which the fullest level of the noise-free histogram is 100, or as near to
        that as any: with the object in focus, or with the lens as it stands."""

    def fullest_level(self, exposure_us: FloatArray, focused: bool = True) -> FloatArray:
        """That level, noise-free, at these exposures (B,)."""

    def illuminance_lx(self) -> FloatArray:
        """Light on the scene."""

    def distance_cm(self) -> FloatArray:
        """From the lens to the object."""


@runtime_checkable
class ChoosesReading(Protocol):
    """An instrument that says how its pictures are read when a person uses it."""

    reading: Mapping[str, Any]
    """Keys of the autofocus task's config: measure, smooth_px, brightness_counts; display_range
    where somebody has chosen one."""


@runtime_checkable
class CanFail(Protocol):
    """An instrument of several rigs, of which one may fail while the others go on."""

    failures: list[Exception | None]
    """(B,) what went wrong in each cell since it was reset. A cell that failed is neither moved
    nor exposed."""


@runtime_checkable
class CanGrow(Protocol):
    """An instrument that can be searched beyond its axis' limits of now."""

    def grow(self, direction: int) -> bool:
        """Widen the limits by their own width, up (+1) or down (-1), as far as the hard limits let
        it. False, and nothing changes, where that is less than a fine step."""


@runtime_checkable
class HasFocusTruth(Protocol):
    """An instrument that knows where focus is: a recording or a simulator. Trainers and evaluators
    ask; a policy at test time never does."""

    def focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        """The noise-free focus curve of each view, ``measure`` mapping pictures (M, H, W[, 3]),
        already cropped to the region of interest, to sharpness (M,). ``key`` names the measure:
        curves of the same key are the same, and need be made only once."""

    def views(self) -> IntArray:
        """(B,) which of these curves each cell is on."""


@runtime_checkable
class DeadReckons(Protocol):
    """An instrument whose drive only believes where it is, and whose camera may lie, as on a rig
    that slips; but it knows better, because it disturbs both itself. Success is read off the
    noise-free curve at the true position."""

    @property
    def true_position(self) -> FloatArray:
        """(B,) where each cell is; ``focus.position`` is where the drive believes to be."""


@runtime_checkable
class Resumable(Protocol):
    """Something whose state can be saved and put back exactly: what a resumed run needs."""

    def state_dict(self) -> dict[str, object]:
        """Arrays, numbers and strings only."""

    def load_state_dict(self, state: dict[str, object]) -> None: ...
