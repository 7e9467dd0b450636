"""Training of the small encoder: what is done to pictures, the losses, and the whole of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visuomotor.errors import InputError
from visuomotor.files import load_state
from visuomotor.models.encoders import encoder
from visuomotor.training.encoder import (
    EncoderConfig,
    changes_loss,
    content_loss,
    order_loss,
    probe,
    train_encoder,
)
from visuomotor.training.encoder_pictures import (
    MARGIN_PX,
    TARGETS,
    Changes,
    crops,
    draw_changes,
    exposed,
    sheets,
)

TINY = EncoderConfig(steps=2, pairs=4, sheets=2, held_out_sheets=2, probe_pictures=16)


def plain(count: int, **changes) -> Changes:
    """Nothing done: a mean of 100, no noise."""
    usual = {"blur_px": 0.0, "level_dn": 100.0, "contrast": 1.0, "shot": 0.0, "read_dn": 0.0}
    return Changes(
        **{name: torch.full((count,), value) for name, value in (usual | changes).items()}
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- pictures


def test_a_point_becomes_a_disc_of_its_diameter() -> None:
    side, diameter = 96, 15.0
    light = torch.full((1, side, side), 1e-9)
    light[0, side // 2, side // 2] = 1.0
    (picture,) = exposed(light, plain(1, blur_px=diameter, level_dn=5.0), seeded())
    area = (picture > picture.max() / 2).sum()
    assert area == pytest.approx(np.pi * diameter**2 / 4, rel=0.08)
    middle = side // 2 - MARGIN_PX
    rows, columns = np.nonzero(picture > picture.max() / 2)
    assert np.abs([rows.mean() - middle, columns.mean() - middle]).max() < 0.1


def test_brightness_contrast_and_noise_are_what_was_asked_for() -> None:
    light = torch.rand(1, 160, 160, generator=seeded())
    base, bright, pale = (
        exposed(light, plain(1, **asked), seeded()).astype(float)
        for asked in ({}, {"level_dn": 50.0}, {"contrast": 0.25})
    )
    assert base.mean() == pytest.approx(100, abs=0.1)
    np.testing.assert_allclose(bright, base / 2, atol=1)
    assert pale.mean() == pytest.approx(100, abs=0.1)
    assert pale.std() == pytest.approx(base.std() / 4, rel=0.02)
    noisy = exposed(light, plain(1, read_dn=3.0, shot=0.09), seeded()).astype(float)
    assert (noisy - base).std() == pytest.approx(np.sqrt(9 + 0.09 * 100), rel=0.05)


def test_what_is_too_bright_or_too_dark_is_clipped() -> None:
    light = torch.rand(2, 96, 96, generator=seeded()) + 0.1
    white = exposed(light, plain(2, level_dn=5000.0), seeded())
    black = exposed(light, plain(2, level_dn=0.1), seeded())
    assert white.dtype == np.uint8
    assert white.min() == 255
    assert black.max() == 0


def test_targets_are_octaves_of_what_was_done() -> None:
    one = plain(1, blur_px=4.0, level_dn=64.0, contrast=0.5, read_dn=2.0).targets()[0]
    found = dict(zip(TARGETS, one.tolist(), strict=True))
    assert found["brightness"] == 6
    assert found["contrast"] == -1
    assert found["blur"] == pytest.approx(np.log2(np.hypot(4, 1)))
    assert found["noise"] == pytest.approx(np.log2(np.sqrt(4 + 1 / 12)))


def test_draws_are_the_same_for_the_same_seed_and_scenes_differ() -> None:
    known = sheets(2, ("coffee",), 5)
    assert not torch.equal(known[0], known[1])
    torch.testing.assert_close(sheets(2, ("coffee",), 5), known, rtol=0, atol=0)
    for one, other in zip(
        crops(known, 3, 64, seeded()), crops(known, 3, 64, seeded()), strict=True
    ):
        assert one.shape == (3, 96, 96)
        assert torch.equal(one, other)
    changes = draw_changes(500, seeded())
    assert 0.03 < (changes.blur_px == 0).float().mean() < 0.2
    assert changes.blur_px.max() <= 20
    assert torch.isfinite(changes.targets()).all()


# ---- losses


@given(st.floats(-5, 5))
def test_only_differences_are_asked_for(shift) -> None:
    targets = torch.randn(8, 4, generator=seeded())
    assert changes_loss(targets + shift, targets) < 1e-9
    assert changes_loss(torch.zeros(8, 4), targets) > 0.1


def test_order_counts_the_wrong_way_round_and_ignores_ties() -> None:
    targets = torch.tensor([[1.0], [2.0], [0.0], [2.05]])  # pairs (0, 2), (1, 3): the second ties
    assert order_loss(targets, targets) < 0.1 < 1 < order_loss(-targets, targets)
    tied = targets.clone()
    tied[3] = -100
    assert order_loss(tied, targets) == order_loss(targets, targets)


def test_pictures_of_one_place_are_to_be_alike() -> None:
    unit = torch.eye(8)[[0, 1, 2, 3, 0, 1, 2, 3]]
    assert content_loss(unit) < content_loss(unit[[0, 1, 2, 3, 1, 2, 3, 0]])


def test_the_probe_reads_what_is_there_and_nothing_else() -> None:
    class Level:
        size = 2

        def __call__(self, frames):
            mean = frames.mean((1, 2))
            return np.stack([np.log2(mean + 1), np.ones(len(frames))], 1).astype(np.float32)

    known = sheets(2, ("coffee",), 5)
    scores = probe(Level(), known, known, 64, 0)
    assert scores["r2_brightness"] > 0.9
    assert scores["order_brightness"] > 0.95
    assert scores["r2_blur"] < 0.5


# ---- the whole


def test_a_training_ends_in_weights_and_a_card_and_repeats_to_the_bit(tmp_path) -> None:
    heard: list[dict[str, float]] = []
    state = torch.random.get_rng_state()
    scores = train_encoder(TINY, tmp_path / "a@1.safetensors", heard.append)
    train_encoder(TINY, tmp_path / "b@1.safetensors", heard.append)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"
    one, two = (load_state(tmp_path / f"{name}@1.safetensors")["weights"] for name in "ab")
    assert all(torch.equal(one[name], two[name]) for name in one)
    card = json.loads((tmp_path / "a@1.json").read_text())
    assert card["probe"] == scores
    assert set(scores) == {f"{kind}_{name}" for kind in ("r2", "order") for name in TARGETS}
    assert card["training"]["steps"] == 2
    made = encoder("small", weights=tmp_path / "a@1.safetensors")
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    assert np.isfinite(made(frames)).all()


def test_a_file_of_something_else_is_refused(tmp_path) -> None:
    from visuomotor.files import save_state

    save_state(tmp_path / "x.safetensors", {"agent": "dqn"})
    with pytest.raises(InputError, match="expected weights of encoder small"):
        encoder("small", weights=tmp_path / "x.safetensors")


def test_wrong_configs_are_refused() -> None:
    with pytest.raises(InputError, match="Encoder: pairs: expected 2"):
        EncoderConfig(pairs=1)
    with pytest.raises(InputError, match="held_out: expected some, not all"):
        EncoderConfig(held_out=("no such picture",))
