"""The disturbed drive and the disturbed camera of ``disturbances.Disturbed``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visuomotor.errors import InputError
from visuomotor.instruments.protocols import DeadReckons, FocusInstrument
from visuomotor.types import BoolArray, FloatArray, Frame, Frames, IntArray

if TYPE_CHECKING:
    from visuomotor.instruments.disturbances import DisturbanceConfig

BITS_OF_A_BYTE = 8


@dataclass
class DisturbedCells:
    """How the B cells stand: in the axis' unit, pixels, grey levels."""

    believed: FloatArray  # (B,) where the drive thinks it is; NaN until it is asked
    true: FloatArray  # (B,) where it is; an axis that snaps shows the nearest of its positions
    play: FloatArray  # (B,) how much of the backlash a move down has to take up; the rest, one up
    offset: FloatArray  # (B, 2) of the view: rows down, columns to the right
    spot: FloatArray  # (B, 2) its place as a share of the picture
    level: FloatArray  # (B,) mean grey level of the episode's first picture
    looks: IntArray  # (B,) of the episode


class DisturbedAxis:
    """The drive as it believes to move; what really moves is the axis within."""

    def __init__(
        self,
        instrument: FocusInstrument,
        config: DisturbanceConfig,
        cells: DisturbedCells,
        generator: np.random.Generator,
    ) -> None:
        self._instrument, self._config = instrument, config
        self._cells, self._generator = cells, generator
        self._fine_step = instrument.fine_step
        self._backlash = config.backlash_steps * instrument.fine_step
        self.unit = instrument.focus.unit

    @property
    def limits(self) -> tuple[float, float]:
        """Of what the drive believes, and of where it is: it is stopped there too."""
        return self._instrument.focus.limits

    @property
    def position(self) -> FloatArray:
        """(B,) where the drive believes each cell to be."""
        if not self._config.moves:
            return self._instrument.focus.position
        self._find(np.arange(self._instrument.num_cells))
        return self._cells.believed.copy()

    @property
    def true_position(self) -> FloatArray:
        """(B,) where each cell is, against the undisturbed sample."""
        if isinstance(self._instrument, DeadReckons):  # disturbed twice
            return self._instrument.true_position
        return self._instrument.focus.position

    def move_to(self, target: FloatArray, cells: IntArray) -> FloatArray:
        """(M,) where the drive believes that the cells came to."""
        wanted = np.asarray(target, np.float64)
        if not np.isfinite(wanted).all():
            raise InputError(f"move_to: expected finite positions, got {wanted}")
        if not self._config.moves:
            return self._instrument.focus.move_to(wanted, cells)
        self._find(cells)  # before it is moved
        wanted = wanted.clip(*self.limits)
        way = self._slipped(wanted - self._cells.believed[cells])
        self._go(self._taken_up(way, cells), cells)
        self._cells.believed[cells] = wanted
        return wanted

    def begin(self, cells: IntArray) -> None:
        """An episode begins where the instrument within was brought."""
        s, c = self._cells, self._config
        if not c.moves:
            return
        s.believed[cells] = s.true[cells] = self._instrument.focus.position[cells]
        if self._backlash:  # the last move before may have been either way
            s.play[cells] = self._backlash * self._generator.integers(0, 2, len(cells))
        if c.start_jitter_steps:
            most = c.start_jitter_steps * self._fine_step
            self._go(self._generator.uniform(-most, most, len(cells)), cells)

    def drift(self, cells: IntArray) -> None:
        """The sample rises, so the drive stands lower than before against it."""
        if self._config.focus_drift_steps and len(cells):
            away = self._config.focus_drift_steps * self._fine_step
            self._go(np.full(len(cells), -away), cells)

    def _find(self, cells: IntArray) -> None:
        """A cell that was never reset stands wherever the instrument within has it."""
        s = self._cells
        lost = cells[np.isnan(s.true[cells])]
        if len(lost):
            s.believed[lost] = s.true[lost] = self._instrument.focus.position[lost]

    def _slipped(self, way: FloatArray) -> FloatArray:
        """How far the knob turns for a way (M,); never backwards."""
        share = np.full(len(way), 1.0 + self._config.slip_bias)
        if self._config.slip:
            share += self._config.slip * self._generator.standard_normal(len(way))
        turned: FloatArray = way * share.clip(0.0)
        return turned

    def _taken_up(self, way: FloatArray, cells: IntArray) -> FloatArray:
        """What backlash leaves of a way (M,). ``play`` is where the drive stands between the two
        flanks, ``_backlash`` apart: only what goes beyond a flank takes the stage along."""
        pushed = self._cells.play[cells] + way
        self._cells.play[cells] = pushed.clip(0.0, self._backlash)
        moved: FloatArray = pushed - self._cells.play[cells]
        return moved

    def _go(self, way: FloatArray, cells: IntArray) -> None:
        self._find(cells)
        true = self._cells.true
        true[cells] = (true[cells] + way).clip(*self.limits)
        self._instrument.focus.move_to(true[cells], cells)


class DisturbedCamera:
    """The camera within, its pictures disturbed: they are new each time, never a finite set."""

    def __init__(
        self,
        instrument: FocusInstrument,
        axis: DisturbedAxis,
        cells: DisturbedCells,
        generator: np.random.Generator,
    ) -> None:
        self._inner, self._axis, self._config = instrument.camera, axis, axis._config
        self._cells, self._generator = cells, generator

    @property
    def exposure_ms(self) -> float:
        return self._inner.exposure_ms

    @property
    def timeout_ms(self) -> float:
        return self._inner.timeout_ms

    @property
    def display_range(self) -> tuple[float, float]:
        return self._inner.display_range

    def begin(self, cells: IntArray) -> None:
        """An episode begins."""
        s, most = self._cells, self._config.view_shift_px
        s.looks[cells] = 0
        s.level[cells] = np.nan
        s.offset[cells] = 0.0
        if most:
            s.offset[cells] = self._generator.uniform(-most, most, (len(cells), 2))

    def grab(self, cells: IntArray) -> Frames:
        """(M, H, W[, 3]). Before every look of an episode but the first, sample and view drift."""
        s, c = self._cells, self._config
        again = cells[s.looks[cells] > 0]
        self._axis.drift(again)
        if c.view_drift_px:
            s.offset[again] += self._generator.normal(0.0, c.view_drift_px, (len(again), 2))
        pictures = self._inner.grab(cells)
        gains = self._gains(cells)
        if len(cells) and (c.blank or c.noise or c.spot_px or (gains != 1).any() or s.offset.any()):
            looks = zip(pictures, cells, gains, strict=True)
            pictures = np.stack([self._disturbed(*look) for look in looks])
        s.looks[cells] += 1
        return pictures

    def _gains(self, cells: IntArray) -> FloatArray:
        """(M,) what the brightness of each picture is multiplied by; 0 is dark."""
        c, draws = self._config, self._generator
        gains = (1.0 + c.brightness_drift) ** self._cells.looks[cells].astype(np.float64)
        if c.brightness_slope:
            low, high = self._axis.limits
            place = (self._axis.true_position[cells] - low) / (high - low)
            gains *= 1.0 + c.brightness_slope * (place - 0.5)
        if c.flicker:
            gains *= 1.0 + c.flicker * draws.standard_normal(len(cells))
        if c.dropout:
            gains[draws.random(len(cells)) < c.dropout] = 0.0
        return gains.clip(0.0)

    def _disturbed(self, picture: Frame, cell: int, gain: float) -> Frame:
        """(H, W[, 3]) -> the same shape and type."""
        s, c = self._cells, self._config
        if c.blank:
            if s.looks[cell] == 0:
                s.level[cell] = picture.mean()
            picture = np.full_like(picture, round(s.level[cell]))
        picture = _shifted(picture, *np.rint(s.offset[cell]).astype(np.int64))
        if c.noise or gain != 1:
            levels = picture.astype(np.float32) * np.float32(gain)
            if c.noise:
                black, white = self.display_range
                noise = self._generator.standard_normal(picture.shape, np.float32)
                levels += np.float32(c.noise * (white - black)) * noise
            top = np.iinfo(picture.dtype).max
            picture = np.rint(levels).clip(0, top).astype(picture.dtype)
        if c.spot_px and gain > 0:
            disc = _disc(picture.shape[0], picture.shape[1], c.spot_px, s.spot[cell])
            picture = picture.copy()
            picture[disc] = _saturated(picture, self.display_range[1])
        return picture


def _shifted(picture: Frame, down: int, right: int) -> Frame:
    """The picture moved by whole pixels, its edges repeated."""
    if down == 0 and right == 0:
        return picture
    height, width = picture.shape[:2]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    moved: Frame = picture[rows][:, columns]
    return moved


def _disc(height: int, width: int, diameter_px: float, place: FloatArray) -> BoolArray:
    """(H, W) a disc at place (2,), shares of the picture; whole, where the picture holds it."""
    margin = np.minimum(diameter_px / 2, np.array([height, width]) / 2)
    row, column = margin + place * (np.array([height, width]) - 2 * margin) - 0.5
    y, x = np.ogrid[:height, :width]
    disc: BoolArray = (y - row) ** 2 + (x - column) ** 2 <= (diameter_px / 2) ** 2
    return disc


def _saturated(picture: Frame, white: float) -> int:
    """Full scale: of 8 bit, or of as many of 16 as the camera's white and this picture need."""
    brightest = max(int(white), int(picture.max()), 1)
    bits = BITS_OF_A_BYTE if picture.dtype == np.uint8 else brightest.bit_length()
    return int(min(2**bits - 1, np.iinfo(picture.dtype).max))
