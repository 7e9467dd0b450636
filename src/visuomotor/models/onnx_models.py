"""Networks of users' as ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visuomotor.errors import InputError, MissingExtraError
from visuomotor.models.kinds import user_file

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "onnx") from None


class OnnxModel:
    """A model with one float input of pictures, (N, channels, height, width).

    What its file leaves open of height and width is ``size_px``.
    """

    def __init__(
        self, weights: Path | None, where: str, channels: Sequence[int], size_px: int
    ) -> None:
        self.path = user_file(weights, where, "a model (.onnx)")
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # each of onnxruntime's is a class of its own
            said = str(error).splitlines()[0]
            raise InputError(f"{self.path}: expected an ONNX model, but {said}") from None
        inputs = self._session.get_inputs()
        first = inputs[0]
        shape = list(first.shape)
        fits = len(inputs) == 1 and first.type == "tensor(float)" and len(shape) == 4
        if not fits or shape[1] not in channels:
            wanted = " or ".join(str(count) for count in channels)
            found = ", ".join(_described(one) for one in inputs)
            raise InputError(
                f"{self.path}: expected one float input (N, {wanted}, H, W), got {found}"
            )
        self._name = first.name
        self.channels = int(shape[1])
        self._fixed = isinstance(shape[0], int)
        self.batch = int(shape[0]) if self._fixed else 1
        height, width = (side if isinstance(side, int) else size_px for side in shape[2:])
        self.size_px = (height, width)

    def __call__(self, planes: NDArray[np.float32]) -> list[NDArray[Any]]:
        """(N, channels, height, width), N from 1 -> every output, its first axis N.

        A model whose file fixes N is given so many at a time, the last ones filled up.
        """
        if not self._fixed:
            return self._run(planes)
        parts = []
        for start in range(0, len(planes), self.batch):
            some = planes[start : start + self.batch]
            missing = self.batch - len(some)
            full = np.concatenate([some, np.repeat(some[-1:], missing, 0)])
            parts.append([out[: len(some)] for out in self._run(full)])
        return [np.concatenate(outs) for outs in zip(*parts, strict=True)]

    def shapes(self) -> list[tuple[int, ...]]:
        """Of what it answers to ``batch`` pictures: names of axes in a file say little of sizes."""
        gray = np.full((self.batch, self.channels, *self.size_px), 0.5, np.float32)
        try:
            return [np.shape(out) for out in self._run(gray)]
        except Exception as error:  # each of onnxruntime's is a class of its own
            said = str(error).splitlines()[0]
            raise InputError(
                f"{self.path}: expected a model that takes {self.size_px} pixels, but {said}"
            ) from None

    def has(self) -> str:
        """Its outputs, for a message."""
        return ", ".join(_described(one) for one in self._session.get_outputs())

    def metadata(self) -> dict[str, str]:
        """What its exporter wrote into the file."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def _run(self, planes: NDArray[np.float32]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(None, {self._name: planes})
        return found


def _described(one: Any) -> str:
    return f"{one.name!r} {tuple(one.shape)} of {one.type}"
