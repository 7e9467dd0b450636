"""What every detector promises, and what each of OpenCV's finds."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from visuomotor.errors import InputError
from visuomotor.models.detectors import Detection, detector, detectors
from visuomotor.models.pictures import clipped
from visuomotor.types import ROI

READY = ["default", "haar", "hog", "markers"]
"""What needs no weights and no extra."""

made = functools.cache(detector)


def overlap(one: ROI, other: ROI) -> float:
    """Intersection over union."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.height, other.top + other.height)
    right = min(one.left + one.width, other.left + other.width)
    both = max(bottom - top, 0) * max(right - left, 0)
    return both / (one.height * one.width + other.height * other.width - both)


@functools.cache
def face() -> np.ndarray:
    """(160, 160, 3), the face at about (33, 34), 94 px."""
    picture = data.astronaut()[30:190, 140:300]
    picture.flags.writeable = False
    return picture


FACE = ROI(36, 37, 97, 97)


def with_aruco(number: int, side: int = 50, top: int = 40, left: int = 60) -> np.ndarray:
    """(160, 160) a marker of the default dictionary on a grey wall."""
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    picture = np.full((160, 160), 200, np.uint8)
    marker = cv2.aruco.generateImageMarker(known, number, side)
    picture[top : top + side, left : left + side] = marker
    return picture


def with_qr(text: str, top: int = 20, left: int = 30) -> np.ndarray:
    """(160, 160) a QR code of 4 px a module."""
    code = cv2.QRCodeEncoder.create().encode(text)
    large = np.kron(code, np.ones((4, 4), np.uint8))
    picture = np.full((160, 160), 255, np.uint8)
    picture[top : top + len(large), left : left + len(large)] = large
    return picture


# ---- all of them


def test_every_kind_is_found_by_its_file() -> None:
    assert {*READY, "yolo", "transformers", "torchvision"} <= set(detectors())


def test_unknown_names_options_and_needless_weights_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"'harr' is not known; did you mean 'haar'"):
        detector("harr")
    with pytest.raises(InputError, match=r"haar has no option 'pose'; did you mean 'poses'"):
        detector("haar", pose="frontal")
    for name in ("hog", "markers", "default"):
        with pytest.raises(InputError, match=f"detector {name}: expected no weights"):
            detector(name, weights=tmp_path)


@pytest.mark.parametrize("name", READY)
def test_blank_pictures_have_none(name) -> None:
    for level in (0, 120, 255):
        assert made(name)(np.full((2, 200, 150), level, np.uint8)) == [None, None]


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("shape", [(0, 160, 160), (0, 160, 160, 3)])
def test_no_pictures_are_no_detections(name, shape) -> None:
    assert made(name)(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize("name", READY)
def test_a_batch_equals_its_pictures_one_by_one_and_comes_out_the_same_again(name) -> None:
    grays = [with_aruco(3), np.asarray(cv2.cvtColor(face(), cv2.COLOR_RGB2GRAY)), with_qr("b")]
    frames = np.stack(grays)
    look = made(name)
    together = look(frames)
    assert together == [look(frames[i : i + 1])[0] for i in range(3)]
    assert together == look(frames)
    assert together == look(np.asfortranarray(frames))


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 64, 64), np.uint16),
        np.zeros((1, 64, 64), np.float64),
        np.zeros((64, 64), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
    ],
)
def test_other_pictures_are_refused(name, frames) -> None:
    with pytest.raises(InputError, match=f"detector {name}: expected pictures .* of uint8"):
        made(name)(frames)


@pytest.mark.parametrize("name", READY)
@given(st.integers(1, 140), st.integers(1, 140), st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_pictures_of_any_size_are_looked_at(name, height, width, seed) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (1, height, width), np.uint8)
    (found,) = made(name)(noise)
    if found is not None:
        assert found.box.top + found.box.height <= height
        assert found.box.left + found.box.width <= width


@given(*[st.floats(-500, 500)] * 4, st.integers(1, 200), st.integers(1, 200))
def test_boxes_are_cut_at_the_edges_and_never_empty(top, left, height, width, rows, columns):
    box = clipped(top, left, height, width, rows, columns)
    assert min(box) >= 0
    assert min(box.height, box.width) >= 1
    assert box.top + box.height <= rows
    assert box.left + box.width <= columns


# ---- haar


def test_haar_finds_the_astronauts_face_in_colour_and_grey() -> None:
    gray = cv2.cvtColor(face(), cv2.COLOR_RGB2GRAY)
    for frames in (face()[None], gray[None]):
        (found,) = made("haar")(frames)
        assert found.label == "face frontal"
        assert found.score > 0
        assert overlap(found.box, FACE) > 0.8


def test_haar_loses_the_face_far_from_focus() -> None:
    blurred = cv2.GaussianBlur(face(), (0, 0), 16)
    dark = (face() // 100).astype(np.uint8)
    assert made("haar")(np.stack([blurred, dark])) == [None, None]


def test_poses_are_tried_in_their_order_and_mirrored_back() -> None:
    both = detector("haar", poses=("left", "frontal"))
    (found,) = both(face()[None])
    assert found.label in ("face left", "face frontal")
    right = detector("haar", poses=("right",))
    left = detector("haar", poses=("left",))
    frames = np.stack([face(), face()[:, ::-1]])
    for one, other in zip(left(frames), right(frames[::-1]), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            columns = face().shape[1]
            assert other.box == one.box._replace(left=columns - one.box.left - one.box.width)
            assert other.score == one.score


def test_a_users_cascade_may_be_given_and_other_files_are_refused(tmp_path) -> None:
    path = cv2.data.haarcascades + "haarcascade_frontalface_alt.xml"
    (found,) = detector("haar", weights=path)(face()[None])
    assert found.label == "haarcascade_frontalface_alt"
    assert overlap(found.box, FACE) > 0.8
    for text in ("<xml/>", "no xml"):
        (tmp_path / "c.xml").write_text(text)
        with pytest.raises(InputError, match=r"c\.xml: expected a cascade of OpenCV's"):
            detector("haar", weights=tmp_path / "c.xml")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"poses": ()}, "poses: got"),
        ({"poses": ("front",)}, "did you mean 'frontal'"),
        ({"poses": "frontal"}, "poses: got 'frontal'"),
        ({"min_size_px": 0}, "expected 1 or more, got 0"),
    ],
)
def test_haar_refuses_wrong_options(options, said) -> None:
    with pytest.raises(InputError, match=said):
        detector("haar", **options)


# ---- hog


def test_hog_finds_an_upright_person() -> None:
    (found,) = made("hog")(data.astronaut()[None])
    assert found.label == "person"
    assert found.score > 0
    assert detector("hog", min_score=found.score + 0.5)(data.astronaut()[None]) == [None]


@pytest.mark.parametrize("size", [(127, 200), (200, 63), (20, 20), (1, 1)])
def test_hog_lives_through_pictures_smaller_than_its_window(size) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, *size), np.uint8)
    assert made("hog")(noise) == [None]


# ---- markers


@given(st.integers(0, 49), st.integers(24, 90), st.integers(6, 60), st.integers(6, 60))
@settings(max_examples=25, deadline=None)
def test_generated_markers_are_found_where_they_are(number, side, top, left) -> None:
    (found,) = made("markers")(with_aruco(number, side, top, left)[None])
    assert (found.label, found.score) == (f"aruco {number}", 1.0)
    assert overlap(found.box, ROI(top, left, side, side)) > 0.85


@pytest.mark.parametrize("text", ["visuomotor", "a", "https://example.org/1"])
def test_generated_qr_codes_are_found_and_read(text) -> None:
    frames = with_qr(text)[None]
    for name in ("markers", "default"):
        (found,) = made(name)(frames)
        assert found.label == f"qr {text}"
        quiet = np.argwhere(frames[0] == 0)
        (top, left), (bottom, right) = quiet.min(0), quiet.max(0)
        inner = ROI(top, left, bottom - top + 1, right - left + 1)
        assert overlap(found.box, inner) > 0.8
    assert detector("markers", qr=False)(frames) == [None]


@given(
    text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    turned=st.integers(0, 3),
    bright=st.integers(60, 255),
)
@settings(max_examples=20, deadline=None)
def test_qr_codes_are_read_whatever_they_say_and_however_they_stand(text, turned, bright) -> None:
    picture = np.rot90(with_qr(text), turned)
    (found,) = made("markers")((picture // 255 * bright)[None].astype(np.uint8))
    assert found.label == f"qr {text}"


def test_a_picture_that_ended_the_process_does_not() -> None:
    """OpenCV 4.14's reader of QR codes corrupts memory on it: a card, blurred, of the simulator."""
    picture = cv2.imread(str(Path(__file__).with_name("blurred_card.png")), cv2.IMREAD_GRAYSCALE)
    assert made("markers")(picture[None]) == [None]


def test_of_several_markers_the_largest_counts() -> None:
    picture = np.minimum(with_aruco(1, 30, 8, 8), with_aruco(2, 60, 70, 70))
    (found,) = made("markers")(picture[None])
    assert found.label == "aruco 2"


def test_other_dictionaries_have_other_markers() -> None:
    frames = with_aruco(5)[None]
    assert detector("markers", dictionary="6X6_250", qr=False)(frames) == [None]
    assert detector("markers", dictionary=None)(frames) == [None]
    with pytest.raises(InputError, match=r"got '4X4_60'; did you mean '4X4_"):
        detector("markers", dictionary="4X4_60")
    with pytest.raises(InputError, match="got neither"):
        detector("markers", dictionary=None, qr=False)


def test_textures_are_no_markers() -> None:
    frames = np.stack([picture()[:256, :256] for picture in (data.brick, data.gravel, data.grass)])
    assert made("markers")(frames) == [None] * 3


# ---- default


def test_default_prefers_markers_and_falls_back_to_faces() -> None:
    gray = cv2.cvtColor(face(), cv2.COLOR_RGB2GRAY)
    both = gray.copy()
    both[:44, :44] = 255
    both[5:39, 5:39] = with_aruco(9, 34, 0, 0)[:34, :34]
    found = made("default")(np.stack([gray, both, np.zeros_like(gray)]))
    labels = [one.label if isinstance(one, Detection) else None for one in found]
    assert labels == ["face frontal", "aruco 9", None]
