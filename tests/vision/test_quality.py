"""BRISQUE: features beside a plain version, model files, scores beside the package's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage, optimize, special
from textures import texture

from visuomotor.benchmarks.brisque import PICTURES, levels, picture
from visuomotor.errors import InputError
from visuomotor.types import Frame, Frames
from visuomotor.vision._svm_model import read_ranges, read_svr
from visuomotor.vision.quality import FEATURES, Brisque, clipped, features, installed_model

REFERENCE = json.loads(Path(__file__).with_name("brisque_reference.json").read_text("utf-8"))
HEADER = "svm_type epsilon_svr\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 2\nrho -3\nSV\n"
SMALL = f"{HEADER}1.5 1:0.25 36:-1\n-2 2:1e-1\n"


@pytest.fixture(scope="module")
def trained() -> Brisque:
    try:
        return Brisque.load()
    except InputError as error:
        pytest.skip(str(error))


def bytes_of(pictures: Frames) -> Frames:
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


# -- features ----------------------------------------------------------------------------------


def plain_features(frame: Frame) -> list[float]:
    """The same 36 as a textbook has them: in float64, all at once, roots by search."""
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    gray = (frame @ [0.2125, 0.7154, 0.0721] if frame.ndim == 3 else frame) / 255.0
    found: list[float] = []
    for scale in (gray, cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)):
        mean = ndimage.convolve(scale, window, mode="constant")
        spread = np.sqrt(np.abs(mean**2 - ndimage.convolve(scale**2, window, mode="constant")))
        m = (scale - mean) / (spread + 1 / 255)
        shape, _, left, right = plain_fit(m)
        found += [shape, (left + right) / 2]
        for product in (
            m[:, :-1] * m[:, 1:],
            m[:-1] * m[1:],
            m[:-1, :-1] * m[1:, 1:],
            m[1:, :-1] * m[:-1, 1:],
        ):
            found += plain_fit(product)
    return found


def plain_fit(x: Frame) -> tuple[float, float, float, float]:
    left, right = np.mean(x[x < 0] ** 2), np.mean(x[x >= 0] ** 2)
    skew = np.sqrt(left / right)
    ratio = np.mean(np.abs(x)) ** 2 / np.mean(x**2)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    gamma = special.gamma

    def miss(shape: float) -> float:
        return float(gamma(2 / shape) ** 2 / gamma(1 / shape) / gamma(3 / shape) - ratio)

    shape = optimize.brentq(miss, 0.2, 10) if miss(10) > 0 else 10
    mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / shape)
    return shape, mean / np.sqrt(gamma(1 / shape) * gamma(3 / shape)), left, right


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(40, 90), st.integers(40, 90)),
    st.floats(0.4, 4),
    st.booleans(),
)
def test_features_are_those_of_the_plain_version(
    seed: int, size: tuple[int, int], sigma: float, colour: bool
) -> None:
    pictures = bytes_of(texture(seed, (3, *size), sigma))
    frame = np.moveaxis(pictures, 0, 2) if colour else pictures[0]
    found = features(frame[None])[0]
    np.testing.assert_allclose(found, plain_features(frame), rtol=5e-3, atol=1e-3)


def test_strips_leave_no_seams() -> None:
    """Heights around multiples of a strip's rows; 257 columns."""
    whole = bytes_of(texture(3, (1, 130, 257), 1.5))[0]
    for height in (31, 32, 33, 63, 64, 65, 66, 130):
        frame = whole[:height]
        np.testing.assert_allclose(features(frame[None])[0], plain_features(frame), atol=1e-3)


def test_each_picture_is_alone_in_its_batch() -> None:
    pictures = bytes_of(texture(4, (3, 50, 40)))
    single = np.concatenate([features(frame[None]) for frame in pictures])
    np.testing.assert_array_equal(features(pictures), single)
    assert features(pictures[:0]).shape == (0, FEATURES)


def test_features_are_the_same_to_the_bit_wherever_a_picture_lies_in_memory() -> None:
    frame = bytes_of(texture(5, (1, 51, 77)))
    wanted = features(frame)
    for offset in range(1, 70, 7):
        moved = np.empty(frame.size + 70, np.uint8)[offset : offset + frame.size]
        moved = moved.reshape(frame.shape)
        moved[:] = frame
        np.testing.assert_array_equal(features(moved), wanted)
    spaced = frame.repeat(2, axis=2)[:, :, ::2]
    np.testing.assert_array_equal(features(spaced), wanted)


def test_twelve_and_sixteen_bits_say_the_same() -> None:
    frame = bytes_of(texture(6))
    wide = frame.astype(np.uint16) * 257
    np.testing.assert_allclose(features(wide), features(frame), atol=1e-4)
    np.testing.assert_allclose(
        features(frame.astype(np.uint16) * 16, 4080), features(frame), atol=1e-4
    )


def test_gray_as_colour_says_the_same() -> None:
    frame = bytes_of(texture(7))
    colour = frame[..., None].repeat(3, axis=3)
    np.testing.assert_allclose(features(colour), features(frame), atol=1e-4)


@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_nothing_to_see_is_finite(level: int) -> None:
    for shape in ((1, 64, 48), (1, 8, 8, 3)):
        assert np.isfinite(features(np.full(shape, level, np.uint8))).all()


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        (np.zeros((1, 7, 30), np.uint8), "at least 8 x 8 pixels, got 7 x 30"),
        (np.zeros((1, 30, 30)), "expected uint8 or uint16, got float64"),
        (np.zeros((30, 30), np.uint8), r"expected \(M, H, W\)"),
    ],
)
def test_wrong_pictures_are_refused(frames: Frames, answer: str) -> None:
    with pytest.raises(InputError, match=answer):
        features(frames)


# -- model files -------------------------------------------------------------------------------

finite = st.floats(-10, 10)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(finite, st.dictionaries(st.integers(1, 4), finite)), min_size=1, max_size=5),
    st.floats(0.01, 3),
    finite,
    st.lists(st.lists(finite, min_size=4, max_size=4), min_size=1, max_size=3),
)
def test_a_model_predicts_what_it_says(
    tmp_path: Path,
    vectors: list[tuple[float, dict[int, float]]],
    gamma: float,
    rho: float,
    asked: list[list[float]],
) -> None:
    header = f"svm_type nu_svr\nkernel_type rbf\ngamma {gamma!r}\nnr_class 2\n"
    header += f"total_sv {len(vectors)}\nrho {rho!r}\nprobA 1\nSV\n"
    rows = [
        " ".join([repr(c), *(f"{i}:{v[i]!r}" for i in sorted(v))]) for c, v in vectors
    ]  # zeros may be left out
    path = tmp_path / "model.txt"
    path.write_text(header + " \n".join(rows) + "\n", "utf-8")
    wanted = []
    for x in asked:
        terms = (
            c * np.exp(-gamma * sum((x[i] - v.get(i + 1, 0)) ** 2 for i in range(4)))
            for c, v in vectors
        )
        wanted.append(sum(terms) - rho)
    model = read_svr(path, 4)
    np.testing.assert_allclose(model.predict(np.array(asked)), wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        (
            "epsilon_svr",
            "c_svc",
            "line 1: expected svm_type epsilon_svr or nu_svr, got 'svm",
        ),
        ("kernel_type rbf", "kernel_type linear", "line 2: expected kernel_type rbf"),
        ("gamma 0.5", "gama 0.5", "line 3: expected a key .*did you mean 'gamma'.*got 'gama 0.5'"),
        ("gamma 0.5", "gamma much", "line 3: expected gamma and one number, got 'much'"),
        ("gamma 0.5", "gamma -1", "line 7: expected gamma above 0"),
        ("rho -3\n", "", "line 6: expected rho above it, got 'SV'"),
        ("rho -3", "rho nan", "line 6: expected rho and one number, got 'nan'"),
        ("SV\n1.5", "1.5", "line 7: expected a key of libsvm's header"),
        ("total_sv 2", "total_sv 1", "line 9: expected the end after 1 support vectors"),
        ("total_sv 2", "total_sv 3", "expected 3 support vectors, .* the file ends after 2"),
        ("total_sv 2", "total_sv 1.5", "a whole total_sv"),
        ("36:-1", "37:-1", "line 8: expected a number, then INDEX:VALUE .*1 to 36, got '37:-1'"),
        ("1:0.25 36:-1", "36:-1 1:0.25", "rising indices of 1 to 36, got '1:0.25'"),
        ("2:1e-1", "2=1e-1", "line 9: expected a number, then INDEX:VALUE.*got '2=1e-1'"),
        ("2:1e-1", "2:inf", "line 9: .*got 'inf'"),
        (SMALL, "", "line 1: expected the line SV, .*got the end of the file"),
        (SMALL, "x" * 1000, f"got '{'x' * 40}...'"),
    ],
)
def test_a_bad_model_file_is_named_by_its_line(
    tmp_path: Path, old: str, new: str, answer: str
) -> None:
    assert old in SMALL
    path = tmp_path / "bad.txt"
    path.write_text(SMALL.replace(old, new), "utf-8")
    with pytest.raises(InputError, match=answer) as caught:
        Brisque.load(path)
    assert str(caught.value).startswith(str(path))


def test_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: expected a model of libsvm, but No such"):
        Brisque.load(tmp_path / "none.txt")
    with pytest.raises(InputError, match="expected a model of libsvm, but"):
        Brisque.load(tmp_path)
    binary = tmp_path / "model.pickle"
    binary.write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(InputError, match="expected a text file of libsvm, got bytes"):
        Brisque.load(binary)


def test_ranges_are_read_as_svm_scale_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "ranges"
    path.write_text("x\n0 1\n1 -2 2\n2 10 20\n", "utf-8")
    ranges = read_ranges(path, 2)
    np.testing.assert_allclose(ranges.scale(np.array([[-2.0, 15], [1, 20]])), [[0, 0.5], [0.75, 1]])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("y\n0 1\n1 0 1\n2 0 1", "line 1: expected 'x'"),
        ("x\n0\n1 0 1\n2 0 1", "line 2: expected the two limits"),
        ("x\n0 1\n2 0 1\n1 0 1", "line 3: expected 1, its minimum .*, got '2 0 1'"),
        ("x\n0 1\n1 0 1\n2 1 1", "line 4: expected 2, its minimum and its larger maximum"),
        ("x\n0 1\n1 0 1\n2 0 one", "line 4: .*, got 'one'"),
        ("x\n0 1\n1 0 1\n", "line 4: expected 2, .*, got the end of the file"),
        ("x\n0 1\n1 0 1\n2 0 1\n3 0 1", "line 5: expected the end after 2 features"),
    ],
)
def test_bad_ranges_are_named_by_their_line(tmp_path: Path, text: str, answer: str) -> None:
    path = tmp_path / "ranges"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=answer):
        read_ranges(path, 2)


def test_a_model_with_ranges_of_its_own(tmp_path: Path) -> None:
    model, ranges = tmp_path / "model.txt", tmp_path / "ranges"
    model.write_text(SMALL, "utf-8")
    rows = "\n".join(f"{i} -1 {i}" for i in range(1, 37))
    ranges.write_text(f"x\n-1 1\n{rows}\n", "utf-8")
    frames = bytes_of(texture(8))
    scaled = -1 + 2 * (features(frames) + 1) / (np.arange(1, 37) + 1)
    one, other = np.zeros(36), np.zeros(36)
    one[[0, 35]], other[1] = (0.25, -1), 0.1
    terms = [np.exp(-0.5 * np.sum((scaled - v) ** 2, 1)) for v in (one, other)]
    found = Brisque.load(model, ranges).score(frames)
    np.testing.assert_allclose(found, 1.5 * terms[0] - 2 * terms[1] + 3)
    assert (found != Brisque.load(model).score(frames)).any()


def test_the_model_of_the_package_is_found_and_nothing_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "brisque"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')", "utf-8")
    monkeypatch.delitem(sys.modules, "brisque", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="BRISQUE: expected a path, or the model"):
        installed_model()
    (package / "models" / "svm.txt").write_text(SMALL, "utf-8")
    assert installed_model() == package / "models" / "svm.txt"
    assert Brisque.load().model.gamma == 0.5


def test_without_the_package_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "brisque", None)
    with pytest.raises(InputError, match=r'found none; pip install "visuomotor\[brisque\]"'):
        Brisque.load()


# -- scores ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_scores_are_those_of_the_package(trained: Brisque, name: str) -> None:
    wanted = REFERENCE["pictures"][name]
    assert trained.score(picture(name)[None])[0] == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("name", PICTURES)
def test_blur_and_noise_are_in_the_order_of_the_package(trained: Brisque, name: str) -> None:
    found = trained.score(np.stack(list(levels(picture(name), seed=0))))
    wanted = np.array(REFERENCE["levels"][name])
    np.testing.assert_allclose(found, wanted, atol=1.0)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(wanted))


@pytest.mark.parametrize("name", PICTURES)
def test_more_blur_and_more_noise_are_worse(trained: Brisque, name: str) -> None:
    found = trained.score(np.stack(list(levels(picture(name), seed=1))))
    blurs, noises = found[:10], found[10:]
    assert (np.diff(blurs) > 0).all()
    assert (np.diff(noises) > 0).all()


@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_nothing_to_see_is_worst(trained: Brisque, level: int) -> None:
    frames = np.full((1, 120, 160), level, np.uint8)
    assert clipped(trained.score(frames))[0] == 100


def test_scores_are_clipped_to_the_range_of_the_paper() -> None:
    assert clipped(np.array([-7.9, 10.8, 123.0])).tolist() == [0, 10.8, 100]
