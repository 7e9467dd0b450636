"""Support vector regression as libsvm writes it: the model and the ranges, both as text.

Chang & Lin, "LIBSVM: a library for support vector machines", ACM TIST 2 (2011). Only what a quality
model is: epsilon-SVR or nu-SVR with a radial kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from visuomotor.errors import InputError, nearest
from visuomotor.types import FloatArray

REGRESSIONS = ("epsilon_svr", "nu_svr")
"""They differ in how they are trained only."""
_WORDS = {"svm_type": REGRESSIONS, "kernel_type": ("rbf",), "nr_class": ("2",)}
_NUMBERS = ("gamma", "rho", "total_sv")
_UNUSED = ("probA", "probB", "degree", "coef0")
"""Written by libsvm, and of no matter for what is predicted."""
_SHOWN = 40
"""Characters of a wrong line that an error repeats."""


@dataclass(frozen=True)
class SvrModel:
    """Predicts sum_i c_i exp(-gamma |x - v_i|^2) - rho. vectors v: (N, F), coefficients c: (N,)."""

    vectors: FloatArray
    coefficients: FloatArray
    gamma: float
    rho: float

    def predict(self, features: FloatArray) -> FloatArray:
        """(M, F) -> (M,)."""
        distances = cdist(features, self.vectors, "sqeuclidean")  # (M, N)
        # A product of matrices could round otherwise for several pictures than for one.
        return np.asarray((np.exp(-self.gamma * distances) * self.coefficients).sum(1) - self.rho)


@dataclass(frozen=True)
class Ranges:
    """What each feature is scaled by: from minimum .. maximum, (F,) each, to low .. high."""

    minimum: FloatArray
    maximum: FloatArray
    low: float = -1.0
    high: float = 1.0

    def scale(self, features: FloatArray) -> FloatArray:
        """(M, F) -> (M, F)."""
        share = (features - self.minimum) / (self.maximum - self.minimum)
        return np.asarray(self.low + (self.high - self.low) * share)


def read_svr(path: Path, features: int) -> SvrModel:
    """The regression in this file, over so many features.

    InputError names the line, what was expected there and what came.
    """
    lines = _Lines(path)
    header = _header(lines)
    count = int(header["total_sv"])
    vectors, coefficients = np.zeros((count, features)), np.zeros(count)
    found = 0
    for line in lines:
        if found == count:
            raise lines.error(f"the end after {count} support vectors, as total_sv has it")
        first, *pairs = line.split()
        expected = f"a number, then INDEX:VALUE with rising indices of 1 to {features}"
        coefficients[found] = _number(lines, first, expected)
        last = 0
        for pair in pairs:
            index, colon, value = pair.partition(":")
            if not (colon and index.isdecimal() and last < int(index) <= features):
                raise lines.error(expected, pair)
            last = int(index)
            vectors[found, last - 1] = _number(lines, value, expected)
        found += 1
    if found < count:
        raise InputError(
            f"{path}: expected {count} support vectors, as total_sv has it, and the file ends "
            f"after {found}"
        )
    return SvrModel(vectors, coefficients, header["gamma"], header["rho"])


def read_ranges(path: Path, features: int) -> Ranges:
    """The ranges in this file, as svm-scale writes them (its option -s), of so many features.

    InputError names the line, what was expected there and what came.
    """
    lines = _Lines(path)
    if next(lines, "") != "x":
        raise lines.error("'x', with which svm-scale begins its ranges")
    low, high = _row(lines, next(lines, ""), 2, "the two limits that are scaled to")
    bounds = np.zeros((features, 2))
    for number in range(1, features + 1):
        expected = f"{number}, its minimum and its larger maximum"
        row = _row(lines, next(lines, ""), 3, expected)
        if row[0] != number or row[1] >= row[2]:
            raise lines.error(expected)
        bounds[number - 1] = row[1:]
    if next(lines, ""):
        raise lines.error(f"the end after {features} features")
    return Ranges(bounds[:, 0], bounds[:, 1], low, high)


class _Lines(Iterator[str]):
    """The lines of a file that are not empty, and where we are."""

    def __init__(self, path: Path) -> None:
        try:
            self._lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InputError(f"{path}: expected a model of libsvm, but {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: expected a text file of libsvm, got bytes") from None
        self._path = path
        self._number = 0

    def __next__(self) -> str:
        while self._number < len(self._lines):
            self._number += 1
            if line := self._lines[self._number - 1].strip():
                return line
        self._number = len(self._lines) + 1
        raise StopIteration

    def error(self, expected: str, got: str | None = None) -> InputError:
        """got: the whole line if it is not given."""
        where = f"{self._path}, line {self._number}: expected {expected}"
        if self._number > len(self._lines):
            return InputError(f"{where}, got the end of the file")
        came = self._lines[self._number - 1].strip() if got is None else got
        shown = came if len(came) <= _SHOWN else f"{came[:_SHOWN]}..."
        return InputError(f"{where}, got {shown!r}")


def _header(lines: _Lines) -> dict[str, float]:
    """The numbers above the line "SV"."""
    known = (*_WORDS, *_NUMBERS, *_UNUSED)
    needed = [*_WORDS, *_NUMBERS]
    found: dict[str, float] = {}
    for line in lines:
        if line == "SV":
            break
        key, _, value = line.partition(" ")
        if key not in known:
            raise lines.error(f"a key of libsvm's header ({nearest(key, known)}) or SV")
        if key in _WORDS and value not in _WORDS[key]:
            raise lines.error(f"{key} {' or '.join(_WORDS[key])}")
        if key in _NUMBERS:
            found[key] = _number(lines, value, f"{key} and one number")
        if key in needed:
            needed.remove(key)
    else:
        raise lines.error("the line SV, where the support vectors begin")
    if needed:
        raise lines.error(f"{', '.join(needed)} above it")
    if found["gamma"] <= 0 or found["total_sv"] < 1 or found["total_sv"] % 1:
        raise lines.error("gamma above 0 and a whole total_sv of at least 1 above it")
    return found


def _row(lines: _Lines, line: str, count: int, expected: str) -> list[float]:
    words = line.split()
    if len(words) != count:
        raise lines.error(expected)
    return [_number(lines, word, expected) for word in words]


def _number(lines: _Lines, word: str, expected: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise lines.error(expected, word)
    return value
