"""Shares, counts, quantities and durations as plain text that reads well: gaps and minus signs as typography has them.

A renderer escapes this text like any other; nothing here is HTML.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

NO_BREAK, THIN, MINUS, DASH = "\u00a0", "\u202f", "\u2212", "\u2013"
LONGEST_NAME = 400  # letters: a longer name loses its middle

Format = Literal["percent", "digits", "plain", "loss", "count", "seconds"]


def formatted(value: float, form: Format) -> str:
    """A value as text: a share as a percentage, three significant digits, as typed, a loss, a count, a duration."""
    if not math.isfinite(value):
        return DASH
    if form == "percent":
        return percent(value)
    if form == "digits":
        return quantity(value)
    if form == "loss":
        return f"{value:.3f}" if value < 10 else f"{value:.4g}"
    if form == "count":
        return number(round(value))
    return seconds(value) if form == "seconds" else plain(value)


def clipped(name: str, longest: int = LONGEST_NAME) -> str:
    """A name without its middle where it is longer than `longest`: names of species often differ in their ends."""
    return name if len(name) <= longest else f"{name[: longest // 2]}\u2026{name[-(longest // 2 - 1) :]}"


def sentence(words: str) -> str:
    """Words as a sentence of their own."""
    return f"{words[:1].upper()}{words[1:]}."


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal; never 100.0 % or 0.0 % unless exactly so. A dash for none."""
    if share is None or not math.isfinite(share):
        return DASH
    if 0.9995 <= share < 1 - 1e-9:
        return f">{NO_BREAK}99.9{NO_BREAK}%"
    if 1e-9 < share < 0.0005:
        return f"<{NO_BREAK}0.1{NO_BREAK}%"
    return f"{100 * share:.1f}{NO_BREAK}%"


def whole_percent(share: float) -> str:
    """A share as a percentage without decimals, for an axis."""
    return f"{100 * share:.0f}{NO_BREAK}%"


def number(count: int) -> str:
    """A count with its thousands apart: 12 345, the gap unbreakable."""
    return f"{count:,}".replace(",", THIN).replace("-", MINUS)


def quantity(value: float | None, digits: int = 3) -> str:
    """A measured number to three digits: 0.0123, 4.57, 12 300; a dash for none."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{decimals}f}".replace(",", THIN).replace("-", MINUS)


def with_interval(
    mean: float | None, low: float | None, high: float | None, form: Callable[[float | None], str] = quantity
) -> str:
    """A mean and its interval, 4.57 (4.21 to 4.93), where that is known and so wide that these digits show it."""
    said = form(mean)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return said
    span = f"{form(low)} to {form(high)}"
    return said if span == f"{said} to {said}" else f"{said} ({span})"


def plain(value: float) -> str:
    """A number as a person writes it, such as a true age: 63, 1.5."""
    return f"{value:.6g}".replace("-", MINUS) if math.isfinite(value) else DASH


def images(count: int) -> str:
    """`1 image`, `12 images`."""
    return counted(count, "image")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 file`, `12 files`, `3 classes`."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def seconds(duration: float) -> str:
    """A duration: 0.04 s, 1.6 s, 42 s, 2 min 05 s, 1 h 20 min."""
    if duration < 9.95:
        return f"{duration:.2f}{NO_BREAK}s" if duration < 0.1 else f"{duration:.1f}{NO_BREAK}s"
    whole = round(duration)
    if whole < 60:
        return f"{whole}{NO_BREAK}s"
    if whole < 3600:
        return f"{whole // 60}{NO_BREAK}min {whole % 60:02d}{NO_BREAK}s"
    return f"{whole // 3600}{NO_BREAK}h {whole % 3600 // 60:02d}{NO_BREAK}min"


def first_names(names: Sequence[str], room: int = 48) -> str:
    """The first names that fit into `room` letters, at least one, and how many more there are."""
    lengths = list(itertools.accumulate(len(name) + 2 for name in names))
    fits = max(1, sum(length <= room for length in lengths))
    listed = ", ".join(clipped(name) for name in names[:fits])
    return listed + (f" and {number(len(names) - fits)} more" if len(names) > fits else "")
