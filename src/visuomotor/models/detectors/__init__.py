"""What is on a picture, and where.

One file of this folder for each kind of detector; its name is what ``detector`` is asked for. It
defines ``build(weights: Path | None, **options) -> Detector`` and imports what it needs plainly at
its top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from visuomotor.models.kinds import build, kinds
from visuomotor.types import ROI, Frames


class Detection(NamedTuple):
    """One object on a picture."""

    box: ROI
    """In pixels, inside the picture."""
    score: float
    """How sure the detector is, larger is surer; each kind says on which scale."""
    label: str
    """What it is."""


class Detector(Protocol):
    """Finds objects. The same picture gives the same detection, whatever pictures are beside it."""

    def __call__(self, frames: Frames) -> list[Detection | None]:
        """(M, H, W[, 3]) uint8, colour as RGB -> M: the best detection of each picture, or None
        where there is none. InputError for other pictures."""


def detectors() -> list[str]:
    """Names of all kinds, whether or not what they need is installed."""
    return kinds(__name__)


def detector(name: str = "default", weights: str | Path | None = None, **options: Any) -> Detector:
    """A detector by its name.

    ``weights`` is the user's file or folder, where the kind brings none; ``options`` are those of
    its ``build``. InputError for an unknown name or option, or a model that does not fit;
    MissingExtraError, with the line to install it, where the kind's package is missing.
    """
    found: Detector = build(__name__, "detector", name, weights, options)
    return found
