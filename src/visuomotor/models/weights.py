"""Saved weights into networks, and saved moments into optimisers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn, optim

from visuomotor.errors import InputError, nearest

COUNTER = "num_batches_tracked"
"""Of batch normalisation; older files of torchvision's have none, and nothing here reads it."""


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Fill the network; InputError names the first weight that is missing or does not fit."""
    for name, value in network.state_dict().items():
        if name not in weights:
            raise InputError(f"{where}: expected a weight {name!r}, found none of that name")
        if weights[name].shape != value.shape:
            raise InputError(
                f"{where}: weight {name!r}: expected shape {tuple(value.shape)}, "
                f"got {tuple(weights[name].shape)}"
            )
    network.load_state_dict(dict(weights), strict=False)


def load_moments(optimizer: optim.Optimizer, moments: Mapping[str, Mapping[str, Any]]) -> None:
    """Take up an optimiser's moments, by number of the parameter; its settings stay as they are."""
    state = {
        int(key): {name: value.clone() for name, value in moment.items()}
        for key, moment in moments.items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_torchvision(
    network: nn.Module, weights: Mapping[str, Tensor], where: str, spare: str = ""
) -> None:
    """Fill the network from a file with torchvision's names. InputError names the first weight that
    is missing, does not fit, or has no place; those that begin with ``spare`` may be left over."""
    own = network.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith(COUNTER)}
    load_weights(network, {**counters, **weights}, where)
    for name in weights:
        left_over = name.endswith(COUNTER) or (spare and name.startswith(spare))
        if name not in own and not left_over:
            raise InputError(
                f"{where}: weight {name!r} has no place in this network; {nearest(name, own)}"
            )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name from a user's file: safetensors, or PyTorch's own (.pth), of which tensors
    alone are read and no code. InputError for anything else."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError, SafetensorError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: expected weights as .safetensors, or as .pth with tensors alone, but {said}"
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise InputError(f"{path}: expected weights by name, got {type(found).__name__}")
    return dict(found)
