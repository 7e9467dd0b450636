"""What every kind of specimen promises."""

from __future__ import annotations

import numpy as np
import pytest

import visuomotor as vm
from visuomotor.instruments.simulated import specimens as module
from visuomotor.instruments.simulated.specimens import kinds, specimen

SIZE = 128
FREQUENCY = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
"""Cycles per pixel; Nyquist is 0.5."""
every_kind = pytest.mark.parametrize("kind", kinds())


def density(kind: str, slide_seed: int = 0, field_seed: int = 0, **more) -> np.ndarray:
    return specimen(kind, SIZE, 0.4, slide_seed, field_seed, **more).density


def test_there_are_at_least_six() -> None:
    wanted = {"stained_tissue", "bacteria_smear", "fluorescent_cells", "beads", "fibres", "grid"}
    assert wanted <= set(kinds())


@every_kind
@pytest.mark.parametrize("layers", [1, 4])
def test_it_is_layers_of_density_up_to_one(kind: str, layers: int) -> None:
    made = specimen(kind, SIZE, 0.4, 3, layers=layers)
    assert made.kind == kind
    assert made.density.shape == (layers, SIZE, SIZE)
    assert made.density.dtype == np.float32
    assert made.density.min() >= 0
    assert np.percentile(made.density.sum(0), 99.9) == pytest.approx(1.0, rel=1e-3)


@every_kind
@pytest.mark.parametrize("texture", [0.0, 0.5])
def test_the_same_seeds_give_the_same_and_others_do_not(kind: str, texture: float) -> None:
    np.random.seed(0)  # noqa: NPY002 - somebody else's global state: it must not matter
    first = density(kind, 1, 2, texture=texture)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, density(kind, 1, 2, texture=texture))
    assert (first != density(kind, 2, 2, texture=texture)).any()
    assert (first != density(kind, 1, 3, texture=texture)).any()


def power(total: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fft2(total - total.mean())) ** 2


@every_kind
@pytest.mark.parametrize("texture", [0.0, 0.7])
def test_it_wraps_round(kind: str, texture: float) -> None:
    across, inside = [], []
    for seed in range(8):
        total = density(kind, seed, texture=texture).sum(0)
        for side in (total, total.T):
            across.append(np.abs(side[0] - side[-1]).mean())
            inside.append(np.abs(np.diff(side, axis=0)).mean())
    assert np.mean(across) < 1.3 * np.mean(inside)


@every_kind
def test_there_is_fine_detail_and_coarse_structure(kind: str) -> None:
    shares = []
    for seed in range(4):
        energy = power(density(kind, seed).sum(0))
        bands = [energy[FREQUENCY > 0.125], energy[FREQUENCY < 0.125], energy[FREQUENCY > 0.25]]
        shares.append([band.sum() / energy.sum() for band in bands])
    fine, coarse, finest = np.mean(shares, axis=0)
    assert fine > 0.1
    assert coarse > 0.2
    assert finest > 0.01


@every_kind
def test_fields_of_a_slide_are_more_alike_than_slides(kind: str) -> None:
    """By the mean, the spread and the spectrum of the density, over all pairs."""
    slides, fields = 6, 3

    def traits(slide: int, field: int) -> np.ndarray:
        total = density(kind, slide, field).sum(0)
        bands = np.histogram(FREQUENCY, (0, 0.03, 0.08, 0.16, 1), weights=power(total))[0]
        return np.log([total.mean(), total.std(), *(bands / bands.sum() + 1e-6)])

    seen = np.array([[traits(slide, field) for field in range(fields)] for slide in range(slides)])
    seen /= seen.std((0, 1))
    far = np.linalg.norm(seen[:, :, None, None] - seen[None, None], axis=-1)
    pairs = far.transpose(0, 2, 1, 3)  # (slide, slide, field, field)
    same = pairs[np.eye(slides, dtype=bool)][:, ~np.eye(fields, dtype=bool)].mean()
    other = pairs[~np.eye(slides, dtype=bool)].mean()
    assert same < 0.8 * other


@every_kind
def test_things_lie_in_several_layers(kind: str) -> None:
    likeness, spread = [], []
    for seed in range(6):
        layers = density(kind, seed, layers=3)
        spread.append(layers.std((1, 2)))
        likeness.append(np.corrcoef(layers.reshape(3, -1))[np.triu_indices(3, 1)])
    assert (np.mean(spread, axis=0) > 0.01).all()
    # A few things between two layers are in both.
    assert np.mean(likeness) < 0.4


def test_long_things_climb_from_layer_to_layer() -> None:
    near, far = [], []
    for seed in range(4):
        likeness = np.corrcoef(density("fibres", seed, layers=3).reshape(3, -1))
        near.append((likeness[0, 1] + likeness[1, 2]) / 2)
        far.append(likeness[0, 2])
    assert np.mean(near) > np.mean(far) + 0.1


@every_kind
def test_real_texture_is_mixed_in(kind: str) -> None:
    plain, mixed, real = (density(kind, 1, texture=share) for share in (0.0, 0.5, 1.0))

    def likeness(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert likeness(mixed, real) > likeness(plain, real) + 0.05
    assert likeness(mixed, plain) > likeness(real, plain) + 0.05


@every_kind
def test_a_real_picture_alone_is_mirrored_and_may_rise_through_the_layers(kind: str) -> None:
    total = density(kind, 3, texture=1.0, layers=3).sum(0)
    np.testing.assert_allclose(total, total[::-1, ::-1], atol=1e-5)
    assert total.std() > 0.02


@every_kind
@pytest.mark.parametrize("pixel_um", [0.02, 3.0, 100.0])
def test_it_is_something_at_any_scale_and_size(kind: str, pixel_um: float) -> None:
    made = specimen(kind, 33, pixel_um, 5, layers=2).density
    assert np.isfinite(made).all()
    assert made.sum(0).std() > 0.005


@every_kind
def test_magnify_is_the_same_as_smaller_pixels(kind: str) -> None:
    large = specimen(kind, 64, 2.0, 1, magnify=4.0).density
    np.testing.assert_array_equal(large, specimen(kind, 64, 0.5, 1).density)


def test_nothing_stays_nothing(monkeypatch) -> None:
    monkeypatch.setattr(module, "beads", lambda scene: np.zeros((1, 16, 16)))
    monkeypatch.setattr(module, "kinds", lambda: ["beads"])
    assert not specimen("beads", 16, 0.5, 0).density.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "bead"}, "did you mean 'beads'"),
        ({"size_px": 8}, "size_px: expected 16"),
        ({"pixel_um": 0.0}, "pixel_um: expected"),
        ({"pixel_um": float("inf")}, "pixel_um: expected"),
        ({"magnify": float("nan")}, "magnify: expected"),
        ({"layers": 0}, "layers: expected 1"),
        ({"texture": 1.5}, "texture: expected 0 to 1"),
        ({"slide_seed": -1}, "slide_seed: expected 0"),
        ({"field_seed": -1}, "field_seed: expected 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, words: str) -> None:
    values = {"kind": "beads", "size_px": 64, "pixel_um": 0.5, "slide_seed": 0}
    with pytest.raises(vm.InputError, match=words):
        specimen(**{**values, **changes})
