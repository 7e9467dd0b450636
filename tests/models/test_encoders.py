"""What every encoder promises, and the small one besides."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from visuomotor.errors import InputError
from visuomotor.models.encoders import encoder, encoders, small
from visuomotor.models.kinds import kinds
from visuomotor.training.encoder import HELD_OUT_SEED, probe
from visuomotor.training.encoder_pictures import sheets
from visuomotor.vision.transforms import smooth

READY = ["small"]
"""What needs no weights and no extra."""


@pytest.fixture(params=READY)
def ready(request: pytest.FixtureRequest):
    return encoder(request.param)


def pictures(count: int = 5, height: int = 128, width: int = 128, colour: bool = False):
    """Different places of a real picture, of different brightness."""
    whole = data.astronaut() if colour else data.astronaut()[..., 1]
    starts = np.random.default_rng(0).integers(0, 512 - max(height, width), (count, 2))
    made = [whole[y : y + height, x : x + width] for y, x in starts]
    light = np.linspace(0.2, 1, count).reshape(-1, *[1] * (np.ndim(made) - 1))
    return np.rint(np.stack(made) * light).astype(np.uint8)


def test_every_kind_is_found_by_its_file() -> None:
    assert {"small", "resnet152", "onnx"} <= set(encoders())
    assert not [name for name in encoders() if name.startswith("_")]
    assert kinds("visuomotor.models.encoders") == encoders()


def test_an_unknown_name_or_option_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"encoder: 'smal' is not known; did you mean 'small'"):
        encoder("smal")
    with pytest.raises(InputError, match="encoder resnet152 has no option 'size'"):
        encoder("resnet152", size=3)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("size", [(128, 128), (40, 200), (300, 257)])
def test_a_batch_equals_its_pictures_one_by_one(ready, size, colour) -> None:
    frames = pictures(3, *size, colour)
    together = ready(frames)
    alone = np.concatenate([ready(frames[i : i + 1]) for i in range(3)])
    assert together.shape == (3, ready.size)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-2)


def test_no_pictures_are_no_features(ready) -> None:
    assert ready(np.zeros((0, 32, 32), np.uint8)).shape == (0, ready.size)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 64, 64), np.uint16),
        np.zeros((1, 64, 64), np.float32),
        np.zeros((64, 64), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
        np.zeros((1, 0, 64), np.uint8),
    ],
)
def test_other_pictures_are_refused(ready, frames) -> None:
    with pytest.raises(InputError, match=r"expected pictures .* of uint8, got \("):
        ready(frames)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0, 17, 255]))
@settings(max_examples=25, deadline=None)
def test_features_are_finite_whatever_the_picture(height, width, level) -> None:
    found = SMALL(np.full((1, height, width), level, np.uint8))
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 1e3


def test_a_picture_is_left_as_it_was(ready) -> None:
    frames = pictures(2)
    before = frames.copy()
    ready(frames)
    np.testing.assert_array_equal(frames, before)


# ---- small

SMALL = encoder("small")


def test_tiles_cover_a_small_picture_at_full_resolution() -> None:
    gray = pictures(2)
    tiles, whole = small.views(gray)
    assert tiles.shape == (2, 4, 64, 64)
    assert whole.shape == (2, 64, 64)
    first = tiles[0].numpy()
    again = np.block([[first[0], first[1]], [first[2], first[3]]])
    np.testing.assert_array_equal(again, gray[0])
    np.testing.assert_allclose(whole[0, 0, 0], gray[0, :2, :2].mean())


def test_tiles_are_evenly_spread_and_bounded_in_number() -> None:
    gray = np.zeros((1, 1000, 90), np.uint8)
    gray[0, :64], gray[0, -64:] = 1, 2
    tiles, _ = small.views(gray)
    assert tiles.shape == (1, 8, 64, 64)
    assert tiles[0, 0].mean() == 1
    assert tiles[0, -1].mean() == 2


def test_a_blur_of_a_pixel_is_seen_on_a_large_picture() -> None:
    """Shrinking the picture alone would hide it."""
    large = np.stack([data.astronaut()[..., 1]] * 2)
    blurred = np.rint(smooth(large, 1.0)).astype(np.uint8)
    same = SMALL(np.roll(large[:1], 3, 2)) - SMALL(large[:1])
    other = SMALL(blurred[:1]) - SMALL(large[:1])
    assert np.linalg.norm(other) > 1.5 * np.linalg.norm(same)


def test_the_shipped_weights_are_whole_and_small() -> None:
    path = small._shipped()
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size <= 4 * 2**20
    assert card["name"] == path.stem
    assert card["features"] == SMALL.size == 192
    assert card["provenance"]["machine"]


def test_changed_weights_are_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small._shipped()
    for file in (path, path.with_suffix(".json")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / path.name).open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(small, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="sha256"):
        encoder("small")


def test_blur_brightness_and_noise_are_linearly_readable_of_scenes_never_seen() -> None:
    card = json.loads(small._shipped().with_suffix(".json").read_text())
    config = card["training"]
    known = sheets(24, ("coffee", "grass", "cell", "retina"), 77)
    unseen = sheets(12, config["held_out"], HELD_OUT_SEED + 999)
    trained = probe(SMALL, known, unseen, 768, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = small.SmallEncoder(small.SmallEncoderNetwork())
    untrained = probe(fresh, known, unseen, 768, 0)
    assert trained["r2_blur"] > LEAST_R2_BLUR
    assert trained["r2_brightness"] > 0.95
    assert trained["order_blur"] > LEAST_ORDER_BLUR
    assert trained["r2_blur"] > untrained["r2_blur"] + 0.2


LEAST_R2_BLUR, LEAST_ORDER_BLUR = 0.5, 0.85
