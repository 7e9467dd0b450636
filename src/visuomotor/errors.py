"""The errors this package raises on purpose: one sentence, for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PACKAGES = {"useq": "useq-schema"}
"""Packages that are not named as their module is."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file or field, what was expected and what came.
    The command line prints it and exits with code 2.
    """


class MissingExtraError(ImportError):
    """An optional part was asked for and its package is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        """module: what could not be imported; its package is named, by the name that pip knows."""
        name = module.partition(".")[0].replace("_", "-")
        super().__init__(
            f"{PACKAGES.get(name, name)} is not installed; this part needs it: "
            f'pip install "visuomotor[{extra}]"'
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known word, or all of them when none is near."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(words)}" if words else "none are known"


def in_words(error: BaseException) -> str:
    """An error for a person: its sentence, then its notes, which say what could not be put back."""
    said = "stopped" if isinstance(error, KeyboardInterrupt) else str(error)
    return "; ".join([said, *getattr(error, "__notes__", [])])


class RigError(RuntimeError):
    """A rig did not do what it was asked: a device failed, refused, or did not tell the truth.

    The message is one sentence that names the device, what was expected and what came. In a run
    it becomes the verdict ``error``.
    """


class DeviceTimeoutError(RigError, TimeoutError):
    """A device did not answer within its time."""
