"""The one environment: Gymnasium's promises, and ours on top of them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from toys import blur_stack

import visuomotor as vm
from visuomotor.env import SingleEnv, VisuomotorEnv, make_autofocus
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask

COARSE_UP, FINE_UP, STOP, FINE_DOWN, COARSE_DOWN = range(5)
EVERYTHING = ("frames", "past_actions", "sharpness", "position", "limits", "fine_step")


def batched(cells: int, config: AutofocusConfig | None = None, **options: object) -> VisuomotorEnv:
    stack = blur_stack()
    rig = stack.instrument(cells=cells, continuous=False, fine_step=1.0, **options)
    return VisuomotorEnv(rig, AutofocusTask(config or AutofocusConfig(observation=EVERYTHING)))


@pytest.mark.parametrize("continuous", [False, True])
def test_batched_equals_single_environments(continuous: bool) -> None:
    stack, cells = blur_stack(), 6
    starts = np.array([0.0, 3.0, 11.0, 12.0, 20.0, 30.0])
    config = AutofocusConfig(observation=EVERYTHING, max_steps=7)

    def rig(count: int):
        return stack.instrument(cells=count, continuous=continuous, fine_step=1.0)

    together = VisuomotorEnv(rig(cells), AutofocusTask(config))
    alone = [SingleEnv(rig(1), AutofocusTask(config)) for _ in range(cells)]
    observation, info = together.reset(seed=1, options={"start": starts})
    singles = [
        env.reset(seed=1, options={"start": s}) for env, s in zip(alone, starts, strict=True)
    ]
    random = np.random.default_rng(0)
    over = np.zeros(cells, bool)
    for _ in range(12):
        for cell, (one, one_info) in enumerate(singles):
            for key in observation:
                np.testing.assert_array_equal(observation[key][cell], one[key], err_msg=key)
            for key in ("truth", "expert", "optimal_steps", "exposures", "success"):
                np.testing.assert_array_equal(info[key][cell], one_info[key], err_msg=key)
        action = random.choice([0, 1, 1, 2, 3, 3, 4], cells)
        observation, reward, terminated, truncated, info = together.step(action)
        stepped = [env.step(a) for env, a in zip(alone, action, strict=True)]
        for cell, (_, r, t, u, _) in enumerate(stepped):
            assert (reward[cell], terminated[cell], truncated[cell]) == (r, t, u)
        singles = [(s[0], s[4]) for s in stepped]
        over |= terminated
    assert over.any(), "the test must meet the end of an episode"


def test_done_cells_are_frozen_until_reset_by_mask() -> None:
    env = batched(3)
    env.reset(seed=0, options={"start": np.array([12.0, 5.0, 20.0])})
    env.step(np.array([STOP, FINE_UP, FINE_DOWN]))
    _, before = env.current()
    for _ in range(3):
        _, reward, terminated, _, info = env.step(np.array([FINE_UP, FINE_UP, FINE_UP]))
    assert terminated.tolist() == [True, False, False]
    assert reward[0] == 0.0
    assert reward[1] < 0.0
    for key in ("position", "exposures", "steps", "travel"):
        assert info[key][0] == before[key][0], key
        assert info[key][1] != before[key][1], key
    _, info = env.reset(options={"reset_mask": np.array([True, False, False]), "start": 3.0})
    assert info["position"].tolist()[0] == 3.0
    assert info["position"][1] == 9.0, "cells outside the mask go on"
    assert info["steps"].tolist()[:2] == [0, 4]


def test_reward_and_ends_are_those_of_the_paper() -> None:
    env = batched(4, AutofocusConfig(max_steps=20))
    _, info = env.reset(seed=0, options={"start": np.array([12.0, 5.0, 28.0, 11.0])})
    maximum = info["maximum"][0]
    _, reward, terminated, truncated, info = env.step(np.array([STOP, STOP, COARSE_UP, FINE_UP]))
    relative = info["sharpness"] / maximum
    np.testing.assert_allclose(
        reward,
        10 * (relative - 1) + np.array([100, -100, -100, 0]),
    )
    assert terminated.tolist() == [True, True, True, False]
    assert not truncated.any(), "the paper's limits belong to the task: they terminate"
    assert info["success"].tolist() == [True, False, False, False]
    assert info["position"][2] == 30.0, "leaving the range is clipped, and the executed motion kept"
    assert info["executed"][2, 0] == 2.0


def test_the_twentieth_step_fails_unless_it_is_a_good_stop() -> None:
    env = batched(2)
    env.reset(seed=0, options={"start": np.array([12.0, 12.0])})
    for step in range(19):
        action = FINE_UP if step % 2 == 0 else FINE_DOWN
        _, _, terminated, _, _ = env.step(np.array([action, action]))
        assert not terminated.any()
    env.step(np.array([STOP, FINE_UP]))
    _, info = env.current()
    # After an odd number of moves both stand one above focus, which is still sharp enough or not;
    # what counts: one stopped, one ran out of steps.
    assert info["out_of_steps"].tolist() == [False, True]
    assert info["stopped"].tolist() == [True, False]


def test_history_repeats_the_first_picture_then_shifts() -> None:
    env = batched(1)
    first, _ = env.reset(seed=0, options={"start": 5.0})
    assert (first["frames"][0] == first["frames"][0, :1]).all()
    assert first["past_actions"].tolist() == [[0, 0, 0]]
    second, *_ = env.step(np.array([COARSE_UP]))
    third, *_ = env.step(np.array([FINE_DOWN]))
    assert third["past_actions"].tolist() == [[FINE_DOWN + 1, COARSE_UP + 1, 0]]
    np.testing.assert_array_equal(third["frames"][0, 1], second["frames"][0, 0])
    np.testing.assert_array_equal(third["frames"][0, 2], first["frames"][0, 0])


def test_the_expert_is_as_good_as_breadth_first_search() -> None:
    env = batched(31)
    _, info = env.reset(seed=0, options={"start": np.arange(31.0)})
    promised = info["optimal_steps"]
    while not env.task.done().all():
        *_, info = env.step(info["expert"])
    assert info["success"].all()
    np.testing.assert_array_equal(info["steps"], promised)


@pytest.mark.parametrize("split_bytes", [0, 2**40])
def test_what_was_handed_out_is_never_changed(split_bytes: int, monkeypatch) -> None:
    monkeypatch.setattr("visuomotor.frames.SPLIT_BYTES", split_bytes)
    env, random = batched(8), np.random.default_rng(0)
    kept, copies = [], []

    def keep(*parts: dict[str, np.ndarray]) -> None:
        kept.extend(parts)
        copies.extend({key: value.copy() for key, value in part.items()} for part in parts)

    keep(*env.reset(seed=0))
    for _ in range(30):
        observation, reward, over, _, info = env.step(random.integers(0, 5, 8))
        keep(observation, info, {"reward": reward, "over": over})
        if over.any():
            keep(*env.reset(options={"reset_mask": over}))
    for part, copy in zip(kept, copies, strict=True):
        for key, value in part.items():
            np.testing.assert_array_equal(value, copy[key], err_msg=key)
    frames = [part["frames"] for part in kept if "frames" in part]
    assert not any(np.shares_memory(frames[0], other) for other in frames[1:])


def test_same_seed_same_starts_other_seed_others() -> None:
    env = batched(64)
    first = env.reset(seed=3)[1]["position"]
    again = env.reset(seed=3)[1]["position"]
    other = env.reset(seed=4)[1]["position"]
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_state_round_trip_goes_on_exactly() -> None:
    env, twin = batched(5), batched(5)
    env.reset(seed=0)
    env.step(np.full(5, FINE_UP))
    twin.reset(seed=9)
    twin.load_state_dict(env.state_dict())
    for _ in range(4):
        a, b = env.step(np.full(5, FINE_DOWN)), twin.step(np.full(5, FINE_DOWN))
        for key in a[0]:
            np.testing.assert_array_equal(a[0][key], b[0][key])
    mask = np.ones(5, bool)
    a, b = (e.reset(options={"reset_mask": mask})[1] for e in (env, twin))
    np.testing.assert_array_equal(a["position"], b["position"])


@pytest.mark.parametrize(
    ("mask", "words"),
    [(np.ones(2, bool), r"bool of shape \(3,\)"), (np.ones(3), "float64")],
)
def test_a_bad_mask_is_refused(mask: np.ndarray, words: str) -> None:
    env = batched(3)
    with pytest.raises(vm.InputError, match=words):
        env.reset(options={"reset_mask": mask})


@pytest.mark.parametrize("name", ["visuomotor/Autofocus-v0", "visuomotor/AutofocusFlat-v0"])
def test_gymnasium_checker_passes(name: str) -> None:
    env = gym.make(name, stack=blur_stack())
    check_env(env.unwrapped, skip_render_check=True)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert isinstance(env.observation_space, gym.spaces.Box) == ("Flat" in name)


def test_without_a_stack_it_is_the_demo() -> None:
    env = make_autofocus()
    _, info = env.reset(seed=0, options={"start": 48.6})
    assert info["position"] == pytest.approx(48.6)
    env.close()


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(vm.InputError, match="did you mean 'max_steps'"):
        make_autofocus(blur_stack(), max_step=3)
