"""The simulated camera with a liquid lens: its physics, its scenes, its episodes, and the truth."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import visuomotor as vm
from visuomotor.instruments.protocols import (
    ExposureInstrument,
    FocusInstrument,
    HalfPupilCamera,
    HasCameraTruth,
    HasFocusTruth,
    Resumable,
)
from visuomotor.instruments.simulated import lit_layers, lit_scenes
from visuomotor.instruments.simulated.liquid_lens import LiquidLens, LiquidLensConfig
from visuomotor.instruments.simulated.liquid_lens_camera import EXPOSURES_US, LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import Layer, LitScene, Sheets, scene_pool
from visuomotor.instruments.simulated.nuisances import NuisanceConfig
from visuomotor.instruments.simulated.sensor import QuickNormal
from visuomotor.vision.focus import tenengrad
from visuomotor.vision.transforms import smooth

EXACT = LiquidLensCameraConfig(noise=False, vignetting=0.0)
ONE = np.array([0])


def camera(config: LiquidLensCameraConfig = EXACT, cells: int = 1, **scene) -> LiquidLensCamera:
    return LiquidLensCamera(config, [LitScene(**scene)], cells)


def focused(rig: LiquidLensCamera, defocus_px: float = 0.0) -> None:
    """Bring every cell's object to this signed blur."""
    lens = rig.config.lens
    power = 100 / rig.distance_cm() + defocus_px / lens.px_per_dpt
    rig.focus.move_to(lens.volts(power), np.arange(rig.num_cells))


def exposed(rig: LiquidLensCamera) -> None:
    """As good as can be."""
    rig.exposure.move_to(rig.best_exposure_us(), np.arange(rig.num_cells))


def flat(level: float, grid_px: int) -> np.ndarray:
    return np.full((grid_px, grid_px), level, np.float16)


@pytest.fixture
def show(monkeypatch):
    """Puts these sheets before the camera, whatever the scene."""

    def put(make) -> None:
        monkeypatch.setattr(lit_layers, "sheets", lambda scene, size, grid: make(grid))

    return put


def point(grid_px: int) -> Sheets:
    """One bright pixel on grey, all at the same distance."""
    texture = np.zeros((6, 6, 2), np.float16)
    texture[2:4, 2:4] = 0.9, 1.0
    layer = Layer(texture, (0.5, 0.5), 2.0, 1.0)
    return Sheets(flat(0.4, grid_px), lit_scenes.REFERENCE_CM, (layer,))


def blank(grid_px: int) -> Sheets:
    nothing = Layer(np.zeros((4, 4, 2), np.float16), (0.0, 0.0), 2.0, 1.0)
    return Sheets(flat(0.5, grid_px), lit_scenes.REFERENCE_CM, (nothing,))


# -- lens ------------------------------------------------------------------------------------------


@given(st.floats(24, 70), st.floats(-0.9, 0.9))
def test_volts_and_dioptres_go_back_and_forth(volts: float, bow: float) -> None:
    lens = LiquidLensConfig(bow=bow)
    assert lens.volts(lens.power_dpt(np.array([volts])))[0] == pytest.approx(volts, abs=1e-6)


def test_power_ascends_over_the_whole_range() -> None:
    lens = LiquidLensConfig()
    power = lens.power_dpt(np.linspace(24, 70, 500))
    assert power[[0, -1]] == pytest.approx([-5, 13])
    assert (np.diff(power) > 0).all()
    assert np.isnan(lens.volts(np.array([-5.1, 13.1]))).all()


def test_objects_are_in_focus_over_half_a_volt_and_nowhere_for_most_of_them() -> None:
    """What makes focusing a task: no lens position serves for half of the distances."""
    config = LiquidLensCameraConfig()
    near, far = config.lens.in_focus_v(np.array(config.distance_cm))
    assert 0.5 < near - far < 0.6
    distances = np.linspace(*config.distance_cm, 601)
    volts = np.linspace(far - 0.1, near + 0.1, 300)[:, None]
    served = (np.abs(config.lens.defocus_px(volts, distances)) <= 1.5).mean(1)
    assert 0.3 < served.max() < 0.4
    # And hardly any start is in focus.
    starts = np.random.default_rng(0).uniform(24, 70, (500, 1))
    assert (np.abs(config.lens.defocus_px(starts, distances)) <= 1.5).mean() < 0.01


@pytest.mark.parametrize("f_number", [1.4, 4.0])
@pytest.mark.parametrize("diameter_px", [-24.0, -8.0, -3.0, 3.0, 8.0, 24.0])
def test_a_point_is_a_disc_as_wide_as_thin_lenses_make_it(
    show, diameter_px: float, f_number: float
) -> None:
    show(point)
    lens = LiquidLensConfig(f_number=f_number, spot_px=2.5)  # a soft point does not ring
    rig = camera(replace(EXACT, lens=lens))

    def width(defocus_px: float) -> float:
        """Second moment of the point's picture, across."""
        focused(rig, defocus_px)
        assert rig.defocus_px() == pytest.approx([defocus_px], abs=1e-6)
        picture = rig.camera.rates(ONE, rig.focus.position)[0]
        middle, half = len(picture) // 2, 20
        spread = (picture - np.median(picture))[middle - half : middle + half + 1]
        spread, at = spread[:, middle - half : middle + half + 1], np.arange(-half, half + 1)
        return float((spread.sum(0) * at**2).sum() / spread.sum())

    disc = width(diameter_px) - width(0.0)
    assert 4 * np.sqrt(disc) == pytest.approx(abs(diameter_px), rel=0.01)
    # The same from the geometry of rays, without the short form.
    focal_m, power = lens.focal_mm * 1e-3, lens.power_dpt(lens.volts(np.array([1.2])))[0]
    converge_m = 1 / (1 / focal_m + power - 1 / 1.7)
    disc_m = focal_m / f_number * abs(focal_m - converge_m) / converge_m
    short = lens.defocus_px(lens.volts(np.array([1.2])), np.array([170.0]))[0]
    assert abs(short) == pytest.approx(disc_m / (lens.pixel_um * lens.binning * 1e-6))


def test_the_table_of_transfer_functions_is_fine_enough() -> None:
    config = LiquidLensConfig(spot_px=0.5)
    lens = LiquidLens(config, 64, torch.device("cpu"))
    at = torch.tensor([0.013, -0.97, 5.02, -33.3, 700.0])
    f = torch.fft.rfftfreq(64)
    spot = torch.exp(-2 * (np.pi * 0.5 / 2.3548 * f) ** 2)
    x = np.pi * at.abs()[:, None] * f
    disc = torch.where(x > 1e-3, 2 * torch.special.bessel_j1(x) / x.clamp_min(1e-3), 1.0)
    torch.testing.assert_close(lens.transfer(at)[:, 0], disc * spot, rtol=0, atol=0.01)


def test_far_out_of_focus_nothing_is_left_but_the_mean() -> None:
    rig = camera(seed=3)
    exposed(rig)
    focused(rig)
    sharp = rig.camera.grab(ONE)[0].astype(float)
    for volts in (24.0, 70.0):
        rig.focus.move_to(np.array([volts]), ONE)
        picture = rig.camera.grab(ONE)[0].astype(float)
        assert picture.std() < 4 < sharp.std()
        assert picture.mean() == pytest.approx(sharp.mean(), rel=0.1)


def test_a_halo_tells_the_sides_of_focus_apart_and_nothing_else_does() -> None:
    def apart(halo: float) -> float:
        rig = camera(replace(EXACT, lens=LiquidLensConfig(halo=halo)), background_cm=170.0)
        exposed(rig)
        focused(rig, 6.0)
        strong = rig.camera.grab(ONE).astype(float)
        focused(rig, -6.0)
        return float(np.abs(strong - rig.camera.grab(ONE)).mean())

    assert apart(0.0) == 0
    assert apart(0.4) > 1


def test_halves_of_the_pupil_are_shifted_the_more_the_farther_from_focus() -> None:
    rig = camera(seed=1, background_cm=170.0)
    assert isinstance(rig.camera, HalfPupilCamera)
    exposed(rig)
    shifts = []
    for defocus in (-24, -12, -6, -3, 0, 3, 6, 12, 24):
        focused(rig, defocus)
        left, right = rig.camera.halves(ONE)[0].astype(float)
        whole = rig.camera.grab(ONE)[0]
        np.testing.assert_allclose((left + right) / 2, whole, atol=1.01)
        shifts.append(shift_px(left, right))
    np.testing.assert_allclose(shifts, -np.array(shifts[::-1]), atol=0.2)
    assert (np.diff(shifts) > 0.8).all()


def shift_px(left: np.ndarray, right: np.ndarray) -> float:
    """By how much right lies beside left, where they agree best."""
    at = np.arange(-20, 21)
    middle = left[:, 24:-24]
    moved = [right[:, 24 + n : right.shape[1] - 24 + n] for n in at]
    away = np.array([np.square(one - middle).mean() for one in moved])
    best = int(np.clip(away.argmin(), 1, len(at) - 2))
    down, here, up = away[best - 1 : best + 2]
    return float(at[best] + 0.5 * (down - up) / (down - 2 * here + up))


def test_a_half_point_has_its_centre_where_a_half_disc_has(show) -> None:
    show(point)
    rig = camera()
    rig.exposure.move_to(np.array([8000.0]), ONE)
    for defocus in (-16.0, 16.0, 30.0):
        focused(rig, defocus)
        image = rig.camera.reflected(ONE, rig.focus.position, parts=2)[0].double().numpy()
        spread = image - np.median(image)
        at = np.arange(image.shape[-1]) - image.shape[-1] / 2
        left, right = (spread.sum(1) * at).sum(1) / spread.sum((1, 2))
        assert right - left == pytest.approx(2 * 4 / (3 * np.pi) * defocus / 2, rel=0.03)


# -- light and sensor ------------------------------------------------------------------------------


def test_grey_levels_double_with_the_exposure_and_with_the_light_until_they_saturate() -> None:
    rig = camera(replace(EXACT, dark_current_e_per_s=0.0))
    black = rig.config.black_dn
    focused(rig)
    at = rig.focus.position

    def seen(exposure_us: float, light_lx: float) -> np.ndarray:
        rig.set_conditions(ONE, illuminance_lx=light_lx)
        return rig.camera.clean(ONE, at, np.array([exposure_us]))[0].astype(float)

    first, twice, light = seen(1e4, 100), seen(2e4, 100), seen(1e4, 200)
    np.testing.assert_array_equal(twice, light)
    np.testing.assert_allclose(twice, np.minimum(2 * first - black, 255), atol=1.51)
    assert seen(1e6, 300).min() == 255


def test_light_is_that_of_photometry() -> None:
    """A white wall of 100 lx for 10 ms at f/1.4: the electrons are counted by hand."""
    rig = camera(replace(EXACT, lens=LiquidLensConfig(binning=1, transmission=1.0)))
    on_sensor_lx = 100 / (4 * 1.4**2)
    photons = 4.09e15 * on_sensor_lx * (5.5e-6) ** 2 * 10e-3
    assert 100 * 1e4 * rig.config.electrons_per_lx_us == pytest.approx(0.6 * photons)
    four = replace(rig.config, lens=LiquidLensConfig(binning=1, transmission=1.0, f_number=5.6))
    assert four.electrons_per_lx_us == pytest.approx(rig.config.electrons_per_lx_us / 16)


def test_photon_transfer(show) -> None:
    """EMVA 1288: variance over mean is the gain; what is left in darkness is read noise."""
    show(blank)
    lens = LiquidLensConfig(binning=1)
    config = LiquidLensCameraConfig(
        lens=lens, noise=True, vignetting=0.0, dark_current_e_per_s=0.0, size_px=64
    )
    rig = LiquidLensCamera(config, [LitScene()], 2, seed=3)
    gain, both = config.sensor.gain_dn_per_e, np.arange(2)
    rounding = 1 / 12
    for exposure_us in (4e3, 1e4, 1.7e4):
        rig.exposure.move_to(np.full(2, exposure_us), both)
        pictures = np.stack([rig.camera.grab(both) for _ in range(24)]).astype(float)
        signal = pictures.mean() - config.black_dn
        variance = pictures.var(0, ddof=1).mean() - rounding - (gain * config.read_noise_e) ** 2
        assert 20 < signal < 220
        assert variance / signal == pytest.approx(gain, rel=0.04)
        # The halves of the pupil have half the electrons each, so twice the variance.
        halves = np.stack([rig.camera.halves(both) for _ in range(12)]).astype(float)
        assert halves.mean() == pytest.approx(pictures.mean(), rel=0.01)
        variance = halves.var(0, ddof=1).mean() - rounding - (2 * gain * config.read_noise_e) ** 2
        assert variance / signal == pytest.approx(2 * gain, rel=0.06)
    rig.set_conditions(both, illuminance_lx=0.0)
    dark = np.stack([rig.camera.grab(both) for _ in range(24)]).astype(float)
    assert dark.mean() == pytest.approx(config.black_dn, abs=0.02)
    beyond = math.erfc(0.5 / (gain * config.read_noise_e) / math.sqrt(2))  # half a grey level
    assert (dark != config.black_dn).mean() == pytest.approx(beyond, rel=0.05)


def test_long_exposures_are_not_black_in_darkness(show) -> None:
    show(blank)
    rig = camera()
    rig.set_conditions(ONE, illuminance_lx=0.0, exposure_us=4.5e6)
    electrons = 125 * 4.5
    expected = rig.config.black_dn + electrons * (255 - 2) / 13_500
    assert rig.camera.grab(ONE).mean() == pytest.approx(expected, abs=0.5)


def test_quick_normal_numbers_are_normal() -> None:
    drawn = QuickNormal(torch.device("cpu")).draw(
        torch.Size((3, 100_001)), torch.Generator().manual_seed(0)
    )
    x = drawn.double()
    assert x.shape == (3, 100_001)
    assert [float((x**power).mean()) for power in (1, 2, 3, 4)] == pytest.approx(
        [0, 1, 0, 3], abs=0.03
    )
    assert float((x.abs() > 1.96).double().mean()) == pytest.approx(0.05, abs=0.002)
    assert abs(float((x[:, 1:] * x[:, :-1]).mean())) < 0.01


# -- scenes ----------------------------------------------------------------------------------------


def test_scenes_to_train_on_and_to_test_on_share_nothing() -> None:
    train, test = (scene_pool(split, 400) for split in ("train", "test"))
    for what in ("seed", "marker", "photographs"):
        assert not {getattr(s, what) for s in train} & {getattr(s, what) for s in test}
    names = [set(lit_scenes.PHOTOGRAPHS[split].split()) for split in ("train", "test")]
    assert not names[0] & names[1]
    assert scene_pool("train", 400) == train
    assert len({s.seed for s in train}) == 400
    others = scene_pool("train", 400, seed=1)
    assert {s.seed for s in others} != {s.seed for s in train}
    assert {s.marker for s in train} <= set(range(200))


@pytest.mark.parametrize("kind", lit_scenes.kinds())
def test_every_kind_of_scene_is_sharpest_in_focus(kind: str) -> None:
    for seed in range(3):
        rig = camera(cells=1, kind=kind, seed=seed)
        exposed(rig)
        at = rig.best_lens()[0] + np.arange(-8, 9) * 0.25
        pictures = rig.camera.clean(
            np.zeros(len(at), int), at, np.full(len(at), rig.exposure.position[0])
        )
        middle = pictures[:, 60:100, 60:100]
        sharpness = tenengrad(middle if kind != "motorcycle" else pictures)
        assert abs(int(sharpness.argmax()) - 8) <= (1 if kind != "motorcycle" else 2)
        assert sharpness.max() > 2 * sharpness[[0, -1]].max()


@pytest.mark.parametrize("split", ["train", "test"])
def test_markers_in_focus_are_found_at_every_distance_and_none_far_from_it(split) -> None:
    """And exposed by the rule alone, without knowing the scene: so the task can be done."""
    scenes = scene_pool(split, 96, seed=4)
    cells = np.arange(len(scenes))
    rig = LiquidLensCamera(LiquidLensCameraConfig(), scenes, len(scenes))
    dictionary = cv2.aruco.getPredefinedDictionary(lit_scenes.DICTIONARY)
    detector = cv2.aruco.ArucoDetector(dictionary)

    def found() -> float:
        seen = [detector.detectMarkers(picture)[1] for picture in rig.camera.grab(cells)]
        pairs = zip(seen, scenes, strict=True)
        return np.mean([ids is not None and scene.marker in ids for ids, scene in pairs])

    shares = []
    exposed(rig)
    for distance_cm in (140, 170, 200):
        rig.set_conditions(cells, distance_cm=distance_cm)
        focused(rig)
        shares.append(found())
    assert np.mean(shares) >= 0.99
    assert min(shares) >= 0.97
    focused(rig, 1.5)
    assert found() >= 0.99
    focused(rig, 30.0)
    assert found() == 0
    # A good exposure there is for every scene, in every light.
    rig.set_conditions(cells, illuminance_lx=np.linspace(13, 300, len(cells)))
    level = rig.fullest_level(rig.best_exposure_us())
    assert ((level >= 50) & (level <= 150)).all()


def test_no_fixed_exposure_serves_for_half_of_lights_and_scenes() -> None:
    scenes = scene_pool("train", 64, seed=2)
    rig = LiquidLensCamera(LiquidLensCameraConfig(), scenes, len(scenes))
    draw = np.random.default_rng(0)
    rig.set_conditions(np.arange(64), illuminance_lx=draw.uniform(13, 300, 64))
    levels = np.array([rig.fullest_level(np.full(64, t)) for t in EXPOSURES_US[30:100:2]])
    good = ((levels >= 50) & (levels <= 150)).mean(1)
    assert 0.3 < good.max() < 0.5


def test_an_object_hides_what_is_behind_it(monkeypatch) -> None:
    """Whatever the background, and however near its focus, a card in focus looks the same."""
    real = lit_scenes.sheets
    stripes = np.arange(192) // 8 % 2

    def behind(background_cm: float, texture: np.ndarray):
        def make(scene, size_px, grid_px):
            made = real(scene, size_px, grid_px)
            sheet = np.broadcast_to(texture, (grid_px, grid_px)).astype(np.float16)
            return replace(made, background=sheet, background_cm=background_cm)

        monkeypatch.setattr(lit_layers, "sheets", make)
        rig = camera(seed=2, reflectance=0.5)
        focused(rig)
        return rig.camera.rates(ONE, rig.focus.position)[0]

    plain = behind(300.0, np.full(192, 0.3))
    striped = [behind(cm, 0.1 + 0.4 * stripes) for cm in (200.0, 300.0, 600.0)]
    changed = np.max([np.abs(one - plain) for one in striped], axis=0) / plain.max()
    assert changed[70:90, 70:90].max() < 0.02
    assert (changed > 0.1).mean() > 0.3  # the background itself is seen beside it


def test_with_one_blur_for_all_the_layers_are_one_picture() -> None:
    """No seam round the object: with everything at one distance the picture is the sharp one,
    blurred."""
    rig = camera(replace(EXACT, size_px=96), seed=5, background_cm=170.0)
    lens, grid = rig.camera.lens, rig.camera.grid_px
    margin = (grid - 96) // 2
    rig.camera.reflected(ONE, rig.best_lens(), 1)
    layers = rig.camera._layers
    sharp = torch.view_as_complex(layers._spectra[0].sum(0).view(grid, grid // 2 + 1, 2))
    focused(rig, 7.0)
    direct = torch.fft.irfft2(sharp * lens.transfer(torch.tensor([7.0]))[0], (grid, grid))
    seen = rig.camera.reflected(ONE, rig.focus.position, 1)[0, 0]
    inside = slice(margin, margin + 96)
    torch.testing.assert_close(seen, direct[inside, inside].clamp_min(0), atol=2e-4, rtol=1e-3)
    whole = torch.fft.irfft2(sharp, (grid, grid))
    assert float(whole.min()) > -1e-3
    assert float(whole.max()) < 1


def test_nearer_objects_are_larger() -> None:
    rig = camera(replace(EXACT, size_px=160), cells=2, seed=0)
    rig.set_conditions(np.arange(2), distance_cm=[140.0, 200.0])
    exposed(rig)
    focused(rig)
    dictionary = cv2.aruco.getPredefinedDictionary(lit_scenes.DICTIONARY)
    sides = []
    for picture in rig.camera.grab(np.arange(2)):
        corners, *_ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(picture)
        sides.append(cv2.arcLength(corners[0], closed=True) / 4)
    assert sides[0] / sides[1] == pytest.approx(200 / 140, rel=0.05)


def test_scenes_of_more_layers_change_nothing_for_the_others() -> None:
    card, real = LitScene(seed=1), LitScene("motorcycle", seed=1)
    alone, mixed = (
        LiquidLensCamera(EXACT, scenes, len(scenes)) for scenes in ([card], [card, real])
    )
    for rig in (alone, mixed):
        rig.focus.move_to(np.full(rig.num_cells, 38.2), np.arange(rig.num_cells))
    picture = alone.camera.grab(ONE)
    np.testing.assert_allclose(mixed.camera.grab(np.arange(2))[:1].astype(int), picture, atol=1)
    depths = mixed.camera.distances_cm(np.array([1]))[0]
    assert len(depths) == lit_scenes.MOTORCYCLE_LAYERS
    assert depths[-1] == 170
    assert (np.diff(depths) < 0).all()  # from far to near


def test_a_scene_is_the_same_for_the_same_values_alone() -> None:
    scene = scene_pool("train", 1)[0]
    np.random.seed(0)  # noqa: NPY002 - somebody else's global state: it must not matter
    first = lit_scenes.sheets(scene, 96, 116)
    np.random.seed(1)  # noqa: NPY002
    again = lit_scenes.sheets(scene, 96, 116)
    np.testing.assert_array_equal(first.background, again.background)
    np.testing.assert_array_equal(first.layers[0].texture, again.layers[0].texture)
    other = lit_scenes.sheets(replace(scene, seed=scene.seed + 1), 96, 116)
    assert np.abs(first.background - other.background).mean() > 0.01


# -- episodes --------------------------------------------------------------------------------------


def test_it_is_what_it_says() -> None:
    rig = camera()
    for protocol in (FocusInstrument, ExposureInstrument, HasCameraTruth, Resumable):
        assert isinstance(rig, protocol)
    assert not isinstance(rig, HasFocusTruth)
    assert isinstance(camera(replace(EXACT, changes=False)), HasFocusTruth)
    assert (rig.focus.unit, rig.focus.limits) == ("V", (24.0, 70.0))
    assert (rig.exposure.unit, rig.exposure.limits) == ("us", (1e3, 4.5e6))
    assert EXPOSURES_US.shape == (146,)
    assert EXPOSURES_US[[0, -1]].tolist() == [1e3, 4.5e6]
    assert (np.diff(EXPOSURES_US) > 0).all()


def test_light_goes_up_and_down_by_one_step_each_episode() -> None:
    rig = LiquidLensCamera(EXACT, scene_pool("train", 3), 3)
    every, draw = np.arange(3), np.random.default_rng(0)
    seen = []
    for _ in range(80):
        rig.reset(every, None, draw)
        seen.append(rig.illuminance_lx())
    light = np.array(seen)
    assert len(set(light[0])) == 3  # each its own
    steps = np.abs(np.diff(light, axis=0))
    assert steps.max() <= 10
    assert (steps > 0).all()
    assert light.min() == 13
    assert light.max() == 300
    turns = np.diff(np.sign(np.diff(light, axis=0)), axis=0) != 0
    assert turns.sum() <= 3 * 3  # it goes on in one direction


def test_each_episode_has_its_own_distance_scene_and_start_of_the_lens() -> None:
    scenes = scene_pool("train", 8)
    rig = LiquidLensCamera(EXACT, scenes, 256)
    every, draw = np.arange(256), np.random.default_rng(0)
    rig.reset(every, None, draw)
    assert 140 <= rig.distance_cm().min() < 145
    assert 195 < rig.distance_cm().max() <= 200
    assert set(rig.scene_numbers()) == set(range(8))
    assert rig.focus.position.min() < 26
    assert rig.focus.position.max() > 68
    assert (np.abs(rig.defocus_px()) > 1.5).mean() > 0.95
    assert (rig.exposure.position == 1e4).all()
    rig.exposure.move_to(np.array([5e5]), ONE)
    before = rig.distance_cm()
    rig.reset(np.array([3]), None, draw)  # the others stay
    assert (rig.distance_cm() != before).nonzero()[0].tolist() == [3]
    assert rig.exposure.position[0] == 5e5
    rig.reset(every, np.full(256, 30.0), draw)  # a given start moves the lens alone
    assert rig.exposure.position[0] == 5e5
    assert (rig.focus.position == 30).all()


def test_exposure_may_start_anywhere_and_scenes_may_stay() -> None:
    config = replace(EXACT, start_exposure_us=None, new_scene_share=0.0)
    rig = LiquidLensCamera(config, scene_pool("train", 4), 64)
    rig.reset(np.arange(64), None, np.random.default_rng(0))
    assert set(rig.exposure.position) <= set(EXPOSURES_US)
    assert len(set(rig.exposure.position)) > 20
    np.testing.assert_array_equal(rig.scene_numbers(), np.arange(64) % 4)


def test_the_best_exposure_is_where_the_fullest_level_is_100() -> None:
    scenes = scene_pool("test", 12)
    rig = LiquidLensCamera(replace(EXACT, vignetting=0.1), scenes, 12)
    every = np.arange(12)
    rig.set_conditions(every, illuminance_lx=np.linspace(13, 300, 12))
    best = rig.best_exposure_us()
    level = rig.fullest_level(best)
    assert np.median(level) == 100
    rig.exposure.move_to(best, every)
    focused(rig)
    pictures = rig.camera.grab(every)
    counted = [np.bincount(picture.ravel(), minlength=256) for picture in pictures]
    for counts, said in zip(counted, level.astype(int), strict=True):
        assert counts[said] == counts.max()
    # Ten times the light takes a tenth of the exposure.
    rig.set_conditions(every, illuminance_lx=30.0)
    dim = rig.best_exposure_us()
    rig.set_conditions(every, illuminance_lx=300.0)
    np.testing.assert_allclose(dim / rig.best_exposure_us(), 10, rtol=0.06)
    assert (rig.fullest_level(np.full(12, 4.5e6)) == 255).all()


def test_darkness_is_black() -> None:
    rig = camera()
    rig.set_conditions(ONE, illuminance_lx=0.0)
    assert (rig.fullest_level(np.array([1e4])) == rig.config.black_dn).all()
    assert (rig.camera.grab(ONE) == rig.config.black_dn).all()


def test_the_truth_of_focus_is_where_the_curve_has_its_peak() -> None:
    config = replace(EXACT, changes=False)
    scenes = [replace(scene, background_cm=170.0) for scene in scene_pool("train", 2)]
    rig = LiquidLensCamera(config, scenes, 4)
    exposed(rig)

    def measure(frames):
        return tenengrad(smooth(frames, 1.0))

    curves = rig.focus_truth(measure, "smooth")
    assert rig.views().tolist() == [0, 1, 0, 1]
    for cell in range(4):
        curve = curves[rig.views()[cell]]
        assert curve.best_position == pytest.approx(rig.best_lens()[cell], abs=rig.fine_step)
        low = curve.at(rig.best_lens()[[cell]] + 2.5 * rig.fine_step)[0]
        assert 0.8 < low / curve.maximum < 0.97  # a fine step is one
    assert rig.focus_truth(measure, "smooth") is curves
    rig.set_conditions(np.array([1]), distance_cm=150.0)
    assert len(rig.focus_truth(measure, "smooth")) == 3


def test_a_classical_search_focuses_it() -> None:
    rig = camera(replace(EXACT, noise=True, changes=False), background_cm=170.0, seed=2)
    exposed(rig)
    rig.focus.move_to(np.array([36.5]), ONE)
    result = vm.focus(rig, vm.load_policy("search:two-stage-sweep"))
    assert abs(result.position - rig.best_lens()[0]) < 0.1


# -- state, nuisances, refusals --------------------------------------------------------------------

ROUGH = NuisanceConfig(
    glare=0.3, rain=0.5, dust=0.5, flicker=0.2, distance_drift_cm=2.0, lateral_drift_px=1.0
)


@pytest.mark.parametrize("nuisances", [NuisanceConfig(), ROUGH])
def test_it_goes_on_exactly_where_it_was(nuisances: NuisanceConfig) -> None:
    config = LiquidLensCameraConfig(size_px=64, nuisances=nuisances, start_exposure_us=None)
    scenes, every = scene_pool("train", 5), np.arange(3)

    def steps(rig: LiquidLensCamera, draw: np.random.Generator) -> list[np.ndarray]:
        seen = []
        for _ in range(3):
            rig.reset(every[:2], None, draw)
            rig.focus.move_to(rig.best_lens(), every)
            seen += [rig.camera.grab(every), rig.illuminance_lx(), rig.exposure.position]
        return seen

    first, later = (LiquidLensCamera(config, scenes, 3, seed=7) for _ in range(2))
    draw = np.random.default_rng(1)
    steps(first, draw)
    state, where = first.state_dict(), draw.bit_generator.state
    wanted = steps(first, draw)
    again = np.random.default_rng()
    again.bit_generator.state = where
    later.load_state_dict(state)
    for a, b in zip(steps(later, again), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_cells_are_the_same_whoever_is_asked_beside_them() -> None:
    rig = LiquidLensCamera(EXACT, scene_pool("train", 4), 20)
    every = np.arange(20)
    rig.reset(every, None, np.random.default_rng(0))
    exposed(rig)
    focused(rig, 2.0)
    whole = rig.camera.grab(every).astype(int)
    for cells in (np.array([7, 2, 19, 2]), np.array([5]), np.arange(3, 9)):
        np.testing.assert_allclose(rig.camera.grab(cells).astype(int), whole[cells], atol=1)
    assert rig.camera.grab(every[:0]).shape == (0, 160, 160)
    assert rig.camera.halves(every[:0]).shape == (0, 2, 160, 160)


def test_the_same_seeds_give_the_same_pictures_and_others_do_not() -> None:
    config = LiquidLensCameraConfig(size_px=64)
    scenes = scene_pool("train", 2)

    def seen(seed: int) -> np.ndarray:
        rig = LiquidLensCamera(config, scenes, 2, seed)
        rig.reset(np.arange(2), None, np.random.default_rng(0))
        rig.exposure.move_to(rig.best_exposure_us(), np.arange(2))
        return rig.camera.grab(np.arange(2))

    np.testing.assert_array_equal(seen(0), seen(0))
    assert (seen(0) != seen(1)).any()


def test_glare_brightens_dust_darkens_and_rain_falls_elsewhere_each_time() -> None:
    def seen(**nuisances) -> np.ndarray:
        rig = camera(replace(EXACT, nuisances=NuisanceConfig(**nuisances)), seed=2)
        rig.set_conditions(ONE, exposure_us=camera(seed=2).best_exposure_us()[0])
        focused(rig)
        return np.concatenate([rig.camera.grab(ONE), rig.camera.grab(ONE)]).astype(float)

    plain = seen()
    assert seen(glare=0.5).mean() > plain.mean() + 5
    dust = seen(dust=1.0)
    assert dust.mean() < plain.mean() - 1
    np.testing.assert_array_equal(dust[0], dust[1])
    rain = seen(rain=1.0)
    assert 0.01 < (rain[0] != plain[0]).mean() < 0.6
    assert (rain[0] != rain[1]).any()


def test_lamps_flicker_less_the_longer_the_exposure() -> None:
    rig = camera(replace(EXACT, nuisances=NuisanceConfig(flicker=0.5)), seed=2)
    focused(rig)

    def spread(exposure_us: float) -> float:
        rig.set_conditions(ONE, exposure_us=exposure_us, illuminance_lx=6e5 / exposure_us)
        means = [rig.camera.grab(ONE).mean() for _ in range(20)]
        return float(np.std(means) / np.mean(means))

    assert spread(2e3) > 0.2
    assert spread(4.3e4) < 0.1
    assert spread(4e4) < 1e-3  # four whole periods


def test_an_object_that_moves_is_where_the_truth_says() -> None:
    config = replace(EXACT, nuisances=NuisanceConfig(distance_drift_cm=5.0, lateral_drift_px=3.0))
    rig = camera(config, seed=2)
    exposed(rig)
    places = []
    for _ in range(6):
        rig.camera.grab(ONE)
        places.append(rig.distance_cm()[0])
        focused(rig)
        assert rig.defocus_px()[0] == pytest.approx(0, abs=1e-6)
    assert len(set(places)) == 6
    assert 140 <= min(places) <= max(places) <= 200


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LiquidLensCamera(EXACT, [], 1), "at least one scene"),
        (lambda: camera(cells=0), "cells: expected at least 1"),
        (lambda: camera(kind="arcuo"), "did you mean 'aruco'"),
        (lambda: replace(EXACT, distance_cm=(200.0, 140.0)), "distance_cm: expected two ascending"),
        (
            lambda: replace(EXACT, lens=LiquidLensConfig(power_at_high_dpt=0.6)),
            "distance_cm: expected distances that the lens can focus on",
        ),
        (lambda: replace(EXACT, start_exposure_us=10.0), "start_exposure_us: expected 1000"),
        (lambda: LiquidLensConfig(low_v=80.0), "ascend"),
        (lambda: LiquidLensConfig(f_number=0.1), "f_number"),
        (lambda: scene_pool("validation", 3), "split: got 'validation'"),
        (lambda: camera().set_conditions(ONE, scene=1), "scene: expected numbers from 0 to 0"),
        (lambda: camera().set_conditions(ONE, distance_cm=np.nan), "distance_cm: expected"),
        (lambda: camera().set_conditions(ONE, exposure_us=1.0), "exposure_us: expected 1000"),
        (lambda: camera().reset(ONE, np.array([80.0]), np.random.default_rng()), "24 to 70 V"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(make, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        make()
