"""Pictures to feature vectors.

One file of this folder for each kind of encoder; its name is what ``encoder`` is asked for. It
defines ``build(weights: Path | None, **options) -> Encoder`` and imports what it needs plainly at
its top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visuomotor.models.kinds import build, kinds
from visuomotor.types import Frames


class Encoder(Protocol):
    """A picture's content and condition as a vector. The same picture gives the same vector, but
    for rounding, whatever pictures are beside it."""

    size: int
    """How many features."""

    def __call__(self, frames: Frames) -> NDArray[np.float32]:
        """(M, H, W[, 3]) uint8 -> (M, size) float32. InputError for other pictures."""


def encoders() -> list[str]:
    """Names of all kinds, whether or not what they need is installed."""
    return kinds(__name__)


def encoder(name: str = "small", weights: str | Path | None = None, **options: Any) -> Encoder:
    """An encoder by its name.

    ``weights`` is the user's file, where the kind ships none; ``options`` are those of its
    ``build``. InputError for an unknown name or option, or a file that does not fit;
    MissingExtraError, with the line to install it, where the kind's package is missing.
    """
    found: Encoder = build(__name__, "encoder", name, weights, options)
    return found
