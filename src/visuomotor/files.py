"""Files that are whole or not there, and nested state as one such file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visuomotor.errors import InputError

FORMAT = 1
_KEY = "visuomotor"


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside ``path``, flush it to the disk, then rename it."""
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file to write, got a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to, but {error}") from None
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def finite(value: Any) -> Any:
    """The same nested plain values with None for every number that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Nested dicts of tensors, arrays, numbers, strings and lists as one safetensors file: arrays
    as tensors, everything else as JSON in its header. Never a pickle."""
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}

    def strip(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {str(key): strip(item, f"{name}/{key}") for key, item in value.items()}
        if isinstance(value, np.ndarray):
            tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
            return {"numpy": name, "shape": list(value.shape)}
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {"torch": name}
        if isinstance(value, np.generic):
            return value.item()
        return value

    plain = strip(state, "")
    digest = _digest(plain, tensors)
    header = json.dumps({"format": FORMAT, "state": plain, "sha256": digest})
    write_atomically(path, save(tensors, {_KEY: header}))


def load_state(path: Path) -> dict[str, Any]:
    """What ``save_state`` saved. InputError for a pickle, a truncated or a foreign file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: expected a checkpoint file, found none")
    with path.open("rb") as file:
        start = file.read(9)
    # safetensors begins with 8 bytes, the length of its header, which may be 0x80 too, and "{".
    if start[8:] != b"{" and (start[:1] == b"\x80" or start[:4] == b"PK\x03\x04"):
        raise InputError(f"{path}: expected safetensors, got a pickle, which is never loaded")
    try:
        with safe_open(str(path), framework="pt") as stored:
            header = (stored.metadata() or {}).get(_KEY)
            names = list(stored.keys())
            tensors = {name: stored.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: expected a whole safetensors file, got one that is truncated or damaged "
            f"({error})"
        ) from None
    if header is None:
        raise InputError(f"{path}: expected a visuomotor checkpoint, got other safetensors")
    try:
        content = json.loads(header)
        newer = content["format"] > FORMAT
        intact = newer or content["sha256"] == _digest(content["state"], tensors)
    except (ValueError, KeyError, TypeError):
        newer, intact = False, False
    if not intact:
        raise InputError(f"{path}: expected what was saved, got a file that was damaged or changed")
    if newer:
        raise InputError(
            f"{path}: expected format {FORMAT} or older, got {content['format']}; "
            f"update visuomotor to read it"
        )

    def restore(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if set(value) == {"numpy", "shape"}:
            return tensors[value["numpy"]].numpy().reshape(value["shape"])
        if set(value) == {"torch"}:
            return tensors[value["torch"]]
        return {key: restore(item) for key, item in value.items()}

    state: dict[str, Any] = restore(content["state"])
    return state


def _digest(plain: Any, tensors: Mapping[str, Any]) -> str:
    """sha256 over everything that is saved."""
    digest = hashlib.sha256(json.dumps(plain).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
