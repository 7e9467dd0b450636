"""Sharpness of smoothed pictures, and what its short cuts leave as it was."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visuomotor.vision import focus
from visuomotor.vision.gradients import LARGE_PX
from visuomotor.vision.noise import _median
from visuomotor.vision.sharpness import smoothed
from visuomotor.vision.transforms import FEWER_ROWS, smooth, thumbnails


@pytest.mark.parametrize("sigma_px", [0.0, 0.6, 1.0, 2.5])
@pytest.mark.parametrize("name", ["tenengrad", "brenner", "variance_of_laplacian"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(8, 7), (64, 50), (65, 66), (200, 131), (40, 30, 3)])
def test_in_one_or_one_after_the_other_is_the_same(name, sigma_px, dtype, shape) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(dtype)
    expected = focus.measure(name)(smooth(pictures, sigma_px))
    np.testing.assert_allclose(smoothed(name, sigma_px)(pictures), expected, rtol=1e-6)


def test_large_pictures_which_two_threads_share_are_the_same_too() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 777, 901), dtype=np.uint8)
    assert picture.size > LARGE_PX
    expected = focus.tenengrad(smooth(picture, 1.0))
    np.testing.assert_allclose(smoothed("tenengrad", 1.0)(picture), expected, rtol=1e-9)
    inside = np.random.default_rng(0).integers(0, 255, (1, 900, 1000), dtype=np.uint8)
    view = inside[:, 50:827, 30:931]
    expected = focus.tenengrad(smooth(view, 1.0))
    np.testing.assert_allclose(smoothed("tenengrad", 1.0)(view), expected, rtol=1e-9)


def test_no_light_is_no_sharpness() -> None:
    measure = smoothed("tenengrad", 1.0)
    assert measure(np.zeros((2, 32, 32), np.uint8)).tolist() == [0.0, 0.0]
    assert measure(np.full((1, 32, 32), np.nan, np.float32)).tolist() == [0.0]
    assert measure(np.zeros((0, 32, 32), np.uint8)).shape == (0,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(400, 300), (421, 333), (337, 84), (1080, 100)])
def test_thumbnails_of_tall_pictures_are_area_means(dtype, shape) -> None:
    picture = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    assert shape[0] >= FEWER_ROWS * 84
    small = cv2.resize(picture.astype(np.float32), (84, 84), interpolation=cv2.INTER_AREA)
    found = thumbnails(picture[None], 84, (0.0, 255.0))[0].astype(float)
    assert np.abs(found - small).max() <= 0.5 + 1e-3


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=50))
def test_the_median_is_the_median(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert _median(array) == pytest.approx(float(np.median(array.astype(np.float64))))
