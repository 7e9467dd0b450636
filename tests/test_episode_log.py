"""The log: whatever is cut off its end, everything before it is still there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visuomotor import InputError
from visuomotor.episode_log import EpisodeLog
from visuomotor.replay import ROW


def rows(count: int, cells: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        row = np.zeros(cells, ROW)
        row["frame"], row["reward"] = random.integers(0, 99, cells), random.normal(size=cells)
        made.append(row)
    return made


def write(path, written) -> None:
    log = EpisodeLog(path, ROW, 3)
    for row in written:
        log.append_frames(np.full((2, 4, 4), len(written), np.uint8))
        log.append(row)
    log.sync()
    log.close()


@given(cut=st.integers(0, 200), garbage=st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_cut_end_costs_only_the_torn_record(tmp_path_factory, cut: int, garbage: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "episodes.log"
    written = rows(6)
    write(path, written)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut] + garbage)
    log = EpisodeLog(path, ROW, 3)
    kept = list(log.read_rows())
    assert len(kept) == log.rows <= 6
    for row, original in zip(kept, written, strict=False):
        np.testing.assert_array_equal(row, original)
    log.append(written[0])
    log.close()
    again = EpisodeLog(path, ROW, 3)
    assert again.rows == len(kept) + 1
    np.testing.assert_array_equal(list(again.read_rows())[-1], written[0])
    again.close()


def test_pictures_come_back_in_order(tmp_path) -> None:
    path = tmp_path / "episodes.log"
    write(path, rows(3))
    log = EpisodeLog(path, ROW, 3)
    assert log.frames == 6
    assert [block.shape for block in log.read_frames()] == [(2, 4, 4)] * 3
    log.close()


def test_pictures_that_no_row_followed_are_cut_off(tmp_path) -> None:
    path = tmp_path / "episodes.log"
    write(path, rows(2))
    log = EpisodeLog(path, ROW, 3)
    log.append_frames(np.zeros((5, 4, 4), np.uint8))
    log.close()
    log = EpisodeLog(path, ROW, 3)
    assert (log.rows, log.frames) == (2, 4)
    assert len(list(log.read_frames())) == 2
    log.close()


def test_damage_before_the_end_and_missing_rows_are_refused_and_left_as_they_are(tmp_path) -> None:
    path = tmp_path / "episodes.log"
    write(path, rows(6))
    whole = path.read_bytes()
    with pytest.raises(InputError, match="at least the 7 rows"):
        EpisodeLog(path, ROW, 3, at_least=7)
    path.write_bytes(whole[: len(whole) // 2] + b"?" + whole[len(whole) // 2 + 1 :])
    damaged = path.read_bytes()
    with pytest.raises(InputError, match="damaged at byte"):
        EpisodeLog(path, ROW, 3)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("length", [0, 3, 8, 20])
def test_killed_while_it_was_begun_it_begins_again(tmp_path, length: int) -> None:
    path = tmp_path / "episodes.log"
    write(path, [])
    path.write_bytes(path.read_bytes()[:length])
    write(path, rows(2))
    log = EpisodeLog(path, ROW, 3)
    assert log.rows == 2
    log.close()


def test_another_log_or_file_is_refused(tmp_path) -> None:
    path = tmp_path / "episodes.log"
    write(path, rows(1))
    with pytest.raises(InputError, match="expected a log of 5 cells"):
        EpisodeLog(path, ROW, 5)
    path.write_bytes(b"something else entirely")
    with pytest.raises(InputError, match="expected an episode log"):
        EpisodeLog(path, ROW, 3)
