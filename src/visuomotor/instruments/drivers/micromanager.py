"""Driver ``micromanager``: any camera and any focus drive of a Micro-Manager configuration, through
pymmcore-plus. Tested with pymmcore-plus 0.18 and the demo adapters.

A rig of its own loads the configuration into a core of its own. Micro-Manager's Java program owns
its core, and hardware can have one owner: close the one before the other opens. Within a Python
acquisition, hand the acquisition's core to ``on_core``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymmcore_plus import CMMCorePlus, DeviceType

from visuomotor.errors import InputError, RigError, nearest
from visuomotor.types import ROI, Frame

if TYPE_CHECKING:
    from visuomotor.instruments.workcells import Workcells

OFFSET = "autofocus offset"
"""As the device of [focus]: the offset of the hardware autofocus, which stays locked."""

PARTS = ("camera", "exposure_ms", "roi", "live", "auto_shutter", "shutter_open")
"""What a run may change about a camera."""


@dataclass(frozen=True)
class Settings:
    """Table [micromanager]."""

    config: str
    """A configuration as Micro-Manager's wizard writes it (.cfg); a relative path starts at the
    rig file, or else in a folder of adapters."""
    adapters: tuple[str, ...] = ()
    """Folders with device adapters; "mm_test_adapters" is that package's. By default where
    pymmcore-plus looks."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Set after loading: "Device.Property" to its value."""

    def __post_init__(self) -> None:
        properties: Any = self.properties  # as a file has them
        if not isinstance(properties, Mapping):
            raise InputError(
                f'micromanager: properties: expected a table such as {{ "Camera.Gain" = "2" }}, '
                f"got {properties!r}"
            )


class Core:
    """The connection: one core, its cameras and its drives."""

    def __init__(self, core: CMMCorePlus, owned: bool) -> None:
        self._core = core
        self._owned = owned

    def camera(self, device: str) -> CoreCamera:
        label = device or self._core.getCameraDevice()
        self._known(label, DeviceType.CameraDevice, "camera")
        return CoreCamera(self._core, label)

    def axis(self, device: str) -> CoreStage | CoreOffset:
        if device == OFFSET:
            if not self._core.getAutoFocusDevice():
                raise InputError(f"focus: device: {OFFSET!r} needs an autofocus device, found none")
            return CoreOffset(self._core)
        label = device or self._core.getFocusDevice()
        self._known(label, DeviceType.StageDevice, "focus")
        return CoreStage(self._core, label)

    def close(self) -> None:
        if self._owned:
            unload(self._core)

    def _known(self, label: str, kind: DeviceType, part: str) -> None:
        there = list(self._core.getLoadedDevicesOfType(kind))
        if label not in there:
            names = ", ".join(there) or "none"
            hint = nearest(label, there) if label and there else "it has none"
            raise InputError(
                f"{part}: device: {label!r} is not in this Micro-Manager configuration, "
                f"{hint} (there: {names})"
            )


class CoreStage:
    """A drive with one axis."""

    unit = "um"

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core, self._label = core, label

    def travel(self) -> tuple[float, float] | None:
        """Only few adapters tell, as limits of a property ``Position``."""
        core, label, name = self._core, self._label, "Position"
        if not core.hasProperty(label, name) or not core.hasPropertyLimits(label, name):
            return None
        low = core.getPropertyLowerLimit(label, name)
        high = core.getPropertyUpperLimit(label, name)
        return (float(low), float(high)) if low < high else None

    def read(self) -> float:
        return float(self._core.getPosition(self._label))

    def move(self, target: float) -> None:
        self._core.setPosition(self._label, target)

    def is_moving(self) -> bool:
        return self._core.deviceBusy(self._label)

    def halt(self) -> None:
        self._core.stop(self._label)


class CoreOffset:
    """The offset of a hardware autofocus that keeps the focus: the drive under it is left alone."""

    unit = ""
    """Each adapter has its own."""

    def __init__(self, core: CMMCorePlus) -> None:
        self._core = core

    def travel(self) -> None:
        """It does not say."""

    def read(self) -> float:
        return float(self._core.getAutoFocusOffset())

    def move(self, target: float) -> None:
        self._core.setAutoFocusOffset(target)

    def is_moving(self) -> bool:
        return self._core.deviceBusy(self._core.getAutoFocusDevice())

    def halt(self) -> None:
        """An offset cannot be halted halfway."""


class CoreCamera:
    """A camera, with what belongs to it in a core: live mode and shutter."""

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core, self._label = core, label

    def display_range(self) -> tuple[float, float]:
        return 0.0, float(2 ** self._core.getImageBitDepth() - 1)

    def snap(self) -> Frame:
        self._core.snapImage()
        picture = np.asarray(self._core.getImage())
        # RGB cameras of Micro-Manager pad each pixel to four bytes.
        frame: Frame = picture[..., :3] if picture.ndim == 3 else picture
        return frame

    def found(self) -> dict[str, Any]:
        return {part: self._part(part) for part in PARTS}

    def _part(self, name: str) -> Any:
        """One of ``PARTS``, as it is now."""
        core, label = self._core, self._label
        if name == "camera":
            return core.getCameraDevice()
        if name == "exposure_ms":
            return core.getExposure(label)
        if name == "roi":  # left, top, width, height
            return [int(n) for n in core.getROI(label)]
        if name == "live":
            return bool(core.isSequenceRunning(label))
        if name == "auto_shutter":
            return core.getAutoShutter()
        return core.getShutterOpen() if core.getShutterDevice() else None

    def prepare(self, exposure_ms: float | None, roi: ROI | None) -> None:
        core, label = self._core, self._label
        if core.isSequenceRunning(label):
            core.stopSequenceAcquisition(label)
        if core.getCameraDevice() != label:
            core.setCameraDevice(label)
        if exposure_ms is not None:
            core.setExposure(label, exposure_ms)
        if roi is not None:
            core.setROI(label, roi.left, roi.top, roi.width, roi.height)

    def restore(self, found: Mapping[str, Any]) -> None:
        core, label = self._core, self._label
        region, exposure_ms = list(found["roi"]), found["exposure_ms"]
        camera, shutter = found["camera"], found["shutter_open"]

        def set_camera() -> None:
            if camera:
                core.setCameraDevice(camera)

        def set_shutter() -> None:
            if shutter is not None:
                core.setShutterOpen(shutter)

        def go_live() -> None:
            if found["live"]:
                core.startContinuousSequenceAcquisition(0)

        commands: dict[str, list[Callable[[], None]]] = {
            # Some cameras count a region from the corner of the one that is set.
            "roi": [core.clearROI, lambda: core.setROI(label, *region)],
            "exposure_ms": [lambda: core.setExposure(label, exposure_ms)],
            "camera": [set_camera],
            "auto_shutter": [lambda: core.setAutoShutter(found["auto_shutter"])],
            "shutter_open": [set_shutter],
            "live": [go_live],
        }
        problems: list[Exception] = []
        for part, tries in commands.items():
            for command in tries:
                try:
                    if self._part(part) != found[part]:
                        command()
                except Exception as problem:
                    problems.append(problem)
        if problems:
            raise RigError(f"{label}: {problems[0]}")

    def darken(self) -> None:
        if self._core.getShutterDevice():
            self._core.setShutterOpen(False)


def on_core(core: CMMCorePlus) -> dict[str, Core]:
    """Connections for ``Rig``, on a core that somebody else holds: it is not unloaded."""
    return {"micromanager": Core(core, owned=False)}


def unload(core: CMMCorePlus) -> None:
    """Let all devices go for good, and end the thread in which the core tells of events: where it
    goes on, Python may abort at its end (pymmcore-plus 0.18)."""
    core.unloadAllDevices()
    super(CMMCorePlus, core).registerCallback(None)  # its own method refuses


def connect(settings: Settings, folder: Path) -> Core:
    """Load the configuration into a fresh core, and set the properties."""
    places = [adapters_folder(place, folder) for place in settings.adapters]
    candidates = [place / settings.config for place in (folder, *places)]
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        raise InputError(
            f"micromanager: config: expected a file at {' or '.join(map(str, candidates))}, "
            f"found none"
        )
    core = CMMCorePlus()
    try:
        if places:
            core.setDeviceAdapterSearchPaths([str(place) for place in places])
        _load(core, file)
        for name, value in settings.properties.items():
            _set_property(core, name, value)
    except BaseException:
        unload(core)
        raise
    return Core(core, owned=True)


def _load(core: CMMCorePlus, file: Path) -> None:
    try:
        core.loadSystemConfiguration(str(file))
    except Exception as error:
        raise RigError(f"micromanager: {file.name} could not be loaded: {error}") from error


def _set_property(core: CMMCorePlus, name: str, value: object) -> None:
    """A core ignores some values, or takes text for 0: they are checked before."""
    where = f"micromanager: properties: {name!r}"
    device, _, key = name.partition(".")
    devices = list(core.getLoadedDevices())
    if device not in devices:
        raise InputError(f"{where}: no device {device!r} is loaded; {nearest(device, devices)}")
    known = [f"{device}.{p}" for p in core.getDevicePropertyNames(device)]
    if name not in known:
        raise InputError(f"{where} is not known; {nearest(name, known)}")
    if core.isPropertyReadOnly(device, key):
        raise InputError(f"{where}: expected a property that can be set, this one is read only")
    text = str(int(value) if isinstance(value, bool) else value)
    allowed = list(core.getAllowedPropertyValues(device, key))
    if allowed and text not in allowed:
        raise InputError(f"{where}: expected one of {', '.join(allowed)}, got {text!r}")
    if core.hasPropertyLimits(device, key):
        low = core.getPropertyLowerLimit(device, key)
        high = core.getPropertyUpperLimit(device, key)
        if not _is_between(text, low, high):
            raise InputError(f"{where}: expected {low:g} to {high:g}, got {text!r}")
    try:
        core.setProperty(device, key, text)
    except Exception as error:
        raise RigError(f"{where} could not be set to {text!r}: {error}") from error


def _is_between(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False


def adapters_folder(place: str, folder: Path) -> Path:
    """Where device adapters are: the folder ``place``, or that of the package mm_test_adapters."""
    if place == "mm_test_adapters":
        try:
            return Path(importlib.import_module(place).device_adapter_path())
        except ModuleNotFoundError:
            raise InputError(
                f"micromanager: adapters: {place} is not installed: pip install mm-test-adapters"
            ) from None
    path = folder / place
    if not path.is_dir():
        raise InputError(f"micromanager: adapters: expected a folder, found none at {path}")
    return path


def examples(cells: int) -> dict[str, Workcells]:
    """Demo cameras and demo stages, each in a core of its own, for the contract tests."""
    from visuomotor.instruments.rig import Rig
    from visuomotor.instruments.rig_config import rig_from_plain
    from visuomotor.instruments.workcells import Workcells

    values = {
        "name": "demo",
        "camera": {"driver": "micromanager", "device": "Camera", "roi": [0, 0, 128, 128]},
        "focus": {
            "driver": "micromanager",
            "device": "Z",
            "towards_sample": "down",
            "soft_limits": [-30.0, 20.0],
            "never_pass": -31.0,
            "fine_step": 0.5,
        },
        "micromanager": {
            "config": "MMConfig_demo.cfg",
            "adapters": ["mm_test_adapters"],
            "properties": {"Camera.Mode": "Fluorescent Beads"},
        },
    }
    rigs = [Rig(rig_from_plain(values, "demo", Path())) for _ in range(cells)]
    return {"demo camera": Workcells(rigs)}
