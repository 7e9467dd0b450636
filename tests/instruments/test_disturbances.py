"""An instrument that disturbs another: each disturbance does what it says, and nothing besides."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from toys import blur_stack

import visuomotor as vm
from visuomotor.configs import from_plain
from visuomotor.env import VisuomotorEnv
from visuomotor.evaluate import evaluate
from visuomotor.files import load_state, save_state
from visuomotor.instruments.disturbances import PRESETS, DisturbanceConfig, Disturbed, scaled
from visuomotor.instruments.protocols import (
    DeadReckons,
    FiniteCamera,
    FocusInstrument,
    HasFocusTruth,
    Resumable,
)
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask

STACK = blur_stack()  # 31 positions 0 ... 30 um, focus at 12
BEST, LAST = 12.0, 30.0
EVERYTHING = ("frames", "past_actions", "sharpness", "position", "limits", "fine_step")
COARSE_UP, FINE_UP, STOP, FINE_DOWN, COARSE_DOWN = range(5)


def plain(cells: int = 1, continuous: bool = True):
    return STACK.instrument(cells=cells, fine_step=1.0, continuous=continuous)


def disturbed(cells: int = 1, seed: int = 0, **config: float) -> Disturbed:
    return Disturbed(plain(cells), DisturbanceConfig(**config), seed)


def everything() -> DisturbanceConfig:
    """All at once."""
    return DisturbanceConfig(
        slip=0.1,
        slip_bias=-0.1,
        backlash_steps=1.5,
        start_jitter_steps=0.5,
        focus_drift_steps=0.1,
        view_shift_px=3.0,
        view_drift_px=1.0,
        brightness_drift=-0.02,
        brightness_slope=0.2,
        flicker=0.05,
        dropout=0.1,
        noise=0.02,
        spot_px=7.0,
    )


def begun(rig: Disturbed, start: float | np.ndarray = 15.0) -> np.ndarray:
    """Reset all cells; their numbers."""
    cells = np.arange(rig.num_cells)
    starts = np.broadcast_to(np.asarray(start, float), cells.shape)
    rig.reset(cells, starts, np.random.default_rng(0))
    return cells


def pictures_at(position: float | np.ndarray) -> np.ndarray:
    return STACK.frames_at(position)


def brightness(rig: Disturbed, cells: np.ndarray) -> np.ndarray:
    """(M,) of the next picture, as a share of what it would be undisturbed."""
    seen = rig.camera.grab(cells)
    undisturbed = pictures_at(rig.true_position[cells])
    return seen.mean(axis=(1, 2)) / undisturbed.mean(axis=(1, 2))


# -- as a whole ------------------------------------------------------------------------------------


def test_it_is_what_the_instrument_within_is_but_never_finite() -> None:
    rig = Disturbed(plain(continuous=False), DisturbanceConfig(), 0)
    for promise in (FocusInstrument, HasFocusTruth, Resumable, DeadReckons):
        assert isinstance(rig, promise)
    assert isinstance(rig.inner.camera, FiniteCamera)
    assert not isinstance(rig.camera, FiniteCamera)


def test_it_promises_nothing_that_the_instrument_within_cannot() -> None:
    from visuomotor.instruments import workcells

    rig = Disturbed(workcells.examples(2)["rigs"], DisturbanceConfig(slip=0.5), 0)
    assert isinstance(rig, FocusInstrument)
    assert not isinstance(rig, HasFocusTruth)
    assert not isinstance(rig, Resumable)
    with rig:
        assert rig.failures == [None, None]
        assert rig.failures is rig.inner.failures
        assert rig.reading == rig.inner.reading
        before = rig.focus.position[1]
        rig.focus.move_to(np.array([before + 2.0]), np.array([1]))
        assert rig.focus.position[1] == pytest.approx(before + 2.0)
        assert rig.true_position[1] != pytest.approx(before + 2.0, abs=1e-3)


@pytest.mark.parametrize("continuous", [False, True])
def test_nothing_disturbed_is_the_instrument_within(continuous: bool) -> None:
    inner, rig = plain(4, continuous), Disturbed(plain(4, continuous), DisturbanceConfig(), 3)
    random, cells = np.random.default_rng(1), np.arange(4)
    for one in (inner, rig):
        one.reset(cells, None, np.random.default_rng(2))
    for _ in range(20):
        some = np.flatnonzero(random.random(4) < 0.7)
        target = random.uniform(-5, 35, len(some))
        np.testing.assert_array_equal(
            inner.focus.move_to(target, some), rig.focus.move_to(target, some)
        )
        np.testing.assert_array_equal(inner.focus.position, rig.focus.position)
        np.testing.assert_array_equal(inner.focus.position, rig.true_position)
        np.testing.assert_array_equal(inner.camera.grab(some), rig.camera.grab(some))


def test_the_same_seed_disturbs_alike_another_differently() -> None:
    def looks(seed: int) -> list[np.ndarray]:
        rig = Disturbed(plain(3), everything(), seed)
        cells = begun(rig)
        pictures = [rig.camera.grab(cells)]
        for target in (20.0, 12.0, 13.0):
            rig.focus.move_to(np.full(3, target), cells)
            pictures.append(rig.camera.grab(cells))
        return [*pictures, rig.true_position]

    first, again, other = looks(5), looks(5), looks(6)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_cells_are_disturbed_each_for_itself() -> None:
    rig = Disturbed(plain(3), everything(), 0)
    cells = begun(rig)
    assert len(set(rig.true_position)) == 3, "each its own jitter"
    first = rig.camera.grab(cells)
    assert (first[0] != first[1]).any()
    before, believed = rig.true_position, rig.focus.position
    for target in (20.0, 10.0):
        rig.focus.move_to(np.array([target]), np.array([1]))
        rig.camera.grab(np.array([1]))
    rig.reset(np.array([1]), np.array([7.0]), np.random.default_rng(0))
    np.testing.assert_array_equal(rig.true_position[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(rig.focus.position[[0, 2]], believed[[0, 2]])
    assert rig.focus.position[1] == 7.0


def test_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    config = AutofocusConfig(observation=EVERYTHING)
    env, twin = (
        VisuomotorEnv(Disturbed(plain(5), everything(), seed), AutofocusTask(config))
        for seed in (0, 9)
    )
    env.reset(seed=0)
    env.step(np.full(5, FINE_UP))
    twin.reset(seed=9)
    save_state(tmp_path / "state", env.state_dict())
    twin.load_state_dict(load_state(tmp_path / "state"))
    for action in (FINE_DOWN, COARSE_DOWN, FINE_UP):
        a, b = env.step(np.full(5, action)), twin.step(np.full(5, action))
        for one, other in ((a[0], b[0]), (a[4], b[4])):
            for key in one:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
        np.testing.assert_array_equal(a[1], b[1])
    a, b = (e.reset(options={"reset_mask": np.ones(5, bool)})[0]["frames"] for e in (env, twin))
    np.testing.assert_array_equal(a, b)


# -- motion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slip", "bias"), [(0.0, -0.25), (0.1, 0.0), (0.2, 0.1)])
def test_slip_is_a_relative_error_of_each_move(slip: float, bias: float) -> None:
    rig = disturbed(4000, slip=slip, slip_bias=bias)
    cells = begun(rig)
    np.testing.assert_array_equal(rig.true_position, 15.0)
    for _ in range(2):
        rig.reset(cells, np.full(4000, 15.0), np.random.default_rng(0))
        executed = rig.focus.move_to(np.full(4000, 20.0), cells)
        np.testing.assert_array_equal(executed, 20.0)
        np.testing.assert_array_equal(rig.focus.position, 20.0)
        error = (rig.true_position - 15.0) / 5.0 - 1.0
        assert error.mean() == pytest.approx(bias, abs=4 * slip / 4000**0.5 + 1e-9)
        assert error.std() == pytest.approx(slip, rel=0.1, abs=1e-9)
    there = rig.true_position
    rig.focus.move_to(np.full(4000, 20.0), cells)
    np.testing.assert_array_equal(rig.true_position, there)


def test_a_knob_that_slips_never_turns_backwards() -> None:
    rig = disturbed(500, slip=2.0)
    rig.focus.move_to(np.full(500, 16.0), begun(rig))
    assert rig.true_position.min() == 15.0


def test_slip_adds_up_on_an_axis_that_snaps() -> None:
    rig = Disturbed(plain(continuous=False), DisturbanceConfig(slip_bias=-0.25), 0)
    cells = begun(rig)
    for target in (16.0, 17.0, 18.0, 19.0):
        rig.focus.move_to(np.array([target]), cells)
    assert rig.focus.position.tolist() == [19.0]
    assert rig.true_position.tolist() == [18.0]


def test_both_positions_keep_the_limits() -> None:
    rig = disturbed(slip_bias=0.5)
    cells = begun(rig)
    assert rig.focus.move_to(np.array([28.0]), cells).tolist() == [28.0]
    assert rig.true_position.tolist() == [LAST], "stopped, not 34.5"
    assert rig.focus.move_to(np.array([99.0]), cells).tolist() == [LAST]
    rig.focus.move_to(np.array([20.0]), cells)
    assert rig.true_position.tolist() == [15.0]


def in_small_steps(moves: list[float], play: float, backlash: float) -> float:
    """How far a stage with backlash comes, pushed a hundredth at a time: it moves only while the
    drive leans on one of its two flanks."""
    hundredths, flank, came = round(100 * play), round(100 * backlash), 0
    for move in moves:
        for _ in range(round(100 * abs(move))):
            hundredths += 1 if move > 0 else -1
            inside = min(max(hundredths, 0), flank)
            came += hundredths - inside
            hundredths = inside
    return came / 100


@given(
    st.lists(st.integers(-60, 60), min_size=1, max_size=6),
    st.sampled_from([0.5, 2.0, 3.0]),
    st.integers(0, 5),
)
@example([50, -20, -20, 20, 20], 3.0, 0)
def test_backlash_is_that_of_a_stage_between_two_flanks(
    tenths: list[int], backlash: float, seed: int
) -> None:
    rig = disturbed(seed=seed, backlash_steps=backlash)
    cells = begun(rig)
    play = float(rig.state_dict()["cells"]["play"][0])
    assert play in (0.0, backlash)
    moves, at = [], 15.0
    for tenth in tenths:
        moves.append(float(np.clip(at + tenth / 10, 3, 27) - at))
        at += moves[-1]
        rig.focus.move_to(np.array([at]), cells)
    assert rig.focus.position[0] == pytest.approx(at)
    expected = 15.0 + in_small_steps(moves, play, backlash)
    assert rig.true_position[0] == pytest.approx(expected, abs=1e-6)


def test_after_a_change_of_direction_the_first_steps_do_nothing() -> None:
    rig = disturbed(backlash_steps=2.0)
    cells = begun(rig)
    came = []
    for target in (20.0, 19.0, 18.0, 17.0, 16.0, 17.0, 18.0, 19.0):
        rig.focus.move_to(np.array([target]), cells)
        came.append(rig.true_position[0])
    steps = np.diff(came)
    np.testing.assert_allclose(steps, [0, 0, -1, -1, 0, 0, 1], atol=1e-12)


def test_starts_are_jittered_and_the_drive_does_not_know() -> None:
    rig = disturbed(2000, start_jitter_steps=0.5)
    begun(rig)
    np.testing.assert_array_equal(rig.focus.position, 15.0)
    beside = rig.true_position - 15.0
    assert np.abs(beside).max() <= 0.5
    assert beside.min() < -0.48
    assert beside.max() > 0.48
    assert abs(beside.mean()) < 0.03
    begun(rig)
    assert (rig.true_position - 15.0 != beside).all(), "anew for each episode"


def test_focus_drifts_between_looks() -> None:
    rig = disturbed(focus_drift_steps=0.5)
    cells = begun(rig)
    shown = [float(rig.true_position[0]) for _ in range(4) if len(rig.camera.grab(cells))]
    assert shown == [15.0, 14.5, 14.0, 13.5]
    assert rig.focus.position.tolist() == [15.0]
    np.testing.assert_array_equal(rig.camera.grab(cells), pictures_at(13.0))
    begun(rig)
    np.testing.assert_array_equal(rig.camera.grab(cells), pictures_at(15.0))


# -- view ------------------------------------------------------------------------------------------


def shifts(rig: Disturbed, cells: np.ndarray) -> np.ndarray:
    """(M, 2) how the next picture of each cell of a ``ruled`` instrument is moved: down, right."""
    middle = rig.camera.grab(cells)[:, 50, 50].astype(int)
    return np.stack([50 - middle // 100, 50 - middle % 100], axis=1)


def ruled(cells: int, **config: float) -> Disturbed:
    """Over pictures of which each pixel tells its row and column."""
    picture = np.arange(100 * 100, dtype=np.uint16).reshape(100, 100)
    stack = vm.FocalStack(np.stack([picture] * 3), [0, 15, 30])
    inner = stack.instrument(cells=cells, fine_step=1.0)
    return Disturbed(inner, DisturbanceConfig(**config), 0)


def test_the_view_is_shifted_for_an_episode() -> None:
    rig = ruled(300, view_shift_px=4.0)
    cells = begun(rig)
    first = shifts(rig, cells)
    assert np.abs(first).max() == 4
    assert len(set(map(tuple, first))) > 60, "of 81"
    np.testing.assert_array_equal(shifts(rig, cells), first)
    begun(rig)
    assert (shifts(rig, cells) != first).any(), "anew for each episode"


def test_a_shifted_view_repeats_its_edge() -> None:
    rig = ruled(20, view_shift_px=6.0)
    cells = begun(rig)
    moved = shifts(rig, cells)
    original = rig.inner.camera.grab(cells)[0]
    for picture, (down, right) in zip(rig.camera.grab(cells), moved, strict=True):
        filled = np.pad(original, 7, mode="edge")[7 - down : 107 - down, 7 - right : 107 - right]
        np.testing.assert_array_equal(picture, filled)


def test_the_view_walks_from_look_to_look() -> None:
    rig = ruled(1000, view_drift_px=1.5)
    cells = begun(rig)
    assert not shifts(rig, cells).any(), "the first look is where it was"
    spread = [shifts(rig, cells).std() for _ in range(4)]
    np.testing.assert_allclose(spread, 1.5 * np.sqrt([1, 2, 3, 4]), rtol=0.1)
    begun(rig)
    assert not shifts(rig, cells).any()


# -- light -----------------------------------------------------------------------------------------


def test_brightness_drifts_by_a_share_each_look() -> None:
    rig = disturbed(brightness_drift=-0.1)
    cells = begun(rig)
    seen = [float(brightness(rig, cells)[0]) for _ in range(4)]
    np.testing.assert_allclose(seen, [1.0, 0.9, 0.81, 0.729], atol=1e-3)
    begun(rig)
    assert brightness(rig, cells) == 1.0


def test_brightness_changes_with_focus() -> None:
    rig = disturbed(3, brightness_slope=0.4)
    cells = begun(rig, np.array([0.0, 15.0, 30.0]))
    np.testing.assert_allclose(brightness(rig, cells), [0.8, 1.0, 1.2], atol=2e-3)


def test_the_lamp_flickers() -> None:
    rig = disturbed(1000, flicker=0.05)
    cells = begun(rig)
    first, second = brightness(rig, cells), brightness(rig, cells)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.0, abs=0.15)
    assert first.std() == pytest.approx(0.05, rel=0.1)
    assert first.mean() == pytest.approx(1.0, abs=0.01)


def test_some_pictures_are_dark() -> None:
    rig = disturbed(1000, dropout=0.2, spot_px=5.0)
    cells = begun(rig)
    dark = [(rig.camera.grab(cells) == 0).all(axis=(1, 2)) for _ in range(2)]
    assert dark[0].mean() == pytest.approx(0.2, abs=0.05)
    assert (dark[0] != dark[1]).any()


def test_noise_is_a_share_of_what_the_camera_displays() -> None:
    rig = disturbed(20, noise=0.03)
    cells = begun(rig)
    black, white = STACK.display_range
    looks = [rig.camera.grab(cells).astype(float) - pictures_at(15.0) for _ in range(2)]
    for noise in looks:
        expected = np.hypot(0.03 * (white - black), 12**-0.5)  # grey levels are rounded
        assert noise.std() == pytest.approx(expected, rel=0.02)
        assert abs(noise.mean()) < 0.1
    assert abs((looks[0] * looks[1]).mean()) < 0.1 * looks[0].var()


def test_noise_is_clipped_not_wrapped() -> None:
    frames = np.zeros((3, 16, 16), np.uint16)
    frames[:, 8:] = 65535
    rig = Disturbed(
        vm.FocalStack(frames, [0, 1, 2]).instrument(fine_step=1.0), DisturbanceConfig(noise=0.1), 0
    )
    picture = rig.camera.grab(begun(rig, 1.0))[0]
    assert picture.dtype == np.uint16
    assert picture[:8].max() < 40_000 < picture[8:].min()
    assert (picture[:8] == 0).mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 4095)])
def test_a_spot_is_white_round_and_always_there(dtype: type, full: int) -> None:
    scale = 1 if dtype is np.uint8 else 12
    stack = vm.FocalStack(STACK.frames.astype(dtype) * dtype(scale), STACK.positions)
    rig = Disturbed(stack.instrument(cells=8, fine_step=1.0), DisturbanceConfig(spot_px=9.0), 0)
    cells = begun(rig)
    first = rig.camera.grab(cells)
    changed = first != stack.frames_at(15.0)
    assert first.dtype == dtype
    assert (first[changed] == full).all()
    for spot in changed:
        rows, columns = np.flatnonzero(spot.any(axis=1)), np.flatnonzero(spot.any(axis=0))
        assert np.ptp(rows) + 1 == pytest.approx(9, abs=1)
        assert np.ptp(columns) + 1 == pytest.approx(9, abs=1)
        assert spot.sum() == pytest.approx(np.pi * 4.5**2, rel=0.1)
    assert len({spot.tobytes() for spot in changed}) == 8, "each cell has its own place"
    begun(rig, 5.0)
    assert (rig.camera.grab(cells)[changed] == full).all(), "also out of focus, and another day"


def test_a_blank_field_shows_nothing_but_noise() -> None:
    darker = STACK.frames - np.arange(31, dtype=np.uint8)[:, None, None]  # the higher it stands
    stack = vm.FocalStack(darker, STACK.positions)
    rig = Disturbed(stack.instrument(cells=2, fine_step=1.0), DisturbanceConfig(blank=True), 0)
    cells = begun(rig, np.array([BEST, 25.0]))
    first = rig.camera.grab(cells)
    for picture, start in zip(first, (BEST, 25.0), strict=True):
        assert (picture == round(stack.frames_at(start).mean())).all()
    rig.focus.move_to(np.array([20.0, 20.0]), cells)  # not even the brightness tells
    np.testing.assert_array_equal(rig.camera.grab(cells), first)
    noisy = disturbed(blank=True, noise=0.02)
    cells = begun(noisy)
    assert noisy.camera.grab(cells).std() > 1.0


def test_colour_pictures_are_disturbed_too() -> None:
    class Coloured:
        """Shows the plain instrument's pictures in three colours."""

        def __init__(self, camera) -> None:
            self.exposure_ms, self.timeout_ms = 0.0, 0.0
            self.display_range = camera.display_range
            self._camera = camera

        def grab(self, cells):
            return np.stack([self._camera.grab(cells)] * 3, axis=-1)

    inner = plain(2)
    inner.camera = Coloured(inner.camera)
    rig = Disturbed(inner, everything(), 0)
    pictures = rig.camera.grab(begun(rig))
    assert pictures.shape == (2, 48, 48, 3)
    assert pictures.dtype == np.uint8


# -- the task reads the truth ----------------------------------------------------------------------


def ended(rig, start: float) -> dict[str, np.ndarray]:
    """What is known after stopping at once."""
    env = VisuomotorEnv(rig, AutofocusTask())
    env.reset(seed=0, options={"start": np.full(rig.num_cells, start)})
    *_, reward, _, _, info = env.step(np.full(rig.num_cells, STOP))
    return {**info, "reward": reward}


def test_success_is_read_where_the_drive_is_not_where_it_believes_to_be() -> None:
    rig = disturbed(slip_bias=-0.5)
    env = VisuomotorEnv(rig, AutofocusTask(AutofocusConfig(steps=(8, 4, 0, -4, -8))))
    env.reset(seed=0, options={"start": 8.0})
    *_, info = env.step(np.array([0]))  # it believes to be at 16, and is in focus
    assert info["position"][0] == 16.0
    assert info["true_position"][0] == BEST
    assert info["truth"][0] == 0.0
    assert info["expert"][0] == 2
    assert info["optimal_steps"][0] == 1
    *_, info = env.step(np.array([2]))
    assert info["success"][0]


@pytest.mark.parametrize("start", [BEST, 5.0])
@pytest.mark.parametrize("name", ["noise", "spot", "blank", "flicker", "brightness_drift"])
def test_what_the_camera_makes_up_is_neither_rewarded_nor_punished(name: str, start: float) -> None:
    config = replace(PRESETS[name], dropout=0.5) if name == "flicker" else PRESETS[name]
    expected, info = ended(plain(6), start), ended(Disturbed(plain(6), config, 1), start)
    for key in ("reward", "success", "maximum", "truth", "expert", "optimal_steps"):
        np.testing.assert_allclose(info[key], expected[key], rtol=1e-12, err_msg=key)
    np.testing.assert_allclose(info["true_sharpness"], expected["sharpness"], rtol=1e-12)
    assert expected["success"].all() == (start == BEST)


def test_each_cell_is_judged_on_its_own_view() -> None:
    from visuomotor.instruments.simulated import microscope

    inner = microscope.examples(4)["two views"]
    at = np.array([0.0, 0.5, 3.0, 6.0])
    expected, info = (
        VisuomotorEnv(rig, AutofocusTask()).reset(seed=0, options={"start": at})[1]
        for rig in (inner, Disturbed(inner, DisturbanceConfig(noise=0.05), 0))
    )
    assert (info["sharpness"] != expected["sharpness"]).all()
    # Between the curve's positions, and they are dense, it is a straight line.
    np.testing.assert_allclose(info["true_sharpness"], expected["sharpness"], rtol=0.1)
    np.testing.assert_array_equal(info["truth"], expected["truth"])


def test_without_disturbances_the_task_knows_nothing_more() -> None:
    info = ended(plain(), BEST)
    assert "true_position" not in info
    assert "true_sharpness" not in info


def test_rows_of_an_evaluation_tell_the_truth() -> None:
    policy = vm.load_policy("search:brent")
    config = DisturbanceConfig(slip_bias=-0.2, spot_px=9.0)
    rig = Disturbed(plain(4), config, 0)
    task = AutofocusTask(from_plain(AutofocusConfig, policy.spec.config, "policy"))
    rows = evaluate(policy, VisuomotorEnv(rig, task), starts=np.array([3.0, 9.0, 20.0, 28.0]))
    curve = task.curves()[0]
    for row, true in zip(rows, rig.true_position, strict=True):
        assert row.end == true
        assert row.distance == pytest.approx(abs(true - curve.best_position))
        assert row.sharpness_end == pytest.approx(float(curve.at(np.array([true]))[0]))
        assert row.sharpness_start == pytest.approx(float(curve.at(np.array([row.start]))[0]))
        assert row.success == (row.sharpness_end > 0.9 * row.maximum)


def test_a_person_is_told_what_the_drive_believes() -> None:
    rig = disturbed(slip=0.1)
    result = vm.focus(rig, vm.load_policy("search:full-sweep"))
    assert result.position == rig.focus.position[0]
    assert result.position != rig.true_position[0]


# -- configs ---------------------------------------------------------------------------------------


def test_presets_are_one_severity_each() -> None:
    single = {"noise", "brightness_drift", "backlash", "slip", "view_drift", "flicker", "spot"}
    assert set(PRESETS) == single | {"blank", "rough_rig"}
    assert DisturbanceConfig() not in PRESETS.values()
    rough = PRESETS["rough_rig"]
    assert all((rough.slip, rough.backlash_steps, rough.view_shift_px, rough.start_jitter_steps))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_scaled_multiplies_every_amount(name: str) -> None:
    config = PRESETS[name]
    twice = scaled(config, 2.0)
    for field in fields(config):
        if field.name != "blank":
            assert getattr(twice, field.name) == 2 * getattr(config, field.name)
    assert twice.blank == config.blank
    assert scaled(config, 1) == config
    assert scaled(config, 0) == DisturbanceConfig()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DisturbanceConfig(dropout=1.5), "Disturbance: dropout: expected 0 to 1, got 1.5"),
        (lambda: DisturbanceConfig(slip=-0.1), "slip"),
        (lambda: DisturbanceConfig(noise=float("nan")), "noise"),
        (lambda: scaled(DisturbanceConfig(dropout=0.6), 2.0), "dropout"),
        (lambda: scaled(DisturbanceConfig(), -1.0), "factor"),
        (lambda: Disturbed(plain(), DisturbanceConfig(), -1), "seed"),
        (lambda: Disturbed(STACK, DisturbanceConfig(), 0), "FocalStack"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words: str) -> None:
    with pytest.raises(vm.InputError, match=words):
        make()


@pytest.mark.parametrize("field", [f.name for f in fields(DisturbanceConfig) if f.name != "blank"])
def test_every_amount_is_checked(field: str) -> None:
    for bad in (float("inf"), float("nan"), -1e9):
        with pytest.raises(vm.InputError, match=field):
            DisturbanceConfig(**{field: bad})
