"""A microscope without hardware inside a real Micro-Manager core: stage and camera are Python
devices, everything else is Micro-Manager's demo configuration."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pymmcore_plus.experimental.unicore import (
    ShutterDevice,
    SimpleCameraDevice,
    StageDevice,
    UniMMCore,
)

from visuomotor.files import write_atomically
from visuomotor.instruments.drivers.micromanager import adapters_folder, unload
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.rig_config import RigConfig, rig_from_plain
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import OpticsConfig

CAMERA, STAGE, SHUTTER = "Emulated camera", "Emulated stage", "Emulated shutter"
LIVE_S = 5e-3
"""Between pictures of live mode, which would take a whole core."""
REACH_UM = 30.0
"""How far to each side of focus pictures are made; farther out they no longer change."""
OPTICS = OpticsConfig(0.3, 0.55, 0.4)


@functools.lru_cache(maxsize=4)
def through_focus(size_px: int, slide_seed: int = 0) -> FocalStack:
    """What the camera sees from -30 to +30 um around focus; rendered once."""
    specimen = SpecimenConfig("stained_tissue", slide_seed=slide_seed)
    drive = DriveConfig("um", 1.0, -REACH_UM, REACH_UM, 0.0, 0.5)
    return Microscope(MicroscopeConfig(specimen, OPTICS, drive=drive, size_px=size_px)).stack()


class Stage(StageDevice):
    """A z drive that goes where it is sent."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.at = 0.0
        self._changed = changed

    def get_position_um(self) -> float:
        return self.at

    def set_position_um(self, val: float) -> None:
        self.at = float(val)
        self._changed()

    def home(self) -> None:
        self.at = 0.0

    def stop(self) -> None:
        """It stands already."""

    def set_origin(self) -> None:
        """Not needed here."""


class Shutter(ShutterDevice):
    """Open or closed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.open = False
        self._changed = changed

    def get_open(self) -> bool:
        return self.open

    def set_open(self, open: bool) -> None:
        self.open = open
        self._changed()


class Camera(SimpleCameraDevice):
    """Sees the specimen as sharp as the stage is near to focus."""

    def __init__(
        self,
        stage: Stage,
        focus: Callable[[], float],
        open_shutter: Callable[[bool], None],
        size_px: int,
        changed: Callable[[], None],
    ) -> None:
        """focus: where the stage would be in focus now. open_shutter: called before and after
        pictures. changed: called when a setting is."""
        super().__init__()
        self._open_shutter = open_shutter
        self._changed = changed
        self._stage, self._focus, self._size_px = stage, focus, size_px
        self._views = through_focus(size_px)
        self._noise = np.random.default_rng(0)
        self._exposure_ms = 10.0
        self.delay_s = 0.0
        self.exposing: Callable[[], None] = lambda: None
        """Called in the middle of each picture."""

    def get_exposure(self) -> float:
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        self._exposure_ms = float(exposure)
        self._changed()

    def set_roi(self, x: int, y: int, width: int, height: int) -> None:
        super().set_roi(x, y, width, height)
        self._changed()

    def sensor_shape(self) -> tuple[int, int]:
        return self._size_px, self._size_px

    def dtype(self) -> Any:
        return np.uint8

    def start_sequence(self, n: int | None, get_buffer: Any) -> Iterator[Mapping[str, Any]]:
        self._open_shutter(True)
        try:
            for told in super().start_sequence(n, get_buffer):
                yield told
                time.sleep(LIVE_S)
        finally:
            self._open_shutter(False)

    def snap(self, buffer: Any) -> Mapping[str, Any]:
        if self.delay_s:
            time.sleep(self.delay_s)
        self.exposing()
        defocus = float(np.clip(self._stage.at - self._focus(), -REACH_UM, REACH_UM))
        clean = self._views.frames_at([defocus])[0].astype(np.float32)
        grain = self._noise.standard_normal(clean.shape, np.float32)
        np.clip(clean + grain, 0, 255, out=clean)
        buffer[:] = clean.astype(np.uint8)
        return {}


class EmulatedMicroscope:
    """A core with the demo configuration, whose camera and z drive are emulated.

    The specimen is tilted and drifts: it is in focus at ``focus_um`` for the place where the xy
    stage stands.
    """

    def __init__(
        self,
        size_px: int = 128,
        tilt: tuple[float, float] = (0.0, 0.0),
        memory: Path | None = None,
    ) -> None:
        """memory: a file that keeps what hardware keeps when the program dies: where the stage
        stands, exposure, region and shutter."""
        self._memory: Path | None = None
        self.core = UniMMCore()
        folder = adapters_folder("mm_test_adapters", Path())
        self.core.setDeviceAdapterSearchPaths([str(folder)])
        self.core.loadSystemConfiguration(str(folder / "MMConfig_demo.cfg"))
        self.tilt, self.drift_um = tilt, 0.0
        self.stage = Stage(self._remember)
        self.camera = Camera(
            self.stage, lambda: self.focus_um, self._open_shutter, size_px, self._remember
        )
        self.shutter = Shutter(self._remember)
        for label, device in (
            (STAGE, self.stage),
            (CAMERA, self.camera),
            (SHUTTER, self.shutter),
        ):
            self.core.loadPyDevice(label, device)
            self.core.initializeDevice(label)
        self.core.setCameraDevice(CAMERA)
        self.core.setFocusDevice(STAGE)
        self.core.setShutterDevice(SHUTTER)
        self.core.setAutoShutter(True)
        if memory is not None and memory.is_file():
            kept = json.loads(memory.read_text(encoding="utf-8"))
            self.core.setPosition(STAGE, kept["z"])
            self.core.setExposure(CAMERA, kept["exposure_ms"])
            self.core.setROI(CAMERA, *kept["roi"])
            self.core.setShutterOpen(kept["shutter_open"])
        self._memory = memory

    @property
    def focus_um(self) -> float:
        x, y = self.core.getXYPosition()
        return self.focus_at(float(x), float(y))

    def focus_at(self, x: float, y: float) -> float:
        return self.tilt[0] * x + self.tilt[1] * y + self.drift_um

    def rig(self, **focus: Any) -> RigConfig:
        """Its rig file, as far as there is one."""
        table = {
            "driver": "micromanager",
            "device": STAGE,
            "towards_sample": "up",
            "soft_limits": [-60.0, 60.0],
            "never_pass": 70.0,
            "fine_step": 0.5,
            **focus,
        }
        values = {
            "name": "emulated microscope",
            "camera": {"driver": "micromanager", "device": CAMERA},
            "focus": table,
            "micromanager": {"config": "MMConfig_demo.cfg"},
        }
        return rig_from_plain(values, "emulated", Path())

    def _open_shutter(self, open: bool) -> None:
        """As Micro-Manager does by itself for cameras that are not written in Python."""
        if self.core.getAutoShutter():
            self.shutter.set_open(open)

    def _remember(self) -> None:
        if self._memory is not None:
            kept = {
                "z": self.stage.at,
                "exposure_ms": self.camera.get_exposure(),
                "roi": list(self.camera.get_roi()),
                "shutter_open": self.shutter.open,
            }
            write_atomically(self._memory, json.dumps(kept).encode())

    def close(self) -> None:
        unload(self.core)
