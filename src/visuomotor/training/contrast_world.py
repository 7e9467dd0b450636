"""Episodes in contrast space: what many samples would show, without rendering a picture.

A world holds B cells. Each is a view of ``simulated_views`` (or several, at depths of their own)
whose fine step, range, noise, light and drive are drawn at random: what differs between samples,
microscopes and cameras. A look is the contrast of the view at the cell's defocus with fresh noise.
What a policy sees here is what ``vision.contrast`` reads off pictures, up to approximations that
the tests bound: noise adds its own energy, and detail and noise are uncorrelated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from visuomotor.configs import check_range
from visuomotor.tasks.discrete_search import moves_to_focus
from visuomotor.training.simulated_views import FARTHEST, Views
from visuomotor.training.view_curves import GRAIN, LIGHT, SHARP_FRACTION, SHARPNESS, ViewCurves
from visuomotor.vision.contrast import (
    ABSENT,
    BANDS,
    BRIGHTNESS,
    EDGES,
    NOISE,
    OCTAVES,
    SIZE,
    WHITE_NOISE,
)

PARTS = 3
"""Of a view with relief, at most."""
_TABLE = 220
_TABLE_STEPS = 1190.0
_TABLE_SCALE = 4.0
"""A cell's curve is tabled evenly in asinh(defocus / scale)."""
_WIDEST = 13
"""Zones that are told apart by their width, in fine steps."""
_REFERENCE_PX = 128
"""Side of the training pictures: what noise averages over."""


@dataclass(frozen=True)
class WorldConfig:
    """What is drawn for each cell. Pairs are bounds between which logarithms are uniform."""

    zone_steps: tuple[float, float] = (1.2, 14.0)
    """Width of what is above 0.9 of the maximum, in fine steps: more often in the middle, as fine
    steps are meant to be a fourth or a fifth of it and are rarely exact."""
    range_steps: tuple[float, float] = (20.0, 300.0)
    signal_to_noise: tuple[float, float] = (0.7, 1e5)
    """In focus, of edges: energy of detail over that of noise. Below 0.5 nothing is a sample."""
    relief: float = 0.2
    """Share of views with parts at different depths."""
    at_end: float = 0.2
    """... with focus close to an end of the range."""
    outside: float = 0.04
    """... with focus outside the range."""
    blank: float = 0.03
    """... with nothing on them."""
    brighter: float = 0.3
    """... whose brightness changes with focus."""
    drift: float = 0.15
    """... whose light drifts from look to look."""
    flicker: float = 0.5
    wobble: float = 0.3
    """... whose contrast differs a little from picture to picture, as compression makes it."""
    sectioning: float = 0.08
    """... dark out of focus, as in a confocal microscope or a light sheet."""
    planes: float = 0.4
    """... recorded in few planes and interpolated."""
    plane_steps: tuple[float, float] = (2.0, 18.0)
    """Distance between planes, in fine steps."""
    zone_planes: tuple[float, float] = (0.3, 3.0)
    """Width of what is above 0.9 of the maximum before interpolation, in planes: afterwards, only
    the planes themselves are sharp, and the fine step is theirs."""
    slip: float = 0.1
    """... with a drive that slips and has play."""
    new_view: float = 1 / 12
    """Probability that an episode begins on a view of its own, not on the last one's."""

    def __post_init__(self) -> None:
        share = (0, 1)
        check_range(self, relief=share, outside=share, blank=share, brighter=share, drift=share)
        check_range(self, flicker=share, wobble=share, sectioning=share, planes=share, slip=share)
        check_range(self, new_view=share, at_end=share)


def _moves_to_zone(steps: tuple[int, ...]) -> Tensor:
    """(W, N) how many moves lead from N fine steps before a zone of W + 1 positions into it."""
    longest = int(1.3 * FARTHEST)
    table = np.empty((_WIDEST, longest), np.int64)
    for width in range(_WIDEST):
        sharp = np.zeros(2 * longest + width, np.bool_)
        sharp[longest : longest + width + 1] = True
        table[width] = moves_to_focus(sharp, steps)[longest::-1][:longest]
    return torch.from_numpy(table)


class ContrastWorld:
    """B cells. Positions are in fine steps from the sharpest place of the main part."""

    def __init__(
        self, views: Views, config: WorldConfig, steps: tuple[int, ...], cells: int, seed: int
    ) -> None:
        """steps: displacement of each action in fine steps, 0 stops."""
        self.cells = cells
        self._config = config
        self._curves = ViewCurves(views)
        self._steps = torch.tensor(steps, dtype=torch.float32)  # (A,)
        self.stop = steps.index(0)
        self._moves = _moves_to_zone(steps)
        self._draws = torch.Generator().manual_seed(seed)
        self._white = torch.tensor(WHITE_NOISE)
        octave = torch.tensor([*range(OCTAVES), 1])  # edges are about as coarse as the second
        pixels = _REFERENCE_PX**2 * 0.25**octave
        self._spread = (2 / pixels.clamp_min(4)).sqrt()  # relative, of noise's own energy
        reach = math.asinh(_TABLE_STEPS / _TABLE_SCALE)
        self._grid = torch.sinh(torch.linspace(-reach, reach, _TABLE)) * _TABLE_SCALE
        self._reach = reach
        b = torch.zeros(cells)
        self.view = torch.zeros(cells, PARTS, dtype=torch.long)
        self._part_at, self._part_share = torch.zeros(cells, PARTS), torch.zeros(cells, PARTS)
        self._table = torch.zeros(cells, _TABLE, BANDS + 3)
        self._now = torch.zeros(cells, BANDS + 3)
        self._present = torch.zeros(cells, BANDS, dtype=torch.bool)
        self.blank = torch.zeros(cells, dtype=torch.bool)
        self.low, self.high, self.position, self.best = b.clone(), b.clone(), b.clone(), b.clone()
        self.age = b.clone()
        self._maximum, self._before, self._behind = b.clone(), b.clone(), b.clone()
        self._stretch, self._noise, self._at_best = b.clone(), b.clone(), b.clone()
        self._gradient, self._drift, self._flicker = b.clone(), b.clone(), b.clone()
        self._pedestal, self._depth, self._plane = b.clone(), b.clone(), b.clone()
        self._phase, self._slip, self._play = b.clone(), b.clone(), b.clone()
        self._taken, self._way = b.clone(), b.clone()
        self._alike, self._wobble = torch.ones(cells, BANDS + 2), b.clone()
        everything = torch.arange(cells)
        self._draw_views(everything)
        self._begin(everything)

    # ---- what an episode sees and does

    def reset(self, cells: Tensor) -> None:
        """Begin episodes in the cells named, some of them on new views."""
        fresh = cells[self._uniform(len(cells)) < self._config.new_view]
        if len(fresh):
            self._draw_views(fresh)
        self._begin(cells)

    def look(self, cells: Tensor) -> Tensor:
        """(M, SIZE) one fresh look of each cell named, as ``vision.contrast`` has it."""
        count, now = len(cells), self._now[cells]
        detail = torch.where(self.blank[cells, None], 0.0, now[:, :BANDS].exp())
        noise = (self._noise[cells] * now[:, -1])[:, None] * self._white  # (M, BANDS)
        own = 1 + self._normal(count, BANDS) * self._spread
        both = 2 * self._normal(count, BANDS) * (detail * noise / 2).sqrt() * self._spread
        energy = (detail + noise * own.clamp_min(0.05) + both).clamp_min(1e-14).log()
        unsteady = self._normal(count, 1) + 0.5 * self._normal(count, BANDS)
        energy = energy + self._wobble[cells, None] * unsteady
        grain = torch.where(self.blank[cells], 0.0, now[:, GRAIN].exp())
        seen = grain + self._noise[cells] * now[:, -1] * (1 + 0.02 * self._normal(count))
        wide = self.high[cells] - self.low[cells]
        light = self._gradient[cells] * self.position[cells] / wide
        light = light + self._drift[cells] * self.age[cells]
        light = light + self._flicker[cells] * self._normal(count)
        pedestal = self._pedestal[cells]
        found = torch.empty(count, SIZE)
        found[:, :BANDS] = torch.where(self._present[cells], energy + 2 * light[:, None], ABSENT)
        found[:, NOISE] = seen.clamp_min(1e-14).log() + 2 * light
        found[:, BRIGHTNESS] = ((1 - pedestal) * light.exp() + pedestal).log()
        return found

    def move(self, cells: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Move the cells (M,) by their actions (M,); returns the motion that the drive reports
        (M,), clipped to the range, and -1 or 1 where it was cut short there, else 0 (M,). With slip
        or play the sample moved otherwise."""
        here = self.position[cells]
        asked = here + self._steps[action]
        target = asked.clamp(self.low[cells], self.high[cells])
        told = target - here
        too_far = (asked - target).sign()
        real = told * (1 + self._slip[cells] * self._normal(len(cells)))
        way = told.sign()
        turned = (way != 0) & (self._way[cells] != 0) & (way != self._way[cells])
        slack = torch.where(turned, self._play[cells], self._taken[cells])
        lost = torch.minimum(slack, real.abs())
        self._taken[cells] = slack - lost
        self._way[cells] = torch.where(way != 0, way, self._way[cells])
        real = real - real.sign() * lost
        self.position[cells] = (here + real).clamp(self.low[cells], self.high[cells])
        self.age[cells] += 1
        self._arrive(cells)
        return told, too_far

    # ---- what only a simulator knows

    def relative_sharpness(self, cells: Tensor) -> Tensor:
        """(M,) F / F_max here, free of noise; F_max within the range."""
        return (self._now[cells, SHARPNESS] - self._maximum[cells]).exp()

    def in_focus(self, cells: Tensor) -> Tensor:
        """(M,) whether a stop here succeeds."""
        return (self.relative_sharpness(cells) > SHARP_FRACTION) & ~self.blank[cells]

    def distance(self, cells: Tensor) -> Tensor:
        """(M,) signed way to the sharpest position, in fine steps."""
        return self.best[cells] - self.position[cells]

    def moves_after(self, cells: Tensor) -> Tensor:
        """(M, A) how many moves an omniscient searcher needs after each action."""
        low, high = self.low[cells, None], self.high[cells, None]
        there = (self.position[cells, None] + self._steps).clamp(low, high)
        ahead = self.best[cells, None] - there
        before, behind = self._before[cells, None], self._behind[cells, None]
        short = (ahead - before).ceil().clamp_min(0)
        past = (-ahead - behind).ceil().clamp_min(0)
        missing = torch.maximum(short, past).long().clamp(max=self._moves.shape[1] - 1)
        wide = (before + behind).floor().long().clamp(max=self._moves.shape[0] - 1)
        moves: Tensor = self._moves[wide.expand_as(missing), missing]
        return moves

    def expert(self, cells: Tensor) -> Tensor:
        """(M,) an omniscient searcher's action."""
        moves = self.moves_after(cells).float()
        moves[:, self.stop] = math.inf
        nearest = moves + 1e-3 * (self.distance(cells)[:, None] - self._steps).abs() / FARTHEST
        return torch.where(self.in_focus(cells), self.stop, nearest.argmin(1))

    # ---- state, for a resumed run

    def state_dict(self) -> dict[str, Tensor]:
        state = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return state | {"draws": self._draws.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            if name == "draws":
                self._draws.set_state(value)
            else:
                setattr(self, name, value.clone())

    # ---- drawing

    def _draw_views(self, cells: Tensor) -> None:
        """New views, and everything that stays as it is on them."""
        c, count, curves = self._config, len(cells), self._curves
        view = torch.randint(len(curves.present), (count, PARTS), generator=self._draws)
        self.view[cells] = view
        self._present[cells] = curves.present[view[:, 0]]
        share = torch.zeros(count, PARTS)
        share[:, 0] = 1
        rough = self._chance(count, c.relief)
        share[:, 1] = self._uniform(count, 0.1, 0.9) * rough
        share[:, 2] = self._uniform(count, 0.0, 0.6) * rough * self._chance(count, 0.4)
        self._part_share[cells] = share / share.sum(1, keepdim=True)
        apart = self._normal(count, PARTS) * self._log_uniform(count, (1.0, 25.0))[:, None]
        apart[:, 0] = 0
        self._part_at[cells] = apart
        zone = [self._log_uniform(count, c.zone_steps) for _ in range(2)]
        plane = self._log_uniform(count, c.plane_steps)
        few = self._chance(count, c.planes)
        self._plane[cells] = torch.where(few, plane, 0.0)
        over = plane * self._log_uniform(count, c.zone_planes)
        stretch = torch.where(few, over, (zone[0] * zone[1]).sqrt()) / curves.width[view[:, 0]]
        mirrored = torch.where(self._chance(count, 0.5), -1.0, 1.0)
        self._stretch[cells] = stretch.clamp(0.25, 10.0) * mirrored
        wide = self._log_uniform(count, c.range_steps).round()
        below = self._uniform(count)
        beyond = torch.where(
            self._chance(count, 0.5), self._uniform(count, -0.3, 0), self._uniform(count, 1, 1.3)
        )
        at_end = torch.where(below > 0.5, 1.0, 0.0) + self._uniform(count, -0.02, 0.02)
        below = torch.where(self._chance(count, c.at_end), at_end, below)
        below = torch.where(self._chance(count, c.outside), beyond, below)
        self.low[cells], self.high[cells] = -below * wide, (1 - below) * wide
        self._gradient[cells] = 0.15 * self._normal(count) * self._chance(count, c.brighter)
        self._drift[cells] = 0.01 * self._normal(count) * self._chance(count, c.drift)
        lamp = self._log_uniform(count, (5e-4, 0.03))
        self._flicker[cells] = lamp * self._chance(count, c.flicker)
        unsteady = self._log_uniform(count, (2e-3, 0.12))
        self._wobble[cells] = unsteady * self._chance(count, c.wobble)
        self._pedestal[cells] = self._uniform(count, 0, 0.9) * self._chance(count, 0.5)
        section = self._log_uniform(count, (3.0, 40.0))
        self._depth[cells] = torch.where(self._chance(count, c.sectioning), section, math.inf)
        self._phase[cells] = self._uniform(count)
        # Detail of neighbouring planes is not in step where the picture grows with focus, and fine
        # detail least: what is blended from them loses it.
        fineness = 0.5 ** torch.tensor([*range(OCTAVES), 1, 1, 0])
        apart = self._log_uniform(count, (0.01, 2.0))[:, None] * fineness
        self._alike[cells] = (-apart).exp()
        self.blank[cells] = self._chance(count, c.blank)
        loose = self._chance(count, c.slip)
        self._slip[cells] = self._uniform(count, 0, 0.12) * loose
        self._play[cells] = self._uniform(count, 0, 4) * loose
        self._find_focus(cells)

    def _find_focus(self, cells: Tensor) -> None:
        """The sharpest position in the range, the zone around it, and the table of the curve."""
        count = len(cells)
        low, high = self.low[cells, None], self.high[cells, None]
        coarse = low + (high - low) * torch.linspace(0, 1, 129)
        near = torch.linspace(-16, 16, 65).expand(count, -1)
        phase, plane = self._phase[cells, None], self._plane[cells, None]
        planes = (phase + torch.arange(-6, 7)) * plane
        tried = torch.cat([coarse, near, planes, self._part_at[cells]], 1).clamp(low, high)
        sharpness = self._curve(cells, tried)[..., SHARPNESS]
        self._maximum[cells], which = sharpness.max(1)
        self.best[cells] = tried.gather(1, which[:, None])[:, 0]
        step, half = 0.25, 48
        around = self.best[cells, None] + step * torch.arange(-half, half + 1)
        here = self._curve(cells, around)
        sharp = here[..., SHARPNESS] - self._maximum[cells, None] > math.log(SHARP_FRACTION)
        self._at_best[cells] = here[:, half, EDGES]
        behind, before = sharp[:, half:].long(), sharp[:, : half + 1].flip(1).long()
        self._behind[cells] = (behind.cumprod(1).sum(1) - 1).clamp_min(0) * step
        self._before[cells] = (before.cumprod(1).sum(1) - 1).clamp_min(0) * step
        self._table[cells] = self._curve(cells, self._grid.expand(count, -1))

    def _begin(self, cells: Tensor) -> None:
        """A start anywhere in the range, with noise of its own."""
        count = len(cells)
        wide = self.high[cells] - self.low[cells]
        self.position[cells] = self.low[cells] + wide * self._uniform(count)
        ratio = self._log_uniform(count, self._config.signal_to_noise)
        self._noise[cells] = self._at_best[cells].exp() / self._white[EDGES] / ratio
        for state in (self._taken, self._way, self.age):
            state[cells] = 0
        self._arrive(cells)

    def _arrive(self, cells: Tensor) -> None:
        """Look the cells' curves up where they are now."""
        defocus = self.position[cells].clamp(-_TABLE_STEPS, _TABLE_STEPS)
        place = (torch.asinh(defocus / _TABLE_SCALE) / self._reach + 1) / 2 * (_TABLE - 1)
        place = place.clamp(0, _TABLE - 1.001)
        low = place.long()
        share = (place - low)[:, None]
        self._now[cells] = (
            self._table[cells, low] * (1 - share) + self._table[cells, low + 1] * share
        )

    def _curve(self, cells: Tensor, at: Tensor) -> Tensor:
        """(M,) cells at (M, P) positions -> (M, P, BANDS + 3): log energies, sharpness, grain,
        and last the share of noise that is left of it (less between interpolated planes)."""
        curve = torch.ones(*at.shape, BANDS + 3)
        curve[..., :-1] = self._smooth_curve(cells, at)
        some = torch.where(self._plane[cells] > 0)[0]
        if len(some):
            plane = self._plane[cells[some], None]
            phase = self._phase[cells[some], None] * plane
            lower = ((at[some] - phase) / plane).floor() * plane + phase
            share = ((at[some] - lower) / plane)[..., None]
            first = (self._smooth_curve(cells[some], lower) / 2).exp() * (1 - share)
            second = (self._smooth_curve(cells[some], lower + plane) / 2).exp() * share
            alike = self._alike[cells[some], None]
            curve[some, :, :-1] = (first**2 + second**2 + 2 * alike * first * second).log()
            curve[some, :, -1:] = (1 - share) ** 2 + share**2
        return curve

    def _smooth_curve(self, cells: Tensor, at: Tensor) -> Tensor:
        """The same before interpolation, (M, P, BANDS + 2): the parts' energies add up."""
        total = torch.zeros(*at.shape, BANDS + 2)
        for part in range(PARTS):
            some = torch.where(self._part_share[cells, part] > 0)[0]
            if not len(some):
                continue
            which = cells[some]
            view = self.view[which, part]
            away = (at[some] - self._part_at[which, part, None]) / self._stretch[which, None]
            away = away + self._curves.sharpest[view, None]
            found = self._curves.at(view.repeat_interleave(at.shape[1]), away.reshape(-1))
            found = found[:, :LIGHT].reshape(*away.shape, LIGHT).clamp_min(-60).exp()
            total[some] += self._part_share[which, part, None, None] * found
        dark = -2 * torch.log1p((at / self._depth[cells, None]) ** 2)
        return total.clamp_min(1e-14).log() + dark[..., None]

    def _uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=self._draws)

    def _log_uniform(self, count: int, bounds: tuple[float, float]) -> Tensor:
        return self._uniform(count, math.log(bounds[0]), math.log(bounds[1])).exp()

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._draws)

    def _chance(self, count: int, probability: float) -> Tensor:
        return self._uniform(count) < probability
