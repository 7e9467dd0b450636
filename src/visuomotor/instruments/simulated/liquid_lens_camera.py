"""A simulated camera with a liquid lens and an exposure time, natively batched.

B cells, each a camera of its own before a scene of its own, in a light of its own. What a picture
goes through is in ``lit_camera.py``; here are the axes, the episodes, and the truth about them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from visuomotor.errors import InputError
from visuomotor.instruments.simulated.lit_camera import (
    Conditions,
    LiquidLensCameraConfig,
    LitCamera,
)
from visuomotor.instruments.simulated.lit_scenes import REFERENCE_CM, LitScene, scene_pool
from visuomotor.instruments.simulated.microscope import DriveConfig
from visuomotor.instruments.simulated.simulated_instrument import SimulatedAxis
from visuomotor.types import FloatArray, FocusCurve, Frames, IntArray
from visuomotor.vision.exposure import BEST_LEVEL

EXPOSURES_US = np.geomspace(1e3, 4.5e6, 146).round()
"""(146,) exposures to choose from, each 6 % longer than the one before."""
WIDE_TRIED, FINE_TRIED = 1.04, 9
"""From one exposure to the next, where the best is looked for; and how many are tried near it."""
ABOUT_RIGHT = (0.67, 1.42)
"""Times the best exposure: where episodes begin that start well exposed."""
START_LX = 150.0
"""Light before the first episode."""
NEAR_STEPS, COARSE_STEPS = 60, 12
"""The focus curve has a place at each fine step so near to what is in focus, and at every so many
of them elsewhere, where it is flat."""


class LiquidLensCamera:
    """See ``protocols.ExposureInstrument``, ``HasCameraTruth``, ``Resumable``; its camera is a
    ``HalfPupilCamera``. Where nothing changes between episodes (``config.changes``) also
    ``HasFocusTruth``.

    A new instrument has cell c before scene c modulo V, at 150 lx and 170 cm (or the nearest to
    these that the config allows), at the start exposure. Each ``reset`` to a random start begins an
    episode: the cell's light goes one step up or down (its first episode has any light), the object
    comes to another place, a share of cells sees another scene, and exposure starts anew. A
    ``reset`` to a given start moves the lens and nothing else.
    """

    roi = None

    def __init__(
        self,
        config: LiquidLensCameraConfig,
        scenes: Sequence[LitScene],
        cells: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """seed: of noise and nuisances."""
        if cells < 1:
            raise InputError(f"cells: expected at least 1, got {cells}")
        if not scenes:
            raise InputError("LiquidLensCamera: expected at least one scene, got none")
        self.config = config
        self.scenes = list(scenes)
        self.num_cells = cells
        self.fine_step = config.fine_step_v
        lens, exposure = config.lens, config.exposure_us
        self.focus = SimulatedAxis(DriveConfig("V", first=lens.low_v, last=lens.high_v), cells)
        self.exposure = SimulatedAxis(
            DriveConfig("us", first=exposure[0], last=exposure[1], focus=exposure[0]), cells
        )
        start = config.start_exposure_us or float(np.sqrt(exposure[0] * exposure[1]))
        self.exposure.move_to(np.full(cells, start), np.arange(cells))
        self._now = Conditions(
            scene=np.arange(cells) % len(self.scenes),
            illuminance_lx=np.full(cells, np.clip(START_LX, *config.illuminance_lx)),
            distance_cm=np.full(cells, np.clip(REFERENCE_CM, *config.distance_cm)),
            offset_px=np.zeros((cells, 2)),
        )
        self._met = np.zeros(cells, bool)  # has had an episode
        self._rising = np.ones(cells, bool)
        axes = self.focus, self.exposure
        self.camera = LitCamera(config, self.scenes, self._now, axes, seed, torch.device(device))
        self._best_exposure = {
            focused: (np.full((cells, 6), np.nan), np.ones(cells)) for focused in (True, False)
        }
        self._rates: dict[int, tuple[tuple[float, ...], FloatArray]] = {}
        if not config.changes:
            # Attributes, not methods: curves hold only while nothing changes.
            self._curves: dict[Hashable, tuple[bytes, list[FocusCurve]]] = {}
            self.focus_truth = self._focus_truth
            self.views = self._views

    # ---- episodes

    def reset(
        self, cells: IntArray, start: FloatArray | None, generator: np.random.Generator
    ) -> None:
        low, high = self.focus.limits
        if start is None:
            self._begin(cells, generator)
            start = generator.uniform(low, high, len(cells))
        elif not ((start >= low) & (start <= high)).all():  # NaN too
            raise InputError(f"start: expected positions from {low:g} to {high:g} V, got {start}")
        self.focus.move_to(start, cells)

    def set_conditions(
        self,
        cells: IntArray,
        *,
        scene: ArrayLike | None = None,
        illuminance_lx: ArrayLike | None = None,
        distance_cm: ArrayLike | None = None,
        exposure_us: ArrayLike | None = None,
    ) -> None:
        """Set what these cells look at, each one value for all or (M,); None stays as it is. Light
        may go beyond the config's range, down to darkness; distances may not go beyond what the
        lens can focus on."""
        count, now = len(cells), self._now
        if scene is not None:
            numbers = np.broadcast_to(np.asarray(scene, np.int64), count)
            if not ((numbers >= 0) & (numbers < len(self.scenes))).all():
                raise InputError(
                    f"scene: expected numbers from 0 to {len(self.scenes) - 1}, got {numbers}"
                )
            now.scene[cells] = numbers
        if illuminance_lx is not None:
            now.illuminance_lx[cells] = _numbers("illuminance_lx", illuminance_lx, count, 0, 1e6)
        if distance_cm is not None:
            away = _numbers("distance_cm", distance_cm, count, 10, 1e5)
            if np.isnan(self.config.lens.in_focus_v(away)).any():
                raise InputError(
                    f"distance_cm: expected distances that the lens can focus on, got {away}"
                )
            now.distance_cm[cells] = away
        if exposure_us is not None:
            low, high = self.exposure.limits
            wanted = _numbers("exposure_us", exposure_us, count, low, high)
            self.exposure.move_to(wanted, cells)
        now.offset_px[cells] = 0
        self.camera.changed(cells)

    def _begin(self, cells: IntArray, generator: np.random.Generator) -> None:
        """A new episode of these cells."""
        c, now, count = self.config, self._now, len(cells)
        if c.changes:
            self._change_light(cells, generator)
            now.distance_cm[cells] = generator.uniform(*c.distance_cm, count)
            other = generator.random(count) < c.new_scene_share
            drawn = generator.integers(len(self.scenes), size=count)
            now.scene[cells] = np.where(other, drawn, now.scene[cells])
            exposure = generator.choice(EXPOSURES_US, count).clip(*self.exposure.limits)
            if c.start_exposure_us is not None:
                exposure = np.full(count, c.start_exposure_us)
            now.offset_px[cells] = 0
            self.camera.changed(cells)  # before the best exposure is read off what it shows
            if c.start_well_exposed:
                least, most = (float(np.log(times)) for times in ABOUT_RIGHT)
                around = np.exp(generator.uniform(least, most, count))
                exposure = self.best_exposure_us()[cells] * around
            self.exposure.move_to(exposure.clip(*self.exposure.limits), cells)
        now.offset_px[cells] = 0
        self.camera.nuisances.begin(cells)
        self.camera.changed(cells)

    def _change_light(self, cells: IntArray, generator: np.random.Generator) -> None:
        """One step up or down, back from the ends; anywhere, on steps, for a first episode."""
        c, light = self.config, self._now.illuminance_lx
        low, high = c.illuminance_lx
        step = c.illuminance_step_lx
        stairs = np.append(np.arange(low, high, step), high) if step > 0 else np.array([low, high])
        first = generator.choice(stairs, len(cells))
        up = generator.random(len(cells)) < 0.5
        met = self._met[cells]
        rising = np.where(met, self._rising[cells], up)
        after = light[cells] + np.where(rising, step, -step)
        rising = np.where(after >= high, False, np.where(after <= low, True, rising))
        self._rising[cells] = rising
        light[cells] = np.where(met, after.clip(low, high), first)
        self._met[cells] = True

    # ---- the truth

    def illuminance_lx(self) -> FloatArray:
        return self._now.illuminance_lx.copy()

    def distance_cm(self) -> FloatArray:
        return self._now.distance_cm.copy()

    def scene_numbers(self) -> IntArray:
        """(B,) which of ``scenes`` each cell looks at."""
        return self._now.scene.copy()

    def defocus_px(self) -> FloatArray:
        return self.config.lens.defocus_px(self.focus.position, self._now.distance_cm)

    def best_lens(self) -> FloatArray:
        return self.config.lens.in_focus_v(self._now.distance_cm)

    def best_exposure_us(self, focused: bool = True) -> FloatArray:
        """Exposures 4 % apart are tried on the noise-free picture, whose electrons are in
        proportion to them, then 1 % apart around the one whose fullest level comes nearest to 100;
        of the nearest of these, the middle one. Found once for the conditions of now."""
        known, best = self._best_exposure[focused]
        conditions = self._conditions_of(np.arange(self.num_cells), focused)
        for cell in np.flatnonzero((conditions != known).any(1)):
            best[cell] = self._best_exposure_of(int(cell), focused)
        known[:] = conditions
        return best.copy()

    def fullest_level(self, exposure_us: FloatArray, focused: bool = True) -> FloatArray:
        pairs = enumerate(np.broadcast_to(np.asarray(exposure_us, np.float64), self.num_cells))
        found = [self._fullest(cell, np.array([one]), focused)[0] for cell, one in pairs]
        return np.array(found, float)

    def _best_exposure_of(self, cell: int, focused: bool) -> float:
        low, high = self.exposure.limits
        wide = np.geomspace(low, high, 2 + int(np.log(high / low) / np.log(WIDE_TRIED)))
        near = np.geomspace(1 / WIDE_TRIED, WIDE_TRIED, FINE_TRIED)
        first = wide[np.abs(self._fullest(cell, wide, focused) - BEST_LEVEL).argmin()]
        tried = (first * near).clip(low, high)
        away = np.abs(self._fullest(cell, tried, focused) - BEST_LEVEL)
        nearest = np.flatnonzero(away == away.min())
        return float(tried[nearest[len(nearest) // 2]])

    def _fullest(self, cell: int, exposure_us: FloatArray, focused: bool) -> IntArray:
        """(T,) fullest level of one cell at each exposure (T,)."""
        sensor, rates = self.config.sensor, self._sorted_rates(cell, focused)
        edges = np.arange(sensor.white_dn) + 0.5  # where rounding goes to the next level
        electrons = (edges - sensor.black_dn) / sensor.gain_dn_per_e
        dark = self.config.dark_e_per_us * exposure_us[:, None]
        light = max(self._now.illuminance_lx[cell], 1e-12) * exposure_us[:, None]
        below = np.searchsorted(rates, (electrons - dark) / light)
        counts = np.diff(below, axis=1, prepend=0, append=len(rates))
        levels: IntArray = counts.argmax(1)
        return levels

    def _sorted_rates(self, cell: int, focused: bool) -> FloatArray:
        """Electrons for each lux and microsecond in each pixel, ascending."""
        one = np.array([cell])
        key = (focused, *self._conditions_of(one, focused)[0])
        if self._rates.get(cell, ((), None))[0] != key:
            lens = (self.best_lens() if focused else self.focus.position)[one]
            self._rates[cell] = key, np.sort(self.camera.rates(one, lens), axis=None)
        return self._rates[cell][1]

    def _conditions_of(self, cells: IntArray, focused: bool) -> FloatArray:
        """(M, 6) on which a picture in focus, or as the lens stands, depends."""
        now = self._now
        lens = np.zeros(len(cells)) if focused else self.focus.position[cells]
        columns = now.scene, now.illuminance_lx, now.distance_cm, *now.offset_px.T
        return np.column_stack([*(column[cells] for column in columns), lens])

    def _focus_truth(
        self, measure: Callable[[Frames], FloatArray], key: Hashable
    ) -> list[FocusCurve]:
        """``protocols.HasFocusTruth``: in the conditions of now."""
        different, first = self._situations()[:2]
        conditions = different.tobytes()
        known = self._curves.get(key)
        if known is None or known[0] != conditions:
            curves = [self._curve(int(cell), measure) for cell in first]
            self._curves[key] = known = conditions, curves
        return known[1]

    def _views(self) -> IntArray:
        return self._situations()[2]

    def _situations(self) -> tuple[FloatArray, IntArray, IntArray]:
        """Conditions that differ, a cell in each, and (B,) which of them each cell is in."""
        now = self._now
        columns = now.scene, now.illuminance_lx, now.distance_cm, self.exposure.position
        different, first, number = np.unique(
            np.column_stack(columns), axis=0, return_index=True, return_inverse=True
        )
        return np.asarray(different, float), first.astype(np.int64), number.ravel().astype(np.int64)

    def _curve(self, cell: int, measure: Callable[[Frames], FloatArray]) -> FocusCurve:
        low, high = self.focus.limits
        step = self.fine_step
        coarse = np.linspace(low, high, 2 + int((high - low) / (COARSE_STEPS * step)))
        near = step * np.arange(-NEAR_STEPS, NEAR_STEPS + 1)
        one = np.array([cell])
        focused = self.config.lens.in_focus_v(self.camera.distances_cm(one)[0])
        fine = (focused[np.isfinite(focused), None] + near).ravel()
        at = np.unique(np.concatenate([coarse, fine[(fine > low) & (fine < high)]]))
        exposure = np.full(len(at), self.exposure.position[cell])
        pictures = self.camera.clean(np.full(len(at), cell), at, exposure)
        return FocusCurve(at, measure(pictures))

    # ---- the rest of an instrument

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """A simulator has nothing to put back."""

    def state_dict(self) -> dict[str, Any]:
        return {
            "position": self.focus.position,
            "exposure": self.exposure.position,
            "conditions": {key: value.copy() for key, value in vars(self._now).items()},
            "met": self._met.copy(),
            "rising": self._rising.copy(),
            "noise": self.camera.noise.get_state().numpy().copy(),
            "nuisances": self.camera.nuisances.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        every = np.arange(self.num_cells)
        self.focus.move_to(np.asarray(state["position"], float), every)
        self.exposure.move_to(np.asarray(state["exposure"], float), every)
        for key, value in state["conditions"].items():
            getattr(self._now, key)[:] = value  # the camera holds the same arrays
        self._met[:] = state["met"]
        self._rising[:] = state["rising"]
        self.camera.noise.set_state(torch.from_numpy(np.asarray(state["noise"], np.uint8).copy()))
        self.camera.nuisances.load_state_dict(state["nuisances"])
        self.camera.changed(every)


def _numbers(name: str, values: ArrayLike, count: int, low: float, high: float) -> FloatArray:
    """(count,) of them, all within the range."""
    given = np.broadcast_to(np.asarray(values, np.float64), count)
    if not ((given >= low) & (given <= high)).all():  # NaN too
        raise InputError(f"{name}: expected {low:g} to {high:g}, got {given}")
    return given


def examples(cells: int) -> dict[str, LiquidLensCamera]:
    """Small instruments for the contract tests; free of noise, so that what is promised can be
    compared exactly."""
    exact = LiquidLensCameraConfig(size_px=48, noise=False, changes=False, fine_step_v=0.1)
    cards = scene_pool("train", 2, kinds=("aruco", "photo"))
    return {
        "one card": LiquidLensCamera(exact, cards[:1], cells),
        "two scenes": LiquidLensCamera(exact, cards, cells),
        "light and distance change": LiquidLensCamera(replace(exact, changes=True), cards, cells),
    }
