"""Saved weights into networks, and saved moments into optimisers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn, optim

from visuomotor.errors import InputError


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
