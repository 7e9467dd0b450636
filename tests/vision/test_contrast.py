"""Contrast: what each octave holds, in pictures whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.vision.contrast import (
    ABSENT,
    BANDS,
    BRIGHTNESS,
    EDGES,
    NOISE,
    OCTAVES,
    SIZE,
    WHITE_NOISE,
    contrast,
)
from visuomotor.vision.sharpness import smoothed


def noise(size: int = 256, sigma: float = 1.0, seed: int = 0) -> np.ndarray:
    return 100 + sigma * np.random.default_rng(seed).standard_normal((size, size))


def test_white_noise_has_the_stated_energies() -> None:
    pictures = np.stack([noise(512, 3.0, seed) for seed in range(6)]).astype(np.float32)
    found = np.exp(contrast(pictures).astype(float)).mean(0)
    np.testing.assert_allclose(found[:4], 9 * np.array(WHITE_NOISE[:4]), rtol=0.04)
    np.testing.assert_allclose(found[4:8], 9 * np.array(WHITE_NOISE[4:8]), rtol=0.6)
    assert found[EDGES] == pytest.approx(9 * WHITE_NOISE[EDGES], rel=0.04)
    assert found[NOISE] == pytest.approx(9, rel=0.05)
    assert found[BRIGHTNESS] == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("period_px", [2, 4, 8, 16, 32])
def test_structure_shows_in_its_own_octave(period_px: int) -> None:
    wave = np.sin(2 * np.pi * np.arange(256) / period_px + 0.3)
    picture = (100 + 10 * wave[:, None] * np.ones(256)).astype(np.float32)
    found = contrast(picture[None])[0, :OCTAVES]
    assert abs(int(found.argmax()) - np.log2(period_px / 2)) <= 1


@given(gain=st.floats(0.1, 50), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_gain_moves_every_number_alike(gain: float, seed: int) -> None:
    picture = noise(64, 5.0, seed).astype(np.float32)[None]
    plain, brighter = contrast(picture)[0], contrast(picture * np.float32(gain))[0]
    present = plain[:BANDS] > ABSENT / 2
    change = (brighter - plain)[: SIZE - 1]
    np.testing.assert_allclose(change[:BANDS][present], 2 * np.log(gain), atol=2e-3)
    assert change[NOISE] == pytest.approx(2 * np.log(gain), abs=2e-3)
    assert brighter[BRIGHTNESS] - plain[BRIGHTNESS] == pytest.approx(np.log(gain), abs=1e-3)


@given(sigma=st.floats(0.5, 4), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_more_blur_never_adds_energy(sigma: float, seed: int) -> None:
    picture = noise(96, 20.0, seed).astype(np.float32)
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    plain, less = contrast(np.stack([picture, blurred]))
    assert (less[:4] <= plain[:4] + 1e-4).all()


def test_edges_are_what_tenengrad_reads() -> None:
    picture = noise(80, 20.0).astype(np.float32)[None]
    found = contrast(picture)[0]
    sharpness = smoothed("tenengrad", 1.0)(picture)[0]
    assert np.exp(found[EDGES] - 2 * found[BRIGHTNESS]) == pytest.approx(sharpness, rel=1e-3)


def test_octaves_that_do_not_fit_are_absent() -> None:
    found = contrast(noise(32).astype(np.float32)[None])[0]
    assert (found[:4] > ABSENT / 2).all()
    assert (found[4:OCTAVES] == ABSENT).all()


@pytest.mark.parametrize("shape", [(64, 64), (131, 127), (200, 90), (65, 64)])
def test_strips_are_the_same_as_the_whole(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).random(shape).astype(np.float32)
    kernel = np.array([1, 4, 6, 4, 1], np.float32) / 16
    level, expected = picture, []
    while min(level.shape) >= 4:
        smooth = cv2.sepFilter2D(
            level, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101
        )
        expected.append(np.log(((level - smooth) ** 2).mean()))
        level = smooth[: level.shape[0] // 2 * 2 : 2, : level.shape[1] // 2 * 2 : 2]
    found = contrast(picture[None])[0, : len(expected)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_colour_and_whole_numbers_are_read_too() -> None:
    picture = np.random.default_rng(0).integers(0, 200, (2, 48, 48, 3)).astype(np.uint8)
    gray = cv2.cvtColor(picture[0], cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose(contrast(picture)[0, :4], contrast(gray[None])[0, :4], atol=0.01)
    assert np.isfinite(contrast(np.zeros((1, 40, 40), np.uint16))).all()
