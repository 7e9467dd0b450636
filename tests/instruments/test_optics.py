"""The simulated optics obey optics."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import visuomotor as vm
from visuomotor.instruments.simulated.optics import OpticsConfig, Pupil

GRID = 128
CPU = torch.device("cpu")


def sampled(aperture: float, wavelength_um: float = 0.5, **more) -> OpticsConfig:
    """Optics whose pixels are a quarter of the finest detail, so that grids hold enough pupil."""
    pixel_um = wavelength_um / (8 * aperture)
    return OpticsConfig(aperture, wavelength_um, pixel_um, **{"spherical_waves": 0.0, **more})


def spreads(optics: OpticsConfig, defocus_um, grid_px: int = GRID) -> torch.Tensor:
    pupil = Pupil([optics], grid_px, CPU)
    z = torch.as_tensor(defocus_um, dtype=torch.float32)
    return pupil.point_spread(torch.zeros(len(z), dtype=torch.long), z)


def axial_width_um(optics: OpticsConfig) -> float:
    """Full width at half maximum, along the axis, of the light in the middle."""
    reach = optics.depth_of_field_um * 1.5
    z = np.linspace(-reach, reach, 401)
    middle = spreads(optics, z)[:, 0, 0].numpy()
    inside = z[middle > middle.max() / 2]
    return float(inside[-1] - inside[0])


@pytest.mark.parametrize("aperture", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("wavelength_um", [0.45, 0.65])
def test_axial_width_scales_as_wavelength_over_aperture_squared(
    aperture: float, wavelength_um: float
) -> None:
    width = axial_width_um(sampled(aperture, wavelength_um))
    # The middle of a defocused point falls as sinc(z NA^2 / (2 lambda))^2 (Born and Wolf, 8.8.4),
    # which is a half at 0.443: twice that, both sides, is 1.77 lambda / NA^2.
    assert width == pytest.approx(1.772 * wavelength_um / aperture**2, rel=0.04)


def test_a_denser_medium_stretches_the_axis() -> None:
    in_air, in_oil = sampled(0.2), sampled(0.2, index=1.5)
    assert axial_width_um(in_oil) / axial_width_um(in_air) == pytest.approx(1.5, rel=0.03)


def test_the_first_dark_point_on_the_axis_is_two_wavelengths_over_aperture_squared_away() -> None:
    optics = sampled(0.15)
    first_dark = 2 * optics.wavelength_um / optics.numerical_aperture**2
    middle = spreads(optics, [0.0, first_dark], 256)[:, 0, 0]
    assert middle[1] < 0.01 * middle[0]


@pytest.mark.parametrize("spherical_waves", [0.0, 0.4])
def test_energy_is_conserved_through_focus(spherical_waves: float) -> None:
    optics = sampled(0.25, spherical_waves=spherical_waves)
    light = spreads(optics, np.linspace(-30, 30, 21)).sum((1, 2))
    torch.testing.assert_close(light, torch.ones(21), rtol=1e-4, atol=0)


def test_without_aberration_both_sides_of_focus_are_alike() -> None:
    above, below = spreads(sampled(0.1), [9.0, -9.0])
    torch.testing.assert_close(above, below, rtol=1e-3, atol=1e-6)


def test_spherical_aberration_makes_the_sides_differ_and_dims_the_focus() -> None:
    clean, aberrated = sampled(0.1), sampled(0.1, spherical_waves=0.3)
    above, below = spreads(aberrated, [60.0, -60.0])
    assert (above - below).abs().sum() > 0.2
    # Strehl's ratio: exp(-(2 pi sigma)^2), sigma = 0.3 / sqrt 5 waves (Mahajan).
    ratio = spreads(aberrated, [0.0])[0, 0, 0] / spreads(clean, [0.0])[0, 0, 0]
    assert ratio == pytest.approx(math.exp(-((2 * math.pi * 0.3) ** 2) / 5), rel=0.1)


def test_the_cut_off_is_two_apertures_over_the_wavelength() -> None:
    optics = sampled(0.2)
    pupil = Pupil([optics], 256, CPU)
    transfer = pupil.transfer(torch.zeros(1, dtype=torch.long), torch.zeros(1))[0, 0].abs()
    frequency = np.arange(129) / (256 * optics.pixel_um)  # cycles per um
    cutoff = 2 * optics.numerical_aperture / optics.wavelength_um
    assert transfer[0] == pytest.approx(1.0, abs=1e-3)
    assert (transfer[frequency > 1.03 * cutoff] < 1e-3).all()
    assert (transfer[frequency < 0.9 * cutoff] > 1e-2).all()


@pytest.mark.parametrize("pixels_wider", [1.0, 1.99])
def test_in_focus_the_transfer_is_that_of_the_books(pixels_wider: float) -> None:
    plain = sampled(0.2)
    optics = replace(plain, pixel_um=plain.pixel_um * pixels_wider)
    pupil = Pupil([optics], 512, CPU)
    transfer = pupil.transfer(torch.zeros(1, dtype=torch.long), torch.zeros(1))[0, 0].real.numpy()
    frequency = np.arange(257) / 512  # cycles per pixel
    s = np.clip(frequency / (2 * optics.numerical_aperture * optics.pixel_um / 0.5), 0, 1)
    circle = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))  # Goodman, equation 6-32
    np.testing.assert_allclose(transfer, circle * np.sinc(frequency), atol=0.01)


def test_defocus_takes_detail_away_and_far_defocus_changes_nothing_more() -> None:
    optics = sampled(0.2)
    pupil = Pupil([optics], GRID, CPU)
    zero = torch.zeros(4, dtype=torch.long)
    far = float(pupil.farthest_um[0])
    z = torch.tensor([0.0, 0.1 * far, far, 3 * far])
    detail = pupil.transfer(zero, z).abs().square().sum((1, 2))
    assert detail[0] > 2 * detail[1] > 2 * detail[2]
    assert detail[2] == pytest.approx(float(detail[3]), rel=1e-4)


def test_phase_detail_is_seen_in_focus_and_keeps_the_mean() -> None:
    optics = sampled(0.2, contrast="phase")
    pupil = Pupil([optics], GRID, CPU)
    z = torch.tensor([0.0, 10.0, 40.0])
    transfer = pupil.phase_transfer(torch.zeros(3, dtype=torch.long), z)
    assert (transfer[:, 0, 0] == 0).all()
    energy = transfer.square().sum((1, 2))
    assert energy[0] > energy[1] > energy[2]


def test_views_keep_their_own_optics() -> None:
    few, many = sampled(0.1), OpticsConfig(0.3, 0.5, 0.3)
    together = Pupil([few, many], GRID, CPU)
    z = torch.tensor([5.0, 5.0])
    both = together.point_spread(torch.tensor([0, 1]), z)
    torch.testing.assert_close(both[0], spreads(few, [5.0])[0])
    torch.testing.assert_close(both[1], spreads(many, [5.0])[0])


def test_pixels_so_small_that_the_picture_is_one_spot_are_refused() -> None:
    with pytest.raises(vm.InputError, match=r"pixel_um: expected at least 0\.0688"):
        Pupil([OpticsConfig(pixel_um=0.01)], GRID, CPU)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"numerical_aperture": 1.1},
            "numerical_aperture: expected less than the index 1, got 1.1",
        ),
        ({"pixel_um": 0.0}, "pixel_um: expected 0.0001 to 10000, got 0"),
        ({"pixel_um": 0.6}, r"at most wavelength / \(4 NA\) = 0.55, got 0.6"),
        ({"wavelength_um": -0.5}, "wavelength_um"),
        ({"index": 0.9}, "index: expected 1 to 4"),
        ({"spherical_waves": math.nan}, "spherical_waves"),
    ],
)
def test_optics_that_cannot_be_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        OpticsConfig(**values)
