"""Other libraries' weights under our names: renamed by explicit rules, and matched strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from striate.errors import WorkError

Arrays = dict[str, npt.NDArray[np.generic]]
Shapes = Mapping[str, tuple[int, ...]]

LEFT_OUT = "-"


class Rename(NamedTuple):
    """One line of a key map: a module's name there, and here.

    `{b}` and other lower-case names match a number, and `{b+1}` here is the next one; `{X}`, upper case, matches
    letters and digits. "-" here: it is dropped. The first matching line applies.
    """

    theirs: str
    ours: str


def renamed(arrays: Mapping[str, npt.NDArray[np.generic]], rules: Sequence[Rename]) -> Arrays:
    """The same arrays under our names; the last part of a key (`weight`, `running_mean`) is unchanged.

    Raises WorkError with the keys that no rule matches.
    """
    found: Arrays = {}
    strange: list[str] = []
    patterns = [(_pattern(rule.theirs), rule.ours) for rule in rules]
    for key, array in arrays.items():
        module, _, leaf = key.rpartition(".")
        ours = _renamed(module, patterns)
        if ours is None:
            strange.append(module)
        elif ours != LEFT_OUT:
            found[f"{ours}.{leaf}"] = array
    if strange:
        modules = list(dict.fromkeys(strange))
        more = f" and {len(modules) - 3} more" if len(modules) > 3 else ""
        raise WorkError(f"no rule renames {', '.join(map(repr, modules[:3]))}{more}")
    return found


def fitted(arrays: Arrays, net_name: str, shapes: Shapes | None = None) -> Arrays:
    """The arrays, checked strictly against `net_name`: no missing or unexpected key, every shape equal.

    They are returned in the network's order, each C-contiguous. `shapes`: of the network's state, if it is not
    made with its defaults. `num_batches_tracked`, which old checkpoints lack and no output depends on, is set to zero
    if missing; a fully connected layer stored as a convolution, or vice versa, is reshaped.
    Raises WorkError with the first keys that do not match.
    """
    from striate.nets.build import create

    # Made only for its shapes, but not on the meta device: initialising there imports sympy, which takes a second.
    expected = shapes or {key: tuple(tensor.shape) for key, tensor in create(net_name).state_dict().items()}
    counters = {key: np.zeros((), np.int64) for key in expected if key.endswith(".num_batches_tracked")}
    complete: Arrays = {**counters, **arrays}
    wrong = [f"{key} is missing" for key in expected if key not in complete]
    wrong += [f"{key} is unexpected" for key in complete if key not in expected]
    for key, shape in expected.items():
        if key not in complete:
            continue
        given = complete[key].shape
        if given != shape and not _same_layer(given, shape):
            wrong.append(f"{key} is {given}, not {shape}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WorkError(f"these are not the weights of {net_name}: {'; '.join(wrong[:3])}{more}")
    # Published tensors are not always C-contiguous, and safetensors' save for NumPy would scramble those.
    return {key: np.asarray(complete[key], order="C").reshape(shape) for key, shape in expected.items()}


def _same_layer(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether one is a fully connected layer [out, in], and the other the same layer as a convolution."""
    flat, square = sorted((one, other), key=len)
    return len(flat) == 2 and len(square) == 4 and flat == (square[0], square[1] * square[2] * square[3])


def _pattern(theirs: str) -> re.Pattern[str]:
    words = re.sub(r"\\{([A-Z])\\}", r"(?P<\1>[A-Za-z0-9]+)", re.escape(theirs))
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", words))


def _renamed(module: str, patterns: Sequence[tuple[re.Pattern[str], str]]) -> str | None:
    """Our name of a module, "-" if it is dropped, None if no rule matches."""
    for pattern, ours in patterns:
        if match := pattern.fullmatch(module):
            return re.sub(r"\{(\w+?)([+-]\d+)?\}", partial(_filled, match.groupdict()), ours)
    return None


def _filled(given: Mapping[str, str], place: re.Match[str]) -> str:
    value, step = given[place[1]], place[2]
    return str(int(value) + int(step)) if step else value
