"""Episodes in contrast space: they show what pictures would, and know the truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.analytic_views import gaussian_views

from visuomotor.files import load_state, save_state
from visuomotor.instruments.simulated.microscope import (
    DriveConfig,
    Microscope,
    MicroscopeConfig,
    SpecimenConfig,
)
from visuomotor.instruments.simulated.sensor import SensorConfig
from visuomotor.training.contrast_world import ContrastWorld, WorldConfig
from visuomotor.training.simulated_views import DEFOCUS, Views
from visuomotor.vision.contrast import NOISE, SIZE, contrast
from visuomotor.vision.sharpness import smoothed

STEPS = (9, 1, 0, -1, -9)
PLAIN = WorldConfig(
    relief=0, at_end=0, outside=0, blank=0, brighter=0, drift=0, flicker=0, wobble=0, sectioning=0,
    planes=0, slip=0, new_view=1,
)  # fmt: skip
CELLS = torch.arange(64)


def world(config: WorldConfig = PLAIN, views: Views | None = None, seed: int = 0) -> ContrastWorld:
    return ContrastWorld(views or gaussian_views(20, 0), config, STEPS, len(CELLS), seed)


def test_looks_are_those_of_rendered_pictures() -> None:
    """Energies of noisy pictures of one view, against those that the world makes up for it."""
    step = 2.0
    drive = DriveConfig(first=-1000 * step, last=1000 * step, fine_step=step)
    clean = SensorConfig(
        photon_noise=False, read_noise_e=0, bits=16, gain_dn_per_e=1.0,
        electrons_at_white=30_000, full_well_e=60_000,
    )  # fmt: skip
    view = MicroscopeConfig(
        SpecimenConfig("stained_tissue", slide_seed=3), sensor=clean, drive=drive, size_px=128
    )
    at = np.zeros(len(DEFOCUS), np.int64)
    pictures = Microscope(view).pictures(at, DEFOCUS * step, None)
    measure = smoothed("tenengrad", 1.0)
    views = Views(contrast(pictures)[None], measure(pictures)[None].astype(np.float32))
    # A fine step as the view has it, and noise of known strength.
    width = ContrastWorld(views, PLAIN, STEPS, 1, 0)._curves.width[0].item()
    config = replace(PLAIN, zone_steps=(width, width + 1e-6), signal_to_noise=(100, 100 + 1e-3))
    made = ContrastWorld(views, config, STEPS, 2, 0)
    made._stretch[:] = 1.0
    made._find_focus(torch.arange(2))
    best = made._curves.sharpest[0].item()
    noisy = replace(view, sensor=replace(clean, read_noise_e=1.0, black_dn=0))
    for away in (0.0, 2.5, 7.0, 20.0):
        made.position[:] = away
        made._arrive(torch.arange(2))
        looks = torch.stack([made.look(torch.arange(2))[0] for _ in range(40)]).mean(0)
        # The world's noise, in grey levels of these pictures.
        level = 2 * views.contrast[0, 0, NOISE + 1] + math.log(views.sharpness.max())
        sigma = math.sqrt(made._noise[0].item() * math.exp(level))
        sensor = replace(noisy.sensor, read_noise_e=sigma)
        camera = Microscope(replace(noisy, sensor=sensor))
        position = np.full(12, (best + away) * step)
        taken = camera.pictures(np.zeros(12, np.int64), position, camera.generator(1))
        seen = contrast(taken).mean(0)
        present = slice(0, 5)
        np.testing.assert_allclose(
            looks[present].numpy() + level, seen[present], atol=0.12, err_msg=f"{away}"
        )
        assert looks[NOISE].item() + level == pytest.approx(seen[NOISE], abs=0.15)


def test_sharpest_is_best_and_distance_leads_there() -> None:
    made = world(replace(PLAIN, relief=0.5, planes=0.5, at_end=0.3))
    way = made.distance(CELLS)
    made.position[CELLS] = made.position[CELLS] + way
    made._arrive(CELLS)
    assert made.relative_sharpness(CELLS).min() > 0.93  # tabled, not exact
    assert ((made.best >= made.low - 1e-3) & (made.best <= made.high + 1e-3)).all()


def test_expert_needs_as_many_moves_as_foretold() -> None:
    made = world(replace(PLAIN, zone_steps=(4.0, 8.0)))
    foretold = made.moves_after(CELLS)[:, made.stop]
    needed = torch.zeros(len(CELLS))
    going = torch.ones(len(CELLS), dtype=torch.bool)
    for _ in range(60):
        action = made.expert(CELLS)
        going &= action != made.stop
        moving = CELLS[going]
        if not len(moving):
            break
        made.move(moving, action[moving])
        needed[moving] += 1
    assert not going.any()
    assert made.in_focus(CELLS).all()
    # Limits can make the way longer than the table thinks, and the zone is known to a quarter step.
    assert (needed - foretold).abs().float().mean() < 0.3


def test_moves_are_clipped_to_the_range_and_told_so() -> None:
    made = world()
    cells = CELLS[:5]
    made.position[cells] = made.low[cells] + 4
    told, too_far = made.move(cells, torch.full((5,), 4))
    assert (too_far == -1).all()
    torch.testing.assert_close(told, torch.full((5,), -4.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.position[cells], made.low[cells])


def test_blank_views_hold_noise_alone() -> None:
    made = world(replace(PLAIN, blank=1.0))
    assert not made.in_focus(CELLS).any()
    looks = torch.stack([made.look(CELLS)[:, :3] for _ in range(30)])
    assert looks[..., 0].std(0).max() < 0.05
    energy = looks.exp().mean(0)
    noise = made._noise[:, None] * made._white[:3]
    torch.testing.assert_close(energy / noise, torch.ones_like(energy), atol=0.1, rtol=0)


def test_slip_moves_the_sample_otherwise_than_told() -> None:
    made = world(replace(PLAIN, slip=1.0, range_steps=(200.0, 300.0)))
    made.position[CELLS] = (made.low + made.high) / 2
    before = made.position[CELLS].clone()
    told, _ = made.move(CELLS, torch.zeros(len(CELLS), dtype=torch.long))
    torch.testing.assert_close(told, torch.full_like(told, 9.0), atol=1e-4, rtol=0)
    assert ((made.position[CELLS] - before) - 9).abs().mean() > 0.1


def test_same_seed_same_world_and_resumes_to_the_bit(tmp_path) -> None:
    config = WorldConfig()
    one, other = world(config, seed=5), world(config, seed=5)
    torch.testing.assert_close(one.look(CELLS), other.look(CELLS), rtol=0, atol=0)
    save_state(tmp_path / "world", {"world": one.state_dict()})
    later = world(config, seed=6)
    later.load_state_dict(load_state(tmp_path / "world")["world"])
    for made in (one, later):
        made.reset(CELLS[::2])
        made.move(CELLS, torch.arange(len(CELLS)) % len(STEPS))
    torch.testing.assert_close(one.look(CELLS), later.look(CELLS), rtol=0, atol=0)
    assert one.look(CELLS).shape == (len(CELLS), SIZE)
