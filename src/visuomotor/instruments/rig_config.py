"""Rig files: what a rig is, in one TOML table a part, read strictly.

name = "inverted microscope"

[camera]
driver = "micromanager"
device = "Camera"

[focus]
driver = "micromanager"
device = "Z"
towards_sample = "up"
soft_limits = [-50.0, 50.0]
never_pass = 60.0
fine_step = 0.5

[micromanager]
config = "microscope.cfg"
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from visuomotor.configs import check_range, from_plain, read_config_file, to_plain
from visuomotor.errors import InputError, nearest
from visuomotor.instruments.driving import driver, drivers
from visuomotor.vision.focus import measure as find_measure

FINE_STEPS_IN_DEPTH_OF_FIELD = 4
"""A fine step by optics is this part of the depth of field."""


@dataclass(frozen=True)
class CameraConfig:
    """Table [camera]."""

    driver: str
    device: str = ""
    """Its name in the driver; "" is the driver's current camera."""
    exposure_ms: float | None = None
    """Set while the rig is used, and put back after; without it, as found."""
    roi: tuple[int, int, int, int] | None = None
    """Region read out of the sensor, the same way: top, left, height, width in pixels."""
    timeout_ms: float = 5000.0
    """A picture that takes longer than this besides its exposure is an error."""
    display_range: tuple[float, float] | None = None
    """Grey levels that policies see as black and white; by default all that the camera has."""

    def __post_init__(self) -> None:
        check_range(self, exposure_ms=(1e-6, 1e7), timeout_ms=(1, 1e7))
        _region(self.roi, "camera: roi")
        _ascending(self.display_range, "camera: display_range")


@dataclass(frozen=True)
class FocusConfig:
    """Table [focus]. Distances are in ``unit``, positions as the drive counts them."""

    driver: str
    towards_sample: Literal["up", "down"]
    """Which way of counting brings objective and sample nearer to each other."""
    soft_limits: tuple[float, float]
    """Where focusing may go."""
    never_pass: float
    """The position on the sample's side that nothing may ever pass, whatever else is set."""
    device: str = ""
    unit: str = "um"
    hard_limits: tuple[float, float] | None = None
    """What the drive can reach, where it does not say so itself."""
    fine_step: float | None = None
    """The smallest useful move; without it, from [optics]."""
    settle_ms: float = 0.0
    """Waited after each move before a picture is taken."""
    backlash: float = 0.0
    """Play of the drive: an approach from the wrong side first goes this much further."""
    approach: Literal["up", "down", "any"] = "any"
    """The direction of the last motion of every move, where there is backlash."""
    longest_move: float | None = None
    """A longer way is gone in parts."""
    max_speed: float | None = None
    """In ``unit`` a second, on average over each part."""
    tolerance: float | None = None
    """How far from its target the drive may say it came to; by default a fine step."""
    timeout_ms: float = 10_000.0
    """Each part of a move may take this long, and the answer to each question to the drive; longer
    is an error."""

    def __post_init__(self) -> None:
        low, high = _ascending(self.soft_limits, "focus: soft_limits") or (0.0, 0.0)
        hard = _ascending(self.hard_limits, "focus: hard_limits")
        within(hard, (low, high), "focus: hard_limits")
        check_range(self, never_pass=(-1e12, 1e12), settle_ms=(0, 1e6), backlash=(0, high - low))
        check_range(self, timeout_ms=(1, 1e7))
        for name in ("fine_step", "longest_move", "max_speed", "tolerance"):
            check_range(self, **{name: (1e-12, 1e12)})
        beyond = low >= self.never_pass if self.up else high <= self.never_pass
        if beyond:
            raise InputError(
                f"focus: never_pass: expected a position that leaves some of the soft limits "
                f"{low:g} to {high:g}, got {self.never_pass:g}, the sample {self.towards_sample}"
            )
        if self.backlash > 0 and self.approach == "any":
            raise InputError('focus: approach: expected "up" or "down" with a backlash, got "any"')

    @property
    def up(self) -> bool:
        """Counting up goes towards the sample."""
        return self.towards_sample == "up"

    @property
    def limits(self) -> tuple[float, float]:
        """Where motion may go: soft limits, cut at the position never to pass."""
        low, high = self.soft_limits
        if self.up:
            return low, min(high, self.never_pass)
        return max(low, self.never_pass), high


@dataclass(frozen=True)
class OpticsConfig:
    """Table [optics]: what a fine step can be computed from. Lengths in micrometres."""

    numerical_aperture: float
    wavelength_um: float = 0.55
    index: float = 1.0
    magnification: float | None = None
    camera_pixel_um: float | None = None
    """With the magnification: pixels too large for the optics make the depth of field longer."""

    def __post_init__(self) -> None:
        check_range(self, wavelength_um=(0.01, 100), index=(1, 4))
        check_range(self, numerical_aperture=(1e-4, self.index), magnification=(1e-3, 1e4))
        check_range(self, camera_pixel_um=(1e-3, 1e4))

    @property
    def depth_of_field_um(self) -> float:
        """Wavelength n / NA^2 + n e / (M NA): the wave-optical and the geometrical part."""
        depth = self.wavelength_um * self.index / self.numerical_aperture**2
        if self.magnification and self.camera_pixel_um:
            blur = (
                self.index * self.camera_pixel_um / (self.magnification * self.numerical_aperture)
            )
            depth += blur
        return depth


@dataclass(frozen=True)
class SharpnessConfig:
    """Table [sharpness]: how it is read off this rig's pictures, whatever policy runs."""

    measure: str = "tenengrad"
    smooth_px: float = 1.0
    brightness_counts: bool = False
    """For rigs on which what is out of focus is dark: see ``AutofocusConfig``."""

    def __post_init__(self) -> None:
        check_range(self, smooth_px=(0, 1000))
        find_measure(self.measure)


@dataclass(frozen=True)
class SafeConfig:
    """Table [safe]: how the rig is left."""

    position: float | None = None
    """The focus goes here at the end; without it, it stays where the run ended."""
    shutter: Literal["as_found", "closed"] = "as_found"


@dataclass(frozen=True)
class RigConfig:
    """A rig file. Each driver has a table of its own, named after it."""

    name: str
    camera: CameraConfig
    focus: FocusConfig
    optics: OpticsConfig | None = None
    channels: Mapping[str, float] = field(default_factory=dict)
    """Table [channels]: what is added to the focus position in each channel, in the focus' unit."""
    safe: SafeConfig = SafeConfig()
    sharpness: SharpnessConfig = SharpnessConfig()
    drivers: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each driver by its name; in the file, a table for each."""
    folder: Path = Path()
    """Of the rig file: relative paths in it start here."""

    def __post_init__(self) -> None:
        low, high = self.focus.limits
        if not self.name:
            raise InputError("name: expected a name for the rig, got none")
        if self.fine_step > high - low:
            raise InputError(
                f"focus: fine_step: expected at most the range {high - low:g}, "
                f"got {self.fine_step:g} {self.focus.unit}"
            )
        if self.safe.position is not None and not low <= self.safe.position <= high:
            raise InputError(
                f"safe: position: expected {low:g} to {high:g}, got {self.safe.position:g}"
            )
        channels: Mapping[str, Any] = self.channels  # as a file has them
        for channel, offset in channels.items():
            number = isinstance(offset, (int, float)) and not isinstance(offset, bool)
            if not (number and math.isfinite(offset)):
                raise InputError(f"channels: {channel}: expected a distance, got {offset!r}")

    @property
    def fine_step(self) -> float:
        """The smallest useful move, in the focus' unit."""
        step = self.focus.fine_step or self.fine_step_by_optics
        if step is not None:
            return step
        measured = "visuomotor rig calibrate measures it"
        if self.optics is None:
            raise InputError(
                f"focus: fine_step: expected it, or a table [optics], got neither; {measured}"
            )
        raise InputError(
            f"focus: fine_step: expected it in {self.focus.unit}; [optics] tells micrometres; "
            f"{measured}"
        )

    @property
    def fine_step_by_optics(self) -> float | None:
        """What [optics] makes of it, in micrometres; None without it, or in another unit."""
        if self.optics is None or self.focus.unit != "um":
            return None
        return self.optics.depth_of_field_um / FINE_STEPS_IN_DEPTH_OF_FIELD

    @property
    def tolerance(self) -> float:
        """How far from its target the drive may come to rest."""
        return self.fine_step if self.focus.tolerance is None else self.focus.tolerance


def load_rig(path: str | Path) -> RigConfig:
    """Read a rig file. InputError, one sentence with the nearest known word, for what is wrong in
    it; MissingExtraError if it names a driver whose SDK is not installed."""
    file = Path(path)
    return rig_from_plain(read_config_file(file), str(file), file.parent)


def rig_from_plain(values: Mapping[str, Any], where: str, folder: Path) -> RigConfig:
    """The same from plain values: the tables of a rig file."""
    plain = dict(values)
    known = [*(f.name for f in fields(_Tables)), "channels"]
    tables = {key: plain.pop(key) for key in list(plain) if key in drivers()}
    for key in plain:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, [*known, *drivers()])}")
    channels = plain.pop("channels", {})
    if not isinstance(channels, Mapping):
        raise InputError(f"{where}: channels: expected a table of offsets, got {channels!r}")
    parts = from_plain(_Tables, plain, where)
    used = {}
    for part, name in (("camera", parts.camera.driver), ("focus", parts.focus.driver)):
        try:
            used[name] = driver(name)
        except InputError as error:
            raise InputError(f"{where}: {part}: {error}") from None
    for name in tables:
        if name not in used:
            raise InputError(f"{where}: [{name}]: expected a driver in use, of {sorted(used)}")
    settings = {
        name: from_plain(used[name].Settings, tables.get(name, {}), f"{where}: {name}")
        for name in sorted(used)
    }
    return parts.rig(channels=channels, drivers=settings, folder=folder)


@dataclass(frozen=True)
class _Tables:
    """The tables that every rig file may have."""

    name: str
    camera: CameraConfig
    focus: FocusConfig
    optics: OpticsConfig | None = None
    safe: SafeConfig = SafeConfig()
    sharpness: SharpnessConfig = SharpnessConfig()

    def rig(self, **rest: Any) -> RigConfig:
        return RigConfig(**{f.name: getattr(self, f.name) for f in fields(self)}, **rest)


def rig_to_plain(config: RigConfig) -> dict[str, Any]:
    """As in a rig file, for logs and metadata."""
    plain: dict[str, Any] = to_plain(
        {
            "name": config.name,
            "camera": config.camera,
            "focus": config.focus,
            "optics": config.optics,
            "channels": config.channels,
            "safe": config.safe,
            "sharpness": config.sharpness,
            **config.drivers,
        }
    )
    return plain


def within(outer: tuple[float, float] | None, inner: tuple[float, float], where: str) -> None:
    """InputError unless the soft limits lie within what the drive can reach."""
    if outer is not None and not outer[0] <= inner[0] < inner[1] <= outer[1]:
        raise InputError(
            f"focus: soft_limits: expected them within {where} {outer[0]:g} to {outer[1]:g}, "
            f"got {inner[0]:g} to {inner[1]:g}"
        )


def _ascending(limits: tuple[float, ...] | None, where: str) -> tuple[float, float] | None:
    if limits is None:
        return None
    low, high = _numbers(limits, 2, where)
    if not low < high:
        raise InputError(f"{where}: expected the lower one first, got {low:g} and {high:g}")
    return low, high


def _region(roi: tuple[int, ...] | None, where: str) -> None:
    if roi is None:
        return
    whole = len(roi) == 4 and all(type(number) is int for number in roi)
    if not whole or min(roi[:2]) < 0 or min(roi[2:]) < 1:
        raise InputError(
            f"{where}: expected 4 whole numbers, top and left of 0 or more, height and width of "
            f"1 or more, got {list(roi)}"
        )


def _numbers(values: tuple[float, ...] | None, count: int, where: str) -> tuple[float, ...]:
    if values is None:
        return ()
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise InputError(f"{where}: expected {count} finite numbers, got {list(values)}")
    return values


def rig_to_toml(config: RigConfig) -> str:
    """The text of a rig file that says the same; what is as by default is left out."""
    tables: dict[str, Any] = {"name": config.name}
    parts = ("camera", "focus", "optics", "safe", "sharpness")
    tables |= {part: getattr(config, part) for part in parts}
    tables |= {"channels": config.channels, **config.drivers}
    lines = [f"name = {json.dumps(config.name)}"]
    for name, table in tables.items():
        if name == "name" or table is None:
            continue
        said = dict(table) if isinstance(table, Mapping) else _said(table)
        if said:
            lines += ["", f"[{_key(name)}]"]
            lines += [f"{_key(key)} = {_toml(value)}" for key, value in said.items()]
    return "\n".join(lines) + "\n"


def _said(table: Any) -> dict[str, Any]:
    """Fields that are required or differ from their default."""
    said = {}
    for f in fields(table):
        value = getattr(table, f.name)
        default = f.default if f.default_factory is MISSING else f.default_factory()
        if default is MISSING or value != default:
            said[f.name] = value
    return said


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    """JSON's numbers, strings, booleans and lists are TOML's; tables go in line."""
    if is_dataclass(value) and not isinstance(value, type):
        value = _said(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
