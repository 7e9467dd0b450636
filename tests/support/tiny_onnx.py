"""Writes small ONNX files, so that tests need neither a download nor the onnx package.

The messages of onnx.proto, by their field numbers, in Protocol Buffers' wire format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FLOAT, BYTE = 1, 2
Shape = Sequence[int | str]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes | str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _value(name: str, shape: Shape, kind: int) -> bytes:
    sides = b"".join(
        _message(1, _number(1, side) if isinstance(side, int) else _message(2, side))
        for side in shape
    )
    tensor = _number(1, kind) + _message(2, sides)
    return _message(1, name) + _message(2, _message(1, tensor))


def _constant(name: str, value: np.ndarray) -> bytes:
    dims = b"".join(_number(1, side) for side in value.shape)
    return dims + _number(2, FLOAT) + _message(8, name) + _message(9, value.tobytes())


def node(kind: str, inputs: Sequence[str], output: str, **numbers: int) -> bytes:
    """One operation, with whole numbers as attributes."""
    attributes = b"".join(
        _message(5, _message(1, name) + _number(3, number) + _number(20, 2))
        for name, number in numbers.items()
    )
    names = b"".join(_message(1, one) for one in inputs)
    return names + _message(2, output) + _message(4, kind) + attributes


def write(
    path: Path,
    nodes: Sequence[bytes],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, np.ndarray] | None = None,
    metadata: Mapping[str, str] | None = None,
    kind: int = FLOAT,
) -> Path:
    """A model of these operations; ``kind`` is the type of its inputs."""
    graph = b"".join(_message(1, one) for one in nodes) + _message(2, "tiny")
    for name, value in (constants or {}).items():
        graph += _message(5, _constant(name, np.asarray(value, np.float32)))
    graph += b"".join(_message(11, _value(name, s, kind)) for name, s in inputs.items())
    graph += b"".join(_message(12, _value(name, s, FLOAT)) for name, s in outputs.items())
    model = _number(1, 8) + _message(7, graph) + _message(8, _message(1, "") + _number(2, 17))
    for key, text in (metadata or {}).items():
        model += _message(14, _message(1, key) + _message(2, text))
    path.write_bytes(model)
    return path


def mean_encoder(path: Path, shape: Shape = ("n", 3, "h", "w")) -> Path:
    """(N, C, H, W) -> (N, C): means of the channels."""
    nodes = [node("GlobalAveragePool", ["x"], "p"), node("Flatten", ["p"], "f", axis=1)]
    return write(path, nodes, {"x": shape}, {"f": (shape[0], shape[1])})


def bright_yolo(
    path: Path, boxes: np.ndarray, by_light: np.ndarray, metadata: Mapping[str, str] | None = None
) -> Path:
    """(1, 3, 64, 64) -> ``boxes`` plus the picture's mean, 0 to 1, times ``by_light``."""
    nodes = [
        node("ReduceMean", ["x"], "m", keepdims=0),
        node("Mul", ["s", "m"], "p"),
        node("Add", ["t", "p"], "y"),
    ]
    constants = {"t": boxes, "s": by_light}
    return write(path, nodes, {"x": (1, 3, 64, 64)}, {"y": boxes.shape}, constants, metadata)
