"""Options that several networks have, checked in one place: the width multiplier, dropout, and the norms' epsilon."""

from __future__ import annotations

from striate.errors import RequestError


def check_width(width: float) -> None:
    """Raise RequestError unless the multiplier of the numbers of channels is in (0, 8]."""
    if not 0 < width <= 8:
        raise RequestError(f"width must be above 0 and at most 8, not {width}")


def check_dropout(dropout: float) -> None:
    """Raise RequestError unless the dropout rate is in [0, 1)."""
    if not 0 <= dropout < 1:
        raise RequestError(f"dropout must be at least 0 and below 1, not {dropout}")


def check_eps(norm_eps: float) -> None:
    """Raise RequestError unless the epsilon of a batch normalisation is in (0, 0.1]."""
    if not 0 < norm_eps <= 0.1:
        raise RequestError(f"norm_eps must be above 0 and at most 0.1, not {norm_eps}")


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest even number, so that two towers can share it; 2 at least."""
    return max(2, 2 * round(channels * width / 2))
