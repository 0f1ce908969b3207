"""Image files read on several threads, without those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from striate.data.threads import in_order
from striate.errors import StriateError
from striate.progress import Step

Made = TypeVar("Made")


def usable(
    paths: Sequence[str], make: Callable[[str], Made], failed: list[tuple[str, str]], bar: Step
) -> Iterator[Made]:
    """What `make` makes of each file, in order. Where it raises, the path and the reason go to `failed`."""

    def made(path: str) -> tuple[str, Made | StriateError]:
        try:
            return path, make(path)
        except StriateError as error:
            return path, error

    for path, found in in_order(made, paths):
        bar.advance()
        if isinstance(found, StriateError):
            failed.append((path, str(found)))
        else:
            yield found
