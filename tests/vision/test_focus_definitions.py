"""What each focus measure is: against its definition, written out in double precision."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from textures import texture

from visuomotor.types import FloatArray, Frames
from visuomotor.vision import focus

dtypes = pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])


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


@pytest.mark.parametrize("name", sorted(set(focus.measures()) - {"jpeg_size"}))  # it reads in rows
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


def plain(seed: int, shape: tuple[int, int] = (40, 50)) -> tuple[Frames, FloatArray]:
    """Noise that was hardly blurred, as a batch and as its one picture in double precision."""
    frames = texture(seed, (1, *shape), sigma=0.7)
    return frames, frames[0].astype(np.float64)


def sobel_length(p: FloatArray) -> FloatArray:
    p = np.pad(p, 1, mode="reflect")
    rows, columns = p[:-2] + 2 * p[1:-1] + p[2:], p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return np.hypot(rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2])


def test_edges_and_sharp_edges_against_their_definitions() -> None:
    frames, p = plain(9)
    np.testing.assert_allclose(focus.edges(frames), sobel_length(p).mean() / p.mean(), rtol=1e-5)
    padded = np.pad(p, 1, mode="reflect")
    shifts = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    around = sum(padded[y : y + 40, x : x + 50] for y, x in shifts)
    expected = sobel_length((12 * p - around) / 4).mean() / p.mean()
    np.testing.assert_allclose(focus.sharp_edges(frames), expected, rtol=1e-5)


def test_median_edges_are_diagonal_and_blind_to_hot_pixels() -> None:
    frames, _ = plain(10)
    calm = np.pad(cv2.medianBlur(frames[0], 3).astype(np.float64), 1, mode="reflect")
    p = {(y, x): calm[1 + y : 41 + y, 1 + x : 51 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)}
    falling = 2 * (p[-1, -1] - p[1, 1]) + p[-1, 0] + p[0, -1] - p[0, 1] - p[1, 0]
    rising = 2 * (p[-1, 1] - p[1, -1]) + p[-1, 0] + p[0, 1] - p[0, -1] - p[1, 0]
    expected = np.hypot(falling, rising).mean() / frames.mean(dtype=np.float64)
    np.testing.assert_allclose(focus.median_edges(frames), expected, rtol=1e-5)
    hot = np.full((1, 40, 50), 100, np.uint8)
    hot[0, 10:30:5, 10:40:5] = 255
    assert focus.median_edges(hot)[0] == 0
    assert focus.edges(hot)[0] > 0


def test_redondo_is_the_mean_over_its_four_turns() -> None:
    frames, p = plain(11)
    turns = []
    for k in range(4):
        q = np.rot90(p, k)
        left, right, up, down = q[1:-1, :-2], q[1:-1, 2:], q[:-2, 1:-1], q[2:, 1:-1]
        turns.append(((left + right + up + down - 4 * left) ** 2).mean())
    np.testing.assert_allclose(focus.redondo(frames), np.mean(turns) / p.mean() ** 2, rtol=1e-5)


def test_laplacian_energy_against_its_definition() -> None:
    frames, p = plain(12)
    q = np.pad(p, 1, mode="reflect")
    corners = q[:-2, :-2] + q[:-2, 2:] + q[2:, :-2] + q[2:, 2:]
    sides = q[:-2, 1:-1] + q[2:, 1:-1] + q[1:-1, :-2] + q[1:-1, 2:]
    expected = (((corners + 4 * sides - 20 * p) / 6) ** 2).mean() / p.mean() ** 2
    np.testing.assert_allclose(focus.laplacian_energy(frames), expected, rtol=1e-5)


def test_the_spread_and_vollath_f5_against_their_definitions() -> None:
    frames, p = plain(13)
    np.testing.assert_allclose(focus.standard_deviation(frames), p.std() / p.mean(), rtol=1e-5)
    spread = np.sqrt(focus.normalised_variance(frames))
    np.testing.assert_allclose(focus.standard_deviation(frames), spread, rtol=1e-6)
    c = p - p.mean()
    expected = ((c[1:] * c[:-1]).mean() + (c[:, 1:] * c[:, :-1]).mean()) / p.mean() ** 2
    np.testing.assert_allclose(focus.vollath_f5(frames), expected, rtol=1e-4)
    noise = np.random.default_rng(0).normal(120, 10, (1, 256, 256)).astype(np.float32)
    assert focus.vollath_f5(noise)[0] < 0.02 * focus.vollath_f5(texture(8, (1, 256, 256)))[0]


def test_dct_shannon_entropy_against_its_definition() -> None:
    """The transform written as its cosines, and the triangle by its two edges."""
    frames, p = plain(14, (36, 45))

    def cosines(n: int) -> FloatArray:
        k, x = np.mgrid[:n, :n]
        rows = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * x + 1) / (2 * n))
        rows[0] /= np.sqrt(2)
        return rows

    c = np.abs(cosines(36) @ p @ cosines(45).T)
    c /= np.linalg.norm(c)
    kept = [c[y, x] for y in range(12) for x in range(15) if y / 12 + x / 15 < 1]
    expected = -np.mean(kept * np.log(kept)) * np.sqrt(36 * 45)
    np.testing.assert_allclose(focus.dct_shannon_entropy(frames), expected, rtol=1e-9)


def test_dct_shannon_entropy_does_not_hear_what_no_optics_pass() -> None:
    x = np.arange(90)
    fine = np.tile(100 + 5 * np.cos(np.pi * 60 / 90 * (x + 0.5)), (90, 1))[
        None
    ]  # 60 of 90 half waves
    coarse = np.tile(100 + 5 * np.cos(np.pi * 20 / 90 * (x + 0.5)), (90, 1))[None]
    assert focus.dct_shannon_entropy(fine)[0] < 1e-2 * focus.dct_shannon_entropy(coarse)[0]


def test_dct_shannon_entropy_of_two_sizes_can_be_compared() -> None:
    large, small = texture(15, (1, 256, 256)), texture(15, (1, 128, 128))
    ratio = focus.dct_shannon_entropy(large)[0] / focus.dct_shannon_entropy(small)[0]
    assert 0.8 < ratio < 1.25


def test_jpeg_size_is_bytes_for_each_pixel_beyond_a_flat_picture() -> None:
    frames = texture(16, (1, 64, 80)).astype(np.uint8)
    levels = np.rint(frames[0] * (focus.JPEG_MEAN_LEVEL / frames.mean())).astype(np.uint8)

    def count(picture: Frames) -> int:
        quality = [cv2.IMWRITE_JPEG_QUALITY, focus.JPEG_QUALITY]
        return len(cv2.imencode(".jpg", picture, quality)[1])

    expected = (count(levels) - count(np.full_like(levels, focus.JPEG_MEAN_LEVEL))) / levels.size
    np.testing.assert_allclose(focus.jpeg_size(frames), expected, rtol=0.02)
    assert 0 < expected < 1


def test_jpeg_size_of_a_usual_picture_hardly_depends_on_mirroring() -> None:
    frames = texture(16, (1, 256, 300))
    for mirrored in (frames[:, ::-1], frames[:, :, ::-1]):
        np.testing.assert_allclose(focus.jpeg_size(mirrored), focus.jpeg_size(frames), rtol=0.02)


def test_mean_and_peak_are_grey_levels() -> None:
    frames, p = plain(17)
    np.testing.assert_allclose(focus.mean(frames), p.mean(), rtol=1e-6)
    np.testing.assert_allclose(focus.peak_brightness(frames), p.max(), rtol=1e-6)
