"""Images as the network sees them, decoded a second time for the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from striate.data.audit.audit import Usable
from striate.data.audit.looking import look
from striate.data.sources.base import Source
from striate.pixels import Images, Pixels
from striate.tasks import Task


class Pictures(Protocol):
    """Images by their index in `audit.usable`, with their files and targets."""

    def images(self, places: Iterable[int]) -> dict[int, Images]:
        """Those that can be read, uint8 HxWx3 or HxW, in the given order."""
        ...

    def path(self, place: int) -> str:
        """The file."""
        ...

    def target(self, place: int) -> str:
        """The target as text."""
        ...

    def places(self) -> dict[str, int]:
        """The index of each file."""
        ...


class NetworkInputs:
    """The images of a run, each decoded once."""

    def __init__(self, source: Source, usable: Sequence[Usable], pixels: Pixels, task: Task) -> None:
        self._source, self._usable, self._pixels, self._task = source, usable, pixels, task
        self._crops: dict[str, Images] = {}

    def images(self, places: Iterable[int]) -> dict[int, Images]:
        """Those that can be read, in the given order."""
        places = list(places)
        missing = [self._usable[place].item for place in places if self.path(place) not in self._crops]
        for looked in look(self._source, self._pixels, items=missing):
            if looked.crop is not None:
                self._crops[looked.item.key] = shown(looked.crop)
        return {place: self._crops[key] for place in places if (key := self.path(place)) in self._crops}

    def path(self, place: int) -> str:
        """The file."""
        return self._usable[place].item.key

    def target(self, place: int) -> str:
        """The target as text."""
        return self._task.text(self._usable[place].item.target)

    def places(self) -> dict[str, int]:
        """The index of each file."""
        return {entry.item.key: place for place, entry in enumerate(self._usable)}


def shown(crop: Images) -> Images:
    """A crop HxWxC as a picture: grey ones HxW."""
    return crop[..., 0] if crop.shape[-1] == 1 else crop
