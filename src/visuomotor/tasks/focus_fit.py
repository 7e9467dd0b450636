"""Whether an instrument and the actions of a policy fit the autofocus task: InputError tells what
does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError
from visuomotor.instruments.protocols import FocusInstrument

MAX_GRID = 100_000
"""Fine steps in a range, at most: sweeps and shortest ways go over all of them."""


def check_instrument(instrument: Any) -> None:
    """It has all its parts, limits between which it may be moved, and a fine step."""
    if not isinstance(instrument, FocusInstrument):
        raise InputError(
            f"autofocus needs an instrument with a camera, a focus axis and a fine_step, "
            f"got {type(instrument).__name__}"
        )
    limits = getattr(instrument.focus, "limits", None)
    if not _ascending(limits):
        raise InputError(
            f"focus.limits: expected two finite positions, the lower one first, got {limits}: "
            f"nothing is moved without limits"
        )
    if not (_is_number(instrument.fine_step) and instrument.fine_step > 0):
        raise InputError(f"fine_step: expected a positive distance, got {instrument.fine_step}")


def fine_step_on(instrument: FocusInstrument, own: float | None, own_unit: str) -> float:
    """The fine step in use: the policy's own, where it has one in the instrument's unit, else the
    instrument's; neither too small for its range."""
    unit, (low, high) = instrument.focus.unit, instrument.focus.limits
    if own is not None and own_unit not in ("", unit):
        raise InputError(
            f"the policy moves in steps of {own:g} {own_unit}, "
            f"but this instrument's focus is in {unit}"
        )
    step = own or instrument.fine_step
    if high - low > MAX_GRID * step:
        raise InputError(
            f"fine_step: expected at most {MAX_GRID} of them from {low:g} to {high:g} {unit}, "
            f"got {step:g} {unit}"
        )
    return step


def check_actions(action: NDArray[Any], count: int) -> None:
    """Of a policy that chooses among so many: NumPy would take -1 for the last one."""
    if action.dtype.kind not in "iu" or ((action < 0) | (action >= count)).any():
        raise InputError(f"policy: expected actions from 0 to {count - 1}, got {action.tolist()}")


def _ascending(limits: Any) -> bool:
    try:
        low, high = limits
    except (TypeError, ValueError):
        return False
    return _is_number(low) and _is_number(high) and low < high


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
