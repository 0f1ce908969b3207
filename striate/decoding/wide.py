"""Samples of more than 8 bits to 8: unsigned ones by the bits they use, others by the range of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
_STRIP = 4_000_000  # samples converted at a time, so that a large image needs no second copy in floats
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners use of 16
_NO_DATA = (-9999.0, -99999.0, -999.0, -32768.0, -32767.0, -2147483648.0)  # as maps and elevation models write it
_ABSURD = 1e19  # no measurement: the largest floats stand for no data too
_FAR = 20.0  # times the range of the rest: a single value so far off stands for no data


def to_8_bits(
    values: Samples, *, largest: int = 0, no_data: float | None = None, inverted: bool = False
) -> tuple[NDArray[np.uint8], str]:
    """Samples [H, W] or [H, W, C] as uint8 of the same shape, and the note that says how.

    largest: the largest sample that the file declares, 0 if it says nothing. no_data: the value that the file declares
    to stand for no data. inverted: whether 0 is white.
    """
    if values.dtype == np.uint8:
        return (np.invert(values) if inverted else values), ""
    if values.dtype == np.uint16:
        scale, note = _by_depth(values, largest, no_data)
    else:
        scale, note = _by_range(values, no_data), "high-range"
    result = np.empty(values.shape, np.uint8)
    for rows in _strips(values):
        result[rows] = scale(values[rows])
    return (np.invert(result) if inverted else result), note


def alpha_to_8_bits(alpha: Samples, colours: Samples, largest: int = 0) -> NDArray[np.uint8]:
    """Transparency [H, W, 1] as uint8; it uses few bits where the colours do."""
    if alpha.dtype.kind == "f":
        return np.asarray((alpha.astype(np.float32).clip(0, 1) * 255).round(), np.uint8)
    opaque = int(np.iinfo(alpha.dtype).max)
    if alpha.dtype == np.uint16 and int(alpha.max(initial=0)) < 1 << (bits := depth_of(colours, largest)):
        opaque = (1 << bits) - 1
    return np.asarray((alpha.astype(np.float32) * (255 / opaque)).clip(0, 255).round(), np.uint8)


def depth_of(values: Samples, largest: int = 0) -> int:
    """How many bits uint16 samples use, of those that cameras and scanners have."""
    top = max(int(values.max(initial=0)), largest)
    return 16 if top == 0 else next(depth for depth in _DEPTHS if top < 1 << depth)


def _by_depth(values: Samples, largest: int, no_data: float | None) -> tuple[Callable[[Samples], Samples], str]:
    if no_data is not None and (values == no_data).any():
        measured = values[values != no_data]
        bits = depth_of(measured, largest)
        return lambda strip: np.where(strip == no_data, 0, strip) >> (bits - 8), _depth_note(bits)
    bits = depth_of(values, largest)
    return lambda strip: strip >> (bits - 8), _depth_note(bits)


def _depth_note(bits: int) -> str:
    return "16-bit" if bits == 16 else "few-bits"


def _by_range(values: Samples, no_data: float | None) -> Callable[[Samples], Samples]:
    low, high = _range(values, no_data)

    def scale(strip: Samples) -> Samples:
        floats = np.nan_to_num(strip.astype(np.float64), nan=low, posinf=high, neginf=low)
        if no_data is not None:
            floats[floats == no_data] = low
        factor = 255 / (high - low) if high > low else 0.0
        return np.asarray(((floats.clip(low, high) - low) * factor).round())

    return scale


def _range(values: Samples, no_data: float | None) -> tuple[float, float]:
    """The smallest and the largest value that was measured."""
    low, high, inner_low, inner_high = _extremes(values, no_data)
    if low == high:
        return low, high
    if _is_no_data(low, inner_low, high):
        low = inner_low
    if _is_no_data(high, inner_high, low):
        high = inner_high
    return low, high


def _is_no_data(outer: float, inner: float, other: float) -> bool:
    """Whether an extreme value stands for no data: by its distance to the next value, against the range of the rest."""
    gap, rest = abs(outer - inner), abs(inner - other)
    return rest > 0 and gap > (0.5 if outer in _NO_DATA else _FAR) * rest


def _extremes(values: Samples, no_data: float | None) -> tuple[float, float, float, float]:
    """The smallest and largest value, and the second smallest and second largest."""
    lows, highs = [0.0], [0.0]
    found = []
    for rows in _strips(values):
        strip = values[rows]
        strip = strip[np.isfinite(strip) & (np.abs(strip.astype(np.float64)) < _ABSURD)]
        if no_data is not None:
            strip = strip[strip != no_data]
        if strip.size:
            low, high = strip.min(), strip.max()
            found += [low, high]
            found += [strip[strip > low].min(initial=high), strip[strip < high].max(initial=low)]
    if found:
        distinct = sorted({float(value) for value in found})
        lows, highs = distinct, distinct[::-1]
    return lows[0], highs[0], lows[min(1, len(lows) - 1)], highs[min(1, len(highs) - 1)]


def _strips(values: Samples) -> Iterator[slice]:
    """Slices of rows, each of a bounded number of samples."""
    rows = max(1, _STRIP // max(1, values[:1].size))
    return (slice(start, start + rows) for start in range(0, len(values), rows))
