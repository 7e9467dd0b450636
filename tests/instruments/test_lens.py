"""The simulated lens obeys geometric optics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import visuomotor as vm
from visuomotor.instruments.simulated.lens import Lens, LensConfig, magnified

GRID = 128
CPU = torch.device("cpu")
DISC = LensConfig(spot_px=2.0, blur_px_per_step=1.0, gaussian_share=0.0)


def spreads(lens: LensConfig, steps) -> torch.Tensor:
    """(M, GRID, GRID) what becomes of a point, its middle in the middle."""
    at = torch.as_tensor(steps, dtype=torch.float32)
    transfer = Lens([lens], GRID, CPU).transfer(torch.zeros(len(at), dtype=torch.long), at)
    return torch.fft.fftshift(torch.fft.irfft2(transfer, (GRID, GRID)), dim=(1, 2))


def variance_px2(spread: torch.Tensor) -> np.ndarray:
    """(M,) along one axis."""
    away = torch.arange(GRID, dtype=torch.float32) - GRID // 2
    return (spread.sum(1) * away**2).sum(1).numpy()


@pytest.mark.parametrize("gaussian_share", [0.0, 0.4, 1.0])
def test_blur_grows_linearly_with_defocus_until_its_cap(gaussian_share: float) -> None:
    lens = LensConfig(2.0, 0.8, gaussian_share, max_blur_px=24.0)
    steps = np.array([0.0, 5, 10, 15, 20, 30, 40, 200])
    for side in (1, -1):
        variance = variance_px2(spreads(lens, side * steps))
        # The second moment of a disc is its squared diameter over 16, along each axis.
        diameter = 4 * np.sqrt((variance - variance[0]).clip(0))
        np.testing.assert_allclose(diameter[1:5], 0.8 * steps[1:5], rtol=0.03)
        np.testing.assert_allclose(diameter[5:], 24.0, rtol=0.03)


def test_in_focus_a_point_is_as_wide_as_the_spot() -> None:
    row = spreads(LensConfig(spot_px=6.0), [0.0])[0, GRID // 2]
    wide = np.interp(np.linspace(-8, 8, 1601), np.arange(GRID) - GRID // 2, row / row.max())
    assert (wide > 0.5).sum() / 100 == pytest.approx(6.0, abs=0.1)


@settings(deadline=None, max_examples=30)
@given(
    steps=st.floats(-200, 200),
    share=st.floats(0, 1),
    halo=st.floats(-1, 1),
    asymmetry=st.floats(-0.9, 0.9),
)
def test_no_light_is_lost_and_none_is_negative(
    steps: float, share: float, halo: float, asymmetry: float
) -> None:
    lens = LensConfig(2.0, 0.5, share, 40.0, asymmetry, halo)
    spread = spreads(lens, [steps])[0]
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-4)
    assert float(spread.min()) > -0.02 * float(spread.max())  # ripples of a disc's sharp rim


def test_a_disc_is_even_and_round() -> None:
    spread = spreads(DISC, [30.0])[0]
    y, x = np.mgrid[:GRID, :GRID] - GRID // 2
    radius = torch.from_numpy(np.hypot(y, x))
    inside, outside = spread[radius < 12], spread[radius > 19]
    level = 1 / (math.pi * 15**2)
    assert (inside - level).abs().max() < 0.1 * level
    assert outside.abs().max() < 0.1 * level


def test_both_sides_are_alike_unless_the_lens_makes_them_differ() -> None:
    beyond, before = spreads(LensConfig(), [12.0, -12.0])
    torch.testing.assert_close(beyond, before)
    faster = LensConfig(2.0, 1.0, asymmetry=0.5)
    beyond, before, least = variance_px2(spreads(faster, [16.0, -16.0, 0.0]))
    assert (beyond - least) / (before - least) == pytest.approx(9, rel=0.05)  # (1.5 / 0.5) squared


@pytest.mark.parametrize("side", [1, -1])
def test_a_halo_has_a_bright_core_on_one_side_only(side: int) -> None:
    plain, haloed = DISC, LensConfig(2.0, 1.0, 0.0, halo=0.5 * side)
    at = [20.0 * side, -20.0 * side]
    (with_core, without), (expected, _) = spreads(haloed, at), spreads(plain, at)
    middle = GRID // 2
    assert with_core[middle, middle] > 2 * without[middle, middle]
    torch.testing.assert_close(without, expected)


# -- breathing -------------------------------------------------------------------------------------


def points(places, size: int = 96) -> torch.Tensor:
    """(1, size, size) smooth spots at places (down, right)."""
    y, x = np.mgrid[:size, :size]
    spots = [np.exp(-((y - down) ** 2 + (x - right) ** 2) / 8) for down, right in places]
    return torch.from_numpy(np.sum(spots, axis=0)[None].astype(np.float32))


def centroid(picture: torch.Tensor) -> np.ndarray:
    light = picture.numpy().clip(1e-3) - 1e-3
    at = np.mgrid[: light.shape[0], : light.shape[1]]
    return (at * light).sum((1, 2)) / light.sum()


@pytest.mark.parametrize("grid", [90, 91, 96])
@pytest.mark.parametrize("size", [63, 64])
def test_unmagnified_it_is_the_middle_of_the_picture(grid: int, size: int) -> None:
    picture = torch.rand(3, grid, grid, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    seen = magnified(torch.fft.rfft2(picture), grid, size, torch.ones(3))
    margin = (grid - size) // 2
    middle = picture[:, margin : margin + size, margin : margin + size]
    torch.testing.assert_close(seen, middle, rtol=0, atol=1e-4)


def test_breathing_moves_corners_outward_only_and_leaves_the_middle() -> None:
    spectrum = torch.fft.rfft2(points([(27.0, 27.0)]))
    centre = torch.fft.rfft2(points([(47.5, 47.5)]))
    before = 31.5
    for grown in (1.02, 1.05, 1.15):
        scale = torch.tensor([grown])
        corner = centroid(magnified(spectrum, 96, 64, scale)[0])
        # It was at 27 - 16 of the cropped picture, whose middle is at 31.5.
        np.testing.assert_allclose(corner, before + (11 - before) * grown, atol=0.1)
        np.testing.assert_allclose(centroid(magnified(centre, 96, 64, scale)[0]), before, atol=0.02)


def test_magnifying_does_not_blur() -> None:
    picture = torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft2(picture) * torch.fft.rfft2(points([(0, 0)]) + 1e-6).abs()
    scales = torch.tensor([0.999, 1.0, 1.001])
    seen = magnified(spectrum.expand(3, -1, -1), 96, 64, scales)
    detail = seen.diff(dim=2).square().mean((1, 2))
    torch.testing.assert_close(detail, detail[1].expand(3), rtol=0.01, atol=0)


# -- configs ---------------------------------------------------------------------------------------


def test_the_picture_grows_and_brightens_with_focus() -> None:
    lens = Lens([LensConfig(breathing=0.1, brightness_slope=-0.5)], GRID, CPU)
    view, steps = torch.zeros(3, dtype=torch.long), torch.tensor([-50.0, 0.0, 400.0])
    assert lens.magnification(view, steps).tolist() == pytest.approx([0.95, 1.0, 1.4])
    assert lens.light(view, steps).tolist() == pytest.approx([1.25, 1.0, 0.05])


def test_views_keep_their_own_lens() -> None:
    one, two = LensConfig(), LensConfig(5.0, 2.0, 1.0, asymmetry=0.4, halo=0.3)
    both = Lens([one, two], GRID, CPU).transfer(torch.tensor([1, 0]), torch.tensor([7.0, -3.0]))
    for seen, lens, steps in zip(both, (two, one), (7.0, -3.0), strict=True):
        alone = Lens([lens], GRID, CPU).transfer(torch.tensor([0]), torch.tensor([steps]))
        torch.testing.assert_close(seen, alone[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"spot_px": 0.0}, "spot_px: expected 0.3 to 100, got 0"),
        ({"blur_px_per_step": 0.0}, "blur_px_per_step"),
        ({"gaussian_share": 1.1}, "gaussian_share: expected 0 to 1"),
        ({"max_blur_px": math.inf}, "max_blur_px"),
        ({"asymmetry": 1.0}, "asymmetry"),
        ({"halo": -2.0}, "halo"),
        ({"breathing": math.nan}, "breathing"),
        ({"brightness_slope": 11.0}, "brightness_slope"),
    ],
)
def test_lenses_that_cannot_be_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        LensConfig(**values)
