"""Receptive fields, followed from operation to operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Pair = tuple[int, int]


class Field(NamedTuple):
    """The receptive field of one position of a map, in pixels of the image, down and across.

    Position i depends on the pixels from `first + i * jump` on, `size` of them; what is outside the image is padding,
    so the size is that of a central position in a large enough image. After an up-sampling, positions see unequally
    much, and the field is that of one that sees most. `gated` means that the map is also
    multiplied with, or added to, something that sees the whole image (squeeze-and-excitation): the field is then that
    of the path without the gate. None instead of a field means the whole image.
    """

    first: Pair
    size: Pair
    jump: Pair
    gated: bool


PIXEL = Field((0, 0), (1, 1), (1, 1), False)


class Operand(NamedTuple):
    """A value computed from the image: its shape and its receptive field."""

    shape: tuple[int, ...]
    field: Field | None


def seen(op: str, given: Mapping[str, Any], operands: Sequence[Operand], output: tuple[int, ...]) -> Field | None:
    """The receptive field of an operation's output; `op` and the names in `given` are torch's.

    Of several values (a sum, a concatenation) it is all that any of them sees. An operation that is not known and
    changes the map's size is taken to see the whole image, as what has no map any more does.
    """
    if len(output) < 4:
        return None
    first = operands[0]
    if op in ("conv2d", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "avg_pool3d"):
        return first.field and _through(first.field, *_window(op, given))
    if op == "conv_transpose2d":
        return first.field and _finer(first.field, *_window(op, given))
    if op == "max_unpool2d":
        joined = _together(operands, first.shape)
        times = _both(large // small for large, small in zip(output[-2:], first.shape[-2:], strict=True))
        return joined and joined._replace(jump=_both(by // n for by, n in zip(joined.jump, times, strict=True)))
    if op.startswith("adaptive_"):
        return _evenly(first, output)
    if op in ("mean", "sum", "amax", "max", "var_mean"):
        return None if output[-2:] != first.shape[-2:] else first.field
    if op in ("pad", "constant_pad_nd"):
        return first.field and _moved(first.field, -given["pad"][2] if len(given["pad"]) > 2 else 0, -given["pad"][0])
    if op == "slice":
        return first.field and _sliced(first, given)
    return _together(operands, output)


def _window(op: str, given: Mapping[str, Any]) -> tuple[Pair, Pair, Pair, Pair]:
    """Kernel, stride, padding and dilation."""
    kernel = _pair(given["weight"].shape[2:] if "conv" in op else given["kernel_size"])
    dilation = _pair(given.get("dilation", 1))
    stride = given["stride"]
    padding = given["padding"]
    if isinstance(padding, str):
        spread = [step * (side - 1) // 2 for step, side in zip(dilation, kernel, strict=True)]
        padding = spread if padding == "same" else 0
    return kernel, kernel if stride == [] else _pair(stride), _pair(padding), dilation


def _pair(value: Any) -> Pair:
    """One number for both axes, or the last two of several."""
    if isinstance(value, int):
        return value, value
    down, across = value[-2:] if len(value) > 1 else (value[0], value[0])
    return int(down), int(across)


def _through(field: Field, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Field:
    """The field after a window that slides over the map."""
    axes = range(2)
    return Field(
        _both(field.first[axis] - padding[axis] * field.jump[axis] for axis in axes),
        _both(field.size[axis] + (kernel[axis] - 1) * dilation[axis] * field.jump[axis] for axis in axes),
        _both(field.jump[axis] * stride[axis] for axis in axes),
        field.gated,
    )


def _finer(field: Field, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Field | None:
    """The field after a transposed convolution, which spreads each position over a window of a finer map."""
    if any(jump % by for jump, by in zip(field.jump, stride, strict=True)):
        return None
    axes = range(2)
    reach = _both((kernel[axis] - 1) * dilation[axis] for axis in axes)
    return Field(
        _both(field.first[axis] - (reach[axis] - padding[axis]) // stride[axis] * field.jump[axis] for axis in axes),
        _both(field.size[axis] + reach[axis] // stride[axis] * field.jump[axis] for axis in axes),
        _both(field.jump[axis] // stride[axis] for axis in axes),
        field.gated,
    )


def _both(values: Any) -> Pair:
    down, across = values
    return down, across


def _evenly(operand: Operand, output: tuple[int, ...]) -> Field | None:
    """Adaptive pooling: windows side by side where the sizes divide; one window over all is the whole image."""
    sides, places = operand.shape[-2:], output[-2:]
    if operand.field is None or places == (1, 1) != sides or any(a % b for a, b in zip(sides, places, strict=True)):
        return None
    kernel = _both(side // place for side, place in zip(sides, places, strict=True))
    return _through(operand.field, kernel, kernel, (0, 0), (1, 1))


def _moved(field: Field, down: int, across: int) -> Field:
    moved = _both(at + by * jump for at, by, jump in zip(field.first, (down, across), field.jump, strict=True))
    return field._replace(first=moved)


def _sliced(operand: Operand, given: Mapping[str, Any]) -> Field | None:
    """Every `step`-th row or column, from `start` on."""
    field, rank = operand.field, len(operand.shape)
    axis = given["dim"] % rank - (rank - 2)
    if field is None or axis < 0:
        return field
    start = given["start"] or 0
    start += operand.shape[-2:][axis] if start < 0 else 0
    moved = _moved(field, *((start, 0) if axis == 0 else (0, start)))
    step = _both(given["step"] if place == axis else 1 for place in range(2))
    return moved._replace(jump=_both(jump * by for jump, by in zip(field.jump, step, strict=True)))


def _together(operands: Sequence[Operand], output: tuple[int, ...]) -> Field | None:
    """The union of the fields of several maps of one size; a value without positions among them is a gate."""
    maps = [field for shape, field in operands if field is not None and shape[-2:] == output[-2:]]
    if not maps:
        return None
    axes = range(2)
    first = _both(min(field.first[axis] for field in maps) for axis in axes)
    last = _both(max(field.first[axis] + field.size[axis] for field in maps) for axis in axes)
    gated = len(maps) < len(operands) or any(field.gated for field in maps)
    return Field(first, _both(last[axis] - first[axis] for axis in axes), maps[0].jump, gated)
