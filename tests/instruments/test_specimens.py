"""What every kind of specimen promises."""

from __future__ import annotations

import numpy as np
import pytest

import visuomotor as vm
from visuomotor.instruments.simulated.specimens import kinds, specimen

SIZE = 128
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


@every_kind
@pytest.mark.parametrize("texture", [0.0, 0.7])
def test_it_wraps_round(kind: str, texture: float) -> None:
    across, inside = [], []
    for seed in range(24):
        total = density(kind, seed, texture=texture).sum(0)
        for side in (total, total.T):
            across.append(np.abs(side[0] - side[-1]).mean())
            inside.append(np.abs(np.diff(side, axis=0)).mean())
    assert np.mean(across) < 1.7 * np.mean(inside)


@every_kind
def test_there_is_fine_detail_and_coarse_structure(kind: str) -> None:
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    fine, coarse = [], []
    for seed in range(4):
        total = density(kind, seed).sum(0)
        power = np.abs(np.fft.fft2(total - total.mean())) ** 2
        fine.append(power[frequency > 0.125].sum() / power.sum())
        coarse.append(power[frequency < 0.125].sum() / power.sum())
    assert np.mean(fine) > 0.02
    assert np.mean(coarse) > 0.05


@every_kind
def test_fields_of_a_slide_are_more_alike_than_slides(kind: str) -> None:
    """By the spread of grey levels and the share of fine detail, over many fields."""

    def traits(slide: int, field: int) -> np.ndarray:
        total = density(kind, slide, field).sum(0)
        edges = np.abs(np.diff(total, axis=0)).mean()
        return np.array([total.mean(), total.std(), edges])

    all_traits = np.array([[traits(slide, field) for field in range(4)] for slide in range(6)])
    scale = all_traits.std((0, 1)) + 1e-9
    within = (all_traits.std(1) / scale).mean()
    between = (all_traits.mean(1).std(0) / scale).mean()
    assert between > 0.6 * within  # equal slides of four fields would come to 0.5
    assert within < 1.0


@every_kind
def test_things_lie_in_several_layers(kind: str) -> None:
    layers = density(kind, 1, layers=3)
    shares = layers.sum((1, 2)) / layers.sum()
    assert shares.max() < 1.0
    assert not np.allclose(layers[0], layers[1])


@every_kind
def test_real_texture_is_mixed_in(kind: str) -> None:
    plain, mixed, real = (density(kind, 1, texture=share) for share in (0.0, 0.5, 1.0))

    def likeness(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert likeness(mixed, real) > likeness(plain, real) + 0.05
    assert likeness(mixed, plain) > likeness(real, plain) + 0.05


def test_magnify_makes_things_larger() -> None:
    small, large = (density("beads", 1, magnify=factor).sum(0) for factor in (1.0, 4.0))
    assert np.abs(np.diff(large)).mean() < np.abs(np.diff(small)).mean() * 4
    assert (large > 0.3).mean() != (small > 0.3).mean()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "bead"}, "did you mean 'beads'"),
        ({"size_px": 8}, "size_px: expected 16"),
        ({"pixel_um": 0.0}, "pixel_um: expected"),
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
