"""Recorded focal stacks: reading every format, refusing bad input, and the instrument made of one.

The files are written here, so that what they hold is known to the last grey level.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.errors import InputError
from visuomotor.instruments.protocols import (
    Axis,
    Camera,
    FiniteCamera,
    FocusInstrument,
    HasFocusTruth,
    Resumable,
)
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import ROI, FloatArray, Frames
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import content_roi, smooth

GENERATOR = np.random.default_rng(0)


def pictures(
    count: int = 5, height: int = 24, width: int = 30, dtype: type = np.uint8, colour: bool = False
) -> Frames:
    """Random planes that all differ."""
    shape = (count, height, width, 3) if colour else (count, height, width)
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top, shape, endpoint=True).astype(dtype)


def hill(count: int = 21, best: float = 8.0, size: int = 64, step: float = 0.5) -> FocalStack:
    """A texture blurred by the distance from ``best`` planes."""
    texture = np.random.default_rng(2).uniform(30, 220, (size, size)).astype(np.float32)
    planes = [cv2.GaussianBlur(texture, (0, 0), 0.6 + 0.2 * abs(i - best)) for i in range(count)]
    frames = np.rint(np.stack(planes)).astype(np.uint8)
    return FocalStack(frames, 10 + step * np.arange(count), "um", "hill")


def sharpness(frames: Frames) -> FloatArray:
    return tenengrad(smooth(frames, 1.0))


def write_folder(
    folder: Path, frames: Frames, names: list[str], write: Callable[[str, Any], Any]
) -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names, frames, strict=True):
        write(str(folder / name), frame)
    return folder


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("stated", "unit"), [("µm", "um"), ("nm", "nm"), (None, "um")])
def test_ome_tiff(tmp_path: Path, dtype: type, stated: str | None, unit: str) -> None:
    frames = pictures(dtype=dtype)
    path = tmp_path / "stack.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 0.25}
    if stated:
        metadata["PhysicalSizeZUnit"] = stated
    tifffile.imwrite(path, frames, ome=True, metadata=metadata)
    stack = FocalStack.load(path)
    np.testing.assert_array_equal(stack.frames, frames)
    assert stack.frames.dtype == dtype
    np.testing.assert_allclose(stack.positions, [0, 0.25, 0.5, 0.75, 1.0])
    assert stack.unit == unit
    assert stack.name == "stack"
    assert stack.interpolated_from is None


def test_ome_tiff_without_a_spacing_counts_planes(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, pictures(), ome=True, metadata={"axes": "ZYX"})
    stack = FocalStack.load(path)
    np.testing.assert_array_equal(stack.positions, np.arange(5))
    assert stack.unit == "plane"


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_imagej_tiff(tmp_path: Path, unit: str) -> None:
    frames = pictures(dtype=np.uint16)
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "spacing": 2.5, "unit": unit}
    tifffile.imwrite(path, frames, imagej=True, metadata=metadata)
    stack = FocalStack.load(path)
    np.testing.assert_array_equal(stack.frames, frames)
    np.testing.assert_allclose(stack.positions, 2.5 * np.arange(5))
    assert stack.unit == "um"


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": None},
        {"compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (16, 16)},
    ],
    ids=["plain", "zlib", "bigtiff", "big-endian", "tiled"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_pages_count_planes(tmp_path: Path, options: dict[str, Any], dtype: type) -> None:
    frames = pictures(dtype=dtype)
    path = tmp_path / "stack.tiff"
    tifffile.imwrite(path, frames, **options)
    stack = FocalStack.load(path)
    np.testing.assert_array_equal(stack.frames, frames)
    np.testing.assert_array_equal(stack.positions, np.arange(5))
    assert stack.unit == "plane"


@pytest.mark.parametrize("metadata", [None, {}])
def test_tiff_written_page_by_page(tmp_path: Path, metadata: dict[str, Any] | None) -> None:
    frames = pictures()
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as tif:
        for frame in frames:
            tif.write(frame, metadata=metadata)
    np.testing.assert_array_equal(FocalStack.load(path).frames, frames)


def test_rgb_tiff(tmp_path: Path) -> None:
    frames = pictures(colour=True)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, frames, photometric="rgb")
    np.testing.assert_array_equal(FocalStack.load(path).frames, frames)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_a_folder_of_pictures_in_natural_order(tmp_path: Path, suffix: str) -> None:
    frames = pictures(11)
    names = [f"z{i + 1}{suffix}" for i in range(11)]  # z10 sorts before z2 as text
    folder = write_folder(tmp_path / "view", frames, names, cv2.imwrite)
    (folder / "notes.csv").write_text("1,2")
    (folder / "._z1.png").write_bytes(b"what macOS leaves behind")
    stack = FocalStack.load(folder)
    np.testing.assert_array_equal(stack.frames, frames)
    np.testing.assert_array_equal(stack.positions, np.arange(1, 12))
    assert stack.unit == "plane"
    assert stack.name == "view"


def test_a_folder_of_jpegs(tmp_path: Path) -> None:
    frames = np.stack([cv2.GaussianBlur(p, (0, 0), 4) for p in pictures(4, colour=True)])
    names = [f"{i}.jpg" for i in range(4)]
    stack = FocalStack.load(write_folder(tmp_path / "view", frames[..., ::-1], names, cv2.imwrite))
    assert stack.frames.shape == frames.shape
    assert np.abs(stack.frames.astype(int) - frames).mean() < 5


def test_a_folder_of_sixteen_bits(tmp_path: Path) -> None:
    frames = pictures(4, dtype=np.uint16)
    names = [f"{i}.png" for i in range(4)]
    stack = FocalStack.load(write_folder(tmp_path / "view", frames, names, cv2.imwrite))
    assert stack.frames.dtype == np.uint16
    np.testing.assert_array_equal(stack.frames, frames)


def test_colours_of_a_picture_are_red_green_blue(tmp_path: Path) -> None:
    frames = pictures(3, colour=True)
    names = [f"{i}.png" for i in range(3)]
    folder = write_folder(tmp_path / "view", frames[..., ::-1], names, cv2.imwrite)
    np.testing.assert_array_equal(FocalStack.load(folder).frames, frames)


def test_a_missing_frame_leaves_a_gap(tmp_path: Path) -> None:
    names = [f"run2_pos{i:02d}.png" for i in (14, 15, 17, 18)]
    folder = write_folder(tmp_path / "view", pictures(4), names, cv2.imwrite)
    np.testing.assert_array_equal(FocalStack.load(folder).positions, [14, 15, 17, 18])
    stack = FocalStack.load(folder, spacing=0.5)
    np.testing.assert_array_equal(stack.positions, [7, 7.5, 8.5, 9])
    assert stack.unit == "um"
    assert FocalStack.load(folder, spacing=2, unit="step").unit == "step"


@pytest.mark.parametrize(
    "names", [["a.png", "b.png", "c.png"], ["1_10.png", "2_20.png", "3_30.png"]]
)
def test_names_without_one_varying_number_are_counted(tmp_path: Path, names: list[str]) -> None:
    folder = write_folder(tmp_path / "view", pictures(3), names, cv2.imwrite)
    np.testing.assert_array_equal(FocalStack.load(folder).positions, [0, 1, 2])


def test_a_folder_around_one_tiff_is_that_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "run_1.tif", pictures())
    assert FocalStack.load(tmp_path).num_positions == 5


def test_a_stated_spacing_can_be_overruled(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    tifffile.imwrite(path, pictures(), imagej=True, metadata=metadata)
    stack = FocalStack.load(path, spacing=0.1)
    np.testing.assert_allclose(stack.positions, 0.1 * np.arange(5))
    assert stack.unit == "um"


def test_paths_may_be_text(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", pictures())
    assert FocalStack.load(str(tmp_path / "stack.tif")).num_positions == 5


# -- bad files: one sentence each ------------------------------------------------------------------


def refusal(call: Callable[[], object]) -> str:
    """The sentence of the InputError, which is one line without a stop inside it."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    return message


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "none.tif" in refusal(lambda: FocalStack.load(tmp_path / "none.tif"))


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert str(tmp_path) in refusal(lambda: FocalStack.load(tmp_path))


def test_a_single_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), pictures(1)[0])
    assert "one.png" in refusal(lambda: FocalStack.load(tmp_path / "one.png"))


def test_pictures_of_mixed_shapes_name_the_first_odd_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v", pictures(4), [f"{i}.png" for i in range(4)], cv2.imwrite)
    cv2.imwrite(str(folder / "2.png"), pictures(1, 10, 12)[0])
    message = refusal(lambda: FocalStack.load(folder))
    assert "2.png" in message
    assert "24 x 30" in message
    assert "10 x 12" in message


def test_pictures_of_mixed_types_name_the_first_odd_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v", pictures(4), [f"{i}.png" for i in range(4)], cv2.imwrite)
    cv2.imwrite(str(folder / "3.png"), pictures(1, dtype=np.uint16)[0])
    message = refusal(lambda: FocalStack.load(folder))
    assert "3.png" in message
    assert "uint16" in message


def test_pages_of_mixed_shapes(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as tif:
        for shape in ((24, 30), (24, 30), (10, 12)):
            tif.write(np.zeros(shape, np.uint8), metadata=None)
    assert "stack.tif" in refusal(lambda: FocalStack.load(path))


def test_fewer_than_three_planes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "two.tif", pictures(2))
    assert "3 planes, got 2" in refusal(lambda: FocalStack.load(tmp_path / "two.tif"))


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_float_tiff(tmp_path: Path, value: float) -> None:
    frames = pictures().astype(np.float32)
    frames[2, 3, 4] = value
    tifffile.imwrite(tmp_path / "float.tif", frames)
    message = refusal(lambda: FocalStack.load(tmp_path / "float.tif"))
    assert "uint8 or uint16" in message
    assert "float32" in message
    assert ("NaN" in message) == bool(np.isnan(value))


def test_several_channels_have_to_be_chosen_from(tmp_path: Path) -> None:
    frames = np.stack([pictures(), pictures()[::-1]], axis=1)
    path = tmp_path / "two.ome.tif"
    tifffile.imwrite(path, frames, ome=True, metadata={"axes": "ZCYX"})
    assert "channel" in refusal(lambda: FocalStack.load(path))
    np.testing.assert_array_equal(FocalStack.load(path, channel=1).frames, frames[:, 1])


@pytest.mark.parametrize("spacing", [0, -1.0, np.nan, np.inf])
def test_a_spacing_that_is_no_distance(tmp_path: Path, spacing: float) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", pictures())
    assert "spacing" in refusal(lambda: FocalStack.load(tmp_path / "stack.tif", spacing=spacing))


@pytest.mark.parametrize("kind", ["ome", "imagej", "plain", "zlib", "page by page", "bigtiff"])
def test_a_truncated_tiff_is_refused_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    """Or, when only padding at the very end is gone, read in full: never a part of the stack."""
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    frames = pictures(dtype=np.uint16)
    if kind == "page by page":
        with tifffile.TiffWriter(whole) as tif:
            for frame in frames:
                tif.write(frame, metadata=None, contiguous=False)
    else:
        options: dict[str, dict[str, Any]] = {
            "ome": {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeZ": 1.0}},
            "imagej": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 1.0}},
            "plain": {"metadata": None},
            "zlib": {"compression": "zlib"},
            "bigtiff": {"bigtiff": True},
        }
        tifffile.imwrite(whole, frames, **options[kind])
    content = whole.read_bytes()
    lengths = [*range(0, len(content) - 200, 131), *range(len(content) - 200, len(content), 7)]
    refused = 0
    for length in lengths:
        cut.write_bytes(content[:length])
        try:
            stack = FocalStack.load(cut)
        except InputError:
            refused += 1
        else:  # nothing but the print resolution of the last page is gone
            assert length > len(content) - 32
            np.testing.assert_array_equal(stack.frames, frames)
    assert refused >= len(lengths) - 5


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_truncated_picture_in_a_folder_is_refused(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    frames = np.stack([cv2.GaussianBlur(p, (0, 0), 2) for p in pictures(4)])
    names = [f"{i}{suffix}" for i in range(4)]
    folder = write_folder(tmp_path / "view", frames, names, cv2.imwrite)
    odd = folder / f"2{suffix}"
    content = odd.read_bytes()
    for length in {0, 1, 10, 40, len(content) // 2, 9 * len(content) // 10, len(content) - 20}:
        odd.write_bytes(content[:length])
        assert odd.name in refusal(lambda: FocalStack.load(folder))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_file_that_only_looks_like_a_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    folder = write_folder(
        tmp_path / "view", pictures(3), [f"{i}{suffix}" for i in range(3)], cv2.imwrite
    )
    (folder / f"1{suffix}").write_bytes(b"this is text, whatever its name says" * 20)
    assert f"1{suffix}" in refusal(lambda: FocalStack.load(folder))


# -- the stack -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "positions", "words"),
    [
        (pictures(3), [0, 1, 1], "ascending"),
        (pictures(3), [0, 2, 1], "ascending"),
        (pictures(3), [2, 1, 0], "ascending"),
        (pictures(3), [0, np.nan, 2], "finite"),
        (pictures(3), [0, 1, np.inf], "finite"),
        (pictures(3), [0, 1], "3"),
        (pictures(3), [[0, 1, 2]], "3"),
        (pictures(2), [0, 1], "3 planes"),
        (pictures(3)[0], [0, 1, 2], "shape"),
        (np.zeros((3, 20, 20, 2), np.uint8), [0, 1, 2], "shape"),
        (np.zeros((3, 5, 20), np.uint8), [0, 1, 2], "8 x 8"),
        (np.zeros((3, 20, 20)), [0, 1, 2], "uint8 or uint16 pictures, got float64"),
        (np.full((3, 20, 20), np.nan, np.float32), [0, 1, 2], "NaN"),
        (np.zeros((3, 20, 20), np.int16), [0, 1, 2], "int16"),
        (np.zeros((3, 20, 20), bool), [0, 1, 2], "bool"),
    ],
)
def test_what_is_no_stack_is_refused(frames: Any, positions: Any, words: str) -> None:
    message = refusal(lambda: FocalStack(frames, positions, name="mine"))
    assert "mine" in message
    assert words in message


def test_a_flat_stack_is_a_stack() -> None:
    stack = FocalStack(np.full((4, 20, 20), 90, np.uint8), np.arange(4))
    assert stack.curve(sharpness).range == pytest.approx(0, abs=1e-6)
    black, white = stack.display_range
    assert white > black


@pytest.mark.parametrize("shift", [0, 5])
def test_the_fine_step_is_a_fifth_of_the_sharp_zone(shift: int) -> None:
    stack = hill(best=8 + shift)
    curve = stack.curve(sharpness)
    sharp = curve.positions[curve.sharpness > 0.9 * curve.maximum]
    width = 5 * stack.fine_step()
    assert sharp[-1] - sharp[0] <= width <= sharp[-1] - sharp[0] + 2 * stack.spacing


def test_the_fine_step_of_a_flat_stack_is_a_130th_of_its_range() -> None:
    stack = FocalStack(np.full((4, 20, 20), 0, np.uint8), [0, 1, 2, 13])
    assert stack.fine_step() == pytest.approx(0.1)


def test_one_display_range_for_a_stack_and_its_interpolations() -> None:
    stack = hill()
    assert stack.resample(101).display_range == stack.display_range
    low, high = np.percentile(stack.frames, (0.1, 99.9))
    assert stack.display_range == pytest.approx((low, high), abs=2)


def test_the_digest_tells_stacks_apart() -> None:
    frames, positions = pictures(4), np.arange(4.0)
    same = FocalStack(frames.copy(), positions, "mm", "other").origin_digest
    digest = FocalStack(frames, positions).origin_digest
    assert digest == same
    assert len(digest) == 64
    changed = frames.copy()
    changed[2, 3, 4] ^= 1
    others = [
        FocalStack(changed, positions),
        FocalStack(frames, positions * 2),
        FocalStack(frames.astype(np.uint16), positions),
        FocalStack(frames.reshape(4, 30, 24), positions),
    ]
    assert len({digest, *(other.origin_digest for other in others)}) == 5
    assert FocalStack(frames, positions).resample(9).origin_digest == digest


def test_recorded_planes_come_back_exactly() -> None:
    stack = FocalStack(pictures(5), [0, 1, 2.5, 3, 7])
    np.testing.assert_array_equal(stack.planes(np.array([3, 0, 4])), stack.frames[[3, 0, 4]])
    np.testing.assert_array_equal(stack.frames_at(stack.positions), stack.frames)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@settings(max_examples=30, deadline=None)
@given(position=st.floats(0, 7))
def test_between_planes_pictures_are_blended_linearly(dtype: type, position: float) -> None:
    stack = FocalStack(pictures(5, dtype=dtype), [0, 1, 2.5, 3, 7])
    blend = stack.frames_at([position])[0]
    levels = stack.frames.reshape(5, -1).astype(np.float64)
    exact = np.array([np.interp(position, stack.positions, column) for column in levels.T])
    assert blend.dtype == dtype
    assert np.abs(blend.reshape(-1) - exact).max() <= 0.5 + 0.01


@pytest.mark.parametrize("position", [-0.1, 7.1, np.nan, np.inf])
def test_there_is_no_picture_outside_the_recording(position: float) -> None:
    stack = FocalStack(pictures(5), [0, 1, 2.5, 3, 7])
    assert "0 to 7" in refusal(lambda: stack.frames_at([1.0, position]))


def test_resampling_is_lazy_and_says_so() -> None:
    stack = hill(21)
    finer = stack.resample(131)
    assert finer.num_positions == 131
    assert finer.interpolated_from == 21
    assert finer.frames is stack.frames
    assert finer.unit == stack.unit
    np.testing.assert_allclose(finer.positions, np.linspace(10, 20, 131))
    assert finer.spacing == pytest.approx(10 / 130)
    np.testing.assert_array_equal(finer.planes(np.array([0, 130])), stack.frames[[0, -1]])
    assert finer.curve(sharpness).best_position == pytest.approx(14, abs=0.1)
    assert stack.interpolated_from is None


def test_resampling_twice_starts_from_the_recorded_planes() -> None:
    stack = hill(11)
    once, twice = stack.resample(41), stack.resample(7).resample(41)
    assert twice.interpolated_from == 11
    np.testing.assert_array_equal(twice.planes(np.arange(41)), once.planes(np.arange(41)))


def test_the_curve_is_the_measure_at_every_position() -> None:
    stack = hill()
    curve = stack.curve(sharpness)
    np.testing.assert_array_equal(curve.positions, stack.positions)
    np.testing.assert_allclose(curve.sharpness, sharpness(stack.frames))
    assert curve.best_position == 14
    roi = ROI(4, 6, 20, 30)
    np.testing.assert_allclose(
        stack.curve(sharpness, roi).sharpness, sharpness(roi.crop(stack.frames))
    )


# -- the instrument --------------------------------------------------------------------------------


@pytest.mark.parametrize("continuous", [True, False])
def test_the_instrument_keeps_the_protocols(continuous: bool) -> None:
    with hill().instrument(start=12.0, cells=3, continuous=continuous) as rig:
        assert isinstance(rig, FocusInstrument)
        assert isinstance(rig, HasFocusTruth)
        assert isinstance(rig, Resumable)
        assert isinstance(rig.camera, Camera)
        assert isinstance(rig.camera, FiniteCamera) != continuous
        assert isinstance(rig.focus, Axis)
        assert rig.focus.limits == (10, 20)
        assert rig.focus.unit == "um"
        assert rig.num_cells == 3
        assert rig.roi is None
        assert rig.camera.display_range == hill().display_range
        np.testing.assert_array_equal(rig.views(), np.zeros(3))


def test_the_camera_sees_the_stack_where_the_axis_is() -> None:
    stack = hill()
    rig = stack.instrument(cells=3)
    cells = np.array([2, 0])
    came = rig.focus.move_to(np.array([11.25, 19.1]), cells)
    np.testing.assert_array_equal(came, [11.25, 19.1])
    np.testing.assert_array_equal(rig.focus.position[cells], [11.25, 19.1])
    np.testing.assert_array_equal(rig.camera.grab(cells), stack.frames_at([11.25, 19.1]))
    assert rig.camera.grab(np.array([], np.int64)).shape[0] == 0


@pytest.mark.parametrize("continuous", [True, False])
def test_the_limits_clip(continuous: bool) -> None:
    rig = hill().instrument(cells=2, continuous=continuous)
    came = rig.focus.move_to(np.array([-1e9, 1e9]), np.arange(2))
    np.testing.assert_array_equal(came, [10, 20])
    np.testing.assert_array_equal(rig.focus.position, [10, 20])


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_is_refused_and_nothing_moves(
    continuous: bool, bad: float
) -> None:
    rig = hill().instrument(cells=2, continuous=continuous)
    rig.focus.move_to(np.array([12.0, 13.0]), np.arange(2))
    with pytest.raises(InputError, match="finite"):
        rig.focus.move_to(np.array([14.0, bad]), np.arange(2))
    np.testing.assert_array_equal(rig.focus.position, [12, 13])


@settings(max_examples=50, deadline=None)
@given(target=st.floats(-5, 12))
def test_a_snapping_axis_goes_to_the_nearest_recorded_position(target: float) -> None:
    stack = FocalStack(pictures(5), [0, 1, 2.5, 3, 7])
    rig = stack.instrument(continuous=False, fine_step=1.0)
    cell = np.array([0])
    came = rig.focus.move_to(np.array([target]), cell)[0]
    assert came in stack.positions
    assert (
        abs(came - np.clip(target, 0, 7)) == np.abs(stack.positions - np.clip(target, 0, 7)).min()
    )
    number = rig.camera.frame_ids(cell)
    assert stack.positions[number[0]] == came
    np.testing.assert_array_equal(rig.camera.grab(cell), stack.frames[number])
    np.testing.assert_array_equal(rig.camera.frames(number), stack.frames[number])


def test_cells_move_on_their_own() -> None:
    rig = hill().instrument(cells=3, continuous=False)
    rig.focus.move_to(np.array([11.0, 12.0, 13.0]), np.arange(3))
    rig.focus.move_to(np.array([15.0]), np.array([1]))
    np.testing.assert_array_equal(rig.focus.position, [11, 15, 13])
    rig.focus.position[:] = 0  # a copy
    np.testing.assert_array_equal(rig.focus.position, [11, 15, 13])


def test_starts_are_one_for_all_or_one_each() -> None:
    cells = np.arange(3)
    for start, expected in ((12.0, [12, 12, 12]), ([11, 12, 13], [11, 12, 13])):
        rig = hill().instrument(start=start, cells=3)
        rig.reset(cells, None, GENERATOR)
        np.testing.assert_array_equal(rig.focus.position, expected)
        rig.reset(np.array([1]), np.array([19.0]), GENERATOR)
        assert rig.focus.position[1] == 19
        rig.reset(np.array([1]), None, GENERATOR)
        np.testing.assert_array_equal(rig.focus.position, expected)


@pytest.mark.parametrize("start", [9.9, 20.1, np.nan, np.inf, [12, 9, 12], [12, 12]])
def test_a_start_outside_the_limits_is_refused(start: Any) -> None:
    assert "start" in refusal(lambda: hill().instrument(start=start, cells=3))


def test_random_starts_are_uniform_and_repeatable() -> None:
    stack, cells = hill(), np.arange(2000)
    discrete = stack.instrument(cells=2000, continuous=False)
    discrete.reset(cells, None, np.random.default_rng(3))
    first = discrete.focus.position
    numbers, counts = np.unique(first, return_counts=True)
    np.testing.assert_array_equal(numbers, stack.positions)
    assert counts.min() > 50
    discrete.reset(cells, None, np.random.default_rng(3))
    np.testing.assert_array_equal(discrete.focus.position, first)
    free = stack.instrument(cells=2000)
    free.reset(cells, None, np.random.default_rng(3))
    assert len(np.unique(free.focus.position)) == 2000
    assert free.focus.position.mean() == pytest.approx(15, abs=0.3)
    assert free.focus.position.min() >= 10
    assert free.focus.position.max() <= 20


@pytest.mark.parametrize("continuous", [True, False])
def test_the_region_of_interest_is_what_the_camera_sees(continuous: bool) -> None:
    stack, roi = hill(), ROI(4, 6, 20, 30)
    rig = stack.instrument(start=12.0, roi=tuple(roi), continuous=continuous)
    rig.reset(np.array([0]), None, GENERATOR)
    assert rig.roi == roi
    expected = roi.crop(stack.frames_at([12.0]))
    np.testing.assert_array_equal(rig.camera.grab(np.array([0])), expected)
    np.testing.assert_array_equal(rig.pictures([12.0]), expected)
    truth = rig.focus_truth(sharpness, "key")[0]
    np.testing.assert_array_equal(truth.sharpness, stack.curve(sharpness, roi).sharpness)


def test_an_automatic_region_is_that_with_the_most_detail() -> None:
    stack = hill()
    rig = stack.instrument(roi="auto")
    assert rig.roi == content_roi(stack.frames)
    assert rig.camera.grab(np.array([0])).shape == (1, 32, 32)


@pytest.mark.parametrize("roi", [(0, 0, 65, 20), (-1, 0, 20, 20), (0, 0, 4, 20)])
def test_a_region_outside_the_picture_is_refused(roi: tuple[int, int, int, int]) -> None:
    assert "roi" in refusal(lambda: hill().instrument(roi=roi))


@pytest.mark.parametrize("settings", [{"cells": 0}, {"fine_step": 0.0}, {"fine_step": np.nan}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    assert next(iter(settings)) in refusal(lambda: hill().instrument(**settings))


@pytest.mark.parametrize("continuous", [True, False])
def test_the_truth_is_measured_once_for_all_instruments_of_a_region(continuous: bool) -> None:
    stack, calls = hill(), [0]

    def counting(frames: Frames) -> FloatArray:
        calls[0] += len(frames)
        return sharpness(frames)

    for _ in range(3):
        rig = stack.instrument(fine_step=0.5, continuous=continuous)
        truth = rig.focus_truth(counting, "counting")
        assert len(truth) == 1
        assert truth[0].best_position == 14
    assert calls[0] == stack.num_positions
    stack.instrument(roi=ROI(0, 0, 20, 20), fine_step=0.5).focus_truth(counting, "counting")
    assert calls[0] == 2 * stack.num_positions


def test_cameras_of_one_stack_and_region_share_their_memo() -> None:
    stack, roi = hill(), ROI(0, 0, 20, 20)

    def memo(source: FocalStack, region: ROI | None = None) -> dict[Any, Any]:
        return source.instrument(continuous=False, fine_step=0.5, roi=region).camera.memo

    assert memo(stack) is memo(stack)
    assert memo(stack, roi) is memo(stack, ROI(*roi))
    assert memo(stack) is not memo(stack, roi)
    assert memo(stack) is not memo(stack.resample(41))


@pytest.mark.parametrize("continuous", [True, False])
def test_a_state_is_put_back_exactly(continuous: bool) -> None:
    rig = hill().resample(47).instrument(cells=50, continuous=continuous)
    rig.reset(np.arange(50), None, np.random.default_rng(4))
    before, seen = rig.focus.position, rig.camera.grab(np.arange(50))
    state = rig.state_dict()
    rig.focus.move_to(np.full(50, 12.0), np.arange(50))
    fresh = hill().resample(47).instrument(cells=50, continuous=continuous)
    for other in (rig, fresh):
        other.load_state_dict(state)
        np.testing.assert_array_equal(other.focus.position, before)
        np.testing.assert_array_equal(other.camera.grab(np.arange(50)), seen)


def test_colour_and_sixteen_bit_stacks_are_instruments_too() -> None:
    for frames in (pictures(5, colour=True), pictures(5, dtype=np.uint16)):
        rig = FocalStack(frames, np.arange(5)).instrument(start=1.5, fine_step=1.0)
        rig.reset(np.array([0]), None, GENERATOR)
        picture = rig.camera.grab(np.array([0]))
        assert picture.dtype == frames.dtype
        assert picture.shape[:3] == (1, 24, 30)
        assert len(rig.focus_truth(sharpness, "key")[0].sharpness) == 5


def test_a_thousand_cells_cost_no_loop() -> None:
    """Well under a millisecond; one step of a loop over 1024 cells takes more."""
    rig = hill().instrument(cells=1024, continuous=False)
    cells = np.arange(1024)
    targets = np.random.default_rng(5).uniform(9, 21, 1024)
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        rig.focus.move_to(targets, cells)
        rig.camera.frame_ids(cells)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5e-3


# -- real recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "count", "best", "within"),
    [
        ("mit_dfnn_lightsheet/mitochondria", 34, 51, 1),
        ("mit_dfnn_lightsheet/microtubules", 31, 51, 4),
        ("mit_pcb_camera_10", 10, 3, 0),
        ("cc0_camera_defocus_6/chart", 6, 0, 0),
        ("cc0_camera_defocus_6/tools", 6, 0, 0),
    ],
)
def test_focus_of_real_stacks(
    shared_data: Path, where: str, count: int, best: int, within: int
) -> None:
    stack = FocalStack.load(shared_data / where)
    assert stack.num_positions == count
    assert stack.unit == "plane"
    assert stack.curve(sharpness).best_position == pytest.approx(best, abs=within)
    assert 0 < stack.fine_step() < stack.positions[-1] - stack.positions[0]


def test_focus_of_the_real_beads(shared_data: Path) -> None:
    stack = FocalStack.load(shared_data / "ccby_beads_41" / "Bead_Image1_crop.tif")
    assert stack.unit == "um"
    assert stack.spacing == pytest.approx(0.125)
    assert stack.curve(sharpness).best_position == pytest.approx(23 * 0.125)


def test_the_real_stack_with_a_missing_frame_keeps_its_gap(shared_data: Path) -> None:
    stack = FocalStack.load(shared_data / "apache_macro_usbcase_31")
    assert stack.num_positions == 31
    np.testing.assert_array_equal(np.setdiff1d(np.arange(32), stack.positions), [16])
    height, width = stack.frames.shape[1:3]
    centre = ROI(height // 4, width // 4, height // 2, width // 2)
    assert stack.curve(sharpness, centre).best_position == 17
    assert stack.curve(sharpness).best_position == 15


def test_a_real_grid_of_focus_and_exposure_is_not_taken_for_a_stack(shared_data: Path) -> None:
    folder = shared_data / "cc0_camera_focus_x_exposure_10x5"
    assert "names vary" in refusal(lambda: FocalStack.load(folder))
