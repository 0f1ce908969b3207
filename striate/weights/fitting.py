"""Foreign weights under our names: renamed by a written map, and fitted strictly or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from striate.errors import WorkError

Arrays = dict[str, npt.NDArray[np.generic]]


class Rename(NamedTuple):
    """One line of a key map: a module's name there, and here. `{b}` and the like stand for a number."""

    theirs: str
    ours: str


def renamed(arrays: Mapping[str, npt.NDArray[np.generic]], rules: Sequence[Rename]) -> Arrays:
    """The same arrays under our names; the last part of a key (`weight`, `running_mean`) is kept.

    Raises WorkError for a key that no rule knows.
    """
    found: Arrays = {}
    for key, array in arrays.items():
        module, _, leaf = key.rpartition(".")
        found[f"{_renamed(module, rules)}.{leaf}"] = array
    return found


def fitted(arrays: Arrays, net_name: str) -> Arrays:
    """The arrays, once it is certain that they are `net_name`'s: no key missing, none left, every shape equal.
    They are returned in the network's own order, each laid out row by row.

    Counts of seen batches, which old checkpoints lack and no answer depends on, are set to zero where missing.
    Raises WorkError that names the first keys that do not fit.
    """
    from striate.nets.build import create

    # Made for its shapes alone, and yet not on the meta device: initialising there imports sympy, a second.
    expected = {key: tuple(tensor.shape) for key, tensor in create(net_name).state_dict().items()}
    counters = {key: np.zeros((), np.int64) for key in expected if key.endswith(".num_batches_tracked")}
    complete: Arrays = {**counters, **arrays}
    wrong = [f"{key} is missing" for key in expected if key not in complete]
    wrong += [f"{key} is left over" for key in complete if key not in expected]
    wrong += [
        f"{key} is {complete[key].shape}, not {shape}"
        for key, shape in expected.items()
        if key in complete and complete[key].shape != shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WorkError(f"these are not the weights of {net_name}: {'; '.join(wrong[:3])}{more}")
    # Published tensors are not always laid out row by row, and safetensors' save for NumPy would scramble those.
    return {key: np.asarray(complete[key], order="C") for key in expected}


def _renamed(module: str, rules: Sequence[Rename]) -> str:
    for rule in rules:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(rule.theirs))
        if match := re.fullmatch(pattern, module):
            return rule.ours.format(**match.groupdict())
    raise WorkError(f"no rule says what {module!r} is called here")
