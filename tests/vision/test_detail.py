"""Detail by octaves: what each number is of, and what blur does to it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from textures import texture

from visuomotor.types import Frames
from visuomotor.vision.detail import OCTAVES, SIZE, detail

STRONG, MOST, MEAN = 0, OCTAVES, 2 * OCTAVES
"""Where the energies of octaves begin: in strong windows, at most, on average; ..."""
FINER_MOST = 3 * OCTAVES
FINER_STRONG = FINER_MOST + OCTAVES - 1
FINER_STRONG_MOST = FINER_STRONG + OCTAVES - 1
"""... and what each exceeds the next by."""


def grey(pictures: Frames) -> Frames:
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def card(side: int = 96) -> Frames:
    """A black square on white, which is edges alone."""
    picture = np.full((side, side), 200.0, np.float32)
    picture[side // 4 : -side // 4, side // 3 : -side // 5] = 40
    return picture


PICTURES = {
    "photograph": data.camera()[100:292, 150:342].astype(np.float32),
    "still life": data.coffee()[50:242, 200:392].mean(2).astype(np.float32),
    "card": card(),
    "texture": texture(3, (1, 128, 128), sigma=1.0)[0],
}


@pytest.mark.parametrize(
    "shape", [(3, 48, 48), (1, 64, 91), (2, 33, 120, 3), (0, 20, 20), (1, 160, 160)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_so_many_finite_numbers_for_each_picture(shape: tuple[int, ...], dtype: type) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    found = detail(pictures)
    assert found.shape == (shape[0], SIZE)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert SIZE == FINER_STRONG_MOST + OCTAVES - 1


@pytest.mark.parametrize("side", [48, 97])
def test_a_batch_is_one_by_one(side: int) -> None:
    pictures = grey(texture(0, (5, side, side)))
    pictures[2] = 90
    together = detail(pictures)
    for number in range(5):
        np.testing.assert_array_equal(together[number], detail(pictures[number : number + 1])[0])


def test_colours_are_read_as_grey_and_nothing_is_changed() -> None:
    pictures = grey(texture(1))
    colours = np.stack([pictures] * 3, -1)
    kept = colours.copy()
    np.testing.assert_allclose(detail(colours), detail(pictures), atol=1e-4)
    np.testing.assert_array_equal(colours, kept)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (2, 2), (3, 5), (5, 4), (9, 200), (1, 4000), (19, 21)]
)
def test_tiny_and_narrow_pictures(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, *shape)).astype(np.uint8)
    found = detail(picture)
    assert found.shape == (1, SIZE)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_of_a_flat_picture_no_octave_stands_out(level: int) -> None:
    (found,) = detail(np.full((1, 64, 64), level, np.uint8))
    assert np.ptp(found[:FINER_MOST]) < 1e-3
    np.testing.assert_allclose(found[FINER_MOST:], 0, atol=1e-3)


@pytest.mark.parametrize("name", PICTURES)
def test_the_parts_are_what_they_are_called(name: str) -> None:
    (found,) = detail(grey(PICTURES[name])[None])
    strong, most, mean = (found[first : first + OCTAVES] for first in (STRONG, MOST, MEAN))
    assert (most >= strong - 1e-5).all()
    assert (most >= mean - 1e-5).all()
    # Chosen for the two coarsest octaves: there no mean over other windows is larger.
    assert strong[-2:].sum() >= mean[-2:].sum() - 1e-4
    finer, inside, inside_most = np.split(found[FINER_MOST:], 3)
    np.testing.assert_allclose(inside, strong[:-1] - strong[1:], atol=1e-4)
    assert (inside <= inside_most + 1e-5).all()
    assert (inside_most <= finer + 1e-5).all()


def blurred(picture: Frames, sigma: float) -> Frames:
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture


def spread(picture: Frames, diameter: float) -> Frames:
    """By a disc, as defocus does."""
    half = int(np.ceil(diameter / 2)) + 1
    fine = (np.arange((2 * half + 1) * 8) + 0.5) / 8 - half - 0.5
    disc = (np.hypot(fine[:, None], fine) <= diameter / 2).astype(np.float32)
    kernel = disc.reshape(2 * half + 1, 8, 2 * half + 1, 8).mean((1, 3))
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    "ladder",
    [
        [(blurred, s) for s in (0.0, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0)],
        [(spread, d) for d in (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)],
    ],
    ids=["gaussian", "disc"],
)
def test_more_blur_never_raises_the_finest_octaves_excess_over_the_next(name, ladder) -> None:
    """In the windows that count, as long as the next octave itself still shows something."""
    pictures = [grey(blur(PICTURES[name], amount)) for blur, amount in ladder]
    found = detail(np.stack(pictures))
    shown = found[:, STRONG + 1] > 1.0
    excess = found[shown, FINER_STRONG]
    assert shown.sum() >= 3
    assert (np.diff(excess) <= 0.05).all(), excess
    assert excess[-1] < excess[0] - 0.5


@pytest.mark.parametrize("name", PICTURES)
def test_more_blur_never_adds_energy(name: str) -> None:
    pictures = [grey(blurred(PICTURES[name], s)) for s in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)]
    found = detail(np.stack(pictures))[:, :FINER_MOST]
    for first in (MOST, MEAN):
        energies = found[:, first : first + OCTAVES]
        assert (np.diff(energies, axis=0) <= 0.05).all()


@given(st.integers(0, 1000), st.integers(-60, 60))
@settings(max_examples=20, deadline=None)
def test_brightness_changes_nothing_and_a_mirror_little_of_the_mean(seed: int, more: int) -> None:
    (picture,) = grey(texture(seed, (1, 64, 64)).clip(61, 194))
    (expected,) = detail(picture[None])
    lighter = (picture.astype(int) + more).astype(np.uint8)
    np.testing.assert_allclose(detail(lighter[None])[0], expected, atol=0.02)
    mirrored = detail(np.ascontiguousarray(picture[:, ::-1])[None])[0]
    # The pyramid begins at another pixel, so coarse octaves are sampled elsewhere.
    np.testing.assert_allclose(mirrored[MEAN : MEAN + 2], expected[MEAN : MEAN + 2], atol=0.2)
