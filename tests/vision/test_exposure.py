"""What a histogram says about exposure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from visuomotor.errors import InputError
from visuomotor.types import Frames
from visuomotor.vision import exposure
from visuomotor.vision.exposure import (
    coarse_histogram,
    dark_share,
    fullest_level,
    histogram,
    is_usable,
    is_visible,
    saturated_share,
)

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12))
GREY = hnp.arrays(np.uint8, SHAPES)
COLOUR = hnp.arrays(np.uint8, SHAPES.map(lambda shape: (*shape, 3)))


@given(GREY)
def test_a_histogram_counts_each_level(frames: Frames) -> None:
    counts = histogram(frames)
    for row, picture in zip(counts, frames, strict=True):
        np.testing.assert_array_equal(row, np.bincount(picture.ravel(), minlength=256))
    np.testing.assert_array_equal(fullest_level(frames), counts.argmax(1))


def test_a_histogram_of_more_pixels_than_float32_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 40, 30), dtype=np.uint8)
    whole = histogram(frames)
    monkeypatch.setattr(exposure, "_EXACT_PX", 100)
    np.testing.assert_array_equal(histogram(frames), whole)


@given(GREY, st.integers(1, 100))
def test_added_light_shifts_the_peak(frames: Frames, light: int) -> None:
    dim = frames // 2  # at most 127, so that nothing is cut off
    np.testing.assert_array_equal(fullest_level(dim + np.uint8(light)), fullest_level(dim) + light)


@given(st.one_of(GREY, COLOUR))
def test_coarse_shares_sum_to_one_between_minimum_and_maximum(frames: Frames) -> None:
    shares, edges = coarse_histogram(frames)
    assert shares.shape == (len(frames), 10)
    assert edges.shape == (len(frames), 11)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (np.diff(edges) > 0).all()
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[:, :1].repeat(10, 1))


@given(GREY)
def test_coarse_bins_are_those_of_numpy(frames: Frames) -> None:
    shares, edges = coarse_histogram(frames)
    for i, picture in enumerate(frames):
        wanted, bounds = np.histogram(picture.astype(float), bins=10)
        np.testing.assert_allclose(shares[i], wanted / picture.size)
        np.testing.assert_allclose(edges[i], bounds)


@given(GREY)
def test_sixteen_bits_are_read_by_their_white(frames: Frames) -> None:
    """Twelve bits of the same picture say the same."""
    twelve = frames.astype(np.uint16) * 16
    np.testing.assert_array_equal(histogram(twelve, white=4095), histogram(frames))
    np.testing.assert_array_equal(histogram(twelve * 16), histogram(frames))
    for ours, theirs in zip(coarse_histogram(twelve, 4095), coarse_histogram(frames), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_levels_above_white_are_white() -> None:
    frames = np.full((1, 4, 4), 5000, np.uint16)
    assert fullest_level(frames, white=4095)[0] == 255
    assert saturated_share(frames, white=4095)[0] == 1


def test_colours_are_read_as_luma() -> None:
    red, green, blue = (np.zeros((1, 4, 4, 3), np.uint8) for _ in range(3))
    for colour, frames in enumerate((red, green, blue)):
        frames[..., colour] = 255
    peaks = [int(fullest_level(frames)[0]) for frames in (red, green, blue)]
    assert peaks == [76, 150, 29]


@given(COLOUR, st.integers(1, 255))
def test_one_colour_is_enough_to_saturate(frames: Frames, white: int) -> None:
    brightest = frames.max(3)
    np.testing.assert_allclose(saturated_share(frames, white), (brightest >= white).mean((1, 2)))
    limit = exposure.DARK_LEVEL * white / 255
    np.testing.assert_allclose(dark_share(frames, white), (brightest <= limit).mean((1, 2)))


def test_darkness_and_glare() -> None:
    frames = np.stack([np.zeros((5, 6), np.uint8), np.full((5, 6), 255, np.uint8)])
    assert dark_share(frames).tolist() == [1, 0]
    assert saturated_share(frames).tolist() == [0, 1]
    assert dark_share(frames, dark_level=255).tolist() == [1, 1]


def test_the_bands_of_the_reward() -> None:
    peaks = np.array([0, 24, 25, 49, 50, 100, 150, 151, 175, 176, 255])
    assert peaks[is_usable(peaks)].tolist() == [50, 100, 150]
    assert peaks[is_visible(peaks)].tolist() == [25, 49, 50, 100, 150, 151, 175]


@pytest.mark.parametrize(
    ("frames", "white", "answer"),
    [
        (np.zeros((1, 4, 4)), None, "expected uint8 or uint16, got float64"),
        (np.zeros((4, 4), np.uint8), None, r"expected \(M, H, W\) or \(M, H, W, 3\), got \(4, 4\)"),
        (np.zeros((1, 4, 4, 4), np.uint8), None, r"got \(1, 4, 4, 4\)"),
        (np.zeros((1, 0, 4), np.uint8), None, "expected at least one pixel"),
        (np.zeros((1, 4, 4), np.uint8), 4095, "white: expected 1 to 255 for uint8, got 4095"),
        (np.zeros((1, 4, 4), np.uint8), 0, "white: expected 1 to 255"),
    ],
)
def test_wrong_pictures_are_refused(frames: Frames, white: float | None, answer: str) -> None:
    for measure in (histogram, fullest_level, coarse_histogram, saturated_share, dark_share):
        with pytest.raises(InputError, match=answer):
            measure(frames, white)


def test_no_pictures_are_no_numbers() -> None:
    none = np.zeros((0, 4, 4), np.uint8)
    assert histogram(none).shape == (0, 256)
    assert saturated_share(none).shape == (0,)
    shares, edges = coarse_histogram(none)
    assert (shares.shape, edges.shape) == ((0, 10), (0, 11))
