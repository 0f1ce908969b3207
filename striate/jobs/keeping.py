"""Caches save time; a cache that cannot be written is no reason for work to fail."""

from __future__ import annotations

from collections.abc import Callable

from striate.errors import WorkError
from striate.progress import Progress


def keep(save: Callable[[], None], progress: Progress) -> None:
    """Save to a cache; where that fails, say so and go on."""
    try:
        save()
    except WorkError as error:
        progress.say(f"{error}; this run goes on, and the next one does that work again")
