"""The errors this package raises on purpose: one sentence, for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file or field, what was expected and what came.
    The command line prints it and exits with code 2.
    """


class MissingExtraError(ImportError):
    """An optional part was asked for and its package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f'{package} is not installed; this part needs it: pip install "visuomotor[{extra}]"'
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known word, or all of them when none is near."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(words)}" if words else "none are known"
