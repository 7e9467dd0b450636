"""Camera control: rewards at every band's edge, who acts when, what ends an episode.

What a look shows is mostly set by the test (``shown_camera``); the truth is the simulator's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_camera import FailingCamera, KnowingCamera, ShownCamera, toy_brisque
from toys import blur_stack

from visuomotor.env import VisuomotorEnv
from visuomotor.errors import InputError
from visuomotor.files import load_state, save_state
from visuomotor.instruments.simulated.liquid_lens_camera import LiquidLensCamera
from visuomotor.instruments.simulated.lit_camera import LiquidLensCameraConfig
from visuomotor.instruments.simulated.lit_scenes import scene_pool
from visuomotor.models.encoders import encoder
from visuomotor.tasks.camera_control import PRESETS, CameraControlConfig, CameraControlTask
from visuomotor.tasks.camera_reader import CameraReader, crop
from visuomotor.tasks.camera_rewards import exposure_reward, focus_reward, quality_of_blur
from visuomotor.vision.quality import Brisque, clipped

VECTORS = ("histogram", "edges", "levels", "detail", "settings")
"""All observations that need no encoder."""
PLAIN = CameraControlConfig(observation=VECTORS, detector="aruco")
EXPOSE, FOCUS = replace(PLAIN, control="exposure"), replace(PLAIN, control="focus")
LEVEL_REWARDS = [
    *((level, -1.0) for level in (0, 24, 176, 255)),
    *((level, -0.3) for level in (25, 26, 49, 151, 174, 175)),
    *((level, 1.0) for level in (50, 51, 100, 149, 150)),
]
"""Of a picture whose quality B is 30: bands of anikina2021, equation (11), ends included."""


def env_of(camera: Any, config: CameraControlConfig = PLAIN, start: float = 40.0) -> VisuomotorEnv:
    """An environment, reset."""
    env = VisuomotorEnv(camera, CameraControlTask(config))
    env.reset(seed=0, options={"start": start})
    return env


def take(env: VisuomotorEnv, *action: int) -> tuple[Any, ...]:
    """The same action in every cell."""
    one = action[0] if isinstance(env.single_action_space, gym.spaces.Discrete) else action
    return env.step(np.stack([np.asarray(one)] * env.num_envs))


# -- rewards -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "reward"), LEVEL_REWARDS)
def test_exposure_is_rewarded_by_the_bands_of_equation_11(level: int, reward: float) -> None:
    levels = np.array([level] * 3)
    found = exposure_reward(levels, np.array([30.0, 0.0, 100.0]))
    expected = [reward, 0.0 if reward == -0.3 else reward, -1.0 if reward == -0.3 else reward]
    np.testing.assert_allclose(found, expected)
    camera = KnowingCamera(level=level)
    camera.blur[:] = 3.0
    _, got, *_ = take(env_of(camera, EXPOSE), 5)
    np.testing.assert_allclose(got, reward)


@pytest.mark.parametrize(("blur", "quality"), [(0, 0), (1.5, 15), (9.9, 99), (10, 100), (400, 100)])
def test_focus_is_rewarded_by_equation_12(blur: float, quality: float) -> None:
    assert quality_of_blur(np.array([blur, -blur])).tolist() == pytest.approx([quality] * 2)
    found = focus_reward(np.array([True, False]), np.array([quality, quality], float))
    np.testing.assert_allclose(found, [-0.01 * quality, -1.0])
    camera = KnowingCamera(2, marker=True)
    camera.blur[:] = blur
    camera.marker[1] = False
    _, got, *_, info = take(env_of(camera, FOCUS), 5, 5)
    np.testing.assert_allclose(got, [-0.01 * quality, -1.0])
    assert info["detected"].tolist() == [True, False]


def test_a_blur_that_nobody_knows_is_the_worst() -> None:
    assert quality_of_blur(np.array([np.inf])).tolist() == [100.0]


@given(st.integers(0, 255), st.floats(0, 100), st.floats(0, 100))
@settings(deadline=None)
def test_better_pictures_are_never_worth_less(level: int, one: float, other: float) -> None:
    better, worse = sorted((one, other))
    levels = np.array([level, level])
    rewards = exposure_reward(levels, np.array([better, worse]))
    assert (np.abs(rewards) <= 1).all()
    assert rewards[0] >= rewards[1]
    seen = focus_reward(np.array([True, True, False]), np.array([better, worse, better]))
    assert 0 >= seen[0] >= seen[1] >= seen[2] == -1


# -- what ends an episode ----------------------------------------------------------------------


def paper(control: str, folder: Path, **changes: Any) -> CameraControlConfig:
    """The preset, with a model of BRISQUE that is always there and without an encoder."""
    preset = PRESETS[f"paper {control}"]
    seen = tuple(key for key in preset.observation if key != "features") or ("levels",)
    model = toy_brisque(folder)
    return replace(preset, observation=seen, brisque_model=model, detector="aruco", **changes)


def test_paper_exposure_ends_badly_out_of_sight_and_goes_on_in_the_middle_band(
    tmp_path: Path,
) -> None:
    config = paper("exposure", tmp_path)
    assert config.strict
    levels = [level for level, _ in LEVEL_REWARDS]
    camera = KnowingCamera(len(levels))
    env = env_of(camera, config)
    camera.level[:] = levels
    _, reward, terminated, _, info = take(env, 5)
    rewards = np.array([value for _, value in LEVEL_REWARDS])
    lost, middle, good = rewards == -1, rewards == -0.3, rewards == 1
    np.testing.assert_array_equal(reward[~middle], rewards[~middle])
    np.testing.assert_array_equal(terminated, ~middle)
    np.testing.assert_array_equal(info["success"], good)
    np.testing.assert_array_equal(info["unusable"], lost)
    assert ((reward[middle] <= 0) & (reward[middle] >= -1)).all()
    camera.level[:] = 100
    _, reward, terminated, _, info = take(env, 5)
    assert terminated.all()
    np.testing.assert_array_equal(reward, middle)
    np.testing.assert_array_equal(info["success"], good | middle)
    np.testing.assert_array_equal(info["steps"], 1 + middle)


def test_without_strict_a_picture_of_nothing_is_no_end() -> None:
    camera = KnowingCamera(2)
    env = env_of(camera, EXPOSE)
    camera.level[:] = [0, 255]
    _, reward, terminated, _, info = take(env, 5)
    assert reward.tolist() == [-1, -1]
    assert not terminated.any()
    assert not info["unusable"].any()


@pytest.mark.parametrize("place", [(0, 0), (30, 60), (52, 10), (20, 20)])
@pytest.mark.parametrize("size", [(12, 4), (1, 1), (8, 64)])
def test_a_box_too_small_for_brisque_is_widened(
    tmp_path: Path, place: tuple[int, int], size: tuple[int, int]
) -> None:
    """A detector may take a few pixels for its object."""
    model = toy_brisque(tmp_path)
    reader = CameraReader(replace(FOCUS, quality="brisque", brisque_model=model), *4 * [True])
    reader.prepare()
    frame = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    top, left = np.minimum(place, 64 - np.array(size))
    (found,) = reader.quality(frame[None], np.array([[top, left, *size]]))
    height, width = np.maximum(size, 8)
    around = [
        clipped(Brisque.load(model).score(frame[None, y : y + height, x : x + width]))[0]
        for y in range(max(top - 8, 0), min(top, 64 - height) + 1)
        for x in range(max(left - 8, 0), min(left, 64 - width) + 1)
        if y + height >= top + size[0] and x + width >= left + size[1]
    ]
    assert found in around, "of a part that has the box in it"


def test_paper_takes_brisque_of_the_picture_and_of_the_box(tmp_path: Path) -> None:
    brisque = Brisque.load(toy_brisque(tmp_path))
    camera = ShownCamera(3, level=40, marker=True)
    camera.level[2], camera.marker[:] = 160, [True, False, True]
    _, reward, *_ = take(env_of(camera, paper("exposure", tmp_path)), 5)
    whole = clipped(brisque.score(np.stack([camera.picture(cell) for cell in range(3)])))
    assert 5 < whole.min() <= whole.max() < 95
    np.testing.assert_allclose(reward, -0.01 * whole)
    _, reward, _, _, info = take(env_of(camera, paper("focus", tmp_path)), 5, 5)
    assert info["detected"].tolist() == [True, False, True]
    assert info["box"][1].tolist() == [0, 0, 0, 0]
    for cell in (0, 2):
        part = crop(camera.picture(cell), info["box"][cell])
        assert part.size < camera.picture(cell).size
        assert reward[cell] == pytest.approx(-0.01 * clipped(brisque.score(part[None]))[0])
        assert abs(reward[cell] + 0.01 * whole[cell]) > 1e-6
    assert reward[1] == -1


def test_papers_focus_ends_when_the_object_is_detected(tmp_path: Path) -> None:
    camera = KnowingCamera(3)
    env = env_of(camera, paper("focus", tmp_path))
    take(env, 1, 1)
    assert not env.task.done().any()
    camera.marker[:] = [True, False, True]
    camera.blur[:] = [9.0, 0.0, 0.0]
    *_, info = take(env, 1, 1)
    assert info["success"].tolist() == [True, False, True], "however blurred"
    np.testing.assert_array_equal(env.task.done(), info["success"])


@pytest.mark.parametrize("control", ["focus", "both"])
def test_else_it_ends_when_detected_and_sharp(control: str) -> None:
    assert PLAIN.sharp_px == 1.5
    camera = KnowingCamera(4)
    env = env_of(camera, replace(PLAIN, control=control))
    actions = (5, 1, 1) if control == "both" else (1, 1)
    take(env, *actions)  # of both: hands over
    camera.marker[:] = [True, True, False, True]
    camera.blur[:] = [1.5, 1.51, 0.0, 0.0]
    *_, terminated, _, info = take(env, *actions)
    assert info["success"].tolist() == terminated.tolist() == [True, False, False, True]
    camera.blur[1] = 0.2
    *_, info = take(env, *actions)
    assert info["success"].tolist() == [True, True, False, True]


def test_the_step_limit_is_the_tasks_own() -> None:
    for config, actions in ((EXPOSE, (5,)), (FOCUS, (1, 1)), (PLAIN, (5, 1, 1))):
        camera = KnowingCamera(2, level=40)
        env = env_of(camera, replace(config, max_steps=3))
        for step in range(1, 4):
            *_, terminated, truncated, info = take(env, *actions)
            assert terminated.tolist() == [step == 3] * 2
            assert not truncated.any()
        assert info["out_of_steps"].all()
        assert not info["success"].any()


def test_success_with_the_last_step_is_success() -> None:
    camera = KnowingCamera(1, level=40)
    env = env_of(camera, replace(EXPOSE, max_steps=2))
    take(env, 5)
    camera.level[:] = 50
    *_, info = take(env, 5)
    assert info["success"].all()
    assert not info["out_of_steps"].any()


# -- who acts when -----------------------------------------------------------------------------


def test_a_good_exposure_hands_over_and_each_moves_only_its_own() -> None:
    camera = KnowingCamera(1, level=40)
    env = env_of(camera)
    camera.focus.moves.clear()
    for level in (40, 20, 255, 150):
        camera.level[:] = level
        *_, info = take(env, 60, 9, 50)
        assert not camera.focus.moves, "the lens waits"
        assert camera.exposure.moves.pop()[1] == pytest.approx(env.task.exposures_us[60])
        assert info["executed"][0, 1] == 0
        assert info["focusing"].tolist() == [level == 150]
    assert not env.task.done().any(), "an exposure is not yet an end"
    camera.exposure.moves.clear()
    for coarse in (3, 4):
        *_, info = take(env, 90, coarse, 25)
        assert camera.focus.moves.pop()[1] == pytest.approx(24 + coarse + 0.25)
        assert not camera.exposure.moves, "the exposure stays"
        assert info["executed"][0, 0] == 0
        assert info["exposure_us"][0] == pytest.approx(env.task.exposures_us[60])


def test_a_sharp_object_is_no_end_before_the_exposure_is_good() -> None:
    camera = KnowingCamera(1, level=40, marker=True)
    env = env_of(camera)
    *_, info = take(env, 5, 1, 1)
    assert info["detected"].all()
    assert not info["success"].any()
    camera.level[:] = 100
    *_, info = take(env, 5, 1, 1)
    assert info["focusing"].all()
    assert not info["success"].any(), "the lens has not been asked yet"
    *_, info = take(env, 5, 1, 1)
    assert info["success"].all()


@pytest.mark.parametrize("level", [25, 49, 151, 175])
def test_the_lens_stays_in_charge_while_something_is_seen(level: int) -> None:
    camera = KnowingCamera(1)
    env = env_of(camera)
    take(env, 5, 1, 1)
    camera.level[:] = level
    *_, info = take(env, 5, 1, 1)
    assert info["focusing"].all()


@pytest.mark.parametrize("level", [0, 24, 176, 255])
@pytest.mark.parametrize("strict", [False, True])
def test_a_lost_picture_goes_back_to_exposure_unless_strict(level: int, strict: bool) -> None:
    camera = KnowingCamera(1)
    env = env_of(camera, replace(PLAIN, strict=strict))
    take(env, 5, 1, 1)
    camera.level[:] = level
    *_, terminated, _, info = take(env, 5, 1, 1)
    assert info["focusing"].tolist() == [strict]
    assert not terminated.any()
    camera.exposure.moves.clear()
    take(env, 80, 1, 1)
    assert len(camera.exposure.moves) == (not strict)


def test_what_is_sharp_ends_though_its_picture_is_too_bright() -> None:
    camera = KnowingCamera(1)
    env = env_of(camera)
    take(env, 5, 1, 1)
    camera.level[:], camera.marker[:] = 200, True
    *_, info = take(env, 5, 1, 1)
    assert info["success"].all()


def test_strict_ends_both_before_anything_was_handed_over() -> None:
    camera = KnowingCamera(1)
    env = env_of(camera, replace(PLAIN, strict=True))
    camera.level[:] = 3
    _, reward, terminated, _, info = take(env, 5, 1, 1)
    assert (reward.item(), terminated.item(), info["unusable"].item()) == (-1.0, True, True)


def test_the_first_reward_after_handing_over_is_that_of_focus() -> None:
    camera = KnowingCamera(1)
    camera.blur[:] = 7.0
    env = env_of(camera)
    assert take(env, 5, 1, 1)[1].item() == 1.0
    assert take(env, 5, 1, 1)[1].item() == -1.0
    camera.marker[:] = True
    assert take(env, 5, 1, 1)[1].item() == pytest.approx(-0.7)


# -- cells -------------------------------------------------------------------------------------


def test_cells_that_are_done_are_neither_moved_nor_exposed() -> None:
    camera = KnowingCamera(3, level=40)
    env = env_of(camera, EXPOSE)
    camera.level[1] = 100
    take(env, 5)
    assert env.task.done().tolist() == [False, True, False]
    camera.exposure.moves.clear()
    before, seen = camera.pictures.copy(), env.current()
    for _ in range(3):
        observation, reward, *_, info = take(env, 70)
    assert (camera.pictures - before).tolist() == [3, 0, 3]
    assert {cell for cell, _ in camera.exposure.moves} == {0, 2}
    assert reward.tolist() == [-0.0, 0.0, -0.0]
    for key, value in observation.items():
        np.testing.assert_array_equal(value[1], seen[0][key][1], err_msg=key)
    for key, value in info.items():
        np.testing.assert_array_equal(value[1], seen[1][key][1], err_msg=key)
    np.testing.assert_array_equal(info["exposures"], camera.pictures)


def test_a_new_episode_begins_in_the_cells_named_alone() -> None:
    camera = KnowingCamera(2)
    env = env_of(camera)
    for _ in range(3):
        take(env, 5, 7, 7)
    before = env.current()[1]
    assert before["focusing"].all()
    _, info = env.reset(options={"reset_mask": np.array([False, True]), "start": 30.0})
    for key in ("steps", "travel", "exposures", "position"):
        assert info[key][0] == before[key][0]
    assert info["focusing"].tolist() == [True, False]
    assert (info["steps"][1], info["travel"][1], info["exposures"][1]) == (0, 0.0, 1)
    assert info["position"][1] == 30.0
    assert not info["executed"][1].any()


def test_travel_and_what_was_executed_are_the_rigs_not_the_actions() -> None:
    camera = KnowingCamera(1)
    camera.focus.limits = (24.0, 50.0)
    env = env_of(camera, FOCUS)
    *_, info = take(env, 46, 99)
    assert info["position"].item() == 50.0
    assert info["executed"].tolist() == [[0.0, 10.0]]
    *_, info = take(env, 6, 0)
    assert info["executed"].tolist() == [[0.0, -20.0]]
    assert info["travel"].item() == 30.0


def test_a_rig_of_several_that_failed_is_over_and_no_success() -> None:
    camera = FailingCamera(2)
    env = env_of(camera, EXPOSE)
    camera.failures[0] = RuntimeError("unplugged")
    *_, terminated, _, info = take(env, 5)
    assert terminated.all()
    assert info["failed"].tolist() == [True, False]
    assert info["success"].tolist() == [False, True]
    assert info["exposures"].tolist() == [1, 2]


# -- what is seen ------------------------------------------------------------------------------


def test_the_first_look_fills_the_history_and_later_ones_shift_it() -> None:
    camera = KnowingCamera(2, level=40)
    env = env_of(camera, replace(EXPOSE, history=3))

    def seen() -> Any:
        """(B, H) fullest level of each look."""
        levels = env.task.observe()["levels"].reshape(2, 3, 4)[:, :, 0]
        return np.rint(100 * 2.0**levels).astype(int).tolist()

    assert seen() == [[40, 40, 40], [40, 40, 40]]
    camera.level[:] = [30, 160]
    take(env, 5)
    assert seen() == [[30, 40, 40], [160, 40, 40]]
    camera.level[:] = [35, 100]  # of the second it is the end
    take(env, 5)
    camera.level[:] = [170, 1]
    take(env, 5)
    assert seen() == [[170, 35, 30], [100, 160, 40]]
    env.reset(options={"reset_mask": np.array([True, False])})
    assert seen() == [[170, 170, 170], [100, 160, 40]]


def test_settings_say_how_the_camera_is_set() -> None:
    camera = KnowingCamera(3, level=40)
    camera.exposure.at[:] = [1e3, 4.5e6, np.sqrt(1e3 * 4.5e6)]
    env = VisuomotorEnv(camera, CameraControlTask(replace(PLAIN, history=1)))
    env.reset(seed=0, options={"start": np.array([24.0, 70.0, 47.25])})
    shown = env.current()[0]["settings"]
    expected = [[-1, -1, 1, 0], [1, 1, 1, 0], [0, 2 * 23.25 / 46 - 1, 0, 1]]
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_levels_and_histogram_are_those_of_the_picture() -> None:
    camera = KnowingCamera(2, level=64, marker=True)
    camera.level[1], camera.marker[1] = 255, False
    observation, info = env_of(camera, replace(PLAIN, history=1)).current()
    picture = camera.picture(0)
    assert info["level"].tolist() == [64, 255]
    assert info["dark"].tolist() == [(picture <= 4).mean(), 0]
    assert info["saturated"].tolist() == [0, 1]
    mean = np.log2(picture.mean() / 100)
    np.testing.assert_allclose(observation["levels"][0], [np.log2(0.64), mean, 0, info["dark"][0]])
    counts, edges = np.histogram(picture, 10)
    np.testing.assert_allclose(observation["histogram"][0], counts / picture.size, rtol=1e-6)
    np.testing.assert_allclose(observation["edges"][0], edges / 255, rtol=1e-6)


def test_features_are_the_encoders() -> None:
    camera = KnowingCamera(2, level=80, marker=True)
    camera.level[1] = 30
    env = env_of(camera, replace(FOCUS, observation=("features",), history=2))
    pictures = np.stack([camera.picture(cell) for cell in range(2)])
    features = encoder("small")(pictures)
    assert env.single_observation_space["features"].shape == (2 * features.shape[1],)
    np.testing.assert_allclose(
        env.current()[0]["features"], np.tile(features, 2), rtol=1e-4, atol=1e-4
    )


def test_presets_see_and_set_what_they_say() -> None:
    for control, keys in (
        ("exposure", {"features", "histogram", "edges"}),
        ("focus", {"features"}),
    ):
        config = PRESETS[f"paper {control}"]
        assert set(config.observation) == keys
        assert (config.history, config.quality, config.sharp_px) == (1, "brisque", None)
        assert (config.strict, config.max_steps) == (True, 10)
        assert PRESETS[control].sharp_px == 1.5
    assert "focusing" in PRESETS["default"].observation
    assert {preset.control for preset in PRESETS.values()} == {"exposure", "focus", "both"}


# -- what actions mean -------------------------------------------------------------------------


def test_exposures_are_evenly_spread_by_logarithm() -> None:
    task = CameraControlTask(EXPOSE)
    assert task.action_space == gym.spaces.Discrete(146)
    times = task.exposures_us
    assert (len(times), times[0]) == (146, 1e3)
    assert times[-1] == pytest.approx(4.5e6)
    np.testing.assert_allclose(times[1:] / times[:-1], 4500 ** (1 / 145))
    camera = KnowingCamera(3)
    env = env_of(camera, EXPOSE)
    target = env.task.decode(np.array([0, 145, 77])).target
    np.testing.assert_allclose(target[:, 0], times[[0, 145, 77]])
    np.testing.assert_array_equal(target[:, 1], 40.0)
    assert not camera.exposure.moves, "decoding moves nothing"


@given(st.integers(0, 46), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_the_lens_goes_to_an_integer_and_hundredths(coarse: int, fine: int) -> None:
    task = CameraControlTask(FOCUS)
    assert task.action_space == gym.spaces.MultiDiscrete([47, 100])
    task.bind(KnowingCamera())
    task.reset(np.array([0]), np.random.default_rng(0), np.array([40.0]))
    (target,) = task.decode(np.array([[coarse, fine]])).target
    assert target[1] == pytest.approx(min(24 + coarse + fine / 100, 70.0), abs=1e-9)
    assert target[0] == 10_000.0


def test_the_lens_is_clipped_to_its_range_at_both_ends() -> None:
    config = replace(PLAIN, lens_range=(24.5, 36.2), exposures=10, exposure_range_us=(10.0, 1e4))
    task = CameraControlTask(replace(config, control="focus"))
    assert task.action_space == gym.spaces.MultiDiscrete([13, 100])
    task.bind(KnowingCamera(4))
    task.reset(np.arange(4), np.random.default_rng(0), np.full(4, 40.0))
    actions = np.array([[0, 0], [0, 50], [12, 20], [12, 21]])
    np.testing.assert_allclose(task.decode(actions).target[:, 1], [24.5, 24.5, 36.2, 36.2])
    assert CameraControlTask(config).action_space == gym.spaces.MultiDiscrete([10, 13, 100])


@pytest.mark.parametrize("action", [[-1, 3, 3], [146, 3, 3], [5, -1, 3], [5, 3, 100], [5, 47, 0]])
def test_actions_that_there_are_not_are_refused(action: list[int]) -> None:
    camera = KnowingCamera(1)
    env = env_of(camera)
    if action[0] == 5:
        take(env, 5, 1, 1)
    with pytest.raises(InputError, match="expected actions"):
        take(env, *action)


# -- what the truth suggests -------------------------------------------------------------------


def simulated(cells: int, **changes: Any) -> LiquidLensCamera:
    """Cards of the test split, each cell before one of its own."""
    config = replace(LiquidLensCameraConfig(size_px=96, noise=False, changes=False), **changes)
    return LiquidLensCamera(config, scene_pool("test", cells), cells)


def test_the_expert_says_the_nearest_action_to_the_best_setting() -> None:
    camera = KnowingCamera(2)
    for config, columns in ((PLAIN, [0, 1, 2]), (EXPOSE, 0), (FOCUS, [1, 2])):
        env = env_of(camera, config)
        expert = env.current()[1]["expert"]
        assert env.action_space.contains(expert.astype(env.action_space.dtype))
        # Of exposure it is the best for the picture as it is, blurred or not.
        whole = np.array([[np.abs(np.log(env.task.exposures_us / 2e4)).argmin(), 13, 25]] * 2)
        np.testing.assert_array_equal(expert, whole[:, columns])


@pytest.mark.parametrize(("best", "coarse", "fine"), [(24.0, 0, 0), (70.0, 46, 0), (36.996, 13, 0)])
def test_the_experts_hundredths_carry_over(best: float, coarse: int, fine: int) -> None:
    camera = KnowingCamera(1)
    camera.best_lens = lambda: np.array([best])
    assert env_of(camera, FOCUS).current()[1]["expert"].tolist() == [[coarse, fine]]


@pytest.mark.parametrize(("best", "reached"), [(30.2, 30.5), (33.333, 33.33), (37.25, 36.2)])
def test_the_expert_keeps_to_the_lens_range(best: float, reached: float) -> None:
    camera = KnowingCamera(1)
    camera.best_lens = lambda: np.array([best])
    env = env_of(camera, replace(FOCUS, lens_range=(30.5, 36.2)))
    expert = env.current()[1]["expert"]
    assert env.action_space.contains(expert)
    assert env.task.decode(expert).target[0, 1] == pytest.approx(reached)


def test_the_experts_lens_is_in_focus_from_everywhere_and_at_every_distance() -> None:
    camera = simulated(12, changes=True, start_well_exposed=True)
    env = VisuomotorEnv(camera, CameraControlTask(FOCUS))
    for seed in range(3):
        _, info = env.reset(seed=seed)
        before = np.abs(camera.defocus_px())
        *_, info = env.step(info["expert"])
        assert (before > 1.5).mean() > 0.8
        assert (np.abs(camera.defocus_px()) < 0.15).all(), "half a hundredth"
        np.testing.assert_allclose(info["position"], info["best_lens"], atol=0.005 + 1e-9)
        np.testing.assert_array_equal(info["success"], info["detected"])
        assert info["detected"].mean() > 0.6, "cards are small here"


def test_the_expert_of_both_needs_two_steps() -> None:
    camera = simulated(8)
    env = VisuomotorEnv(camera, CameraControlTask(PLAIN))
    _, info = env.reset(seed=0, options={"start": camera.best_lens() + 0.05})
    *_, info = env.step(info["expert"])
    handed = info["focusing"].copy()
    *_, info = env.step(info["expert"])
    assert handed.sum() >= 6
    assert info["detected"][handed].sum() >= 5
    np.testing.assert_array_equal(info["success"], handed & info["detected"])
    assert (np.abs(camera.defocus_px()[handed]) < 0.15).all()
    assert (np.abs(camera.defocus_px()[~handed]) > 0.9).all(), "the lens still waits"


def test_the_experts_exposure_is_good_wherever_the_lens_stands() -> None:
    camera = simulated(40, changes=True, start_exposure_us=None)
    env = VisuomotorEnv(camera, CameraControlTask(EXPOSE))
    _, info = env.reset(seed=0)
    *_, info = env.step(info["expert"])
    assert info["success"].mean() >= 0.99


def test_a_best_exposure_is_a_good_one() -> None:
    """In focus, where it is defined: the fullest level can be brought into its band."""
    camera = simulated(40)
    level = camera.fullest_level(camera.best_exposure_us())
    assert ((level >= 50) & (level <= 150)).mean() >= 0.99


# -- going on, and refusing --------------------------------------------------------------------


def test_it_goes_on_exactly_from_its_state(tmp_path: Path) -> None:
    """Through a file, with noise, and in the midst of episodes that begin again by themselves."""
    config = replace(PLAIN, observation=("features", *VECTORS, "focusing"), max_steps=4)

    def fresh(seed: int) -> VisuomotorEnv:
        camera = LiquidLensCameraConfig(size_px=48, start_exposure_us=None)
        scenes = scene_pool("train", 3)
        return VisuomotorEnv(LiquidLensCamera(camera, scenes, 4, seed), CameraControlTask(config))

    def go(env: VisuomotorEnv, draws: np.random.Generator) -> tuple[Any, ...]:
        env.reset(options={"reset_mask": env.task.done()})
        action = np.where(draws.random((4, 1)) < 0.5, env.task.info()["expert"], 3)
        return env.step(action)

    one, other = fresh(0), fresh(7)
    one.reset(seed=1)
    draws = np.random.default_rng(2)
    for _ in range(3):
        go(one, draws)
    save_state(tmp_path / "state", one.state_dict())
    other.reset(seed=5)
    other.load_state_dict(load_state(tmp_path / "state"))
    same(one.current(), other.current())
    draws, again = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(6):
        same(go(one, draws), go(other, again))


def same(one: Any, other: Any, name: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key], f"{name}/{key}")
    elif isinstance(one, tuple):
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            same(mine, theirs, f"{name}/{number}")
    else:
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert np.asarray(one).dtype == np.asarray(other).dtype, name


def test_a_saved_state_is_not_changed_by_going_on() -> None:
    env = env_of(simulated(2), replace(PLAIN, max_steps=3))
    kept = env.task.state_dict()
    level = kept["cells"]["level"].copy()
    take(env, 100, 3, 3)
    np.testing.assert_array_equal(kept["cells"]["level"], level)


def test_an_instrument_that_cannot_go_on_is_refused_by_name() -> None:
    env = env_of(KnowingCamera())
    with pytest.raises(InputError, match="KnowingCamera cannot save its state"):
        env.task.state_dict()
    with pytest.raises(InputError, match="KnowingCamera cannot take up a saved state"):
        env.task.load_state_dict({})


@pytest.mark.parametrize("config", [PLAIN, EXPOSE, FOCUS])
def test_an_instrument_without_an_exposure_axis_is_refused_by_name(
    config: CameraControlConfig,
) -> None:
    rig = blur_stack().instrument()
    with pytest.raises(InputError, match=f"an exposure axis and a lens, got {type(rig).__name__}"):
        CameraControlTask(config).bind(rig)
    with pytest.raises(InputError, match=r"camera_control needs an instrument .* got NoneType"):
        CameraControlTask(config).bind(None)


def test_true_quality_is_refused_where_nobody_knows_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quality: expected 'brisque' .* got 'truth' on ShownCam"):
        CameraControlTask(FOCUS).bind(ShownCamera())
    model = toy_brisque(tmp_path)
    measured = replace(FOCUS, quality="brisque", brisque_model=model)
    info = env_of(ShownCamera(), measured).current()[1]
    assert not info.keys() & {"expert", "best_lens", "best_exposure_us", "distance_cm"}


def test_for_a_person_the_truth_is_neither_needed_nor_told() -> None:
    task = CameraControlTask(PLAIN, for_a_person=True)
    camera = KnowingCamera(2, marker=True)
    camera.marker[1] = False
    camera.blur[:] = 7.7
    env = VisuomotorEnv(camera, task)
    _, info = env.reset(seed=0)
    assert not info.keys() & {"expert", "best_lens", "best_exposure_us", "illuminance_lx"}
    assert info["blur_px"][0] < 7
    assert info["blur_px"][1] == np.inf, "of nothing"
    CameraControlTask(PLAIN, for_a_person=True).bind(ShownCamera())


def test_for_a_person_the_measured_blur_tells_sharp_from_blurred() -> None:
    """On 20 unseen cards, with noise: what is in focus counts as sharp, what is not does not."""
    config = LiquidLensCameraConfig(changes=False)
    camera = LiquidLensCamera(config, scene_pool("test", 20), 20)
    camera.exposure.move_to(camera.best_exposure_us(), np.arange(20))
    env = VisuomotorEnv(camera, CameraControlTask(FOCUS, for_a_person=True))
    sharp_px = FOCUS.sharp_px
    assert sharp_px is not None
    for volts, low, high in ((0.0, 0.9, 1.0), (0.02, 0.9, 1.0), (0.2, 0.0, 0.0), (0.3, 0.0, 0.0)):
        _, info = env.reset(seed=0, options={"start": camera.best_lens() + volts})
        seen = info["detected"]
        assert seen.mean() > 0.9
        assert low <= (info["blur_px"][seen] <= sharp_px).mean() <= high
        true = np.abs(camera.defocus_px()[0])
        assert abs(np.median(info["blur_px"][seen]) - true) <= 0.2 * true + 0.8


def test_for_a_person_brisque_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewards are for learning; who has a policy need not have the model."""

    def missing(path: object = None) -> Brisque:
        raise InputError("BRISQUE: found none")

    monkeypatch.setattr("visuomotor.tasks.camera_reader.Brisque.load", missing)
    config = replace(PRESETS["paper focus"], observation=("levels",), detector="aruco")
    task = CameraControlTask(config)  # policies for it load without
    with pytest.raises(InputError, match="BRISQUE"):
        VisuomotorEnv(ShownCamera(), task)
    VisuomotorEnv(ShownCamera(), CameraControlTask(config, for_a_person=True)).reset(seed=0)


def test_a_look_beside_the_episode_counts_as_an_exposure_and_no_step() -> None:
    camera = KnowingCamera(2, level=40)
    env = env_of(camera)
    camera.level[1] = 77
    env.task.visit(exposure_us=2e6, cell=1)
    info = env.task.info()
    assert camera.exposure.at.tolist() == [10_000.0, 2e6]
    assert info["exposures"].tolist() == [1, 2]
    assert info["steps"].tolist() == [0, 0]
    assert info["level"].tolist() == [40, 77]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"observation": ("levels", "colours")}, "observation: got 'colours'; known: features"),
        ({"exposures": 1}, "exposures: expected 2 to 10000, got 1"),
        ({"history": 0}, "history: expected 1 to 100, got 0"),
        ({"max_steps": 0}, "max_steps: expected 1 to"),
        ({"sharp_px": 0.0}, "sharp_px: expected"),
        ({"lens_range": (70.0, 24.0)}, "lens_range: expected 0 < low < high, got 70, 24"),
        ({"exposure_range_us": (0.0, 1.0)}, "exposure_range_us: expected 0 < low < high"),
        ({"lens_range": (24.0, float("nan"))}, "lens_range: expected 0 < low < high"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], answer: str) -> None:
    with pytest.raises(InputError, match=answer):
        replace(PLAIN, **changes)


def test_unknown_encoders_and_detectors_are_refused() -> None:
    with pytest.raises(InputError, match="encoder: 'smal' is not known; did you mean 'small'"):
        CameraControlTask(replace(FOCUS, observation=("features",), encoder="smal"))
    with pytest.raises(InputError, match="detector: 'arucoo' is not known; did you mean 'aruco'"):
        CameraControlTask(replace(FOCUS, detector="arucoo"))
