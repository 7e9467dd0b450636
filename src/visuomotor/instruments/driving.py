"""What a driver is: one rig's camera and motor as their SDK shows them, unbatched and unguarded.

Nothing outside ``instruments`` talks to a driver: motion goes through ``limits.LimitedAxis``,
pictures through ``rig.Rig``. Drivers may block; whoever calls them bounds the time.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Protocol, TypeVar

from visuomotor.errors import (
    DeviceTimeoutError,
    InputError,
    MissingExtraError,
    RigError,
    nearest,
)
from visuomotor.types import ROI, Frame

PACKAGE = "visuomotor.instruments.drivers"
SLICE_S = 0.1
"""How often a wait looks up, so that Ctrl-C is heard at once on every system."""
OURS = (InputError, MissingExtraError, RigError)
"""Errors that say already what a person needs to know."""

T = TypeVar("T")


class CameraDriver(Protocol):
    """One camera."""

    def display_range(self) -> tuple[float, float]:
        """Lowest and highest grey level that a picture can have as the camera is set now."""

    def snap(self) -> Frame:
        """A picture exposed after the call, (H, W) or (H, W, 3)."""

    def found(self) -> dict[str, Any]:
        """What ``prepare`` and pictures may change, as it is now: ``exposure_ms``, region, and
        ``live``, ``auto_shutter``, ``shutter_open`` where there are such. Plain JSON values, so
        that they can be kept outside the process."""

    def prepare(self, exposure_ms: float | None, roi: ROI | None) -> None:
        """End live mode, set exposure and region; None leaves them as they are."""

    def restore(self, found: Mapping[str, Any]) -> None:
        """Put back what ``found`` said; every part is tried, then the first failure raised."""

    def darken(self) -> None:
        """Close the shutter, or turn the light off, where there is one."""


class AxisDriver(Protocol):
    """One motor, in its own unit."""

    unit: str
    """What it counts in; "" where it does not know."""

    def travel(self) -> tuple[float, float] | None:
        """The range that the drive itself says it has; None where it does not say."""

    def read(self) -> float:
        """Where it is, asked of the device."""

    def move(self, target: float) -> None:
        """Begin to go there; may return at once or at arrival."""

    def is_moving(self) -> bool:
        """Whether it is still on its way."""

    def halt(self) -> None:
        """Stop moving now. May be called while another call to the motor has not returned."""


class Connection(Protocol):
    """What is open between this process and the devices of one rig."""

    def camera(self, device: str) -> CameraDriver:
        """By the name it has in the SDK; "" is the one that is current. InputError with the names
        there are for another."""

    def axis(self, device: str) -> AxisDriver:
        """The same for a motor."""

    def close(self) -> None:
        """Let the devices go."""


def drivers() -> list[str]:
    """Names of all drivers, whether or not their SDK is installed."""
    path = importlib.import_module(PACKAGE).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def driver(name: str) -> ModuleType:
    """The driver's file. InputError for an unknown name, MissingExtraError without its SDK."""
    if name not in drivers():
        raise InputError(f"driver: {name!r} is not known; {nearest(name, drivers())}")
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "visuomotor":
            raise
        raise MissingExtraError(missing, name) from None


class Stopped(RigError):
    """A call was given up because another rig beside it was interrupted."""


class Worker:
    """Makes the blocking calls to one device in a thread of its own, one after the other.

    So a call that hangs ends in DeviceTimeoutError and holds up no other device, and Ctrl-C is
    heard at once. The thread cannot be stopped from outside: after a time-out the next call first
    waits for the one that hangs, as long as its own time allows.
    """

    def __init__(self, name: str, stop: threading.Event | None = None) -> None:
        """stop: once set, every wait for an answer ends in ``Stopped``."""
        self._name = name
        self._stop = threading.Event() if stop is None else stop
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._last: _Call | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"rig {name}", daemon=True)
        self._thread.start()

    def call(
        self, what: str, function: Callable[[], T], timeout_s: float, even_late: bool = False
    ) -> T:
        """``function()``'s result. What an SDK raises becomes RigError in words.

        what: names the device and what is asked of it, for the error. even_late: behind a call
        that hangs it is made as soon as that one returns, be it after the time-out.
        """
        if self._closed:
            raise InputError(f"{what}: expected an open rig (with rig: ...)")
        before = self._last
        if before is not None and not even_late and not self._answers(before, timeout_s):
            raise DeviceTimeoutError(
                f"{what}: expected the device to be free within {timeout_s:g} s, "
                f"but it still hangs in: {before.what}"
            )
        call = self._last = _Call(what, function)
        self._calls.put(call)
        if not self._answers(call, timeout_s):
            raise DeviceTimeoutError(f"{what}: expected an answer within {timeout_s:g} s, got none")
        result: T = call.outcome()
        return result

    def at_once(self, what: str, function: Callable[[], T], timeout_s: float) -> T:
        """The same beside the queue, in a thread for this call: for what cannot wait."""
        call = _Call(what, function)
        threading.Thread(target=call.make, name=f"rig {self._name}, at once", daemon=True).start()
        if not _wait(call.done, timeout_s):
            raise DeviceTimeoutError(f"{what}: expected an answer within {timeout_s:g} s, got none")
        result: T = call.outcome()
        return result

    def close(self) -> None:
        """The thread ends after the calls it has; one that hangs is left behind."""
        self._closed = True
        self._calls.put(None)
        if self._last is None or self._last.done.is_set():
            self._thread.join(SLICE_S)

    @property
    def hangs(self) -> bool:
        """A call has not come back."""
        return self._last is not None and not self._last.done.is_set()

    def wait_for_end(self, timeout_s: float) -> None:
        """After ``close``. DeviceTimeoutError where a call still hangs."""
        before = self._last
        if before is not None and not self._answers(before, timeout_s):
            raise DeviceTimeoutError(
                f"{before.what}: expected it to end within {timeout_s:g} s, it still hangs"
            )

    def _answers(self, call: _Call, timeout_s: float) -> bool:
        if _wait(call.done, timeout_s, self._stop):
            return True
        if self._stop.is_set():
            raise Stopped(f"{call.what}: stopped from outside")
        return False

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()


class _Call:
    """One call under way."""

    def __init__(self, what: str, function: Callable[[], Any]) -> None:
        self.what = what
        self.done = threading.Event()
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None

    def make(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # whatever it is belongs to the caller's thread
            self._error = error
        finally:
            self.done.set()

    def outcome(self) -> Any:
        """What the function returned or raised, in the caller's thread."""
        error = self._error
        if isinstance(error, Exception) and not isinstance(error, OURS):
            raise RigError(f"{self.what}: {error}") from error
        if error is not None:
            raise error
        return self._result


def _wait(event: threading.Event, timeout_s: float, stop: threading.Event | None = None) -> bool:
    """In slices: on some systems one long wait cannot be interrupted. False too once stopped."""
    while timeout_s > SLICE_S:
        if event.wait(SLICE_S):
            return True
        if stop is not None and stop.is_set():
            return False
        timeout_s -= SLICE_S
    return event.wait(timeout_s)
