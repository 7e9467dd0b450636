"""What a rig's camera was found with, kept outside the process: a run that is killed cannot put it
back, so that the next one does."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import itertools
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from visuomotor.configs import to_plain
from visuomotor.errors import InputError
from visuomotor.files import write_atomically
from visuomotor.instruments.rig_config import RigConfig

PASSING = ("live", "auto_shutter", "shutter_open")
"""What a picture that was cut off, or a program that starts, leaves one way or the other; no
person's choice shows in it."""
OF_PROGRAM = ("live", "auto_shutter")
"""Of these, what ends with the program: the devices know nothing of it."""
logger = logging.getLogger(__name__)


_open: set[Path] = set()
"""Notes of rigs that are open in this process, or that are put back as soon as they answer."""


class FoundNote:
    """One rig's note, in the system's folder for temporary files: devices forget their settings
    too, sooner or later."""

    def __init__(self, config: RigConfig) -> None:
        self.rig = config.name
        camera = config.camera
        settings = to_plain(config.drivers[camera.driver])
        parts = [str(config.folder.resolve()), _user(), camera.driver, camera.device, settings]
        self.camera = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        """What the note is of: rig files that name the same camera share it."""
        self._path: Path | None = None

    def take(self, present: Mapping[str, Any]) -> dict[str, Any]:
        """What is to be put back in the end: as found by a run that could not do it, where there is
        one, else ``present``.

        A note of a process that still runs, or of another rig that is open in this one, is left
        alone. What has another value than that run found or set, somebody has set since: it counts.
        """
        for number in itertools.count():
            path = Path(tempfile.gettempdir()) / f"visuomotor-rig-{self.camera}-{number}.json"
            note = _read(path, present)
            elsewhere = note is not None and note.process != os.getpid() and _runs(note.process)
            if path not in _open and not elsewhere:
                break
        self._path = path
        _open.add(path)
        found = dict(present) if note is None else note.to_put_back(present)
        self.write(found, None)
        return found

    def write(self, found: Mapping[str, Any], prepared: Mapping[str, Any] | None) -> None:
        """What was found, and what was made of it."""
        assert self._path is not None  # taken before
        note = {"rig": self.rig, "process": os.getpid(), "found": found, "prepared": prepared}
        try:
            write_atomically(self._path, json.dumps(note).encode())
        except (OSError, InputError) as error:  # a full disk keeps nobody from focusing
            logger.warning("%s: were it killed now, nothing would put it back: %s", self.rig, error)

    def leave(self, put_back: bool) -> None:
        """Nobody uses the rig any more. put_back: all is as it was found; else the next one to
        take the note does it."""
        if self._path is None:
            return
        if put_back:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        _open.discard(self._path)
        self._path = None


class _Note(NamedTuple):
    """What a file holds."""

    process: int
    found: dict[str, Any]
    prepared: dict[str, Any] | None

    def to_put_back(self, present: Mapping[str, Any]) -> dict[str, Any]:
        """Key by key: a run may have been cut off while it put things back."""
        back = dict(present)
        for key, value in self.found.items():
            if key in OF_PROGRAM and self.process != os.getpid():
                continue
            ours = self.prepared is None or present[key] in (self.prepared[key], value)
            if key in PASSING or ours:
                back[key] = value
        return back


def _read(path: Path, present: Mapping[str, Any]) -> _Note | None:
    """A note of a camera like this one; None if there is none, or something else."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        found, prepared = note["found"], note["prepared"]
        whole = found.keys() == present.keys() == (prepared or found).keys()
        return _Note(int(note["process"]), dict(found), prepared) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this user id, as in some containers
        return "somebody"


def _runs(process: int) -> bool:
    """Whether a process of this number is there."""
    if os.name == "nt":
        return False  # asking there could end it; a note that is too old does less harm
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True
