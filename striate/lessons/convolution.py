"""Convolution of a small matrix, step by step: padding, windows, output sizes, pooling, and what kernels cost."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.errors import RequestError, unknown

Matrix = NDArray[np.float64]
Mode = Literal["zeros", "replicate", "symmetric", "reflect", "circular"]
Pool = Literal["max", "mean"]

NUMPY_MODES = {
    "zeros": "constant",
    "replicate": "edge",
    "symmetric": "symmetric",
    "reflect": "reflect",
    "circular": "wrap",
}


def padded(matrix: ArrayLike, padding: int, mode: Mode = "zeros") -> Matrix:
    """The matrix with `padding` rows and columns on each side.

    zeros; replicate: the nearest pixel; symmetric: mirrored, the edge repeated; reflect: mirrored, the edge not
    repeated; circular: from the other side. Raises RequestError for another mode, and for more padding than the mode
    has pixels for.
    """
    if mode not in NUMPY_MODES:
        raise unknown("padding mode", mode, get_args(Mode))
    image = np.asarray(matrix, dtype=np.float64)
    most = {"symmetric": min(image.shape), "circular": min(image.shape), "reflect": min(image.shape) - 1}
    if not 0 <= padding <= most.get(mode, padding):
        raise RequestError(f"{mode} padding of this matrix must be 0 to {most.get(mode, 'any number')}, not {padding}")
    return np.pad(image, padding, mode=NUMPY_MODES[mode])  # type: ignore[call-overload,no-any-return]


def output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """floor((n + 2p - d(k - 1) - 1) / s) + 1, and 0 if the kernel does not fit."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    return room // stride + 1 if room >= 0 else 0


def convolved(
    matrix: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    mode: Mode = "zeros",
) -> Matrix:
    """S(i, j) = sum over m, n of I(s i + d m, s j + d n) K(m, n), on the padded matrix: the kernel is not flipped."""
    weights = np.asarray(kernel, dtype=np.float64)
    windows = _windows(padded(matrix, padding, mode), weights.shape[0], stride, dilation)
    summed: Matrix = np.einsum("ijmn,mn->ij", windows, weights)
    return summed


def pooled(matrix: ArrayLike, size: int, *, stride: int, kind: Pool = "max") -> Matrix:
    """The maximum or mean of each window. Raises RequestError for another kind."""
    if kind not in get_args(Pool):
        raise unknown("pooling", kind, get_args(Pool))
    windows = _windows(np.asarray(matrix, dtype=np.float64), size, stride, 1)
    reduced: Matrix = windows.max((2, 3)) if kind == "max" else windows.mean((2, 3))
    return reduced


def _windows(image: Matrix, side: int, stride: int, dilation: int) -> Matrix:
    """The windows of every place, rows x columns x side x side. Raises RequestError if none fits."""
    reach = dilation * (side - 1) + 1
    if reach > min(image.shape):
        raise RequestError(f"a window of {reach} x {reach} does not fit into {image.shape[0]} x {image.shape[1]}")
    seen = np.lib.stride_tricks.sliding_window_view(image, (reach, reach))
    return seen[::stride, ::stride, ::dilation, ::dilation]


class Cost(NamedTuple):
    """Layers in place of one: their weights (no biases), what they see (pixels), and the weights saved, in percent."""

    what: str
    weights: int
    field: int
    saved: float


def costs(side: int, channels: int = 1) -> list[Cost]:
    """A side x side convolution of `channels` to `channels`, and what may stand in its place.

    Multiply-adds are the weights times the pixels of the map (stride 1, "same" padding). With one channel, the weights
    are those of one filter over one map, as the lectures count them. side: odd, 3 or more. The depthwise separable
    layer is a side x side filter for each channel, then 1 x 1. Raises RequestError for another side.
    """
    if side < 3 or side % 2 == 0:
        raise RequestError(f"side must be odd and at least 3, not {side}")
    layers, square = (side - 1) // 2, channels * channels
    whole = side * side * square
    found = [
        (f"{side} x {side}", whole, side),
        (f"{layers} of 3 x 3", 9 * layers * square, 2 * layers + 1),
        (f"{side} x 1, then 1 x {side}", 2 * side * square, side),
        (f"depthwise {side} x {side}, then 1 x 1", side * side * channels + square, side),
        ("1 x 1", square, 1),
    ]
    return [Cost(what, weights, field, 100 * (1 - weights / whole)) for what, weights, field in found]


def stack_cost(side: int, layers: int) -> Cost:
    """`layers` convolutions of 3 x 3 in place of one of side x side, with one channel."""
    weights = 9 * layers
    return Cost(f"{layers} of 3 x 3", weights, 2 * layers + 1, 100 * (1 - weights / side**2))
