"""What every focus measure promises, whatever it measures; and what each one is."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.errors import InputError
from visuomotor.types import FloatArray, Frames
from visuomotor.vision import focus

Measure = Callable[[Frames], FloatArray]
NAMES = sorted(focus.measures())
every_measure = pytest.mark.parametrize("measure", focus.measures().values(), ids=focus.measures())
dtypes = pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(24, 70), st.integers(24, 70))


def texture(seed: int, shape: tuple[int, ...] = (2, 48, 61), sigma: float = 2.0) -> Frames:
    """Smooth random pictures around 120, float32: detail without pixel noise."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    pictures = np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in noise])
    return (120 + 20 * pictures / pictures.std()).astype(np.float32)


def blurred(frames: Frames, sigma: float) -> Frames:
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in frames])


def test_the_measures_are_those_of_the_module() -> None:
    assert {
        "tenengrad",
        "variance_of_laplacian",
        "normalised_variance",
        "brenner",
        "vollath_f4",
        "fft_bandpass",
    } <= set(NAMES)
    for name, function in focus.measures().items():
        assert getattr(focus, name) is function is focus.measure(name)
        assert inspect.getdoc(function)


def test_a_new_function_is_a_new_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    def peak(frames: Frames) -> FloatArray:
        return frames.max(axis=(1, 2)).astype(np.float64)

    peak.__module__ = focus.__name__
    monkeypatch.setattr(focus, "peak", peak, raising=False)
    assert focus.measure("peak") is peak


def test_an_unknown_measure_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'tenengrat'.*did you mean 'tenengrad'"):
        focus.measure("tenengrat")


@every_measure
@dtypes
def test_one_finite_number_for_each_picture(measure: Measure, dtype: type) -> None:
    frames = texture(0).astype(dtype)
    sharpness = measure(frames)
    assert sharpness.shape == (2,)
    assert sharpness.dtype == np.float64
    assert (sharpness > 0).all()


@every_measure
def test_number_types_agree(measure: Measure) -> None:
    frames = texture(1).astype(np.uint8)
    expected = measure(frames)
    for dtype in (np.uint16, np.float32, np.float64):
        np.testing.assert_allclose(measure(frames.astype(dtype)), expected, rtol=1e-5)


@every_measure
def test_grey_stored_as_rgb_is_the_same(measure: Measure) -> None:
    gray = texture(2).astype(np.uint8)
    rgb = np.repeat(gray[..., None], 3, axis=3)
    np.testing.assert_allclose(measure(rgb), measure(gray), rtol=1e-4)


@every_measure
@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_flat_picture_has_no_sharpness(measure: Measure, level: int) -> None:
    frames = np.full((2, 40, 52), level, np.uint8)
    np.testing.assert_allclose(measure(frames), 0, atol=1e-9)


@every_measure
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_grey_level_that_is_not_finite_never_passes_for_sharpness(
    measure: Measure, fault: float
) -> None:
    frames = texture(3)
    frames[1, 5, 5] = fault
    with np.errstate(invalid="ignore"):
        sharpness = measure(frames)
    assert sharpness[0] > 0
    assert sharpness[1] == 0


@every_measure
def test_no_pictures_give_no_sharpness(measure: Measure) -> None:
    assert measure(np.zeros((0, 32, 32), np.uint8)).shape == (0,)


@every_measure
@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes, sigma=st.floats(0.5, 4), more=st.floats(0.3, 3))
def test_more_blur_is_never_sharper(
    measure: Measure, seed: int, size: tuple[int, int], sigma: float, more: float
) -> None:
    frames = texture(seed, (1, *size))
    sharp, softer = measure(blurred(frames, sigma)), measure(blurred(frames, sigma + more))
    assert softer[0] <= sharp[0] * (1 + 1e-6)


@pytest.mark.parametrize("name", ["tenengrad", "variance_of_laplacian", "brenner"])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, sigma=st.floats(0.4, 4))
def test_blur_lowers_even_a_picture_of_noise(name: str, seed: int, sigma: float) -> None:
    frames = np.random.default_rng(seed).uniform(50, 200, (1, 40, 40)).astype(np.float32)
    measure = focus.measure(name)
    assert measure(blurred(frames, sigma))[0] < measure(frames)[0]


@every_measure
@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes)
def test_mirroring_changes_nothing(measure: Measure, seed: int, size: tuple[int, int]) -> None:
    frames = texture(seed, (1, *size)).astype(np.uint8)
    expected = measure(frames)
    for mirrored in (frames[:, ::-1], frames[:, :, ::-1], frames[:, ::-1, ::-1]):
        np.testing.assert_allclose(measure(mirrored), expected, rtol=1e-4)


@every_measure
@settings(max_examples=25, deadline=None)
@given(seed=seeds, gain=st.floats(0.2, 200))
def test_brightness_is_not_sharpness(measure: Measure, seed: int, gain: float) -> None:
    frames = texture(seed)
    np.testing.assert_allclose(measure(frames * np.float32(gain)), measure(frames), rtol=1e-3)


@every_measure
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_twice_the_light_on_a_camera_changes_only_rounding(measure: Measure, seed: int) -> None:
    dim = np.clip(np.rint(texture(seed)), 1, 250).astype(np.uint8)
    bright = (dim.astype(np.float32) * 257).astype(np.uint16)
    np.testing.assert_allclose(measure(bright), measure(dim), rtol=1e-3)


@every_measure
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=st.integers(1, 5))
def test_a_batch_is_its_pictures_one_by_one(measure: Measure, seed: int, count: int) -> None:
    frames = texture(seed, (count, 32, 45)).astype(np.uint8)
    one_by_one = np.concatenate([measure(frame[None]) for frame in frames])
    np.testing.assert_array_equal(measure(frames), one_by_one)


@every_measure
def test_a_view_into_a_larger_array_is_the_same(measure: Measure) -> None:
    whole = texture(4, (2, 80, 90)).astype(np.uint8)
    view = whole[:, 10:60, 20:75]
    np.testing.assert_array_equal(measure(view), measure(view.copy()))


@every_measure
def test_pictures_are_not_changed(measure: Measure) -> None:
    frames = texture(5)
    before = frames.copy()
    measure(frames)
    np.testing.assert_array_equal(frames, before)


@dtypes
def test_tenengrad_is_the_sum_of_both_squared_sobel_gradients(dtype: type) -> None:
    """Against the definition, at the largest gradients there are; not the x-gradient twice."""
    frames = (np.random.default_rng(0).integers(0, 2, (1, 131, 75)) * 255).astype(dtype)
    padded = np.pad(frames[0].astype(np.float64), 1, mode="reflect")
    smooth_rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smooth_columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    gx = smooth_rows[:, 2:] - smooth_rows[:, :-2]
    gy = smooth_columns[2:] - smooth_columns[:-2]
    expected = (gx**2 + gy**2).mean() / frames.mean() ** 2
    np.testing.assert_allclose(focus.tenengrad(frames), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["tenengrad", "variance_of_laplacian", "brenner", "vollath_f4"])
def test_both_directions_count(name: str) -> None:
    stripes = 120 + 60 * np.sin(2 * np.pi * np.arange(64) / 16)
    across = np.tile(stripes, (64, 1))
    pair = np.stack([across, across.T]).astype(np.float32)
    sharpness = focus.measure(name)(pair)
    np.testing.assert_allclose(sharpness[0], sharpness[1], rtol=1e-5)


def test_variance_of_laplacian_against_its_definition() -> None:
    frames = texture(6, (1, 40, 50))
    p = np.pad(frames[0].astype(np.float64), 1, mode="reflect")
    laplacian = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * p[1:-1, 1:-1]
    expected = laplacian.var() / frames.mean(dtype=np.float64) ** 2
    np.testing.assert_allclose(focus.variance_of_laplacian(frames), expected, rtol=1e-4)


def test_normalised_variance_and_brenner_against_their_definitions() -> None:
    frames = texture(7, (1, 40, 50))
    p = frames[0].astype(np.float64)
    np.testing.assert_allclose(
        focus.normalised_variance(frames), p.var() / p.mean() ** 2, rtol=1e-4
    )
    brenner = ((p[2:] - p[:-2]) ** 2).mean() + ((p[:, 2:] - p[:, :-2]) ** 2).mean()
    np.testing.assert_allclose(focus.brenner(frames), brenner / p.mean() ** 2, rtol=1e-4)


def test_vollath_f4_is_blind_to_noise() -> None:
    noise = np.random.default_rng(0).normal(120, 10, (1, 256, 256)).astype(np.float32)
    assert focus.vollath_f4(noise)[0] < 0.02 * focus.vollath_f4(texture(8, (1, 256, 256)))[0]


@pytest.mark.parametrize(("cycles_per_px", "inside"), [(0.01, 0), (0.0625, 1), (0.25, 0)])
def test_fft_bandpass_passes_its_band(cycles_per_px: float, inside: int) -> None:
    """A wave in the band counts with its variance, one outside it with next to nothing."""
    x = np.arange(320)
    wave = 100 + 20 * np.cos(2 * np.pi * np.round(320 * cycles_per_px) / 320 * x)
    frames = np.tile(wave, (320, 1))[None].astype(np.float32)
    expected = inside * 20**2 / 2 / 100**2
    np.testing.assert_allclose(focus.fft_bandpass(frames), expected, rtol=0.01, atol=2e-4)
