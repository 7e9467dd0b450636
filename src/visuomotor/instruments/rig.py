"""A rig in use: one camera and one focus drive behind their guards, unbatched.

``with rig:`` connects, remembers what it finds, and sets what the rig file says; leaving it, by
success, exception or Ctrl-C, puts back what was found and leaves the focus in its safe state.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from visuomotor.errors import InputError, RigError
from visuomotor.instruments.driving import AxisDriver, CameraDriver, Connection, Worker, driver
from visuomotor.instruments.found_note import FoundNote
from visuomotor.instruments.limits import MS, LimitedAxis, grown
from visuomotor.instruments.repeated_pictures import WORDS, RepeatedPictures
from visuomotor.instruments.rig_config import RigConfig, within
from visuomotor.types import ROI, Frame, RoiChoice
from visuomotor.vision.transforms import checked_roi, content_roi

CONNECT_TIMEOUT_S = 120.0
"""Loading a large Micro-Manager configuration takes its time."""
CLOSE_TIMEOUT_S = 20.0


_left: dict[str, list[Worker]] = {}
"""Workers that hung when their rig was left, by camera: they may put it back yet."""


def _wait_for_those_left(camera: str, timeout_s: float) -> None:
    """DeviceTimeoutError where one still hangs: it would put things back in the middle of a run."""
    for worker in _left.get(camera, []):
        worker.wait_for_end(timeout_s)


class Rig:
    """One camera and one focus drive; see the file's docstring. Usable again after it was left."""

    def __init__(
        self,
        config: RigConfig,
        roi: RoiChoice = None,
        connections: dict[str, Connection] | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        """roi: judged part of each picture, cut out of what the camera reads out; "auto" finds the
        part with the most detail in one picture. connections: by driver, where somebody else holds
        them open (an acquisition); they are not closed. window: where in its limits to focus, until
        it grows; only taking up play may leave it."""
        self.config = config
        low, high = config.focus.limits
        self.limits = (low, high) if window is None else (max(low, window[0]), min(high, window[1]))
        """Where policies may send the focus."""
        odd = window is not None and bool(np.isnan(window).any())
        if odd or not self.limits[1] - self.limits[0] >= config.fine_step:
            raise InputError(
                f"{config.name}: expected room for a fine step of {config.fine_step:g} between the "
                f"limits {low:g} and {high:g} {config.focus.unit}, got a window of {window}"
            )
        self.roi: ROI | None = None
        self._wanted_roi = roi
        self._lent = dict(connections or {})
        self.stop = threading.Event()
        """Once set, whatever the rig is waited for is given up; the one who sets it clears it."""
        self._depth = 0
        self._note = FoundNote(config)
        self._door: LimitedAxis | None = None
        self._found: dict[str, Any] | None = None
        self._prepared: dict[str, Any] = {}
        self.first: Frame | None = None
        """The first picture since the rig was opened, before it was cut."""
        self.newest: Frame | None = None
        self._repeated = RepeatedPictures(config.tolerance)

    # -- coming and going ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._depth == 0:
            self._open()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._depth == 0:
            return  # leaving twice, or what was never entered, is nothing
        self._depth -= 1
        if self._depth == 0:
            self._close(error)

    @property
    def is_open(self) -> bool:
        return self._depth > 0

    def _open(self) -> None:
        config = self.config
        _wait_for_those_left(self._note.camera, config.camera.timeout_ms * MS)
        # A device that hangs must not keep the other from being put back.
        self._camera_worker = Worker(f"{config.name} camera", self.stop)
        self._focus_worker = Worker(f"{config.name} focus", self.stop)
        self._connections = dict(self._lent)
        self._found, self._prepared, self._door = None, {}, None
        self.first = self.newest = None
        self._repeated.forget()
        try:
            self._camera: CameraDriver = self._part("camera", config.camera)
            drive: AxisDriver = self._part("axis", config.focus)
            self._check_drive(drive)
            self._door = LimitedAxis(drive, config, self._focus_worker, stop=self.stop)
            self.focus.position()  # a motor that does not answer is found out now
            found = self._ask("reading the camera's settings", self._camera.found)
            self._found = self._note.take(found)
            exposure_ms = config.camera.exposure_ms
            roi = None if config.camera.roi is None else ROI(*config.camera.roi)
            self._ask("setting up the camera", lambda: self._camera.prepare(exposure_ms, roi))
            self._prepared = self._ask("reading the camera's settings", self._camera.found)
            self._note.write(self._found, self._prepared)
            self._display_range: tuple[float, float] = self._ask(
                "asking for grey levels", self._camera.display_range
            )
            self.roi = self._judged_region()
        except BaseException as error:
            self._close(error)
            raise

    def _part(self, what: str, config: Any) -> Any:
        """The camera or the axis, of a connection that is made when first needed."""
        name = config.driver
        connections = self._connections
        if name not in connections:
            settings, folder = self.config.drivers[name], self.config.folder

            def connect() -> None:  # keeps it, so that one that comes late is closed, too
                connections[name] = driver(name).connect(settings, folder)

            what_now = f"{self.config.name}: connecting to {name}"
            self._camera_worker.call(what_now, connect, CONNECT_TIMEOUT_S)
        connection = connections[name]
        return self._ask(
            f"looking up {what} {config.device!r}", lambda: getattr(connection, what)(config.device)
        )

    def _check_drive(self, drive: AxisDriver) -> None:
        """What the file says of the drive is what the drive itself says."""
        config, timeout_s = self.config, self.config.focus.timeout_ms * MS
        travel = self._focus_worker.call(
            f"{config.name}: asking the drive for its range", drive.travel, timeout_s
        )
        within(travel, config.focus.soft_limits, "the range of the drive,")
        if drive.unit and drive.unit != config.focus.unit:
            raise InputError(
                f"{config.name}: focus: unit: expected {drive.unit!r}, in which the drive counts, "
                f"got {config.focus.unit!r}"
            )

    def _close(self, error: BaseException | None) -> None:
        """Everything is tried, whatever fails; then Ctrl-C is passed on, and the first failure
        raised. error: what is on its way already; it is told what failed here besides."""
        problems: list[BaseException] = []

        @contextlib.contextmanager
        def attempt() -> Iterator[None]:
            try:
                yield
            except BaseException as problem:
                problems.append(problem)

        safe = self.config.safe
        if safe.position is not None and self._door is not None and self._door.moved:
            with attempt():
                self._door.move_to(safe.position)
        if self._found is not None:
            with attempt():
                put_back = self._putting_back(self._camera, self._found)
                self._ask("putting the camera back", put_back, even_late=True)
            if safe.shutter == "closed":
                with attempt():
                    self._ask("closing the shutter", self._camera.darken, even_late=True)
        with attempt():
            self._close_connections()
        workers = [self._camera_worker, self._focus_worker]
        for worker in workers:
            worker.close()
        # Of several rigs on one camera each may leave some.
        left = [*_left.get(self._note.camera, []), *workers]
        _left[self._note.camera] = [worker for worker in left if worker.hangs]
        if not self._camera_worker.hangs:
            self._note.leave(put_back=False)
        self._door = None
        words = f"{self.config.name}: could not be left as it was found"
        told = [problem for problem in problems if isinstance(problem, Exception)]
        for problem in problems:
            if not isinstance(problem, Exception):
                if told:
                    problem.add_note(f"{words}: {told[0]}")
                raise problem
        if told and error is None:
            raise RigError(f"{words}: {told[0]}") from told[0]
        if told and error is not None:
            error.add_note(f"{words}: {told[0]}")

    def _putting_back(self, camera: CameraDriver, found: dict[str, Any]) -> Callable[[], None]:
        note = self._note

        def put_back() -> None:
            try:
                camera.restore(found)
            except Exception:
                note.leave(put_back=False)
                raise
            note.leave(put_back=True)

        return put_back

    def _close_connections(self) -> None:
        """Those of its own, also one that is still to come."""
        connections, lent = self._connections, set(self._lent)

        def close() -> None:
            for name in connections.keys() - lent:
                connections.pop(name).close()

        worker = self._camera_worker
        timeout_s = self.config.camera.timeout_ms * MS if worker.hangs else CLOSE_TIMEOUT_S
        worker.call(f"{self.config.name}: disconnecting", close, timeout_s, even_late=True)

    def _ask(self, what: str, question: Callable[[], Any], even_late: bool = False) -> Any:
        """Of the camera. Its time-out holds for settings as for pictures."""
        timeout_s = self.config.camera.timeout_ms * MS
        return self._camera_worker.call(
            f"{self.config.name}: {what}", question, timeout_s, even_late
        )

    def grow(self, direction: int) -> bool:
        """``protocols.CanGrow``: a window grows up to the limits of the rig file."""
        wider = grown(self.limits, self.config.focus.limits, direction, self.config.fine_step)
        self.limits = wider or self.limits
        return wider is not None

    @property
    def focus(self) -> LimitedAxis:
        """The focus drive, while the rig is open. InputError while it is not."""
        if self._door is None:
            raise InputError(f"{self.config.name}: expected an open rig (with rig: ...)")
        return self._door

    # -- pictures ------------------------------------------------------------------------------

    @property
    def display_range(self) -> tuple[float, float]:
        """Grey levels shown as black and white."""
        wanted = self.config.camera.display_range
        if wanted is not None:
            return wanted
        if not self.is_open:
            raise InputError(f"{self.config.name}: expected an open rig (with rig: ...)")
        return self._display_range

    @property
    def timeout_ms(self) -> float:
        """Of one picture, its exposure included."""
        return self.config.camera.timeout_ms + (self.exposure_ms or 0.0)

    @property
    def exposure_ms(self) -> float | None:
        """Set by the rig file, or found; None where the camera does not tell."""
        set_now: float | None = self._prepared.get("exposure_ms")
        return self.config.camera.exposure_ms or set_now

    def snap(self) -> Frame:
        """A new picture, (H, W) or (H, W, 3), cut to the judged region.

        RigError where the camera gives something that is no picture, or the very same one at
        three positions in a row; DeviceTimeoutError where it gives none in time.
        """
        picture = self._raw()
        self.newest = picture
        self.first = picture if self.first is None else self.first
        if self._repeated.saw(picture, self.focus.last):
            raise RigError(f"{self.config.name}: {WORDS}")
        return picture if self.roi is None else self.roi.crop(picture[None])[0]

    def _raw(self) -> Frame:
        camera = f"{self.config.name}: camera"
        picture = self._camera_worker.call(
            f"{camera}: a picture", self._camera.snap, self.timeout_ms * MS
        )
        shape: tuple[int, ...] = getattr(picture, "shape", ())
        kind = getattr(picture, "dtype", None)
        whole = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        if kind not in (np.uint8, np.uint16) or not whole:
            raise RigError(
                f"{camera}: expected a picture (H, W) or (H, W, 3), uint8 or uint16, "
                f"got {kind} of shape {shape}"
            )
        frame: Frame = picture
        return frame

    def _judged_region(self) -> ROI | None:
        if self._wanted_roi is None:
            return None
        picture = self._raw()
        if self._wanted_roi == "auto":
            return content_roi(picture[None])
        return checked_roi(self._wanted_roi, *picture.shape[:2])
