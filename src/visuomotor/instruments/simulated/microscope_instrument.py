"""The simulated microscope as an instrument: every grab renders a fresh picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
import torch

from visuomotor.errors import InputError
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import OpticsConfig
from visuomotor.instruments.simulated.sensor import SensorConfig
from visuomotor.types import FloatArray, FocusCurve, Frames, IntArray


class MicroscopeInstrument:
    """B cells on the views of one microscope: see ``protocols.FocusInstrument``,
    ``HasFocusTruth``, ``Resumable``. Cells share the drive's range and fine step."""

    roi = None

    def __init__(self, microscope: Microscope, cells: int, seed: int) -> None:
        if cells < 1:
            raise InputError(f"cells: expected at least 1, got {cells}")
        drives = {(v.drive.first, v.drive.last, v.fine_step) for v in microscope.views}
        if len(drives) > 1:
            raise InputError(f"drive: expected one range and fine step for all views, got {drives}")
        self.microscope = microscope
        self.num_cells = cells
        self.fine_step = microscope.views[0].fine_step
        self._views = np.arange(cells) % len(microscope.views)
        self.focus = SimulatedAxis(microscope.views[0].drive, cells)
        self.camera = MicroscopeCamera(microscope, self.focus, self._views, seed)
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

    def focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        if key not in self._curves:
            at = self._grid()
            views = range(len(self.microscope.views))
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
        at = self.microscope.views[0].positions
        return np.append(at[at < high - 1e-9 * (high - low)], high)

    def _sharpness(
        self, view: int, at: FloatArray, measure: Callable[[Frames], FloatArray]
    ) -> FloatArray:
        return measure(self.microscope.pictures(np.full(len(at), view), at, None))


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


class MicroscopeCamera:
    """Renders what each cell sees now, with fresh noise."""

    exposure_ms = 0.0
    timeout_ms = 0.0

    def __init__(
        self, microscope: Microscope, axis: SimulatedAxis, views: IntArray, seed: int
    ) -> None:
        self._microscope, self._axis, self._views = microscope, axis, views
        self.noise = microscope.generator(seed)
        sensor = microscope.views[0].sensor
        self.display_range = (0.0, float(sensor.white_dn))

    def grab(self, cells: IntArray) -> Frames:
        position = self._axis.position[cells]
        return self._microscope.pictures(self._views[cells], position, self.noise)


def examples(cells: int) -> dict[str, MicroscopeInstrument]:
    """Small instruments of every kind this file makes, for the contract tests; free of noise, so
    that what is promised can be compared exactly."""
    exact = SensorConfig(photon_noise=False, read_noise_e=0.0)
    plain = MicroscopeConfig(sensor=exact, size_px=48, drive=DriveConfig(first=-9.0, last=12.0))
    thick = SpecimenConfig("fibres", layers=3, thickness_um=4.0, tilt_um=2.0)
    glowing = OpticsConfig(contrast="fluorescence")
    ringed = OpticsConfig(contrast="phase")
    deep = replace(exact, bits=12, gain_dn_per_e=0.3)
    made = {
        "brightfield": plain,
        "fluorescence, thick and tilted, 12 bits": replace(
            plain, specimen=thick, optics=glowing, sensor=deep
        ),
        "phase": replace(plain, optics=ringed),
    }
    instruments = {name: Microscope(view).instrument(cells) for name, view in made.items()}
    two = [plain, replace(plain, specimen=SpecimenConfig("beads"))]
    return {**instruments, "two views": Microscope(two).instrument(cells)}
