"""What a studio's folder has to try besides runs: indexes of photographs, weights of fast style nets.

The folder may be a stranger's. An index is asked only if the model that it names is a network of the catalogue or a
file below the studio's folders, and its photographs are shown only from below them.
"""

from __future__ import annotations

import shlex
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.decoding.budget import at_most
from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.jobs.serve_models import INDEX, kind_of
from striate.retrieval.found import Neighbour
from striate.retrieval.index import read_index
from striate.serving.answers import Answers
from striate.serving.asked import Asked
from striate.studio.pictures import data_address, encoded
from striate.studio.predicting import Asking, Predictors
from striate.web.limits import Limits
from striate.web.refusals import Refused
from striate.weights.models import is_model_file

MOST = 50  # files that are looked at
SIDE = 192  # pixels of a neighbour's picture
KEPT = 200  # of them that are not decoded again
WORDS = {INDEX: "index of photographs", "style": "network of style"}


@dataclass(frozen=True)
class Application:
    """A file in the studio's folder. kind: INDEX or STYLE of `striate.jobs.serve_models`."""

    name: str
    path: Path
    kind: str

    @property
    def words(self) -> str:
        """What it is."""
        return WORDS[self.kind]

    @property
    def shown(self) -> str:
        """The command line that does the same in the studio's folder."""
        file = shlex.quote(f"./{self.name}" if self.name.startswith("-") else self.name)
        if self.kind == INDEX:
            return f"striate search {file} PICTURE --html found.html"
        return f"striate style PICTURE --fast {file} --out painted.png"


class Applications:
    """Those of a studio, by the names of their files."""

    def __init__(self, home: Path, root: Path, predictors: Predictors, limits: Limits) -> None:
        self._folders, self._home = (home, root), home
        self._predictors, self._pixels = predictors, limits.pixels
        self._decoders, self._lock = threading.Semaphore(limits.decoders), threading.Lock()
        self._kinds: dict[tuple[str, int, int], str] = {}
        self._pictures: OrderedDict[tuple[str, int], str] = OrderedDict()

    def all(self) -> dict[str, Application]:
        """Every one by its name, in alphabetical order; links are left out."""
        names = [
            one for one in self._home.iterdir() if one.suffix in (".index", ".safetensors") and one.name.isprintable()
        ]
        found = {}
        for path in sorted(names)[:MOST]:
            if not path.is_symlink() and path.is_file() and (kind := self._kind(path)):
                found[path.name] = Application(path.name, path, kind)
        return found

    def get(self, name: str) -> Application:
        """The one of a name. Raises Refused if there is none."""
        found = self.all().get(name)
        if found is None:
            raise Refused(404, f"there is no index and no network of style {name!r}")
        return found

    def answer(self, name: str, content: bytes, asked: Asked) -> dict[str, Any]:
        """What it says to an encoded image, for a page. Blocks: called on a thread.

        Raises Refused and RequestError as `Predictors.predict`.
        """
        one = self.get(name)
        if one.kind == INDEX:
            found = self._predictors.ask(Asking(one.path, one.kind, lambda: self._searched(one)), content, asked)
            rows = [self._neighbour(near, name) for near, name in zip(found.row, found.names, strict=True)]
            return found.facts | {"neighbours": rows}
        found = self._predictors.ask(Asking(one.path, one.kind, lambda: _painting(one)), content, asked)
        return found.facts | {"painted": data_address(found.row, "image/png")}

    def _kind(self, path: Path) -> str:
        """By the file's header, read again when the file has changed."""
        found = path.stat()
        key = (path.name, found.st_mtime_ns, found.st_size)
        if key not in self._kinds:
            if len(self._kinds) > 20 * MOST:
                self._kinds.clear()
            self._kinds[key] = kind_of(path)
        return self._kinds[key]

    def _searched(self, one: Application) -> Answers:
        from striate.serving.searched import Searched

        index = read_index(one.path)
        source = index.made_by.source
        own = is_model_file(source) and Path(source).is_absolute() and self._inside(source) is not None
        if not own and (is_model_file(source) or "/" in source):
            raise RequestError(
                f"the index {one.name!r} was made by the model {source!r}, which is not below the folders of this "
                f"studio; the command line opens it: striate search {one.name}"
            )
        return Searched(index, one.name)

    def _inside(self, path: str) -> Path | None:
        """The file itself, links followed, if it is below the studio's folders."""
        try:
            place = (self._home / path).resolve()
            return place if any(place.is_relative_to(one.resolve()) for one in self._folders) else None
        except (OSError, ValueError, RuntimeError):  # a NUL, links in a circle
            return None

    def _neighbour(self, near: Neighbour, name: str) -> dict[str, Any]:
        picture, why = self._picture(near.path)
        return {"name": name, "distance": near.distance, "near_duplicate": near.near_duplicate, "picture": picture,
                "why": why}  # fmt: skip

    def _picture(self, path: str) -> tuple[str, str]:
        """A small picture of a photograph as a data address; or "", and why there is none."""
        place = self._inside(path)
        if place is None:
            return "", "not below the studio's folders"
        try:
            key = (str(place), place.stat().st_mtime_ns)
            with self._lock:
                if key in self._pictures:
                    self._pictures.move_to_end(key)
                    return self._pictures[key], ""
            with self._decoders, at_most(self._pixels):
                address = data_address(*encoded(decoded_file(place, SIDE).image, SIDE))
        except (OSError, RequestError):
            return "", "the file is gone or damaged"
        with self._lock:
            self._pictures[key] = address
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        return address, ""


def _painting(one: Application) -> Answers:
    from striate.serving.painted import Painted  # imports torch

    return Painted.of_file(str(one.path))
