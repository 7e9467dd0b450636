"""BRISQUE of one large picture: ours, OpenCV's and the ``brisque`` package's, and whether the last
says the same."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import median
from typing import Any

import cv2
import numpy as np

from visuomotor.benchmarks.measuring import Measured, Skipped, Times
from visuomotor.configs import check_range, to_plain
from visuomotor.instruments.recorded.focal_stack import FocalStack
from visuomotor.types import Frame
from visuomotor.vision.quality import MIN_SIDE_PX, Brisque

PICTURES = ("camera", "astronaut", "coffee")
"""Of ``skimage.data``, which come with it."""
BLURS_PX = tuple(0.4 * level for level in range(1, 11))
NOISES = tuple(4.0 * level for level in range(1, 11))
"""Grey levels of 255."""


@dataclass(frozen=True)
class BrisqueBenchConfig:
    """How much is measured."""

    model: str = ""
    """A model as libsvm writes it; without one that of the installed package."""
    repeats: int = 7
    height_px: int = 1080
    width_px: int = 1920
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        sides = (MIN_SIDE_PX, 100_000)
        check_range(self, repeats=(1, 10_000), height_px=sides, width_px=sides, seed=(0, 2**63))


CONFIG = BrisqueBenchConfig


class Benchmark:
    """Each public method is a row. All run on one thread."""

    def __init__(
        self, stack: FocalStack | None, config: BrisqueBenchConfig, rows: Collection[str] = ()
    ) -> None:
        """stack: not used; the pictures are scikit-image's."""
        self._brisque = Brisque.load(config.model or None)
        self._config = config

    def brisque_ms_2mp(self) -> Measured:
        """BRISQUE of one 1080 x 1920 px picture, uint8, one thread."""
        with _one_thread():
            times = self._timed(self._ours)
        return self._median(times)

    def brisque_opencv_ms_2mp(self) -> Measured:
        """The same by cv2.quality (opencv-contrib), without its regression."""
        contrib: Any = getattr(cv2, "quality", None)
        if contrib is None:
            raise Skipped("this OpenCV has no cv2.quality; opencv-contrib-python-headless has it")
        theirs = contrib.QualityBRISQUE.computeFeatures
        with _one_thread():
            return self._median(self._timed(theirs), "features only, as OpenCV brings no model")

    def brisque_package_ms_2mp(self) -> Measured:
        """The same by the brisque package's own code."""
        return self._median(self._side_by_side[1])

    def brisque_ratio_to_package(self) -> Measured:
        """How many times as long the package takes."""
        ours, theirs = self._side_by_side
        ratio = median(theirs.values) / median(ours.values)
        return Measured(ratio, "times", len(ours.values), ours.seconds, to_plain(self._config))

    def brisque_worst_difference(self) -> Measured:
        """Farthest that our score is from the package's on three pictures."""
        began, theirs = time.perf_counter(), _package()
        pairs = [(self._ours(p), theirs(p)) for p in (picture(name) for name in PICTURES)]
        worst = max(abs(a - b) for a, b in pairs)
        said = zip(PICTURES, pairs, strict=True)
        note = "; ".join(f"{name}: {a:.3f}, theirs {b:.3f}" for name, (a, b) in said)
        seconds = time.perf_counter() - began
        return Measured(worst, "points", len(pairs), seconds, to_plain(self._config), note=note)

    def brisque_pairs_out_of_order(self) -> Measured:
        """Pairs of the 10 blurs and 10 noises of a picture that the package orders otherwise."""
        began, theirs, wrong, pairs, worst = time.perf_counter(), _package(), 0, 0, 0.0
        for name in PICTURES:
            scores = [(self._ours(p), theirs(p)) for p in levels(picture(name), self._config.seed)]
            worst = max(worst, *(abs(a - b) for a, b in scores))
            for one, other in combinations(scores, 2):
                wrong += (one[0] < other[0]) != (one[1] < other[1])
                pairs += 1
        seconds = time.perf_counter() - began
        note = f"of {pairs} pairs, on {', '.join(PICTURES)}; scores differ by up to {worst:.3f}"
        config = to_plain(self._config) | {"blurs_px": list(BLURS_PX), "noises": list(NOISES)}
        return Measured(float(wrong), "pairs", pairs, seconds, config, (self._config.seed,), note)

    # -- what rows are made of -----------------------------------------------------------------

    def _ours(self, frame: Frame) -> float:
        return float(self._brisque.score(frame[None])[0])

    @cached_property
    def _large(self) -> Frame:
        """A natural picture; how long it takes does not depend on which."""
        size = self._config.width_px, self._config.height_px
        return np.asarray(cv2.resize(picture("camera"), size, interpolation=cv2.INTER_CUBIC))

    @cached_property
    def _side_by_side(self) -> tuple[Times, Times]:
        """Ours and the package's, by turns."""
        began, theirs = time.perf_counter(), _package()
        fast: list[float] = []
        slow: list[float] = []
        with _one_thread():
            for _ in range(self._config.repeats):
                fast += [_milliseconds(self._ours, self._large)]
                slow += [_milliseconds(theirs, self._large)]
        seconds = time.perf_counter() - began
        return Times(fast, seconds), Times(slow, seconds)

    def _timed(self, function: Callable[[Frame], Any]) -> Times:
        began = time.perf_counter()
        function(self._large)
        values = [_milliseconds(function, self._large) for _ in range(self._config.repeats)]
        return Times(values, time.perf_counter() - began)

    def _median(self, times: Times, note: str = "") -> Measured:
        count, config = len(times.values), to_plain(self._config)
        return Measured(median(times.values), "ms", count, times.seconds, config, note=note)


def picture(name: str) -> Frame:
    """(H, W[, 3]) uint8."""
    from skimage import data

    return np.asarray(getattr(data, name)())


def levels(frame: Frame, seed: int) -> Iterator[Frame]:
    """The picture (H, W[, 3]) blurred ever more, then with ever more of the same noise."""
    for sigma in BLURS_PX:
        yield np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma))
    noise = np.random.default_rng(seed).standard_normal(frame.shape)
    for sigma in NOISES:
        yield np.clip(np.rint(frame + sigma * noise), 0, 255).astype(np.uint8)


def _package() -> Callable[[Frame], float]:
    """The package's own score; where it cannot run, its rows are left out."""
    try:
        theirs = importlib.import_module("brisque").BRISQUE()
    except (ImportError, AttributeError) as error:
        raise Skipped(
            f'the package brisque does not run ({error}); pip install "visuomotor[brisque]"'
        ) from None
    scale = theirs.scale_features
    # NumPy 2.4 no longer takes the arrays of one number that it makes for numbers.
    theirs.scale_features = lambda found: scale([float(np.ravel(value)[0]) for value in found])

    def score(frame: Frame) -> float:
        colours = frame if frame.ndim == 3 else np.stack([frame] * 3, 2)  # it takes no other
        return float(theirs.score(colours))

    return score


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _milliseconds(function: Callable[[Frame], Any], frame: Frame) -> float:
    start = time.perf_counter()
    function(frame)
    return 1000 * (time.perf_counter() - start)
