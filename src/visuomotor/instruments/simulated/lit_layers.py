"""A scene's layers placed before the lens: what each cell of a camera looks at, in frequencies.

    I = B_0(b) + sum over layers B_n(m_n (t_n - b))

b is the background, B blurs each depth by its own, t_n and m_n are texture and coverage. Behind an
object b has no detail, so that none shines through where the object is sharp. With one blur for all
it is the sharp picture, blurred; one inverse transform serves any number of layers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from visuomotor.instruments.simulated.lit_scenes import (
    REFERENCE_CM,
    Array,
    Layer,
    LitScene,
    sheets,
)
from visuomotor.types import FloatArray, IntArray

HIDDEN_SIGMA_PX = 12.0
"""What lies behind an object has no detail finer than this."""
SEAM_PX = 6
"""Beyond an object's edge, over which the background's detail comes back."""


@dataclass(frozen=True)
class _Prepared:
    """A scene, ready to be placed."""

    background: Tensor  # (G, G)
    smooth: Tensor  # (G, G) the same without detail
    background_cm: float
    layers: tuple[Layer, ...]
    textures: tuple[Tensor, ...]  # (2, h, w) float16 each


class LitLayers:
    """What B cells look at: L spectra each, (B, L, G (G / 2 + 1) 2), the background's first."""

    def __init__(
        self,
        scenes: list[LitScene],
        cells: int,
        size_px: int,
        grid_px: int,
        device: torch.device,
    ) -> None:
        self._scenes = scenes
        self._size_px, self.grid_px = size_px, grid_px
        self._prepared: dict[int, _Prepared] = {}
        self._device = device
        self.layers = 2
        """Depths, that of the background counted."""
        self._spectra = self._empty(cells, self.layers)
        self._ratios = np.ones((cells, self.layers))
        self._background_cm = np.full(cells, np.nan)
        self._distance_cm = np.full(cells, np.nan)

    def place(
        self, cells: IntArray, scene: IntArray, distance_cm: FloatArray, offset_px: FloatArray
    ) -> None:
        """Put these scenes (M,) before these cells, the object at this distance (M,), moved by
        (M, 2) pixels right and down at the reference distance."""
        wanted = zip(cells, scene, distance_cm, offset_px, strict=True)
        for cell, number, distance, offset in wanted:
            ready = self._ready(int(number))
            self._grow(1 + len(ready.layers))
            placed = torch.fft.rfft2(self._placed(ready, float(distance), offset))
            self._spectra[cell, : len(placed)] = torch.view_as_real(placed).flatten(1)
            self._spectra[cell, len(placed) :] = 0
            self._ratios[cell] = 1.0
            self._ratios[cell, 1 : len(placed)] = [layer.depth_ratio for layer in ready.layers]
            self._background_cm[cell] = ready.background_cm
        self._distance_cm[cells] = distance_cm

    def distances_cm(self, cells: IntArray) -> FloatArray:
        """(M, L) of each layer."""
        distances: FloatArray = self._ratios[cells] * self._distance_cm[cells, None]
        distances[:, 0] = self._background_cm[cells]
        return distances

    def blurred(self, cells: IntArray, transfer: Tensor) -> Tensor:
        """(M, G, G / 2 + 1) complex: the layers of these cells together, each with its transfer
        (M, L, G (G / 2 + 1) 2), real, each number twice."""
        first, count = int(cells[0]), len(cells)
        if np.array_equal(cells, np.arange(first, first + count)):
            spectra = self._spectra[first : first + count]  # a view of neighbours, not a copy
        else:
            spectra = self._spectra.index_select(0, torch.as_tensor(cells, device=self._device))
        both = spectra[:, 0] * transfer[:, 0]
        for layer in range(1, self.layers):
            both.addcmul_(spectra[:, layer], transfer[:, layer])
        return torch.view_as_complex(both.view(count, self.grid_px, -1, 2))

    def _ready(self, number: int) -> _Prepared:
        if number not in self._prepared:
            made = sheets(self._scenes[number], self._size_px, self.grid_px)
            background = made.background.astype(np.float32)
            textures = (np.moveaxis(layer.texture, -1, 0).copy() for layer in made.layers)
            self._prepared[number] = _Prepared(
                background=torch.from_numpy(background).to(self._device),
                smooth=torch.from_numpy(_smooth(background)).to(self._device),
                background_cm=made.background_cm,
                layers=made.layers,
                textures=tuple(torch.from_numpy(one).to(self._device) for one in textures),
            )
        return self._prepared[number]

    def _placed(self, ready: _Prepared, distance_cm: float, offset_px: FloatArray) -> Tensor:
        """(1 + layers, G, G) the background, and what each layer changes of it."""
        zoom = REFERENCE_CM / distance_cm
        shape = (self.grid_px, self.grid_px)
        behind = torch.zeros(shape, device=self._device)
        shown = []
        for layer, half in zip(ready.layers, ready.textures, strict=True):
            down, top = self._gathering(layer, 1, half.shape[1], zoom, offset_px)
            across, left = self._gathering(layer, 0, half.shape[2], zoom, offset_px)
            seen = down @ half.float() @ across.mT  # (2, h, w) in the box where it is seen
            place = slice(top, top + seen.shape[1]), slice(left, left + seen.shape[2])
            around = _box_mean(seen.shape[1], self._device), _box_mean(seen.shape[2], self._device)
            behind[place] += around[0] @ seen[1] @ around[1]
            shown.append((place, seen))
        base = torch.lerp(ready.background, ready.smooth, (2 * behind).clamp_(max=1))
        free = torch.ones(shape, device=self._device)  # not covered by what is nearer
        changes = []
        for place, (light, cover) in reversed(shown):
            change = torch.zeros(shape, device=self._device)
            change[place] = free[place] * (light - cover * base[place])
            free[place] *= 1 - cover
            changes.append(change)
        return torch.stack([base, *reversed(changes)])

    def _gathering(
        self, layer: Layer, axis: int, texels: int, zoom: float, offset_px: FloatArray
    ) -> tuple[Tensor, int]:
        """(n, texels) how much of each pixel, of the n from a first one, lies in each texel; and
        the first. Axis 0 is across, 1 is down; pixels are those that the layer's seam reaches."""
        texel = zoom / layer.texels_per_px
        middle = (self.grid_px - 1) / 2 + zoom * float(layer.middle_px[axis] + offset_px[axis])
        reach = texel * texels / 2 + SEAM_PX + 1
        first = min(max(int(middle - reach), 0), self.grid_px - 1)
        last = max(min(int(middle + reach) + 1, self.grid_px - 1), first)
        pixels = torch.arange(first, last + 1, device=self._device, dtype=torch.float32)
        places = torch.arange(texels, device=self._device, dtype=torch.float32)
        places = middle + texel * (places - (texels - 1) / 2)
        apart = (pixels[:, None] - places).abs_()
        return ((1 + texel) / 2 - apart).clamp_(0, min(1.0, texel)), first

    def _grow(self, layers: int) -> None:
        if layers > self.layers:
            cells = len(self._spectra)
            wider = self._empty(cells, layers)
            wider[:, : self.layers] = self._spectra
            ratios = np.ones((cells, layers))
            ratios[:, : self.layers] = self._ratios
            self._spectra, self._ratios, self.layers = wider, ratios, layers

    def _empty(self, cells: int, layers: int) -> Tensor:
        size = self.grid_px * (self.grid_px // 2 + 1) * 2
        return torch.zeros((cells, layers, size), device=self._device)


def _smooth(sheet: Array) -> Array:
    """The sheet without detail. It wraps round at the edges, as blur in frequencies does."""
    pad = int(3 * HIDDEN_SIGMA_PX)
    wide = cv2.copyMakeBorder(sheet, pad, pad, pad, pad, cv2.BORDER_WRAP)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), HIDDEN_SIGMA_PX)[pad:-pad, pad:-pad])


@functools.lru_cache(maxsize=64)
def _box_mean(count: int, device: torch.device) -> Tensor:
    """(count, count) the mean over a seam's width, each way."""
    at = torch.arange(count, device=device)
    near = (at[:, None] - at).abs() <= SEAM_PX
    return near.float() / (2 * SEAM_PX + 1)
