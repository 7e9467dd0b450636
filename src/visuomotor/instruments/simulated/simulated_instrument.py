"""A simulator as an instrument: every grab renders a fresh picture.

``RendersViews`` is all that a simulator needs to be one: the microscope and the camera lens are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch

from visuomotor.errors import InputError
from visuomotor.instruments.limits import grown
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import FloatArray, FocusCurve, Frames, IntArray

if TYPE_CHECKING:
    from visuomotor.instruments.simulated.microscope import DriveConfig
    from visuomotor.instruments.simulated.sensor import SensorConfig


class View(Protocol):
    """What the instrument asks of the config of one view."""

    @property
    def drive(self) -> DriveConfig: ...

    @property
    def sensor(self) -> SensorConfig: ...

    @property
    def fine_step(self) -> float:
        """In the drive's unit."""

    @property
    def positions(self) -> FloatArray:
        """(P,) the drive's positions, a fine step apart."""

    @property
    def noise_seed(self) -> int: ...


class RendersViews(Protocol):
    """A simulator: renders V views at any positions."""

    @property
    def views(self) -> Sequence[View]: ...

    def pictures(
        self, view: IntArray, position: FloatArray, generator: torch.Generator | None
    ) -> Frames:
        """One picture for each view (M,) at each position (M,) of its drive: (M, H, W), uint8 or
        uint16. Without a generator: free of noise."""

    def generator(self, seed: int) -> torch.Generator:
        """Of the noise."""


def recorded(simulator: RendersViews, view: int, name: str) -> FocalStack:
    """A recording of one view at its drive's positions, a fine step apart, with noise."""
    config = simulator.views[view]
    at = config.positions
    generator = simulator.generator(config.noise_seed)
    frames = simulator.pictures(np.full(len(at), view), at, generator)
    return FocalStack(frames, at, config.drive.unit, name)


class SimulatedInstrument:
    """B cells on the views of one simulator, cell c on view c modulo V: see
    ``protocols.FocusInstrument``, ``HasFocusTruth``, ``Resumable``. Cells share the drive's range
    and fine step."""

    roi = None

    def __init__(self, simulator: RendersViews, cells: int, seed: int) -> None:
        if cells < 1:
            raise InputError(f"cells: expected at least 1, got {cells}")
        drives = {
            (v.drive.first, v.drive.last, v.drive.hard_limits, v.fine_step) for v in simulator.views
        }
        if len(drives) > 1:
            raise InputError(f"drive: expected one range and fine step for all views, got {drives}")
        self.simulator = simulator
        self.num_cells = cells
        self.fine_step = simulator.views[0].fine_step
        self._views = np.arange(cells) % len(simulator.views)
        self.focus = SimulatedAxis(simulator.views[0].drive, cells)
        self.camera = SimulatedCamera(simulator, self.focus, self._views, seed)
        self._curves: dict[Hashable, list[FocusCurve]] = {}

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        low, high = self.focus.limits
        if start is None:
            start = generator.uniform(low, high, len(cells))
        elif not ((start >= low) & (start <= high)).all():  # NaN too
            raise InputError(
                f"start: expected positions from {low:g} to {high:g} {self.focus.unit}, got {start}"
            )
        self.focus.move_to(start, cells)

    def grow(self, direction: int) -> bool:
        """``protocols.CanGrow``: as far as the drive can reach."""
        hard = self.simulator.views[0].drive.hard_limits
        wider = grown(self.focus.limits, hard, direction, self.fine_step)
        if wider is not None:
            self.focus.limits = wider
            self._curves.clear()
        return wider is not None

    def focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        if key not in self._curves:
            at = self._grid()
            views = range(len(self.simulator.views))
            self._curves[key] = [FocusCurve(at, self._sharpness(v, at, measure)) for v in views]
        return self._curves[key]

    def views(self) -> IntArray:
        return self._views.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """A simulator has nothing to put back."""

    def state_dict(self) -> dict[str, object]:
        noise = self.camera.noise.get_state().numpy().copy()
        return {"position": self.focus.position, "noise": noise}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.focus.move_to(np.asarray(state["position"], float), np.arange(self.num_cells))
        self.camera.noise.set_state(torch.from_numpy(np.asarray(state["noise"], np.uint8).copy()))

    def _grid(self) -> FloatArray:
        """The drive's positions; its last one too where it is no whole number of steps away."""
        low, high = self.focus.limits
        at = self.simulator.views[0].drive.between(low, high, self.fine_step)
        return np.append(at[at < high - 1e-9 * (high - low)], high)

    def _sharpness(
        self, view: int, at: FloatArray, measure: Callable[[Frames], FloatArray]
    ) -> FloatArray:
        return measure(self.simulator.pictures(np.full(len(at), view), at, None))


class SimulatedAxis:
    """A drive that goes exactly where it is sent, within its range."""

    def __init__(self, drive: DriveConfig, cells: int) -> None:
        self.unit = drive.unit
        self.limits = (drive.first, drive.last)
        self._at = np.full(cells, drive.first)

    @property
    def position(self) -> FloatArray:
        return self._at.copy()

    def move_to(self, target: FloatArray, cells: IntArray) -> FloatArray:
        wanted = np.asarray(target, np.float64)
        if not np.isfinite(wanted).all():
            raise InputError(f"move_to: expected finite positions, got {wanted}")
        executed: FloatArray = np.clip(wanted, *self.limits)
        self._at[cells] = executed
        return executed


class SimulatedCamera:
    """Renders what each cell sees now, with fresh noise."""

    exposure_ms = 0.0
    timeout_ms = 0.0

    def __init__(
        self, simulator: RendersViews, axis: SimulatedAxis, views: IntArray, seed: int
    ) -> None:
        self._simulator, self._axis, self._views = simulator, axis, views
        self.noise = simulator.generator(seed)
        sensor = simulator.views[0].sensor
        self.display_range = (0.0, float(sensor.white_dn))

    def grab(self, cells: IntArray) -> Frames:
        position = self._axis.position[cells]
        return self._simulator.pictures(self._views[cells], position, self.noise)
