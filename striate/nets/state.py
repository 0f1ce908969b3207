"""A module's state as NumPy arrays and back: the bridge between torch and the torch-free model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.errors import RequestError


def arrays_of(net: nn.Module) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The state by name, contiguous, and the aliases: names whose storage was already saved under another name."""
    arrays: dict[str, NDArray[Any]] = {}
    aliases: dict[str, str] = {}
    owners: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, tensor in net.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in owners:
            aliases[name] = owners[place]
            continue
        owners[place] = name
        arrays[name] = tensor.detach().cpu().contiguous().numpy()
    return arrays, aliases


def load_arrays(net: nn.Module, arrays: Mapping[str, NDArray[Any]], aliases: Mapping[str, str] | None = None) -> None:
    """Load arrays into the net's state; all names and shapes must match. Raises RequestError naming what differs."""
    complete = dict(arrays) | {name: arrays[owner] for name, owner in (aliases or {}).items()}
    wanted = net.state_dict()
    missing, extra = sorted(wanted.keys() - complete.keys()), sorted(complete.keys() - wanted.keys())
    if missing or extra:
        raise RequestError(f"weights do not fit the net: missing {missing[:3]}, not wanted {extra[:3]}")
    for name, tensor in wanted.items():
        if tuple(complete[name].shape) != tuple(tensor.shape):
            raise RequestError(
                f"weights do not fit the net: {name!r} is {tuple(complete[name].shape)}, wanted {tuple(tensor.shape)}"
            )
    net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in complete.items()})
