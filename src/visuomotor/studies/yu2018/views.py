"""The views of the study, and whether they are as hard as the paper's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import OpticsConfig
from visuomotor.tasks.autofocus import PRESETS, AutofocusConfig
from visuomotor.tasks.discrete_search import moves_to_focus
from visuomotor.training.examining import focus_env

EXP1_RANGE_RAD = (30.0, 69.0)
EXP1_POSITIONS, EXP2_POSITIONS = 131, 266
ZONE_POSITIONS = (3, 8)
"""How many positions may lie above 0.9 of the maximum: fewer or more is another task."""
PEAK_PLACE = (0.4, 0.6)
"""Where the peak lies, as a share of the range."""
MICROSCOPE = MicroscopeConfig(
    specimen=SpecimenConfig("stained_tissue", slide_seed=1, magnify=2.0),
    optics=OpticsConfig(0.1, 0.55, 1.3, spherical_waves=0.2),
    # A fine drive of 0.2 mm a turn: 31.8 um for each radian of its knob.
    drive=DriveConfig("rad", 31.8, 10.2, 89.7, 49.6, 0.3),
    size_px=256,
)
"""The view of experiments 1 and 2, over the range of experiment 2."""


def view(
    microscope: MicroscopeConfig, slide_seed: int | None = None, field_seed: int = 0
) -> FocalStack:
    """The view over the range of experiment 2, recorded as the paper does; or another field, or
    slide, through the same microscope."""
    specimen = microscope.specimen
    slide = specimen.slide_seed if slide_seed is None else slide_seed
    other = replace(specimen, slide_seed=slide, field_seed=field_seed)
    name = f"yu2018-slide{slide}-field{field_seed}"
    return Microscope(replace(microscope, specimen=other)).stack(name=name)


def exp1_view(microscope: MicroscopeConfig) -> FocalStack:
    """Positions 66 to 196 (from 1: 67 to 197) of the 266: 30.0 to 69.0 rad."""
    return view(microscope).between(*EXP1_RANGE_RAD)


def exp3_view(microscope: MicroscopeConfig, slide_seed: int, field_seed: int) -> FocalStack:
    """A field of a slide over the range of experiment 1."""
    return view(microscope, slide_seed, field_seed).between(*EXP1_RANGE_RAD)


@dataclass(frozen=True)
class Facts:
    """How hard a view is."""

    positions: int
    zone_positions: int
    """Positions above 0.9 of the maximum."""
    peak_place: float
    """Of the range, 0 to 1."""
    optimal_steps: float
    """Mean over the starts, of an omniscient searcher, the stop counted."""
    longest: int
    """Steps from the worst start."""


def facts(stack: FocalStack, task: AutofocusConfig) -> Facts:
    """Read off a stack, among its own positions."""
    _, autofocus = focus_env(task, stack, 1)
    curve = autofocus.curves()[0]
    sharp = curve.sharpness > task.success_fraction * curve.maximum
    steps = moves_to_focus(sharp, task.steps) + 1
    return Facts(
        positions=stack.num_positions,
        zone_positions=int(sharp.sum()),
        peak_place=float(np.argmax(curve.sharpness) / (stack.num_positions - 1)),
        optimal_steps=float(steps.mean()),
        longest=int(steps.max()),
    )


def check_as_hard_as_the_paper(found: Facts, positions: int, max_steps: int, name: str) -> None:
    """InputError where the view makes another task of it than the paper's."""

    def expect(what: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise InputError(f"{name}: {what}: expected {low:g} to {high:g}, got {value:.4g}")

    expect("positions", found.positions, positions, positions)
    expect("positions above 0.9 of the maximum", found.zone_positions, *ZONE_POSITIONS)
    expect("place of the peak in the range", found.peak_place, *PEAK_PLACE)
    expect("steps from the worst start", found.longest, 1, max_steps)


def checked(stack: FocalStack, positions: int) -> Facts:
    """The facts of a view that is as hard as the paper's; InputError for another."""
    task = PRESETS["paper"]
    found = facts(stack, task)
    check_as_hard_as_the_paper(found, positions, task.max_steps, stack.name)
    return found
