"""What a picture without a sample may hold: noise, shading, few grey levels."""

from __future__ import annotations

import numpy as np
import pytest

from visuomotor.vision import focus
from visuomotor.vision.noise import SIGNAL_OVER_NOISE, noise_sharpness, noise_sigma, shading
from visuomotor.vision.sharpness import smoothed

TENENGRAD = smoothed("tenengrad", 1.0)


def light(height: int, width: int) -> np.ndarray:
    """(H, W) 0..1: a bright middle a little beside the centre, that falls off to the corners."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return 1 - 0.2 * (x - 0.2) ** 2 - 0.15 * (y + 0.1) ** 2 + 0.05 * x * y


def stripes(height: int, width: int) -> np.ndarray:
    return np.tile(np.arange(width) // 8 % 2, (height, 1)).astype(float)


def test_shading_is_found_whatever_the_shape() -> None:
    for shape in ((128, 128), (90, 333)):
        wanted = 1000 * light(*shape)
        np.testing.assert_allclose(shading(wanted), wanted, atol=2.5)


@pytest.mark.parametrize("size", [96, 400])
@pytest.mark.parametrize("level", [4000.0, 40_000.0])
def test_a_shaded_empty_field_is_no_sharper_than_its_noise(size: int, level: float) -> None:
    rng = np.random.default_rng(0)
    empty = level * light(size, size) + rng.normal(0, 0.004 * level, (4, size, size))
    frames = np.rint(empty).astype(np.uint16)
    ratio = TENENGRAD(frames) / noise_sharpness(frames, TENENGRAD)
    assert (ratio < SIGNAL_OVER_NOISE).all()
    with_sample = np.rint(empty * (1 + 0.05 * stripes(size, size))).astype(np.uint16)
    ratio = TENENGRAD(with_sample) / noise_sharpness(with_sample, TENENGRAD)
    assert (ratio > SIGNAL_OVER_NOISE).all()


@pytest.mark.parametrize("mean", [5.03, 5.2, 5.5, 9.92])
@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.6])
def test_noise_among_few_grey_levels_is_noise(mean: float, sigma: float) -> None:
    """What rounding leaves of small noise: single pixels that stand out by one grey level."""
    rng = np.random.default_rng(1)
    field = mean + 0.2 * (light(128, 128) - 0.9)
    frames = np.rint(field + rng.normal(0, sigma, (4, 128, 128))).astype(np.uint8)
    ratio = TENENGRAD(frames) / np.maximum(noise_sharpness(frames, TENENGRAD), 1e-12)
    assert (ratio < SIGNAL_OVER_NOISE).all()


def test_few_bright_spots_on_black_are_no_noise() -> None:
    frames = np.zeros((1, 128, 128), np.uint8)
    for place in (20, 50, 90):
        frames[0, place : place + 3, place : place + 3] = 120
    assert TENENGRAD(frames)[0] > 3 * SIGNAL_OVER_NOISE * noise_sharpness(frames, TENENGRAD)[0]


@pytest.mark.parametrize("sigma", [2.0, 30.0])
def test_sigma_is_that_of_the_noise(sigma: float) -> None:
    rng = np.random.default_rng(2)
    frames = 500 + 300 * light(200, 240) + rng.normal(0, sigma, (3, 200, 240))
    np.testing.assert_allclose(noise_sigma(np.rint(frames).astype(np.uint16)), sigma, rtol=0.05)
    np.testing.assert_allclose(noise_sigma(frames), sigma, rtol=0.05)


@pytest.mark.parametrize("name", sorted(focus.measures()))
def test_every_measure_reads_noise_and_shading_as_a_number(name: str) -> None:
    rng = np.random.default_rng(3)
    frames = np.rint(2000 * light(96, 96) + rng.normal(0, 20, (2, 96, 96))).astype(np.uint16)
    found = noise_sharpness(frames, smoothed(name, 1.0))
    assert np.isfinite(found).all()
