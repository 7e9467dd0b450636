"""Blur of edges beside edges that were blurred by a disc of known diameter."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.tasks.camera_control import CameraControlConfig
from visuomotor.types import Frame
from visuomotor.vision.blur import edge_blur_px

FINE = 8
"""Parts of a pixel, each way, in which edges and discs are drawn."""


def edge(
    diameter: float, degrees: float = 0.0, dark: float = 60.0, step: float = 120.0, side: int = 96
) -> Frame:
    """(side, side) float64: a step edge through the middle that a disc has blurred. Along its
    normal that is the share of the disc on the bright side, in closed form; each pixel is the mean
    over its area."""
    place = (np.arange(side * FINE) + 0.5) / FINE - side / 2
    angle = np.radians(degrees)
    away = place[None] * np.cos(angle) + place[:, None] * np.sin(angle)
    if diameter > 0:
        x = np.clip(2 * away / diameter, -1, 1)
        bright = 0.5 + (np.arcsin(x) + x * np.sqrt(1 - x**2)) / np.pi
    else:
        bright = (away > 0).astype(float)
    pixels = bright.reshape(side, FINE, side, FINE).mean((1, 3))
    return dark + step * pixels


def grey(picture: Frame) -> Frame:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("step", [40.0, 120.0])
@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 200])
@pytest.mark.parametrize("diameter", range(2, 13))
def test_a_discs_diameter_is_found(diameter: int, degrees: float, step: float) -> None:
    found = edge_blur_px(grey(edge(diameter, degrees, step=step)))
    assert abs(found - diameter) <= 0.2 * diameter + 0.5


def test_a_sharp_edges_own_blur_is_within_what_camera_control_takes_off() -> None:
    for degrees in (0, 10, 45):
        for step in (40.0, 120.0):
            own = edge_blur_px(grey(edge(0.0, degrees, step=step)))
            assert 0 <= own <= CameraControlConfig().edge_px


@pytest.mark.parametrize("degrees", [0, 30])
def test_more_blur_is_more(degrees: float) -> None:
    found = [edge_blur_px(grey(edge(d, degrees))) for d in np.arange(2.0, 20.0, 1.5)]
    assert (np.diff(found) > 0).all()


@given(st.floats(2, 14), st.floats(0, 360), st.floats(0, 80), st.floats(0.4, 1.4))
@settings(max_examples=25, deadline=None)
def test_brightness_contrast_and_turns_change_nothing(diameter, degrees, more, gain) -> None:
    picture = edge(diameter, degrees, dark=0, step=100).astype(np.float32)
    expected = edge_blur_px(picture)
    assert edge_blur_px(more + gain * picture) == pytest.approx(expected, rel=0.01, abs=0.05)
    for other in (picture.T, picture[::-1], picture[:, ::-1]):
        assert edge_blur_px(np.ascontiguousarray(other)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("diameter", [4, 8, 12])
def test_noise_of_a_sensor_hardly_matters(diameter: int) -> None:
    noise = np.random.default_rng(0).normal(0, 1.5, (96, 96))
    found = edge_blur_px(grey(edge(diameter, 10) + noise))
    assert abs(found - diameter) <= 0.2 * diameter + 0.5


def test_colours_are_read_as_grey() -> None:
    picture = grey(edge(6))
    assert edge_blur_px(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)) == edge_blur_px(picture)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_without_an_edge_there_is_no_blur_to_measure(level: int) -> None:
    assert edge_blur_px(np.full((40, 40), level, np.uint8)) == np.inf
    assert edge_blur_px(np.full((40, 40, 3), level, np.uint8)) == np.inf
    assert edge_blur_px(grey(edge(0, dark=100, step=8))) == np.inf


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 40), (40, 3), (4, 4)])
def test_tiny_pictures_have_none_or_some(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    found = edge_blur_px(picture)
    assert found >= 0
    if min(shape) < 4:
        assert found == np.inf
