"""What every focus measure promises, whatever it measures."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import texture

from visuomotor.errors import InputError
from visuomotor.types import FloatArray, Frames
from visuomotor.vision import focus
from visuomotor.vision.noise import noise_sharpness

Measure = Callable[[Frames], FloatArray]
NAMES = sorted(focus.measures())
OF_SHARPNESS = [name for name in NAMES if focus.promises(name).ignores_light]
OF_BRIGHTNESS = [name for name in NAMES if not focus.promises(name).ignores_light]
FALLING_WITH_BLUR = [name for name in NAMES if focus.promises(name).falls_with_blur]
every_measure = pytest.mark.parametrize("measure", focus.measures().values(), ids=focus.measures())
dtypes = pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(24, 70), st.integers(24, 70))


def blurred(frames: Frames, sigma: float) -> Frames:
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in frames])


def test_the_measures_are_those_of_the_module() -> None:
    assert {
        "tenengrad",
        "variance_of_laplacian",
        "normalised_variance",
        "brenner",
        "vollath_f4",
        "edges",
        "sharp_edges",
        "median_edges",
        "redondo",
        "laplacian_energy",
        "standard_deviation",
        "vollath_f5",
        "fft_bandpass",
        "dct_shannon_entropy",
        "jpeg_size",
        "mean",
        "peak_brightness",
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


def test_what_is_not_promised_has_a_reason_and_is_rare() -> None:
    """Everything else is held to every promise, strictly."""
    kept = {name: focus.promises(name) for name in NAMES}
    loose = {name for name, promises in kept.items() if promises != focus.Promises()}
    assert loose == {"mean", "peak_brightness", "jpeg_size"}
    assert all(kept[name].why for name in loose)
    assert {name for name in NAMES if kept[name].slack > 0} == {"jpeg_size"}
    assert set(OF_BRIGHTNESS) == {"mean", "peak_brightness"}
    assert set(NAMES) - set(FALLING_WITH_BLUR) == {"mean"}


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


@pytest.mark.parametrize("name", OF_SHARPNESS)
@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_flat_picture_has_no_sharpness(name: str, level: int) -> None:
    frames = np.full((2, 40, 52), level, np.uint8)
    np.testing.assert_allclose(focus.measure(name)(frames), 0, atol=1e-9)


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


@pytest.mark.parametrize("name", FALLING_WITH_BLUR)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes, sigma=st.floats(0.5, 4), more=st.floats(0.3, 3))
def test_more_blur_is_never_sharper(
    name: str, seed: int, size: tuple[int, int], sigma: float, more: float
) -> None:
    measure, frames = focus.measure(name), texture(seed, (1, *size))
    sharp, softer = measure(blurred(frames, sigma)), measure(blurred(frames, sigma + more))
    assert softer[0] <= sharp[0] * (1 + 1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "tenengrad",
        "variance_of_laplacian",
        "laplacian_energy",
        "brenner",
        "redondo",
        "edges",
        "sharp_edges",
        "median_edges",
        "standard_deviation",
    ],
)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, sigma=st.floats(0.4, 4))
def test_blur_lowers_even_a_picture_of_noise(name: str, seed: int, sigma: float) -> None:
    frames = np.random.default_rng(seed).uniform(50, 200, (1, 40, 40)).astype(np.float32)
    measure = focus.measure(name)
    assert measure(blurred(frames, sigma))[0] < measure(frames)[0]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes)
def test_mirroring_changes_nothing(name: str, seed: int, size: tuple[int, int]) -> None:
    measure, slack = focus.measure(name), focus.promises(name).slack
    frames = texture(seed, (1, *size)).astype(np.uint8)
    expected = measure(frames)
    for mirrored in (frames[:, ::-1], frames[:, :, ::-1], frames[:, ::-1, ::-1]):
        np.testing.assert_allclose(measure(mirrored), expected, rtol=1e-4 + slack)


@pytest.mark.parametrize("name", OF_SHARPNESS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, gain=st.floats(0.2, 200))
def test_brightness_is_not_sharpness(name: str, seed: int, gain: float) -> None:
    measure, slack = focus.measure(name), focus.promises(name).slack
    frames = texture(seed)
    brighter = frames * np.float32(gain)
    np.testing.assert_allclose(measure(brighter), measure(frames), rtol=1e-3 + slack)


@pytest.mark.parametrize("name", OF_SHARPNESS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_twice_the_light_on_a_camera_changes_only_rounding(name: str, seed: int) -> None:
    measure, slack = focus.measure(name), focus.promises(name).slack
    dim = np.clip(np.rint(texture(seed)), 1, 250).astype(np.uint8)
    bright = (dim.astype(np.float32) * 257).astype(np.uint16)
    np.testing.assert_allclose(measure(bright), measure(dim), rtol=1e-3 + slack)


@pytest.mark.parametrize("name", OF_BRIGHTNESS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, gain=st.floats(0.2, 200))
def test_a_measure_of_brightness_grows_with_the_light(name: str, seed: int, gain: float) -> None:
    measure, frames = focus.measure(name), texture(seed)
    np.testing.assert_allclose(
        measure(frames * np.float32(gain)), gain * measure(frames), rtol=1e-3
    )


@every_measure
def test_noise_stands_for_what_it_adds_to_a_flat_picture(measure: Measure) -> None:
    """So that light is not mistaken for noise by a measure of brightness."""
    noisy = 120 + np.random.default_rng(0).normal(0, 4, (1, 64, 64)).astype(np.float32)
    flat = np.full((1, 64, 64), 120, np.float32)
    assert noise_sharpness(flat, measure)[0] == pytest.approx(0, abs=1e-9)
    expected = measure(noisy)[0] - measure(flat)[0]
    assert noise_sharpness(noisy, measure)[0] == pytest.approx(expected, rel=0.5, abs=0.5)


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
