"""What camera control is asked: one frozen config, and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from visuomotor.configs import check_range, from_plain
from visuomotor.errors import InputError

NAME = "camera_control"
NEWEST = ("features", "histogram", "edges")
"""What preset ``paper`` sees, of the newest look alone."""
EVERYTHING = (*NEWEST, "levels", "detail", "settings")


@dataclass(frozen=True)
class CameraControlConfig:
    """What is asked. Exposures are in us, the lens in its own unit (V)."""

    control: Literal["exposure", "focus", "both"] = "both"
    """What is set: the exposure time, the lens, or first one and then the other."""
    observation: tuple[str, ...] = EVERYTHING
    """Which of features, histogram, edges, levels, detail, settings, focusing the policy sees."""
    history: int = 3
    """Looks that are seen, the newest first."""
    exposures: int = 146
    """Exposure times to choose from, evenly spaced by logarithm ..."""
    exposure_range_us: tuple[float, float] = (1e3, 4.5e6)
    """... over this range."""
    lens_range: tuple[float, float] = (24.0, 70.0)
    """The lens is set to hundredths within it."""
    encoder: str = "small"
    """Whose features are seen: see ``models.encoders``."""
    encoder_weights: str | None = None
    """A file of the user's own."""
    detector: str = "default"
    """What finds the object: see ``models.detectors``."""
    quality: Literal["brisque", "truth"] = "truth"
    """B of rewards (11) and (12): BRISQUE, or the true blur where a simulator knows it."""
    brisque_model: str | None = None
    """The libsvm file of BRISQUE's model; None takes the installed one."""
    sharp_px: float | None = 1.5
    """Ends when the object is detected and its blur is at most this; None: when it is detected, as
    anikina2021 (algorithm 2) does."""
    edge_px: float = 2.1
    """Blur that is measured of edges in focus, by the lens' own spot and the pixels; it is taken
    off where blur is measured, on a rig that does not know it."""
    strict: bool = False
    """An exposure that shows nothing ends the episode (anikina2021, algorithm 1)."""
    max_steps: int = 10
    """Actions after which the episode has failed (it terminates)."""

    def __post_init__(self) -> None:
        check_range(self, history=(1, 100), exposures=(2, 10_000), max_steps=(1, 10**9))
        check_range(self, sharp_px=(0.1, 100), edge_px=(0, 100))
        for key in self.observation:
            if key not in (*EVERYTHING, "focusing"):
                known = ", ".join((*EVERYTHING, "focusing"))
                raise InputError(f"{NAME}: observation: got {key!r}; known: {known}")
        for name in ("exposure_range_us", "lens_range"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise InputError(f"{NAME}: {name}: expected 0 < low < high, got {low:g}, {high:g}")


_PAPER = {"history": 1, "quality": "brisque", "sharp_px": None, "strict": True}


def _preset(control: str, **changes: Any) -> CameraControlConfig:
    return from_plain(CameraControlConfig, {"control": control, **changes}, NAME)


PRESETS = {
    "default": _preset("both", observation=[*EVERYTHING, "focusing"], max_steps=15),
    "exposure": _preset("exposure"),
    "focus": _preset("focus"),
    "paper exposure": _preset("exposure", observation=list(NEWEST), **_PAPER),
    "paper focus": _preset("focus", observation=["features"], **_PAPER),
}
