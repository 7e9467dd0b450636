"""Trains the small encoder without labels: what was done to this picture?

Two pictures of nearly the same place are blurred, made brighter or darker, paler and noisier, each
by known amounts. One linear layer must read the differences in octaves, and their order, off the
features; between pictures of different places too, so that it does not matter what is on them. A
second, contrastive loss (Chen et al. 2020, NT-Xent) asks which two pictures are of one place, so
that what is on them stays in the features as well.

Short by design: minutes on one thread. A training cut short is begun again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visuomotor.configs import check_range, to_plain
from visuomotor.errors import InputError
from visuomotor.files import save_state, write_atomically
from visuomotor.instruments.simulated.specimens import TEXTURES
from visuomotor.models.encoders import Encoder
from visuomotor.models.encoders.small import FEATURES, SmallEncoder, SmallEncoderNetwork, views
from visuomotor.runs import provenance
from visuomotor.training.encoder_pictures import (
    SHEET_PX,
    TARGETS,
    crops,
    draw_changes,
    exposed,
    sheets,
)
from visuomotor.types import ByteArray, FloatArray

SIZES_PX = (128, 96, 128, 192, 128, 384)
"""Sides of the pictures, in turn; of larger ones there are fewer in a batch."""
HELD_OUT_SEED = 500_000
PROBED_OCTAVES = (1.6, 7.6)
"""Mean grey levels at which the probe reads, 3 to 194: outside a picture is nearly black or white,
and nothing can be read off it."""
CONTENT = 64
TEMPERATURE = 0.2
RIDGE = 1.0


@dataclass(frozen=True)
class EncoderConfig:
    """How the small encoder is trained."""

    seed: int = 0
    steps: int = 1500
    pairs: int = 64
    """Pairs of pictures of 128 px in a batch."""
    sheets: int = 192
    """Scenes that pictures are cut from."""
    held_out_sheets: int = 64
    """Scenes of the probe."""
    held_out: tuple[str, ...] = ("chelsea", "coins", "immunohistochemistry", "brick")
    """Real pictures that only the probe sees."""
    learning_rate: float = 2e-3
    """At the start; it falls to 0 along a cosine."""
    order: float = 0.5
    """Weight of the loss that asks for the order."""
    content: float = 0.2
    """Weight of the contrastive loss."""
    probe_pictures: int = 2048
    """Pictures that the probe is fitted to, and as many that it is judged by."""
    threads: int = 1
    """Of PyTorch; 0 leaves them as they are."""

    def __post_init__(self) -> None:
        check_range(self, steps=(0, 10**7), pairs=(2, 4096), sheets=(2, 10**5))
        check_range(self, held_out_sheets=(2, 10**5), learning_rate=(1e-8, 1), order=(0, 100))
        check_range(self, content=(0, 100), probe_pictures=(16, 10**6), threads=(0, 1024))
        unknown = [name for name in self.held_out if name not in TEXTURES.split()]
        if unknown or not 0 < len(set(self.held_out)) < len(TEXTURES.split()):
            raise InputError(
                f"Encoder: held_out: expected some, not all, of {', '.join(TEXTURES.split())}, "
                f"got {list(self.held_out)}"
            )


class Readers(nn.Module):
    """What reads the features in training, and is thrown away afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = nn.Linear(FEATURES, len(TARGETS))
        self.content = nn.Sequential(
            nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, CONTENT)
        )


def train_encoder(
    config: EncoderConfig, out_path: Path, progress: Callable[[dict[str, Any]], None]
) -> dict[str, float]:
    """Train, write the weights to ``out_path`` (.safetensors) and a card beside it (.json), and
    return what a linear probe reads off pictures it never saw; see ``probe``.

    ``progress`` is called with the losses now and then.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    started = provenance()
    generator = torch.Generator().manual_seed(config.seed)
    network, readers = _fresh(config.seed)
    seen = [name for name in TEXTURES.split() if name not in config.held_out]
    known = sheets(config.sheets, seen, config.seed * 1000)
    parameters = [*network.parameters(), *readers.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=1e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(config.steps, 1))
    network.train()
    for step in range(config.steps):
        size_px = SIZES_PX[step % len(SIZES_PX)]
        count = max(2, round(config.pairs * min((128 / size_px) ** 2, 1)))
        pictures, targets = pairs(known, count, size_px, generator)
        losses = _losses(network(*views(pictures)), targets, readers)
        loss = losses["changes"] + config.order * losses["order"]
        loss = loss + config.content * losses["content"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        falling.step()
        if step % 50 == 49:
            progress({"step": step + 1, **{name: value.item() for name, value in losses.items()}})
    encoder = SmallEncoder(network)
    unseen = sheets(config.held_out_sheets, config.held_out, HELD_OUT_SEED + config.seed * 1000)
    scores = probe(encoder, known, unseen, config.probe_pictures, config.seed)
    fresh = SmallEncoder(_calibrated(_fresh(config.seed)[0], known, generator))
    untrained = probe(fresh, known, unseen, config.probe_pictures, config.seed)
    _save(network, config, out_path, scores, untrained, started)
    return scores


def pairs(
    known: Tensor, count: int, size_px: int, generator: torch.Generator
) -> tuple[ByteArray, Tensor]:
    """(2 count, size_px, size_px) pictures, number i and count + i of nearly the same place; and
    what was done to each, (2 count, 4) in octaves."""
    light = torch.cat(crops(known, count, size_px, generator))
    changes = draw_changes(2 * count, generator)
    return exposed(light, changes, generator), changes.targets()


def changes_loss(read: Tensor, targets: Tensor) -> Tensor:
    """How far the differences that were read, (2 N, 4), are from the true ones: those within each
    pair, and, at half weight, those between all pictures (their deviations from the mean)."""
    read_pair, true_pair = (values.chunk(2)[0] - values.chunk(2)[1] for values in (read, targets))
    read_all, true_all = (values - values.mean(0) for values in (read, targets))
    return F.smooth_l1_loss(read_pair, true_pair) + 0.5 * F.smooth_l1_loss(read_all, true_all)


def order_loss(read: Tensor, targets: Tensor) -> Tensor:
    """Logistic loss of which picture of a pair has more, where they differ by a tenth octave."""
    read_pair, true_pair = (values.chunk(2)[0] - values.chunk(2)[1] for values in (read, targets))
    told = true_pair.abs() > 0.1
    return F.softplus(-4 * read_pair * true_pair.sign())[told].mean()


def content_loss(content: Tensor) -> Tensor:
    """NT-Xent, equation (1) of Chen et al. 2020: each picture (2 N, D) finds the other of its
    place among all."""
    unit = F.normalize(content, dim=1)
    likeness = unit @ unit.T / TEMPERATURE
    likeness = likeness.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
    other = torch.arange(len(unit)).roll(len(unit) // 2)
    return F.cross_entropy(likeness, other)


def probe(
    encoder: Encoder, known: Tensor, unseen: Tensor, count: int, seed: int
) -> dict[str, float]:
    """What a linear layer reads off the features of pictures (128 px) of scenes it never saw.

    A ridge regression is fitted to pictures of the ``known`` sheets. Of the ``unseen``:
    ``r2_NAME`` is the share of variance that it explains, in octaves, and ``order_NAME`` how often
    it orders two pictures of one place rightly that differ by at least half an octave.
    """
    fitted, truth = _read_off(encoder, known, count, seed + 1)
    tested, true = _read_off(encoder, unseen, count, seed + 2)
    mean, scale = fitted.mean(0), fitted.std(0) + 1e-6
    a = (fitted - mean) / scale
    gram = a.T @ a + RIDGE * np.eye(a.shape[1])
    weights = np.linalg.solve(gram, a.T @ (truth - truth.mean(0)))
    read = (tested - mean) / scale @ weights + truth.mean(0)
    rest, spread = ((read - true) ** 2).sum(0), ((true - true.mean(0)) ** 2).sum(0)
    half = len(true) // 2
    told, really = read[:half] - read[half:], true[:half] - true[half:]
    scores = {f"r2_{name}": float(1 - rest[i] / spread[i]) for i, name in enumerate(TARGETS)}
    for i, name in enumerate(TARGETS):
        apart = np.abs(really[:, i]) >= 0.5
        right = np.sign(told[apart, i]) == np.sign(really[apart, i])
        scores[f"order_{name}"] = float(right.mean())
    return scores


def _read_off(
    encoder: Encoder, known: Tensor, count: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Features (count, size) and targets (count, 4) of pictures that are neither black nor white.
    Row i and row count / 2 + i are of nearly the same place."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.cat(crops(known, count // 2, 128, generator))
    changes = draw_changes(len(light), generator)
    low, high = PROBED_OCTAVES
    level = 2 ** (low + (high - low) * torch.rand(len(light), generator=generator))
    changes = changes._replace(level_dn=level)
    pictures = exposed(light, changes, generator)
    return encoder(pictures).astype(np.float64), changes.targets().double().numpy()


def _losses(features: Tensor, targets: Tensor, readers: Readers) -> dict[str, Tensor]:
    read = readers.changes(features)
    return {
        "changes": changes_loss(read, targets),
        "order": order_loss(read, targets),
        "content": content_loss(readers.content(features)),
    }


def _fresh(seed: int) -> tuple[SmallEncoderNetwork, Readers]:
    """Networks of the seed's random weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallEncoderNetwork(), Readers()


@torch.no_grad()
def _calibrated(
    network: SmallEncoderNetwork, known: Tensor, generator: torch.Generator
) -> SmallEncoderNetwork:
    """An untrained network that has seen pictures enough to know its features' mean and scale."""
    network.train()
    for _ in range(20):
        network(*views(pairs(known, 32, 128, generator)[0]))
    return network


def _save(
    network: SmallEncoderNetwork,
    config: EncoderConfig,
    out_path: Path,
    scores: dict[str, float],
    untrained: dict[str, float],
    started: dict[str, Any],
) -> None:
    """Weights and card."""
    plain = to_plain(config)
    save_state(out_path, {"encoder": "small", "config": plain, "weights": network.state_dict()})
    card = {
        "name": out_path.stem,
        "summary": "Encoder of blur, brightness, contrast, noise and content, trained unsupervised",
        "sha256": hashlib.sha256(out_path.read_bytes()).hexdigest(),
        "features": FEATURES,
        "training": plain,
        "sheet_px": SHEET_PX,
        "probe": scores,
        "probe_untrained": untrained,
        "provenance": started,
    }
    content = json.dumps(card, indent=2) + "\n"
    write_atomically(out_path.with_suffix(".json"), content.encode())
