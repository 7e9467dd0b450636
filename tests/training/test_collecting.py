"""Collecting with and without known pictures: the same states come out, also after a kill."""

from __future__ import annotations

import numpy as np
import pytest
from toys import blur_stack

from visuomotor.env import VisuomotorEnv
from visuomotor.episode_log import EpisodeLog
from visuomotor.frames import FrameRing
from visuomotor.replay import ROW, Replay
from visuomotor.rollout import Rollout
from visuomotor.tasks.autofocus import AutofocusConfig, AutofocusTask
from visuomotor.training.collecting import Collector
from visuomotor.types import Act

CELLS, HISTORY = 3, 3


class Wanderer:
    """Acts at random, and says so."""

    def __init__(self) -> None:
        self.spec = AutofocusTask(AutofocusConfig(frame_size_px=16)).spec

    def begin(self, state, fresh):
        return None

    def act(self, observation, state, generator) -> Act:
        action = generator.choice([0, 1, 1, 2, 3, 3, 4], len(observation["frames"]))
        return Act(action, None, {"random": np.zeros(len(action), bool)})


def collector(path, continuous: bool, saved: dict | None = None) -> Collector:
    rig = blur_stack().instrument(cells=CELLS, continuous=continuous, fine_step=1.0)
    task = AutofocusTask(AutofocusConfig(frame_size_px=16))
    env = VisuomotorEnv(rig, task)
    rollout = Rollout(Wanderer(), env, np.random.default_rng(0), keep_going=True)
    if saved is None:
        rollout.reset(seed=1)
    else:
        rollout.load_state_dict(saved)
    frames = task.frames if task.frames is not None else FrameRing(2000, (16, 16))
    replay = Replay(frames, 1000, CELLS, HISTORY)
    log = EpisodeLog(path, ROW, CELLS)
    return Collector(rollout, replay, log, frames)


def states(made: Collector) -> np.ndarray:
    batch = made.replay.sample(np.random.default_rng(5), 200, 1, 0.9)
    return np.concatenate([batch.frames[batch.states], batch.frames[batch.next_states]], 1)


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("behind_the_checkpoint", [0, 7])
def test_a_reopened_log_gives_back_every_state(
    tmp_path, continuous: bool, behind_the_checkpoint: int
) -> None:
    path = tmp_path / "episodes.log"
    first = collector(path, continuous)
    first.refill(0)
    for _ in range(20):
        first.step()
    saved = first.rollout.state_dict()
    for _ in range(behind_the_checkpoint):
        first.step()
    first._log.append_frames(np.zeros((2, 16, 16), np.uint8))  # killed before the row they were for
    first._log.close()

    second = collector(path, continuous, saved)
    second.refill(20)
    size = path.stat().st_size
    for _ in range(behind_the_checkpoint):
        second.step()
    assert path.stat().st_size == size, "rows that are in the log are not written again"
    np.testing.assert_array_equal(states(first), states(second))
    second.step()
    first = None
    assert path.stat().st_size > size
    second._log.close()


def test_known_and_unknown_pictures_give_the_same_states(tmp_path) -> None:
    made = []
    for continuous in (False, True):
        one = collector(tmp_path / f"{continuous}.log", continuous)
        # The same starts: on the stack's own positions, where both cameras see the same.
        one.rollout.reset(start=np.array([3.0, 15.0, 29.0]))
        one.rollout._keep_going = False
        one.refill(0)
        while not one.rollout.finished:
            one.step()
        made.append(states(one))
        one._log.close()
    np.testing.assert_array_equal(*made)
