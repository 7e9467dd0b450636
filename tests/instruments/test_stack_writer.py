"""A stack that is written page by page: whole files whatever happens in between."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from visuomotor.errors import InputError
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.instruments.recorded.stack_writer import StackWriter, noted
from visuomotor.types import Frames


def pictures(count: int = 5, colour: bool = False) -> Frames:
    shape = (count, 20, 24, 3) if colour else (count, 20, 24)
    return np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)


def write(path: Path, frames: Frames, at: list[float]) -> None:
    with StackWriter(path, "um", {"rig": {"name": "toy"}}) as writer:
        for frame, position in zip(frames, at, strict=True):
            writer.add(frame, position)


@pytest.mark.parametrize("colour", [False, True])
def test_what_is_written_is_read_back_in_order(tmp_path: Path, colour: bool) -> None:
    frames, at = pictures(5, colour), [3.5, -1.0, 0.25, 7.0, 2.0]
    write(tmp_path / "a.ome.tif", frames, at)
    stack = FocalStack.load(tmp_path / "a.ome.tif")
    assert stack.positions.tolist() == sorted(at)
    np.testing.assert_array_equal(stack.frames, frames[np.argsort(at)])
    assert stack.unit == "um"
    assert noted(tmp_path / "a.ome.tif") == (5, {"rig": {"name": "toy"}})


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        ("a.ome.tif", "a.partial.tif"),
        ("a.tif", "a.partial.tif"),
        ("a.ome.tiff", "a.partial.tif"),
        ("my.partial.data.tif", "my.partial.data.partial.tif"),
        ("a.partial.tif", "a.partial.partial.tif"),
    ],
)
def test_names(tmp_path: Path, name: str, partial: str) -> None:
    with StackWriter(tmp_path / name, "um") as writer:
        for number, frame in enumerate(pictures()):
            writer.add(frame, float(number))
        assert [p.name for p in tmp_path.iterdir()] == [partial]
        assert FocalStack.load(tmp_path / partial).num_positions == 5
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with tifffile.TiffFile(tmp_path / name) as tif:
        assert tif.is_ome
    assert FocalStack.load(tmp_path / name).num_positions == 5


def test_one_plane_is_a_file_but_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "one.ome.tif"
    write(path, pictures(1), [2.5])
    np.testing.assert_array_equal(tifffile.imread(path).squeeze(), pictures(1)[0])
    assert noted(path)[0] == 1
    with pytest.raises(InputError, match="expected at least 3 planes, got 1"):
        FocalStack.load(path)


def test_no_plane_is_no_file(tmp_path: Path) -> None:
    write(tmp_path / "none.ome.tif", pictures(0), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", "ends in .ome.tif"),
        ("nowhere/a.ome.tif", "expected a folder"),
        ("there.ome.tif", "expected a new file"),
        ("killed.ome.tif", "an earlier recording"),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "there.ome.tif").write_bytes(b"whole")
    (tmp_path / "killed.partial.tif").write_bytes(b"partial")
    with pytest.raises(InputError, match=message):
        StackWriter(tmp_path / name, "um")
    content = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert content == {"there.ome.tif": b"whole", "killed.partial.tif": b"partial"}


def test_an_exception_leaves_the_planes_so_far(tmp_path: Path) -> None:
    path, frames = tmp_path / "cut.ome.tif", pictures()

    def sweep() -> None:
        with StackWriter(path, "um") as writer:
            for number in (4, 3, 2):
                writer.add(frames[number], number / 2)
            raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        sweep()
    stack = FocalStack.load(path)
    assert stack.positions.tolist() == [1.0, 1.5, 2.0]
    np.testing.assert_array_equal(stack.frames, frames[[2, 3, 4]])
    assert [p.name for p in tmp_path.iterdir()] == ["cut.ome.tif"]
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome


def test_a_page_that_is_cut_off_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a page leaves those before it."""
    path, frames = tmp_path / "cut.ome.tif", pictures()
    array = tifffile.FileHandle.write_array

    def sweep() -> None:
        with StackWriter(path, "um") as writer:
            for number in range(4):
                if number == 3:
                    monkeypatch.setattr(tifffile.FileHandle, "write_array", half)
                writer.add(frames[number], float(number))

    def half(handle: tifffile.FileHandle, data: Frames, *_: object) -> int:
        array(handle, data[: len(data) // 2])
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep()
    np.testing.assert_array_equal(FocalStack.load(path).frames, frames[:3])


KILLED = """
import itertools
import numpy as np
from visuomotor.instruments.recorded.stack_writer import StackWriter, noted

picture = np.arange(2**19, dtype=np.uint16).reshape(512, 1024)
with StackWriter("killed.ome.tif", "um", {"planned": 1000}) as writer:
    for number in itertools.count():
        writer.add(picture + np.uint16(number), number / 4)
        if number == 4:
            print("five", flush=True)
"""


def test_a_kill_leaves_a_partial_file_that_can_be_read(tmp_path: Path) -> None:
    """The writer does nothing but write, so that most kills fall into the middle of a page."""
    wait = random.Random(0)
    partial = tmp_path / "killed.partial.tif"
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED], cwd=tmp_path, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait.uniform(0, 0.05))
            process.kill()
        stack = FocalStack.load(partial)
        count = stack.num_positions
        assert count >= 5
        assert stack.positions.tolist() == [number / 4 for number in range(count)]
        assert stack.unit == "um"
        assert stack.frames[:, 0, 0].tolist() == list(range(count))
        assert noted(partial) == (count, {"planned": 1000})
        assert not (tmp_path / "killed.ome.tif").exists()
        partial.unlink()


def test_other_files_have_no_note(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "other.tif", pictures(), photometric="minisblack")
    (tmp_path / "text.tif").write_text("no picture")
    for name in ("other.tif", "text.tif", "nothing.tif"):
        assert noted(tmp_path / name) == (0, {})
