"""Caches save time; a cache that cannot be written must not fail the run."""

from __future__ import annotations

from collections.abc import Callable

from striate.errors import StriateError
from striate.progress import Progress


def try_to_save(save: Callable[[], None], progress: Progress) -> None:
    """Save to a cache; if that fails, report it and continue."""
    try:
        save()
    except StriateError as error:
        progress.say(f"{error}; this run continues, and the next one repeats that work")
