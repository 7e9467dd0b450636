"""The simulated microscope, stage by stage, as a recording and as a live instrument."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import visuomotor as vm
from visuomotor.instruments.simulated import microscope as module
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.optics import OpticsConfig
from visuomotor.instruments.simulated.sensor import Sensor, SensorConfig
from visuomotor.instruments.simulated.specimens import Specimen, kinds
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import smooth

EXACT = SensorConfig(photon_noise=False, read_noise_e=0.0, vignetting=0.0, black_dn=0.0)
SMALL = MicroscopeConfig(size_px=72, drive=DriveConfig(first=-12.0, last=12.0, fine_step=1.0))
DEEP = replace(EXACT, bits=16, gain_dn_per_e=5.0)
CPU = torch.device("cpu")


def seen(config: MicroscopeConfig, positions, noise: int | None = None) -> np.ndarray:
    scope = Microscope(config)
    at = np.asarray(positions, float)
    generator = None if noise is None else scope.generator(noise)
    return scope.pictures(np.zeros(len(at), np.int64), at, generator)


# -- specimen to brightness ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("contrast", ["brightfield", "fluorescence", "phase"])
def test_every_kind_in_every_contrast_is_sharpest_in_focus(kind: str, contrast: str) -> None:
    optics = OpticsConfig(contrast=contrast, spherical_waves=0.05)
    pictures = seen(
        replace(SMALL, specimen=SpecimenConfig(kind), optics=optics, sensor=DEEP),
        np.linspace(-12, 12, 25),
    )
    sharpness = tenengrad(smooth(pictures, 0.7))
    assert abs(np.argmax(sharpness) - 12) <= 3
    assert sharpness.max() > 1.3 * sharpness[[0, -1]].max()


def test_brightness_keeps_its_mean_through_focus() -> None:
    # Over the whole grid; what leaves the picture at one edge comes in at the other.
    scope = Microscope(replace(SMALL, size_px=96))
    scope.size_px = scope.grid_px
    views = torch.zeros(5, dtype=torch.long)
    mean = scope.brightness(views, torch.tensor([-12.0, -5.0, 0.0, 5.0, 12.0])).mean((1, 2))
    torch.testing.assert_close(mean, mean[2].expand(5), rtol=2e-3, atol=0)


def test_aberration_makes_above_and_below_differ() -> None:
    def difference(spherical_waves: float) -> float:
        optics = OpticsConfig(spherical_waves=spherical_waves)
        above, below = seen(replace(SMALL, optics=optics, sensor=DEEP), [6.0, -6.0]).astype(float)
        return float(np.abs(above - below).mean() / above.mean())

    assert difference(0.0) < 1e-3
    assert difference(0.3) > 10 * difference(0.0)


def test_layers_are_sharp_each_at_its_own_depth(monkeypatch) -> None:
    def two_halves(kind, size_px, *args, **more) -> Specimen:
        dots = (np.random.default_rng(0).random((size_px, size_px)) > 0.9).astype(np.float32)
        left = np.arange(size_px) < size_px // 2
        return Specimen(kind, np.stack([dots * left, dots * ~left]))

    monkeypatch.setattr(module, "specimen", two_halves)
    thick = SpecimenConfig(layers=2, thickness_um=10.0)
    pictures = seen(replace(SMALL, specimen=thick, sensor=DEEP), np.arange(-12, 13))
    left, right = (tenengrad(half) for half in (pictures[:, :, :30], pictures[:, :, -30:]))
    assert (np.argmax(left) - 12, np.argmax(right) - 12) == pytest.approx((-5, 5), abs=1)


def test_a_tilted_field_is_sharp_in_a_band_that_moves() -> None:
    tilted = SpecimenConfig("stained_tissue", tilt_um=20.0)
    config = replace(SMALL, size_px=96, specimen=tilted, sensor=DEEP)
    left, right = [], []
    for picture in seen(config, np.arange(-12, 13)):
        left.append(tenengrad(picture[None, :, :24])[0])
        right.append(tenengrad(picture[None, :, -24:])[0])
    assert np.argmax(right) - np.argmax(left) >= 8


def test_a_specimen_without_detail_is_refused_before_anything_is_rendered(monkeypatch) -> None:
    def blank(kind, size_px, *args, **more) -> Specimen:
        return Specimen(kind, np.full((1, size_px, size_px), 0.5, np.float32))

    monkeypatch.setattr(module, "specimen", blank)
    with pytest.raises(vm.InputError, match="no_sample: expected a specimen with detail"):
        Microscope(SMALL)


# -- sensor ----------------------------------------------------------------------------------------


def exposed(config: SensorConfig, brightness: float, count: int = 40) -> np.ndarray:
    sensor = Sensor(config, 64, 64, CPU)
    light = torch.full((count, 64, 64), brightness)
    return sensor.expose(light, torch.Generator().manual_seed(0)).numpy()


def test_photon_noise_is_poisson_and_read_noise_adds_to_it() -> None:
    config = SensorConfig(
        electrons_at_white=1000, read_noise_e=12, full_well_e=1e6, gain_dn_per_e=8.0, bits=16
    )
    config = replace(config, vignetting=0.0, black_dn=1000.0)
    levels = exposed(config, 0.4).astype(float)
    assert levels.mean() == pytest.approx(1000 + 8 * 400, rel=0.002)
    # EMVA 1288, equation 11: variance = gain^2 (read^2 + electrons) + 1/12 of rounding.
    assert levels.var() == pytest.approx(8.0**2 * (12**2 + 400) + 1 / 12, rel=0.02)


def test_it_saturates_at_the_well_and_at_the_bits() -> None:
    full = replace(EXACT, full_well_e=5000, electrons_at_white=10_000, gain_dn_per_e=0.01)
    assert (exposed(full, 2.0) == 50).all()
    assert (exposed(replace(EXACT, bits=4, gain_dn_per_e=1.0), 0.9) == 15).all()
    assert exposed(replace(EXACT, bits=8), 0.5).dtype == np.uint8
    assert exposed(replace(EXACT, bits=12), 0.5).dtype == np.uint16


def test_vignetting_dims_the_corners() -> None:
    picture = exposed(replace(EXACT, vignetting=0.5), 0.8)[0].astype(float)
    assert picture[0, 0] == pytest.approx(0.5 * picture[32, 32], rel=0.03)


def test_without_noise_an_exposure_is_what_is_expected() -> None:
    sensor = Sensor(EXACT, 8, 8, CPU)
    light = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sensor.expose(light, torch.Generator()), sensor.expected(light))


# -- recordings and live views ---------------------------------------------------------------------


def test_the_same_seeds_give_the_same_recording_and_others_do_not() -> None:
    def record(config: MicroscopeConfig) -> np.ndarray:
        return Microscope(config).stack().frames

    first = record(SMALL)
    np.testing.assert_array_equal(first, record(SMALL))
    for other in (
        replace(SMALL, noise_seed=1),
        replace(SMALL, specimen=SpecimenConfig(slide_seed=1)),
        replace(SMALL, specimen=SpecimenConfig(field_seed=1)),
    ):
        assert (first != record(other)).any()


def test_a_recording_has_the_drives_positions_and_its_focus() -> None:
    drive = DriveConfig("rad", 10.0, 3.0, 5.0, 4.2, 0.1)
    stack = Microscope(replace(SMALL, drive=drive)).stack(name="turned")
    assert (stack.unit, stack.name, stack.num_positions) == ("rad", "turned", 21)
    assert stack.curve(tenengrad).best_position == pytest.approx(4.2, abs=0.11)


def test_a_fine_step_is_a_quarter_of_the_depth_of_field() -> None:
    config = MicroscopeConfig(drive=DriveConfig(um_per_unit=2.0))
    assert config.fine_step == pytest.approx(0.55 / 0.25**2 / 4 / 2.0)


def test_views_of_one_batch_are_what_they_are_alone() -> None:
    one = replace(SMALL, optics=OpticsConfig(0.2, pixel_um=0.6))
    two = replace(SMALL, specimen=SpecimenConfig("beads"), drive=replace(SMALL.drive, focus=3.0))
    both = Microscope([one, two]).pictures(np.array([1, 0, 1]), np.array([3.0, -2.0, 9.0]), None)
    alone = [seen(two, [3.0]), seen(one, [-2.0]), seen(two, [9.0])]
    difference = np.abs(both.astype(int) - np.concatenate(alone).astype(int))
    assert difference.max() <= 1  # rounding


def test_each_view_has_its_own_background() -> None:
    glowing = OpticsConfig(contrast="fluorescence", density=1e-6, background=0.1)
    views = [
        replace(SMALL, optics=replace(glowing, background=share), sensor=DEEP)
        for share in (0.1, 0.3)
    ]
    dim, bright = Microscope(views).pictures(np.array([0, 1]), np.zeros(2), None)
    assert bright.mean() == pytest.approx(3 * dim.mean(), rel=1e-3)


def test_positions_stay_within_the_drives_range() -> None:
    drive = DriveConfig(first=0.0, last=10.0, fine_step=1.5)
    assert MicroscopeConfig(drive=drive).positions.tolist() == [0, 1.5, 3, 4.5, 6, 7.5, 9]


def test_large_requests_are_made_in_several_batches(monkeypatch) -> None:
    at = np.linspace(-5, 5, 7)
    whole = seen(SMALL, at)
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 96 * 96)
    np.testing.assert_array_equal(whole, seen(SMALL, at))


def test_live_pictures_carry_fresh_noise_that_comes_back_with_the_state() -> None:
    rig, twin = (Microscope(SMALL).instrument(cells=2, seed=seed) for seed in (3, 4))
    cells = np.arange(2)
    first, second = rig.camera.grab(cells), rig.camera.grab(cells)
    assert (first != second).any()
    twin.load_state_dict(rig.state_dict())
    np.testing.assert_array_equal(rig.camera.grab(cells), twin.camera.grab(cells))


def test_a_person_can_focus_it() -> None:
    rig = Microscope(replace(SMALL, drive=replace(SMALL.drive, focus=4.0))).instrument()
    result = vm.focus(rig, vm.load_policy("search:two-stage-sweep"), seed=1)
    assert result.verdict is vm.Verdict.FOCUSED
    assert result.position == pytest.approx(4.0, abs=1.5)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DriveConfig(first=3.0, last=3.0), "expected ascending positions"),
        (lambda: DriveConfig(um_per_unit=0.0), "um_per_unit"),
        (lambda: DriveConfig(fine_step=math.nan), "fine_step"),
        (lambda: MicroscopeConfig(size_px=0), "size_px: expected 16"),
        (lambda: SpecimenConfig(layers=0), "layers: expected 1"),
        (lambda: SpecimenConfig(thickness_um=3.0), "layers: expected at least 2 to spread"),
        (lambda: SensorConfig(bits=17), "bits: expected 1 to 16"),
        (lambda: SensorConfig(electrons_at_white=0), "electrons_at_white"),
        (lambda: Microscope([]), "at least one view"),
        (lambda: Microscope([SMALL, replace(SMALL, size_px=64)]), "size_px: expected the same"),
        (lambda: Microscope(SMALL).instrument(cells=0), "cells: expected at least 1"),
        (lambda: Microscope(replace(SMALL, specimen=SpecimenConfig("tisue"))), "tissue"),
    ],
)
def test_what_cannot_be_is_refused(make, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        make()


def test_views_of_other_drives_have_no_live_instrument() -> None:
    other = replace(SMALL, drive=DriveConfig(first=-9.0, last=12.0, fine_step=1.0))
    with pytest.raises(vm.InputError, match="expected one range and fine step"):
        Microscope([SMALL, other]).instrument()


def test_a_start_outside_the_range_is_refused() -> None:
    rig = Microscope(SMALL).instrument()
    with pytest.raises(vm.InputError, match="start: expected positions from -12 to 12"):
        rig.reset(np.array([0]), np.array([13.0]), np.random.default_rng(0))
