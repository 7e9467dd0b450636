"""The simulated camera lens, stage by stage, as a recording and as a live instrument."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import visuomotor as vm
from visuomotor.instruments.simulated import camera_lens as module
from visuomotor.instruments.simulated.camera_lens import CameraLens, CameraLensConfig
from visuomotor.instruments.simulated.lens import LensConfig
from visuomotor.instruments.simulated.microscope import DriveConfig
from visuomotor.instruments.simulated.scenes import SceneConfig, layer_masks, reflectance
from visuomotor.instruments.simulated.sensor import Sensor, SensorConfig
from visuomotor.instruments.simulated.specimens import TEXTURES, kinds
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import smooth

DEEP = SensorConfig(
    photon_noise=False, read_noise_e=0.0, vignetting=0.0, black_dn=0.0, bits=16, gain_dn_per_e=5.0
)
DRIVE = DriveConfig("V", first=24.0, last=70.0, focus=44.0, fine_step=0.5)
SMALL = CameraLensConfig(size_px=72, drive=DRIVE)
LINEAR = replace(SMALL, sensor=DEEP, gamma=1.0)
"""Grey levels in proportion to light."""


def seen(config: CameraLensConfig, steps, noise: int | None = None) -> np.ndarray:
    """(M, H, W) at these fine steps beyond focus (M,)."""
    camera = CameraLens(config)
    at = config.drive.focus + config.fine_step * np.asarray(steps, float)
    generator = None if noise is None else camera.generator(noise)
    return camera.pictures(np.zeros(len(at), np.int64), at, generator)


# -- scenes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("texture", [0.0, 0.5])
def test_every_kind_is_sharpest_in_focus(kind: str, texture: float) -> None:
    sharpness = tenengrad(
        seen(replace(LINEAR, scene=SceneConfig(kind, texture)), np.arange(-20, 21))
    )
    assert np.argmax(sharpness) == 20
    assert (np.diff(sharpness[:21]) > 0).all()


@pytest.mark.parametrize("picture", TEXTURES.split())
def test_every_real_picture_is_sharpest_in_focus(picture: str) -> None:
    scene = SceneConfig(texture=1.0, picture=picture, slide_seed=2, field_seed=3)
    sharpness = tenengrad(seen(replace(LINEAR, scene=scene), np.arange(-20, 21)))
    assert np.argmax(sharpness) == 20
    assert sharpness.max() > 1.4 * sharpness[[0, -1]].max()  # some are soft themselves


def test_a_fine_step_is_a_fine_step_whatever_the_spot() -> None:
    """F of the autofocus task falls to 0.9 about 2.5 fine steps from focus."""
    for spot_px in (1.2, 2.0, 4.0):
        falls = []
        for seed, kind in enumerate(kinds()):
            scene = SceneConfig(kind, texture=seed % 3 / 2, slide_seed=seed)
            pictures = seen(replace(LINEAR, scene=scene, lens=LensConfig(spot_px)), [0, 2.5])
            at_focus, beside = tenengrad(smooth(pictures, 1.0))
            falls.append(beside / at_focus)
        assert 0.87 < np.median(falls) < 0.93


def test_a_scene_is_the_same_for_the_same_seeds_alone() -> None:
    scene = SceneConfig(texture=0.5, layers=3)
    np.random.seed(0)  # noqa: NPY002 - somebody else's global state: it must not matter
    first, masks = reflectance(scene, 96), layer_masks(scene, 96)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, reflectance(scene, 96))
    np.testing.assert_array_equal(masks, layer_masks(scene, 96))
    for other in (replace(scene, slide_seed=1), replace(scene, field_seed=1)):
        assert np.abs(first - reflectance(other, 96)).mean() > 0.02
        assert np.abs(masks - layer_masks(other, 96)).mean() > 0.02


def test_fields_of_a_slide_are_more_alike_than_slides() -> None:
    def traits(slide: int, field: int) -> np.ndarray:
        sheet = reflectance(SceneConfig(texture=1.0, slide_seed=slide, field_seed=field), 96)
        return np.array([sheet.mean(), sheet.std(), np.abs(np.diff(sheet)).mean()])

    found = np.array([[traits(slide, field) for field in range(4)] for slide in range(8)])
    within, between = found.std(1).mean(0), found.mean(1).std(0)
    assert (within < between).all()


@pytest.mark.parametrize("relief", ["blobs", "plane"])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_each_pixel_is_shared_out_among_layers_with_soft_seams(relief, layers: int) -> None:
    masks = layer_masks(SceneConfig(layers=layers, relief=relief), 128)
    assert masks.shape == (layers, 128, 128)
    np.testing.assert_allclose(masks.sum(0), 1, rtol=1e-5)
    if layers > 1:
        assert (masks.max(0) > 0.9).mean() > 0.4  # most pixels lie in one
        assert np.abs(np.diff(masks, axis=2)).max() < 0.4
        assert (masks.max((1, 2)) > 0.7).all()  # none is left out


def test_a_scene_without_detail_is_refused_before_anything_is_rendered(monkeypatch) -> None:
    monkeypatch.setattr(module, "reflectance", lambda s, size: np.full((size, size), 0.5))
    with pytest.raises(vm.InputError, match="no_sample: expected a scene with detail"):
        CameraLens(SMALL)


# -- relief, blur, breathing, light ----------------------------------------------------------------


def halves(scene, size_px: int) -> np.ndarray:
    left = np.arange(size_px)[None, :] < size_px // 2
    return np.broadcast_to(np.stack([left, ~left]), (2, size_px, size_px)).astype(np.float32)


def test_layers_are_sharp_each_at_its_own_depth(monkeypatch) -> None:
    monkeypatch.setattr(module, "layer_masks", halves)
    scene = SceneConfig("grid", texture=0.3, layers=2, relief_steps=16.0)
    pictures = seen(replace(LINEAR, scene=scene, size_px=96), np.arange(-20, 21))
    left, right = (tenengrad(half) for half in (pictures[:, :, :30], pictures[:, :, -30:]))
    assert (np.argmax(left) - 20, np.argmax(right) - 20) == (-8, 8)


def test_relief_gives_the_curve_a_peak_at_each_depth() -> None:
    scene = SceneConfig("grid", texture=0.3, layers=2, relief_steps=30.0, field_seed=1)
    sharpness = tenengrad(seen(replace(LINEAR, scene=scene, size_px=96), np.arange(-25, 26)))
    inner = sharpness[1:-1]
    peaks = np.flatnonzero((inner > sharpness[:-2]) & (inner > sharpness[2:])) + 1 - 25
    assert peaks.tolist() == [-15, 15]


def test_there_are_no_seams_between_layers(monkeypatch) -> None:
    """Of an even sheet nothing is seen of its layers, whatever their blur."""
    monkeypatch.setattr(module, "MIN_DETAIL", -1.0)
    monkeypatch.setattr(module, "reflectance", lambda s, size: np.ones((size, size), np.float32))
    scene = SceneConfig(layers=3, relief_steps=40.0)
    for picture in seen(replace(LINEAR, scene=scene), [-20, 0, 7, 20]).astype(float):
        np.testing.assert_allclose(picture, picture.mean(), rtol=0.002)


def test_far_tails_are_flat() -> None:
    capped = LensConfig(max_blur_px=10.0)
    sharpness = tenengrad(seen(replace(LINEAR, lens=capped), [0, 10, 20, 30, 40]))
    assert sharpness[0] > 2 * sharpness[1] > 2.2 * sharpness[2]
    np.testing.assert_allclose(sharpness[3:], sharpness[2], rtol=1e-3)


def test_brightness_keeps_its_mean_through_focus() -> None:
    # Over the whole grid; what leaves the picture at one edge comes in at the other.
    camera = CameraLens(SMALL)
    camera.size_px = camera.grid_px
    views = torch.zeros(5, dtype=torch.long)
    mean = camera.brightness(views, torch.tensor([-40.0, -5.0, 0.0, 5.0, 40.0])).mean((1, 2))
    torch.testing.assert_close(mean, mean[2].expand(5), rtol=1e-3, atol=0)


def test_brightness_changes_with_focus() -> None:
    lens = LensConfig(brightness_slope=0.5)
    dim, middle, bright = seen(replace(LINEAR, lens=lens), [-40, 0, 40]).mean((1, 2))
    assert (dim / middle, bright / middle) == pytest.approx((0.8, 1.2), rel=0.03)


def test_breathing_does_not_show_in_the_focus_curve() -> None:
    """An interpolated picture is softer, and the one at focus alone would not be interpolated."""
    steps = [-3, -2, -1, 0, 1, 2, 3]
    still = tenengrad(seen(LINEAR, steps))
    breathing = tenengrad(seen(replace(LINEAR, lens=LensConfig(breathing=0.3)), steps))
    np.testing.assert_allclose(breathing, still, rtol=0.004)


def test_breathing_at_focus_changes_nothing() -> None:
    breathing = seen(replace(LINEAR, lens=LensConfig(breathing=0.3)), [0]).astype(float)
    np.testing.assert_allclose(breathing, seen(LINEAR, [0]), atol=2)


# -- sensor, gamma, JPEG ---------------------------------------------------------------------------


def test_gamma_lifts_the_dark() -> None:
    linear, lifted = (
        seen(replace(LINEAR, gamma=gamma), [0])[0].astype(float) / 65_535 for gamma in (1.0, 2.0)
    )
    np.testing.assert_allclose(lifted, np.sqrt(linear), atol=1e-4)


def test_jpeg_changes_little_at_high_quality_and_more_at_low() -> None:
    plain = seen(SMALL, [-8, 0]).astype(float)
    high, low = (
        np.abs(seen(replace(SMALL, jpeg_quality=quality), [-8, 0]) - plain).mean()
        for quality in (98, 20)
    )
    assert 0 < high < 1.5 < low < 15


def electrons(expected: float, limit: float | None) -> torch.Tensor:
    sensor = Sensor(SensorConfig(normal_above_e=limit), 64, 64, torch.device("cpu"))
    light = torch.full((40, 64, 64), expected)
    return sensor.photo_electrons(light, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("expected", [0.0, 3.0, 49.0, 51.0, 5000.0])
def test_quick_photon_noise_is_as_strong_as_poissons(expected: float) -> None:
    caught = electrons(expected, 50.0)
    assert float(caught.mean()) == pytest.approx(expected, rel=0.005)
    assert float(caught.var()) == pytest.approx(expected, rel=0.02)
    if expected < 50:
        assert torch.equal(caught, caught.round())  # drawn one by one


def test_without_a_limit_all_photon_noise_is_poissons() -> None:
    light = torch.full((40, 64, 64), 70.0)
    poisson = torch.poisson(light, generator=torch.Generator().manual_seed(0))
    assert torch.equal(electrons(70.0, None), poisson)


# -- recordings and live views ---------------------------------------------------------------------


def test_the_same_seeds_give_the_same_recording_and_others_do_not() -> None:
    def record(config: CameraLensConfig) -> np.ndarray:
        return CameraLens(config).stack().frames

    first = record(SMALL)
    np.testing.assert_array_equal(first, record(SMALL))
    for other in (
        replace(SMALL, noise_seed=1),
        replace(SMALL, scene=SceneConfig(slide_seed=1)),
        replace(SMALL, scene=SceneConfig(field_seed=1)),
    ):
        assert (first != record(other)).any()


def test_a_recording_has_the_drives_positions_and_its_focus() -> None:
    stack = CameraLens(SMALL).stack(name="board")
    assert (stack.unit, stack.name, stack.num_positions) == ("V", "board", 93)
    assert stack.curve(tenengrad).best_position == 44.0


def test_without_a_fine_step_positions_are_fine_steps() -> None:
    config = CameraLensConfig()
    assert config.fine_step == 1.0
    assert config.steps(np.array([-7.0])).tolist() == [-7.0]
    assert replace(config, drive=DRIVE).steps(np.array([45.0])).tolist() == [2.0]


def test_views_of_one_batch_are_what_they_are_alone() -> None:
    one = replace(SMALL, lens=LensConfig(2.0, breathing=0.1))
    two = replace(SMALL, scene=SceneConfig("beads"), drive=replace(DRIVE, focus=40.0))
    both = CameraLens([one, two]).pictures(np.array([1, 0, 1]), np.array([40.0, 50.0, 30.0]), None)
    alone = [seen(two, [0]), seen(one, [12]), seen(two, [-20])]
    difference = np.abs(both.astype(int) - np.concatenate(alone).astype(int))
    assert difference.max() <= 1  # rounding


def test_large_requests_are_made_in_several_batches(monkeypatch) -> None:
    steps = np.linspace(-5, 5, 7)
    whole = seen(SMALL, steps)
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 96 * 96)
    np.testing.assert_array_equal(whole, seen(SMALL, steps))


def test_live_pictures_carry_fresh_noise_that_comes_back_with_the_state() -> None:
    rig, twin = (CameraLens(SMALL).instrument(cells=2, seed=seed) for seed in (3, 4))
    cells = np.arange(2)
    first, second = rig.camera.grab(cells), rig.camera.grab(cells)
    assert (first != second).any()
    twin.load_state_dict(rig.state_dict())
    np.testing.assert_array_equal(rig.camera.grab(cells), twin.camera.grab(cells))


def test_a_person_can_focus_it() -> None:
    rig = CameraLens(replace(SMALL, jpeg_quality=85)).instrument()
    result = vm.focus(rig, vm.load_policy("search:two-stage-sweep"), seed=1)
    assert result.verdict is vm.Verdict.FOCUSED
    assert result.position == pytest.approx(44.0, abs=1.5)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SceneConfig(picture="gras"), "did you mean 'grass'"),
        (lambda: SceneConfig(layers=5), "layers: expected 1 to 4"),
        (lambda: SceneConfig(relief_steps=3.0), "layers: expected at least 2 to spread"),
        (lambda: SceneConfig(texture=-0.1), "texture: expected 0 to 1"),
        (lambda: CameraLensConfig(size_px=0), "size_px: expected 16"),
        (lambda: CameraLensConfig(gamma=0.0), "gamma"),
        (lambda: CameraLensConfig(jpeg_quality=0), "jpeg_quality: expected 1 to 100"),
        (lambda: replace(LINEAR, jpeg_quality=90), "sensor of at most 8 bits, got 16"),
        (lambda: CameraLensConfig(drive=DriveConfig(um_per_unit=2.0)), "um_per_unit: expected 1"),
        (
            lambda: replace(SMALL, lens=LensConfig(breathing=0.5)),
            "breathing: expected at most 0.2 over the drive's range, got 0.26 at 52 fine steps",
        ),
        (lambda: SensorConfig(normal_above_e=-1.0), "normal_above_e"),
        (lambda: CameraLens([]), "at least one view"),
        (lambda: CameraLens([SMALL, replace(SMALL, gamma=1.0)]), "gamma: expected the same"),
        (lambda: CameraLens(SMALL).instrument(cells=0), "cells: expected at least 1"),
        (lambda: CameraLens(replace(SMALL, scene=SceneConfig("circut"))), "circuit"),
    ],
)
def test_what_cannot_be_is_refused(make, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        make()
