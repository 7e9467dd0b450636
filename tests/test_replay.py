"""Replay: states are gathered, n-step sums stop where they must, no picture is stored twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor.frames import FrameBank, FrameRing, unique_frames
from visuomotor.replay import ROW, Replay
from visuomotor.vision.transforms import augment

BANK = FrameBank(np.arange(50, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8))


def fill(replay: Replay, episodes: list[int], random: frozenset[int] = frozenset()) -> None:
    """One cell; episodes of the given lengths, picture t at time t, reward 10^t, action t % 5."""
    time = 0
    for length in episodes:
        for age in range(length):
            row = np.zeros(1, ROW)
            row["frame"], row["next_frame"] = time, time + 1
            row["came_by"] = (time - 1) % 5 + 1 if age else 0
            row["action"], row["reward"] = time % 5, float(time)
            row["terminated"], row["age"] = age == length - 1, age
            row["random"] = time in random
            replay.add(row)
            time += 1


def sample_all(replay: Replay, n_step: int, gamma: float = 0.5):
    batch = replay.sample(np.random.default_rng(0), 400, n_step, gamma)
    newest = batch.frames[batch.states[:, 0], 0, 0].astype(int)
    return batch, newest


def test_states_repeat_the_first_picture_and_do_not_cross_episodes() -> None:
    replay = Replay(BANK, 40, 1, history=3)
    fill(replay, [4, 5])
    batch, newest = sample_all(replay, n_step=1)
    assert set(newest) == set(range(9))
    for row, time in enumerate(newest):
        begin = 0 if time < 4 else 4
        pictures = batch.frames[batch.states[row], 0, 0]
        np.testing.assert_array_equal(pictures, np.maximum([time, time - 1, time - 2], begin))
        by = [(t - 1) % 5 + 1 if t > begin else 0 for t in (time, time - 1, time - 2)]
        np.testing.assert_array_equal(batch.past_actions[row], by)
        after = batch.frames[batch.next_states[row], 0, 0]
        expected = np.maximum([time + 1, time, time - 1], begin)
        np.testing.assert_array_equal(after, expected)
        assert batch.next_past_actions[row, 0] == time % 5 + 1


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    n_step=st.integers(1, 5),
    random=st.sets(st.integers(0, 20)),
)
@settings(max_examples=60, deadline=None)
def test_n_step_sums_are_those_of_a_plain_loop(lengths, n_step, random) -> None:
    replay = Replay(BANK, 60, 1, history=2)
    fill(replay, lengths, frozenset(random))
    ends = set(np.cumsum(lengths) - 1)
    total_rows = sum(lengths)
    batch, newest = sample_all(replay, n_step)
    for row, time in enumerate(newest):
        total, discount, t = 0.0, 1.0, time
        for step in range(n_step):
            if step and (t in ends or t + 1 >= total_rows or t + 1 in random):
                break
            t = time + step
            total += discount * t
            discount *= 0.5
        assert batch.reward[row] == pytest.approx(total)
        assert batch.discount[row] == (0.0 if t in ends else pytest.approx(discount))
        assert batch.frames[batch.next_states[row, 0], 0, 0] == t + 1


def test_overwritten_rows_are_never_sampled() -> None:
    replay = Replay(BANK, 10, 1, history=3)
    fill(replay, [6, 6, 6, 6])
    _, newest = sample_all(replay, n_step=2)
    assert newest.min() >= 24 - 10 + 2, "the history of the oldest rows is gone"


def test_batches_hold_each_picture_once() -> None:
    replay = Replay(BANK, 40, 1, history=3)
    fill(replay, [9])
    batch, _ = sample_all(replay, n_step=1)
    assert len(np.unique(batch.frames[:, 0, 0])) == len(batch.frames) <= 10


def test_truncation_keeps_the_bootstrap() -> None:
    replay = Replay(BANK, 40, 1, history=1)
    row = np.zeros(1, ROW)
    row["next_frame"], row["truncated"] = 1, True
    replay.add(row)
    fill(replay, [3])
    batch = replay.sample(np.random.default_rng(0), 200, 3, 0.5)
    cut = (batch.frames[batch.states[:, 0], 0, 0] == 0) & (batch.reward == 0.0)
    assert (batch.discount[cut] == 0.5).all(), "one step, then the value of what came after"


@pytest.mark.parametrize("source", ["bank", "ring"])
def test_a_gather_by_two_threads_is_the_same(source: str, monkeypatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (20, 6, 5), dtype=np.uint8)
    ring = FrameRing(20, (6, 5))
    ring.put(pictures)
    frames = FrameBank(pictures) if source == "bank" else ring
    ids = np.random.default_rng(1).integers(0, 20, (7, 3))
    monkeypatch.setattr("visuomotor.frames.SPLIT_BYTES", 0)
    np.testing.assert_array_equal(frames.get(ids), pictures[ids])
    assert frames.get(ids[:0]).shape == (0, 3, 6, 5)
    for bad in (-1, 20):
        with pytest.raises((IndexError, KeyError)):
            frames.get(np.array([0, bad]))


def test_ring_refuses_what_it_has_forgotten() -> None:
    ring = FrameRing(4, (2, 2))
    ids = ring.put(np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8))
    np.testing.assert_array_equal(ring.get(ids)[:, 0, 0], [0, 1, 2])
    ring.put(np.full((3, 2, 2), 9, np.uint8))
    with pytest.raises(KeyError, match="no longer stored"):
        ring.get(ids[:1])


@given(
    pictures=st.lists(st.integers(0, 3), min_size=1, max_size=12), side=st.sampled_from([1, 3, 8])
)
def test_unique_frames_gives_back_every_picture(pictures: list[int], side: int) -> None:
    frames = np.array(pictures, np.uint8)[:, None, None] * np.ones((1, side, side), np.uint8)
    unique, index = unique_frames(frames)
    assert len(unique) == len(set(pictures))
    np.testing.assert_array_equal(unique[index], frames)


def shifts(frame, moved, reach: int) -> list[tuple[int, int]]:
    """Those by which a picture (h, w) may have been moved."""
    inner = moved[reach:-reach, reach:-reach]
    height, width = inner.shape
    return [
        (dy, dx)
        for dy in range(2 * reach + 1)
        for dx in range(2 * reach + 1)
        if (frame[dy : dy + height, dx : dx + width] == inner).all()
    ]


def test_augmentation_jitters_each_for_itself() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (30, 9, 9), dtype=np.uint8)
    moved = augment(frames, np.random.default_rng(1), 0, 0.0, 2)
    found = [shifts(*pair, 2) for pair in zip(frames, moved, strict=True)]
    assert all(len(one) == 1 for one in found)
    assert len({one[0] for one in found}) > 10
    assert moved.dtype == np.uint8


def test_augmentation_shifts_all_alike_and_stays_small() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 9, 9), dtype=np.uint8)
    same = augment(frames, np.random.default_rng(0), 0, 0.0)
    np.testing.assert_array_equal(same, frames)
    shifted = augment(frames, np.random.default_rng(1), 2, 0.0)
    found = [shifts(*pair, 2) for pair in zip(frames, shifted, strict=True)]
    assert all(one == found[0] and len(one) == 1 for one in found), "one for the whole batch"
    brighter = augment(frames, np.random.default_rng(0), 0, 0.1)
    gain = brighter.reshape(5, -1).sum(1) / frames.reshape(5, -1).sum(1)
    assert (np.abs(gain - 1) <= 0.1).all()
    assert len(np.unique(gain.round(6))) == 5
