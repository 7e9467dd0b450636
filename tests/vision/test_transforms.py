"""Pictures to smaller, greyer, smoother ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.errors import InputError
from visuomotor.types import ROI
from visuomotor.vision.transforms import (
    checked_roi,
    content_roi,
    percentile_range,
    smooth,
    thumbnails,
    to_gray,
)


def noise(shape: tuple[int, ...], dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_pictures_stay_as_they_are(dtype: type) -> None:
    frames = noise((2, 9, 11)).astype(dtype)
    assert to_gray(frames) is frames


def test_colour_becomes_luma() -> None:
    pure = np.zeros((3, 8, 9, 3), np.uint8)
    for colour in range(3):
        pure[colour, ..., colour] = 200
    gray = to_gray(pure)
    assert gray.dtype == np.float32
    assert gray.shape == (3, 8, 9)
    np.testing.assert_allclose(gray[:, 4, 4], [0.299 * 200, 0.587 * 200, 0.114 * 200], rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 100, 140), (3, 20, 30), (2, 20, 300), (2, 60, 84, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_thumbnails_are_square_bytes(shape: tuple[int, ...], dtype: type) -> None:
    small = thumbnails(noise(shape, dtype), 84, (0, float(np.iinfo(dtype).max)))
    assert small.shape == (shape[0], 84, 84)
    assert small.dtype == np.uint8
    assert small.std() > 0


def test_a_thumbnail_of_its_own_size_is_the_picture() -> None:
    frames = noise((2, 32, 32))
    np.testing.assert_array_equal(thumbnails(frames, 32, (0, 255)), frames)


def test_shrinking_takes_area_means() -> None:
    frames = noise((1, 64, 96), np.uint16)
    means = frames[0].reshape(32, 2, 32, 3).mean(axis=(1, 3))
    expected = np.rint(means * 255 / 65535)
    assert np.abs(thumbnails(frames, 32, (0, 65535))[0] - expected).max() <= 1
    assert (thumbnails(frames, 32, (0, 65535))[0] == expected).mean() > 0.99


def test_the_display_range_is_mapped_to_all_levels_and_clipped() -> None:
    levels = np.array([0, 1000, 1500, 2000, 60000], np.uint16)
    frames = np.broadcast_to(levels[:, None, None], (5, 16, 16))
    shown = thumbnails(frames, 16, (1000, 2000))[:, 8, 8]
    np.testing.assert_array_equal(shown, [0, 0, 128, 255, 255])


def test_brightness_stays_comparable_between_pictures() -> None:
    frames = np.stack([np.full((16, 16), 50, np.uint8), np.full((16, 16), 100, np.uint8)])
    dark, bright = thumbnails(frames, 8, (0, 200))
    assert (dark == 64).all()
    assert (bright == 128).all()


def test_sigma_0_smooths_nothing() -> None:
    frames = noise((2, 20, 20))
    np.testing.assert_array_equal(smooth(frames, 0), frames)


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.4, 4), seed=st.integers(0, 1000))
def test_smoothing_keeps_the_mean_and_calms_each_picture(sigma: float, seed: int) -> None:
    frames = noise((2, 40, 50), np.uint16, seed)
    calm = smooth(frames, sigma)
    assert calm.dtype == np.float32
    assert calm.shape == frames.shape
    np.testing.assert_allclose(calm.mean(), frames.mean(), rtol=0.05)
    assert (calm.std(axis=(1, 2)) < frames.std(axis=(1, 2))).all()
    np.testing.assert_array_equal(calm[1], smooth(frames[1:], sigma)[0])


def test_the_display_range_is_a_percentile_range_of_all_pictures() -> None:
    ramp = np.arange(10_000, dtype=np.uint16).reshape(4, 50, 50)
    black, white = percentile_range(ramp, 1, 99)
    assert black == pytest.approx(100, abs=2)
    assert white == pytest.approx(9900, abs=2)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_white_is_above_black_even_in_a_flat_picture(level: int) -> None:
    black, white = percentile_range(np.full((3, 20, 20), level, np.uint8))
    assert white > black == level


def test_one_hot_pixel_does_not_set_the_display_range() -> None:
    frames = np.full((3, 100, 100), 40, np.uint16)
    frames[0, ::2] = 80
    frames[1, 3, 3] = 65535
    assert percentile_range(frames)[1] <= 81


@settings(max_examples=20, deadline=None)
@given(top=st.integers(0, 60), left=st.integers(0, 90), plane=st.integers(0, 2))
def test_the_content_roi_holds_the_detail(top: int, left: int, plane: int) -> None:
    frames = np.full((3, 100, 140), 90, np.uint8)
    frames[plane, top : top + 30, left : left + 40] = noise((30, 40))
    roi = content_roi(frames)
    assert roi.height == 50
    assert roi.width == 70
    assert roi.crop(frames)[plane].std() > 0.75 * frames[plane].std()
    assert roi.top <= top + 2
    assert roi.left <= left + 2
    assert roi.top + roi.height >= top + 28
    assert roi.left + roi.width >= left + 38
    assert checked_roi(roi, 100, 140) == roi


def test_the_content_roi_of_a_tiny_or_flat_picture_is_inside_it() -> None:
    for size in ((8, 8), (9, 30), (100, 60)):
        roi = content_roi(np.full((3, *size), 9, np.uint8), 0.3)
        assert checked_roi(roi, *size) == roi


def test_a_good_roi_is_taken_as_it_is() -> None:
    assert checked_roi((2, 3, 10, 12), 12, 15) == ROI(2, 3, 10, 12)
    assert checked_roi(ROI(0, 0, 8, 8), 8, 8) == ROI(0, 0, 8, 8)


@pytest.mark.parametrize(
    "roi", [(-1, 0, 10, 10), (0, -1, 10, 10), (5, 0, 16, 10), (0, 25, 10, 10), (0, 0, 7, 10)]
)
def test_a_roi_outside_the_picture_or_too_small_is_refused(roi: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"roi: expected .* got"):
        checked_roi(roi, 20, 30)
