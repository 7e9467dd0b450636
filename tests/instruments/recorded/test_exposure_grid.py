"""A recorded grid of focus positions and exposures, from files and as an instrument."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import visuomotor as vm
from visuomotor.instruments.protocols import (
    ExposureInstrument,
    FiniteCamera,
    HasCameraTruth,
    HasFocusTruth,
    Resumable,
)
from visuomotor.instruments.recorded.exposure_grid import ExposureGrid
from visuomotor.vision.focus import tenengrad

LENS, TIMES = np.array([30.0, 31.0, 33.0, 36.0]), np.array([1e3, 2e3, 4e3])
BEST = (1, 1)
"""Focus 31, and the longest exposure that does not saturate."""


def frames(colour: bool = False) -> np.ndarray:
    """Stripes that are sharpest at the second focus position; the last exposure is too long."""
    stripes = (np.arange(48) // 4 % 2 * 2.0 - 1) * np.ones((48, 1))
    rows = []
    for blur in (1.5, 0.5, 2.5, 4.0):
        seen = 60 + 50 * cv2.GaussianBlur(stripes, (0, 0), blur)
        rows.append([(seen * scale).clip(0, 255).astype(np.uint8) for scale in (1, 2, 4)])
    made = np.array(rows)
    return np.repeat(made[..., None], 3, axis=-1) if colour else made


def grid() -> ExposureGrid:
    return ExposureGrid(frames(), LENS, TIMES)


def write(folder: Path, name: str = "{0}_{1}.png") -> Path:
    for row, lens in zip(frames(), LENS, strict=True):
        for picture, time in zip(row, TIMES, strict=True):
            file = folder / name.format(f"{lens:g}", f"{time:g}")
            file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())
    return folder


# -- pictures and truth ----------------------------------------------------------------------------


def test_the_best_picture_is_the_sharpest_that_is_not_saturated() -> None:
    one = grid()
    sharpness, saturated = one.sharpness_of_cells(), one.saturated_of_cells()
    assert sharpness.shape == saturated.shape == (4, 3)
    assert saturated[:2].tolist() == [[False, False, True]] * 2
    assert (sharpness.argmax(0)[:2] == BEST[0]).all()  # the same focus at each exposure
    assert sharpness[1, 1] == pytest.approx(4 * sharpness[1, 0], rel=0.05)  # in grey levels
    assert np.argwhere(one.best_cells()).tolist() == [list(BEST)]
    assert np.argwhere(one.best_cells(within=0.9))[:, 1].max() == 1  # saturated ones never are
    assert not one.best_cells(share=-1.0).any()  # all of them are
    assert one.best_cells(measure=tenengrad).any()


def test_a_camera_of_12_bits_saturates_where_it_says() -> None:
    deep = frames().astype(np.uint16) * 16
    one = ExposureGrid(deep, LENS, TIMES, white=4080)
    np.testing.assert_array_equal(one.saturated_of_cells(), grid().saturated_of_cells())
    assert one.mirrored(focus=True).white == 4080
    assert one.instrument().camera.display_range == (0, 4080)
    assert not ExposureGrid(deep, LENS, TIMES).saturated_of_cells().any()


def test_colour_is_measured_by_its_luma_and_saturates_in_any_channel() -> None:
    colour = frames(colour=True)
    one = ExposureGrid(colour, LENS, TIMES)
    assert np.argwhere(one.best_cells()).tolist() == [list(BEST)]
    assert one.instrument(3).camera.grab(np.arange(3)).shape == (3, 48, 48, 3)
    colour[0, 0, ..., 2] = 255
    assert ExposureGrid(colour, LENS, TIMES).saturated_of_cells()[0, 0]


@given(st.booleans(), st.booleans())
@settings(deadline=None, max_examples=4)
def test_a_mirrored_grid_is_the_same_seen_from_the_other_side(focus: bool, exposure: bool) -> None:
    one, other = grid(), grid().mirrored(focus, exposure)
    assert other.lens[[0, -1]].tolist() == one.lens[[0, -1]].tolist()
    assert other.exposure_us[[0, -1]].tolist() == one.exposure_us[[0, -1]].tolist()
    assert (np.diff(other.lens) > 0).all()
    flipped = other.sharpness_of_cells()[:: -1 if focus else 1, :: -1 if exposure else 1]
    np.testing.assert_array_equal(flipped, one.sharpness_of_cells())
    twice = other.mirrored(focus, exposure)
    np.testing.assert_array_equal(twice.frames, one.frames)
    np.testing.assert_allclose(twice.lens, one.lens)


def test_a_relabelled_grid_has_the_same_pictures_at_other_positions() -> None:
    other = grid().relabelled([1, 2, 3, 4], [7, 8, 9], unit="step", exposure_unit="ms")
    assert (other.unit, other.exposure_unit) == ("step", "ms")
    rig = other.instrument(2)
    assert rig.focus.limits == (1, 4)
    assert rig.exposure.limits == (7, 9)
    np.testing.assert_array_equal(other.best_cells(), grid().best_cells())
    assert other.relabelled(exposure_us=TIMES).unit == "step"


# -- the instrument --------------------------------------------------------------------------------


def test_it_is_what_it_says() -> None:
    rig = grid().instrument(2)
    for protocol in (ExposureInstrument, HasFocusTruth, Resumable):
        assert isinstance(rig, protocol)
    assert isinstance(rig.camera, FiniteCamera)
    assert not isinstance(rig, HasCameraTruth)
    assert (rig.focus.unit, rig.exposure.unit) == ("V", "us")


def test_moves_snap_to_what_was_recorded() -> None:
    rig = grid().instrument(3)
    every = np.arange(3)
    np.testing.assert_array_equal(
        rig.focus.move_to(np.array([30.4, 34.4, 99.0]), every), [30, 33, 36]
    )
    np.testing.assert_array_equal(
        rig.exposure.move_to(np.array([0.0, 1.6e3, 3.1e3]), every), [1e3, 2e3, 4e3]
    )
    for cell, picture in enumerate(rig.camera.grab(every)):
        np.testing.assert_array_equal(picture, frames()[[0, 2, 3][cell], cell])
    assert rig.camera.frame_ids(every).tolist() == [0, 2 * 3 + 1, 3 * 3 + 2]
    assert rig.camera.num_frames == 12
    assert rig.camera.exposure_ms == 4


def test_episodes_begin_at_any_picture_or_where_they_are_told() -> None:
    rig = grid().instrument(200)
    every, draw = np.arange(200), np.random.default_rng(0)
    rig.reset(every, None, draw)
    assert len(set(rig.camera.frame_ids(every))) == 12
    before = rig.exposure.position
    rig.reset(every, np.full(200, 33.0), draw)  # exposure stays
    np.testing.assert_array_equal(rig.exposure.position, before)
    assert (rig.focus.position == 33).all()
    told = grid().instrument(2, start=(36.0, 2e3))
    told.reset(np.arange(2), None, draw)
    assert told.focus.position.tolist() == [36, 36]
    assert told.exposure.position.tolist() == [2e3, 2e3]


def test_each_exposure_has_a_focus_curve_of_its_own() -> None:
    rig = grid().instrument(3)
    rig.exposure.move_to(TIMES, np.arange(3))
    assert rig.views().tolist() == [0, 1, 2]
    curves = rig.focus_truth(tenengrad, "tenengrad")
    assert [curve.best_position for curve in curves[:2]] == [31, 31]
    assert rig.focus_truth(tenengrad, "tenengrad") is curves


# -- files -----------------------------------------------------------------------------------------


def test_a_folder_whose_names_say_where(tmp_path: Path) -> None:
    one = ExposureGrid.load(write(tmp_path))
    np.testing.assert_array_equal(one.frames, frames())
    np.testing.assert_array_equal(one.lens, LENS)
    np.testing.assert_array_equal(one.exposure_us, TIMES)
    assert (one.unit, one.exposure_unit) == ("position", "exposure")
    assert one.instrument().camera.exposure_ms == 0  # nobody knows
    turned = ExposureGrid.load(tmp_path, exposure_first=True)
    np.testing.assert_array_equal(turned.frames, frames().swapaxes(0, 1))


def test_a_folder_with_a_table(tmp_path: Path) -> None:
    write(tmp_path, "shot {0} at {1}.bmp")
    rows = [
        f"shot {lens:g} at {time:g}.bmp,{time / 1e3},{100 - lens}"
        for lens in LENS
        for time in TIMES
    ]
    (tmp_path / "grid.csv").write_text("\n".join(["file,exposure_ms,focus_V", *rows]))
    (tmp_path / "not of the grid.png").write_bytes(b"")
    one = ExposureGrid.load(tmp_path)
    assert (one.unit, one.exposure_unit) == ("V", "ms")
    np.testing.assert_array_equal(one.frames, frames()[::-1])
    np.testing.assert_allclose(one.lens, np.sort(100 - LENS))


def test_what_is_no_grid_is_refused_in_one_sentence(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(vm.InputError, match=words) as caught:
            ExposureGrid.load(tmp_path)
        assert "\n" not in str(caught.value)

    refused("two numbers.*got none")
    write(tmp_path)
    gone = tmp_path / "33_2000.png"
    gone.rename(tmp_path / "hidden")
    refused("found none at 33 and 2000")
    shutil.copy(tmp_path / "30_2000.png", tmp_path / "33_2000.0.png")
    shutil.copy(tmp_path / "30_2000.png", tmp_path / "33_2000.png")
    refused("expected one picture at a place, got")
    (tmp_path / "33_2000.0.png").unlink()
    gone.write_bytes(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes())
    refused("expected a picture like the first")
    gone.write_bytes((tmp_path / "30_1000.png").read_bytes()[:-30])
    refused("33_2000.png: expected a whole picture")
    (tmp_path / "grid.csv").write_text("file,focus\n30_1000.png,1\n")
    refused("grid.csv: expected rows under file, focus_<unit> and exposure_<unit>")
    (tmp_path / "grid.csv").write_text("file,focus,exposure\n30_1000.png,1,long\n")
    refused("expected a file and two numbers")
    (tmp_path / "grid.csv").write_text("file,focus,exposure\nlost.png,1,2\n")
    refused("expected a picture and two finite numbers")
    (tmp_path / "grid.csv").write_text("")
    refused("grid.csv: expected rows")
    with pytest.raises(vm.InputError, match="expected a folder"):
        ExposureGrid.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExposureGrid(frames() / 2, LENS, TIMES), "expected uint8 or uint16"),
        (lambda: ExposureGrid(frames()[0], LENS, TIMES), r"expected shape \(F, E, H, W\)"),
        (lambda: ExposureGrid(frames()[:1], LENS[:1], TIMES), "at least 2 x 2"),
        (lambda: ExposureGrid(frames(), LENS[::-1], TIMES), "lens: expected ascending"),
        (lambda: ExposureGrid(frames(), LENS, TIMES[:2]), "exposure_us: expected 3 numbers"),
        (lambda: ExposureGrid(frames(), LENS, TIMES, white=300), "white: expected a level"),
        (lambda: grid().instrument(0), "cells: expected at least 1"),
        (lambda: grid().instrument(start=(0.0, 1e3)), "start: expected positions from 30"),
        (lambda: grid().instrument(start=(30.0, 1.0)), "start: exposure: expected positions"),
        (lambda: grid().instrument(roi="auto"), "roi: expected four numbers"),
        (
            lambda: grid().instrument().reset(np.array([0]), np.array([0.0]), None),
            "start: expected positions from 30",
        ),
    ],
)
def test_wrong_input_is_refused(make, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        make()


def test_the_real_grid(shared_data: Path) -> None:
    """Focus 0 or 1 (a near tie), and the longest of five exposures, none of which saturates."""
    real = ExposureGrid.load(shared_data / "cc0_camera_focus_x_exposure_10x5")
    assert real.frames.shape == (10, 5, 400, 640)
    np.testing.assert_array_equal(real.exposure_us, [20, 30, 40, 50, 60])
    assert not real.saturated_of_cells().any()
    assert np.argwhere(real.best_cells()).tolist() == [[0, 4], [1, 4]]
    mirrored = real.mirrored(focus=True, exposure=True)
    assert np.argwhere(mirrored.best_cells()).tolist() == [[8, 0], [9, 0]]
    rig = mirrored.relabelled(np.linspace(24, 70, 10), np.geomspace(1e3, 4.5e6, 5), "V", "us")
    cells = np.arange(50)
    live = rig.instrument(50)
    live.focus.move_to(np.repeat(rig.lens, 5), cells)
    live.exposure.move_to(np.tile(rig.exposure_us, 10), cells)
    np.testing.assert_array_equal(live.camera.frame_ids(cells), cells)
