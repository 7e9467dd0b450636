"""What every instrument promises: walks every file below ``instruments`` that gives examples."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import ExitStack

import numpy as np
import pytest

import visuomotor as vm
from visuomotor.discovery import names_in
from visuomotor.instruments.protocols import (
    Camera,
    FiniteCamera,
    FocusInstrument,
    HasCameraTruth,
    HasFocusTruth,
    Resumable,
)
from visuomotor.vision.focus import tenengrad

CELLS = 4
ALL = np.arange(CELLS)
RIGS = ("workcells", "micromanager")
"""Modules whose instruments stand for hardware."""
PACKAGES = (
    "visuomotor.instruments",
    "visuomotor.instruments.recorded",
    "visuomotor.instruments.simulated",
)
MODULES = [f"{p}.{name}" for p in PACKAGES for name in names_in(p, "examples")]
if importlib.util.find_spec("pymmcore_plus") and importlib.util.find_spec("mm_test_adapters"):
    MODULES.append("visuomotor.instruments.drivers.micromanager")
EXAMPLES = [
    pytest.param(module, name, id=f"{module.rpartition('.')[2]}: {name}")
    for module in MODULES
    for name in importlib.import_module(module).examples(1)
]


def fresh(module: str, name: str, cells: int = CELLS):
    return importlib.import_module(module).examples(cells)[name]


@pytest.fixture
def make():
    """Opens an instrument, and leaves it after the test."""
    with ExitStack() as stack:
        yield lambda module, name: stack.enter_context(fresh(module, name))


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize(("module", "name"), EXAMPLES)
class TestInstrument:
    def test_it_has_its_parts(self, make, module: str, name: str) -> None:
        rig = make(module, name)
        assert isinstance(rig, FocusInstrument)
        assert isinstance(rig.camera, Camera)
        assert rig.num_cells == CELLS
        low, high = rig.focus.limits
        assert low < high
        assert 0 < rig.fine_step <= high - low
        assert rig.focus.unit
        assert rig.camera.timeout_ms >= 0
        black, white = rig.camera.display_range
        assert black < white

    def test_pictures_are_raw_and_only_of_the_cells_named(
        self, make, module: str, name: str
    ) -> None:
        rig = make(module, name)
        rig.reset(ALL, None, generator())
        for cells in (ALL, np.array([2]), np.array([], np.int64)):
            pictures = rig.camera.grab(cells)
            assert len(pictures) == len(cells)
            assert pictures.dtype in (np.uint8, np.uint16)
            assert pictures.ndim in (3, 4)
            if rig.roi is not None and len(cells):
                assert pictures.shape[1:3] == (rig.roi.height, rig.roi.width)

    def test_moves_are_clipped_reported_and_leave_other_cells_alone(
        self, make, module: str, name: str
    ) -> None:
        rig = make(module, name)
        low, high = rig.focus.limits
        rig.reset(ALL, np.full(CELLS, low), generator())
        executed = rig.focus.move_to(np.array([high + 1e3, low - 1e3]), np.array([1, 2]))
        np.testing.assert_allclose(executed, [high, low])
        np.testing.assert_allclose(rig.focus.position, [low, high, low, low])
        middle = rig.focus.move_to(np.array([0.5 * (low + high)]), np.array([0]))
        assert rig.focus.position[0] == middle[0]
        assert abs(middle[0] - 0.5 * (low + high)) <= (high - low) / 2

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_target_that_is_no_number_is_refused(
        self, make, module: str, name: str, bad: float
    ) -> None:
        rig = make(module, name)
        rig.reset(ALL, None, generator())
        before = rig.focus.position
        with pytest.raises(vm.InputError, match="finite"):
            rig.focus.move_to(np.array([bad]), np.array([0]))
        np.testing.assert_array_equal(rig.focus.position, before)

    def test_position_is_a_copy(self, make, module: str, name: str) -> None:
        rig = make(module, name)
        rig.reset(ALL, None, generator())
        before = rig.focus.position
        rig.focus.position[:] = 1e9
        np.testing.assert_array_equal(rig.focus.position, before)

    def test_resets_are_reproducible_and_inside_the_limits(
        self, make, module: str, name: str
    ) -> None:
        rig, twin = make(module, name), make(module, name)
        for _ in range(3):
            for one in (rig, twin):
                one.reset(ALL, None, generator())
            np.testing.assert_array_equal(rig.focus.position, twin.focus.position)
        low, high = rig.focus.limits
        assert ((rig.focus.position >= low) & (rig.focus.position <= high)).all()

    def test_the_picture_depends_on_position_alone(self, make, module: str, name: str) -> None:
        rig = make(module, name)
        low, high = rig.focus.limits
        rig.reset(ALL, np.array([low, high, low, 0.5 * (low + high)]), generator())
        pictures = rig.camera.grab(ALL)
        np.testing.assert_array_equal(pictures[0], pictures[2])
        assert (pictures[0] != pictures[3]).any()

    def test_a_finite_camera_knows_its_pictures(self, make, module: str, name: str) -> None:
        rig = make(module, name)
        if not isinstance(rig.camera, FiniteCamera):
            assert not hasattr(rig.camera, "frame_ids")
            return
        rig.reset(ALL, None, generator())
        ids = rig.camera.frame_ids(ALL)
        assert ((ids >= 0) & (ids < rig.camera.num_frames)).all()
        np.testing.assert_array_equal(rig.camera.frames(ids), rig.camera.grab(ALL))

    def test_the_truth_is_a_curve_over_the_range(self, make, module: str, name: str) -> None:
        rig = make(module, name)
        if not isinstance(rig, HasFocusTruth):
            changing = isinstance(rig, HasCameraTruth)  # knows, but no curve lasts
            assert changing or module.endswith(RIGS), "only a rig does not know where focus is"
            return
        curves = rig.focus_truth(tenengrad, "tenengrad")
        assert set(rig.views()) <= set(range(len(curves)))
        for number, curve in enumerate(curves):
            assert (np.diff(curve.positions) > 0).all()
            assert curve.positions[[0, -1]].tolist() == list(rig.focus.limits)
            assert np.isfinite(curve.sharpness).all()
            # The camera agrees with the truth.
            rig.reset(ALL, np.full(CELLS, curve.best_position), generator())
            seen = tenengrad(rig.camera.grab(np.flatnonzero(rig.views() == number)))
            np.testing.assert_allclose(seen, curve.maximum)

    def test_state_comes_back(self, make, module: str, name: str) -> None:
        rig, twin = make(module, name), make(module, name)
        if not isinstance(rig, Resumable):
            assert module.endswith(RIGS), "only a rig cannot be put back into a state"
            return
        rig.reset(ALL, None, generator())
        twin.load_state_dict(rig.state_dict())
        np.testing.assert_array_equal(rig.focus.position, twin.focus.position)
        np.testing.assert_array_equal(rig.camera.grab(ALL), twin.camera.grab(ALL))

    def test_it_is_left_by_success_and_by_failure(self, module: str, name: str) -> None:
        with fresh(module, name) as rig:
            rig.reset(ALL, None, generator())
        with pytest.raises(RuntimeError, match="on purpose"), fresh(module, name):
            raise RuntimeError("on purpose")
