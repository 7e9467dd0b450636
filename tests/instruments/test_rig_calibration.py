"""A rig's fine step, measured on the sample that is there."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_rig import Toy, rig

from visuomotor.errors import InputError, RigError
from visuomotor.instruments.rig_calibration import MOST_EXPOSURES, Calibration, calibrate
from visuomotor.tasks.autofocus import AutofocusTask

pytestmark = pytest.mark.usefixtures("toy_driver")


class Scaled(Toy):
    """Contrast falls to a half at ``width`` from the best position; the drive stops at multiples of
    ``grain``, and turns by ``play`` before it moves the other way; the lamp flickers."""

    def __init__(
        self,
        at: float = 4.0,
        best: float = 0.0,
        width: float = 2.0,
        grain: float = 0.0,
        play: float = 0.0,
        flicker: float = 0.0,
    ) -> None:
        super().__init__(at, best)
        self.width, self.grain, self.play, self.flicker = width, grain, play, flicker
        self.stage = at
        self.travels = (-1e6, 1e6)
        self.sent: list[float] = []

    def move(self, target: float) -> None:
        self.at = round(target / self.grain) * self.grain if self.grain else target
        self.stage = float(np.clip(self.stage, self.at - self.play / 2, self.at + self.play / 2))
        self.sent.append(self.at)

    def snap(self):
        self._called("snap")
        contrast = 80 / (1 + ((self.stage - self.best) / self.width) ** 2)
        contrast *= 1 + self.flicker * self.noise.standard_normal()
        picture = 120 + contrast * np.sign(np.sin(np.arange(64) / 2))[:, None] * np.ones(64)
        picture = picture + self.noise.normal(0, 1, picture.shape)
        return picture.clip(0, 255).astype(np.uint8)

    @property
    def fine_step(self) -> float:
        """Tenengrad goes with contrast squared: where contrast is above 0.9 ** 0.5 of its best."""
        return 2 * self.width * math.sqrt(0.9**-0.5 - 1) / 5


def calibrated(toy: Toy, window=None, **changes) -> Calibration:
    one = rig(toy, **changes)
    if window is not None:
        one.limits = window
    return calibrate(one, AutofocusTask().measure)


@settings(max_examples=15, deadline=None)
@given(
    unit_size=st.floats(-3, 4).map(lambda power: 10.0**power),
    width=st.floats(0.01, 0.25),
    best=st.floats(-0.5, 0.5),
    approach=st.sampled_from([None, "up", "down"]),
)
def test_the_fine_step_is_found_whatever_the_scale(
    unit_size: float, width: float, best: float, approach: str | None
) -> None:
    """Ranges from 0.002 to 20,000, of 20 to 600 fine steps."""
    toy = Scaled(0.3 * unit_size, best * unit_size, width * unit_size)
    limits = [-unit_size, unit_size]
    changes = {"focus__soft_limits": limits, "focus__never_pass": 2 * unit_size}
    if approach is not None:
        changes |= {"focus__backlash": 0.05 * unit_size, "focus__approach": approach}
    found = calibrated(toy, **changes, focus__fine_step=0.02 * unit_size)
    assert found.fine_step == pytest.approx(toy.fine_step, rel=0.2), found
    assert found.position == pytest.approx(toy.best, abs=2 * toy.fine_step)
    assert found.zone == pytest.approx(5 * found.fine_step, rel=0.01)
    assert found.exposures == toy.calls.count("snap") <= MOST_EXPOSURES
    assert toy.at == 0.3 * unit_size
    assert limits[0] <= min(toy.sent) <= max(toy.sent) <= limits[1]


def test_play_that_the_file_does_not_know_of_changes_nothing() -> None:
    toy = Scaled(width=0.5, play=0.4)
    found = calibrated(toy)
    assert found.fine_step == pytest.approx(toy.fine_step, rel=0.2)


def test_it_stays_in_its_window() -> None:
    toy = Scaled(at=-9.0)
    found = calibrated(toy, window=(-3.0, 2.0))
    assert found.fine_step == pytest.approx(toy.fine_step, rel=0.2)
    *looked, back = toy.sent
    assert back == -9.0
    assert -3.0 <= min(looked) <= max(looked) <= 2.0


@pytest.mark.parametrize(
    ("toy", "words", "most"),
    [
        (Scaled(best=10.0), "at the end: the sharpest pictures reach the end of .* at 10 um", 21),
        (Scaled(best=-14.0), "at the end: .* at -10 um", 21),
        (Scaled(best=9.8), "at the end: .* at 10 um", 21),
        (Scaled(width=300.0), "flat: pictures from -10 to 10 um", 21),
        (Scaled(best=1e4), "no sample: no picture from -10 to 10 um", 21),
        (Scaled(width=0.5, flicker=0.4), "no clear peak|unsteady|at the end", MOST_EXPOSURES),
        (Scaled(width=0.5, grain=0.8), "the drive is too coarse: it came to", MOST_EXPOSURES),
    ],
)
def test_what_cannot_be_measured_is_said(toy: Scaled, words: str, most: int) -> None:
    found = calibrated(toy, focus__tolerance=1.0)
    assert found.fine_step is None
    assert found.zone is None
    assert re.match(words, found.reason), found.reason
    assert found.exposures <= most
    assert toy.at == 4.0


def test_how_far_the_drive_missed_is_told() -> None:
    found = calibrated(Scaled(grain=0.03), focus__tolerance=1.0)
    assert found.fine_step is not None
    assert 0.01 < found.missed <= 0.015 + 1e-9


@pytest.mark.parametrize("failure", ["snap", "move"])
def test_a_rig_that_fails_is_brought_back_as_far_as_it_goes(failure: str) -> None:
    toy = Toy()
    count = iter(range(1000))
    works = getattr(toy, failure)

    def breaks(*words):
        if next(count) == 30:
            raise OSError("no answer")
        return works(*words)

    setattr(toy, failure, breaks)
    with pytest.raises(RigError, match="no answer"):
        calibrated(toy)
    assert toy.at == 4.0
    assert "restore" in toy.calls
    assert "close" not in toy.calls  # the connection is lent


def test_a_drive_outside_its_limits_is_a_persons_business() -> None:
    toy = Toy(at=15.0)
    with pytest.raises(InputError, match="it stands at 15; move it inside by hand"):
        calibrated(toy)
    assert "move" not in toy.calls
    with pytest.raises(InputError, match="expected room beside a backlash of 18"):
        calibrated(Toy(), (-10.0, -8.0), focus__backlash=18.0, focus__approach="up")
