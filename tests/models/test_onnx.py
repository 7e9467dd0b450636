"""Encoders and detectors of users' as ONNX files, run by the real onnxruntime."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tiny_onnx

from visuomotor.errors import InputError
from visuomotor.types import ROI

pytest.importorskip("onnxruntime", reason="the optional part onnx is not installed")

from visuomotor.models.detectors import detector, yolo
from visuomotor.models.encoders import encoder
from visuomotor.models.encoders.resnet152 import planes

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (5, 30, 44, 3), np.uint8)

# ---- encoder


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, 16, 24), (2, 3, 16, 24)])
def test_features_are_the_models(tmp_path, shape) -> None:
    made = encoder("onnx", weights=tiny_onnx.mean_encoder(tmp_path / "m.onnx", shape))
    assert made.size == 3
    found = made(COLOURS)
    np.testing.assert_allclose(found, planes(COLOURS, 16, 24).mean((2, 3)), atol=0.05)
    assert (found.dtype, found.shape) == (np.float32, (5, 3))
    alone = np.concatenate([made(COLOURS[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert made(COLOURS[:0]).shape == (0, 3)
    gray = COLOURS[..., 0]
    np.testing.assert_allclose(made(gray), made(np.stack([gray] * 3, 3)), atol=1e-5)
    with pytest.raises(InputError, match="encoder onnx: expected pictures"):
        made(COLOURS.astype(np.float32))


def test_a_model_of_one_channel_gets_grey_levels(tmp_path) -> None:
    path = tiny_onnx.mean_encoder(tmp_path / "m.onnx", ("n", 1, 10, 10))
    frames = np.full((2, 30, 30), 51, np.uint8)
    np.testing.assert_allclose(encoder("onnx", weights=path)(frames), 0.2, rtol=1e-5)


def test_a_model_without_features_is_refused_with_what_it_has(tmp_path) -> None:
    path = tmp_path / "m.onnx"
    pool = tiny_onnx.node("GlobalAveragePool", ["x"], "pooled")
    tiny_onnx.write(path, [pool], {"x": ("n", 3, 8, 8)}, {"pooled": ("n", 3, 1, 1)})
    said = r"expected one output \(N, F\), got 'pooled' \('n', 3, 1, 1\) of tensor\(float\)"
    with pytest.raises(InputError, match=said):
        encoder("onnx", weights=path)


def test_other_inputs_are_refused_with_what_they_are(tmp_path) -> None:
    path = tiny_onnx.mean_encoder(tmp_path / "m.onnx", ("n", 4, 8, 8))
    with pytest.raises(InputError, match=r"float input \(N, 3 or 1, H, W\), got 'x' \('n', 4, 8"):
        encoder("onnx", weights=path)
    flat = tiny_onnx.node("Flatten", ["x"], "f", axis=1)
    tiny_onnx.write(path, [flat], {"x": (1, 3, 2, 2)}, {"f": (1, 12)}, kind=tiny_onnx.BYTE)
    with pytest.raises(InputError, match=r"m\.onnx: expected"):
        encoder("onnx", weights=path)


def test_files_that_are_no_models_are_refused(tmp_path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    for name, make in (("onnx", encoder), ("yolo", detector)):
        with pytest.raises(InputError, match=r"m\.onnx: expected an ONNX model, but"):
            make(name, weights=path)
        with pytest.raises(InputError, match=f"{name}: expected weights"):
            make(name)
        with pytest.raises(InputError, match="found none"):
            make(name, weights=tmp_path / "no.onnx")


# ---- yolo

CLASSES = 3


def rows(*boxes: tuple[float, ...], filler: int = 20) -> np.ndarray:
    """(N, 4 + classes): middle x, y, width, height and scores; then boxes without any score."""
    table = np.zeros((len(boxes) + filler, 4 + CLASSES), np.float32)
    table[:, :4] = 32, 32, 8, 8
    table[: len(boxes)] = boxes
    return table


def yolo_file(path, table: np.ndarray, version: int, metadata=None):
    """The rows in either layout; scores count as much as the picture is bright."""
    steady, light = table.copy(), np.zeros_like(table)
    steady[:, 4:], light[:, 4:] = 0, table[:, 4:]
    if version == 8:
        return tiny_onnx.bright_yolo(path, steady.T[None], light.T[None], metadata)
    sure = np.ones((len(table), 1), np.float32)
    steady, light = (
        np.concatenate([part[:, :4], there, part[:, 4:]], 1)
        for part, there in ((steady, sure), (light, 0 * sure))
    )
    return tiny_onnx.bright_yolo(path, steady[None], light[None], metadata)


NAMES = {"names": "{0: 'person', 1: 'cat', 2: 'dog'}"}


@pytest.mark.parametrize("version", [5, 8])
def test_both_layouts_give_the_best_box_in_pixels_of_the_picture(tmp_path, version) -> None:
    table = rows((20, 40, 16, 8, 0.1, 0.9, 0.2), (50, 30, 10, 10, 0.6, 0, 0))
    path = yolo_file(tmp_path / "y.onnx", table, version, NAMES)
    look = detector("yolo", weights=path, min_score=0.3)
    # 64 x 128: halved, on a ground of 16 rows above and below.
    bright = np.full((1, 64, 128), 255, np.uint8)
    (found,) = look(bright)
    assert found.label == "cat"
    assert found.box == ROI(top=2 * (36 - 16), left=2 * 12, height=16, width=32)
    light = (0.5 * 64 * 255 + 0.5 * 64 * yolo.MARGIN_DN) / 64 / 255
    assert found.score == pytest.approx(0.9 * light, abs=0.01)
    everything = look.everything(np.repeat(bright[0][..., None], 3, 2))
    assert [one.label for one in everything] == ["cat", "person"]
    assert look(np.zeros((2, 64, 64, 3), np.uint8)) == [None, None], "too dark to be sure"
    mixed = np.concatenate([bright, 0 * bright, bright])
    assert look(mixed) == [look(mixed[i : i + 1])[0] for i in range(3)]
    assert look(mixed[:0]) == []


def test_overlapping_boxes_are_one_object(tmp_path) -> None:
    table = rows((32, 32, 20, 20, 0.8, 0, 0), (33, 32, 20, 20, 0, 0.9, 0), (8, 8, 8, 8, 0.7, 0, 0))
    look = detector("yolo", weights=yolo_file(tmp_path / "y.onnx", table, 8))
    found = look.everything(np.full((64, 64, 3), 255, np.uint8))
    assert [one.label for one in found] == ["class 1", "class 0"], "the file has no names"
    assert found[0].box == ROI(22, 23, 20, 20)


def test_labels_may_be_given(tmp_path) -> None:
    path = yolo_file(tmp_path / "y.onnx", rows((32, 32, 9, 9, 0, 0, 1)), 8)
    look = detector("yolo", weights=path, labels=["a", "b", "c"])
    assert look(np.full((1, 64, 64), 255, np.uint8))[0].label == "c"
    with pytest.raises(InputError, match="labels: expected 3, one for each class, got 1"):
        detector("yolo", weights=path, labels=["a"])


def test_boxes_beyond_the_picture_are_cut(tmp_path) -> None:
    path = yolo_file(tmp_path / "y.onnx", rows((2, 62, 30, 30, 1, 0, 0)), 8)
    (found,) = detector("yolo", weights=path)(np.full((1, 64, 64), 255, np.uint8))
    assert found.box == ROI(47, 0, 17, 17)


@pytest.mark.parametrize("shape", [(1, 300, 6), (1, 84), (1, 4, 50), (2, 84, 100), (1, 20, 5)])
def test_a_model_without_boxes_is_refused_with_what_it_has(tmp_path, shape) -> None:
    zeros = np.zeros(shape, np.float32)
    path = tiny_onnx.bright_yolo(tmp_path / "y.onnx", zeros, zeros)
    said = rf"expected an output .* got \({shape[0]}, {shape[1]}.*'y' \({shape[0]}, {shape[1]}"
    with pytest.raises(InputError, match=said):
        detector("yolo", weights=path)
    with pytest.raises(InputError, match=r"min_score: expected 0 to 1, got 2"):
        detector("yolo", weights=path, min_score=2)


# ---- where it is missing


@pytest.mark.parametrize("make", ["encoders import encoder as f", "detectors import detector as f"])
def test_without_onnxruntime_the_line_to_install_it_is_said(make, tmp_path) -> None:
    name = "onnx" if "encoders" in make else "yolo"
    code = (
        f"import sys; sys.modules['onnxruntime'] = None\n"
        f"from visuomotor.models.{make}\nfrom visuomotor.errors import MissingExtraError\n"
        f"try: f({name!r}, weights='x.onnx')\nexcept MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'onnxruntime is not installed; this part needs it: pip install "visuomotor[onnx]"' in (
        done.stdout
    )
