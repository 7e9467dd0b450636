"""Encoder ``small``, the default: a little network of our own, trained without labels and shipped.

It sees a picture twice. Up to 16 tiles at full resolution, evenly spread, show what a blur of a
pixel and noise do; the whole picture, made small, shows what is on it and how much light there is.
Its training (``training.encoder``) asks what was done to a picture, so that blur, brightness,
contrast and noise can be read off the features, whatever is on the picture.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visuomotor.errors import InputError
from visuomotor.files import load_state
from visuomotor.models.pictures import checked_bytes, gray_bytes, squeezed
from visuomotor.models.weights import load_weights
from visuomotor.types import ByteArray, Frames

SIDE_PX = 64
"""Of a tile, and of the whole picture made small."""
TILES = 4
"""At most so many along each side of the picture."""
WIDTHS = (48, 64, 128)
LAGS_PX = (1, 2, 4, 8, 16)
"""Over which differences are taken: how they grow with the lag tells blur from noise."""
LEAST_DIFFERENCE = 0.05
"""Added to squared differences before their logarithm is taken, in squared grey levels."""
HIDDEN = 208
FEATURES = 192
STATISTICS = 5
LEAST_ENERGY = 0.01
"""Added to what is averaged before its logarithm is taken."""
BATCH = 64
"""Pictures that go through the network at once."""
FOLDER = Path(__file__).resolve().parents[1] / "shipped"


class SmallEncoderNetwork(nn.Module):
    """Tiles and the whole picture through the same convolutions; what these find is averaged over
    all places, at every depth. With mean squares of differences over several lags and a few
    statistics of grey levels, two layers make features of it."""

    def __init__(self) -> None:
        super().__init__()
        stem, middle, last = WIDTHS
        layers = [
            nn.Conv2d(2, stem, 8, stride=4, padding=2),
            nn.Conv2d(stem, middle, 3, stride=2, padding=1),
            nn.Conv2d(middle, last, 3, stride=2, padding=1),
        ]
        # Channels last: half as fast again on a processor.
        self.convolutions = nn.ModuleList(layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        inputs = 3 * (sum(WIDTHS) + len(LAGS_PX)) + last + 2 * STATISTICS
        self.hidden = nn.Linear(inputs, HIDDEN)
        self.out = nn.Linear(HIDDEN, FEATURES)
        # Features of mean 0 and deviation 1 over the training pictures.
        self.norm = nn.BatchNorm1d(FEATURES, affine=False)

    def forward(self, tiles: Tensor, whole: Tensor) -> Tensor:
        """Grey levels (N, T, 64, 64) and (N, 64, 64), float -> features (N, FEATURES)."""
        count, number = tiles.shape[:2]
        # Channels last from the start: (N * T + N, 64, 64, 2).
        split = count * number
        both = tiles.new_empty(split + count, SIDE_PX, SIDE_PX, 2)
        _prepare(tiles, both[:split])
        _prepare(whole[:, None], both[split:])
        planes = both.permute(0, 3, 1, 2)
        averages = []
        for convolution in self.convolutions:
            planes = F.relu(convolution(planes), inplace=True)
            averages.append(planes.mean((2, 3)))
        found = torch.cat(averages, 1)  # (N * T + N, sum(WIDTHS))
        of_tiles, of_whole = found[:split].view(count, number, -1), found[split:]
        near, far = _differences(tiles), _differences(whole[:, None])[:, 0]
        energies = torch.cat([of_tiles.mean(1), of_tiles.amax(1), of_whole], 1)
        differences = torch.cat([near.mean(1), near.amax(1), far], 1)
        seen = [
            torch.log(energies + LEAST_ENERGY),
            torch.log2(differences + LEAST_DIFFERENCE) / 4 - 1,
            planes[split:].amax((2, 3)),
            _statistics(tiles),
            _statistics(whole),
        ]
        features: Tensor = self.norm(self.out(F.relu(self.hidden(torch.cat(seen, 1)))))
        return features


class SmallEncoder:
    """The network with its weights, from pictures of any size."""

    size = FEATURES

    def __init__(self, network: SmallEncoderNetwork) -> None:
        self.network = network.eval()

    def __call__(self, frames: Frames) -> NDArray[np.float32]:
        """(M, H, W[, 3]) uint8 -> (M, 192) float32; colour is made grey."""
        gray = gray_bytes(checked_bytes(frames, "encoder small"))
        features = np.empty((len(gray), FEATURES), np.float32)
        for start in range(0, len(gray), BATCH):
            some = gray[start : start + BATCH]
            with torch.no_grad():
                features[start : start + BATCH] = self.network(*views(some)).numpy()
        return features


def build(weights: Path | None) -> SmallEncoder:
    """The shipped one, or that of a file which ``training.encoder`` wrote."""
    path = weights or _shipped()
    state = load_state(path)
    if state.get("encoder") != "small":
        raise InputError(f"{path}: expected weights of encoder small, got another checkpoint")
    network = SmallEncoderNetwork()
    load_weights(network, state["weights"], str(path))
    return SmallEncoder(network)


def views(gray: ByteArray) -> tuple[Tensor, Tensor]:
    """(M, H, W) -> tiles (M, T, 64, 64) and whole (M, 64, 64) grey levels, float32.

    Tiles are at full resolution, evenly spread, at most 4 along a side; the whole is squeezed to a
    square. Pictures smaller than a tile are mirrored at their edges.
    """
    missing = [max(SIDE_PX - side, 0) for side in gray.shape[1:]]
    large = gray
    if any(missing):
        edges = [(0, 0), *((less // 2, less - less // 2) for less in missing)]
        large = np.pad(gray, edges, "symmetric")
    height, width = large.shape[1:]
    places = corners(height, width)
    tiles = np.stack([large[:, y : y + SIDE_PX, x : x + SIDE_PX] for y, x in places], 1)
    whole = squeezed(gray, SIDE_PX, SIDE_PX)
    return torch.from_numpy(tiles).float(), torch.from_numpy(whole)


def corners(height: int, width: int) -> list[tuple[int, int]]:
    """Top and left of each tile of a picture that is at least as large as one."""
    return [(top, left) for top in _starts(height) for left in _starts(width)]


def _starts(side: int) -> list[int]:
    count = min(math.ceil(side / SIDE_PX), TILES)
    return [round(start) for start in np.linspace(0, side - SIDE_PX, count)]


def _prepare(views: Tensor, out: Tensor) -> None:
    """(N, V, 64, 64) to (N * V, 64, 64, 2): brightness, and detail whatever the brightness."""
    out[..., 0] = torch.log1p(views).mul_(0.25 / math.log(2)).sub_(1).flatten(0, 1)
    detail = views - views.mean((2, 3), keepdim=True)
    # By the deviation of the whole picture: a tile without detail has none afterwards either.
    norm = torch.linalg.vector_norm(detail.flatten(1), dim=1) / math.sqrt(detail[0].numel())
    out[..., 1] = detail.mul_(1 / (norm + 1)[:, None, None, None]).flatten(0, 1)


def _differences(views: Tensor) -> Tensor:
    """(N, V, 64, 64) -> (N, V, LAGS): mean squares of differences along rows and columns."""
    made = []
    for lag in LAGS_PX:
        across = (views[..., lag:] - views[..., :-lag]).flatten(2)
        down = (views[..., lag:, :] - views[..., :-lag, :]).flatten(2)
        # Each is one pass over the memory, where squares and their means are three.
        total = torch.linalg.vector_norm(across, dim=2) ** 2
        made.append((total + torch.linalg.vector_norm(down, dim=2) ** 2) / across.shape[2])
    return torch.stack(made, 2)


def _statistics(views: Tensor) -> Tensor:
    """(N, ..., 64, 64) -> (N, STATISTICS): how bright, how much contrast, how much is clipped."""
    levels = views.flatten(1)
    mean = levels.mean(1)
    deviation = (levels.square().mean(1) - mean**2).clamp_min(0).sqrt()  # faster than torch.std
    rows = [
        mean / 128 - 1,
        torch.log2(mean + 1) / 4 - 1,
        torch.log2(deviation + 1) / 4 - 1,
        (levels < 0.5).float().mean(1),
        (levels > 254.5).float().mean(1),
    ]
    return torch.stack(rows, 1)


def _shipped() -> Path:
    """The newest shipped weights, their sha256 checked against the card."""
    found = list(FOLDER.glob("small@*.safetensors"))
    if not found:
        raise InputError(f"{FOLDER}: expected shipped weights of encoder small, found none")
    path = max(found, key=lambda file: int(file.stem.partition("@")[2]))
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != card["sha256"]:
        raise InputError(
            f"{path}: expected sha256 {card['sha256']}, got {digest}: the file was changed"
        )
    return path
