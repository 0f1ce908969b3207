"""The networks by name, without torch: those of the catalogue, from the files of `nets/facts`, and registered ones."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from striate.errors import RequestError, unknown
from striate.reading import TEXT, read_file

# The kinds of networks, and what one of each gives.
KINDS = {
    "classifier": "a class for each image",
    "segmenter": "a class for each pixel",
    "detector": "boxes of objects, and their classes",
    "captioner": "a sentence for each image",
    "sequence-model": "the next symbol of a sequence",
    "self-organising": "features of images, learned without labels and gradients",
}
TECHNIQUES = Path(__file__).with_name("techniques.json")  # found in the networks by the same command
FACTS = Path(__file__).with_name("facts")  # a file for each module, counted by `python -m striate.anatomy.facts`


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    `parameters` and `madds` (multiply-adds of one image of `input_size`, height and width) are counted, exactly;
    `published` holds what the paper states, with its `source`. `file` is the module in `striate.nets`; `weights` names
    the data that published weights were trained on, if there are any; `recipe` names the paper's training recipe, a
    file of `nets/recipes`; `tiny` marks the small variants for tests. `kind` is one of KINDS; a self-organising net
    may have no `classes`. A sequence model's `in_channels` are its symbols, its `input_size` is (1, length).
    `techniques` are those of `striate.anatomy.techniques`.
    """

    name: str
    file: str
    title: str
    year: int
    paper: str
    kind: str
    classes: int | None
    in_channels: int
    input_size: tuple[int, int]
    parameters: int
    madds: int
    published: dict[str, object]
    tiny: bool
    weights: str | None
    recipe: str | None
    techniques: tuple[str, ...]


@dataclass(frozen=True)
class OwnEntry:
    """A user's network, registered in this process.

    `name` is the import path of its constructor, `package.module:Attribute`. `build` is the constructor; `classes`,
    `in_channels` and `input_size` (height, width) are the defaults; None: there is no default.
    """

    name: str
    build: Callable[..., Any]
    classes: int | None
    in_channels: int
    input_size: tuple[int, int] | None

    def argument(self, *names: str) -> str | None:
        """The first of these names that is an argument of the constructor."""
        return next((name for name in names if name in self._parameters()), None)

    def option_types(self) -> dict[str, Any]:
        """The other arguments of the constructor with their types, Any where there is no annotation."""
        constructor = self.build.__init__ if isinstance(self.build, type) else self.build  # type: ignore[misc]
        hints = get_type_hints(constructor)
        return {name: hints.get(name, Any) for name in self._parameters() if name not in _ARGUMENTS}

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.build).parameters


CLASSES = ("classes", "num_classes")  # possible names of the argument for the number of outputs
CHANNELS = ("in_channels", "in_chans")
_ARGUMENTS = (*CLASSES, *CHANNELS, "input_size")
USUAL_SIZE = (224, 224)  # height and width of an image, where a registered network gives none
_own: dict[str, OwnEntry] = {}
_short_names: dict[str, str] = {}


def entries(pattern: str = "*", *, tiny: bool = False, kind: str | None = None) -> list[Entry]:
    """The networks whose name matches the glob `pattern`, in the papers' order; tiny variants only with `tiny`.

    kind: only those of this kind, of KINDS. Raises RequestError for an unknown kind.
    """
    if kind is not None and kind not in KINDS:
        raise unknown("kind of net", kind, KINDS)
    return [
        entry
        for entry in _catalogue().values()
        if fnmatchcase(entry.name, pattern) and (tiny or not entry.tiny) and kind in (None, entry.kind)
    ]


def techniques() -> list[str]:
    """The names of all techniques that a network of the catalogue uses, sorted."""
    return sorted({name for one in _catalogue().values() for name in one.techniques})


def entry(name: str) -> Entry:
    """The network of that name. Raises RequestError with suggestions for an unknown name."""
    known = _catalogue()
    if name not in known:
        raise unknown("net", name, known)
    return known[name]


def check_classifier(name: str) -> None:
    """Raise RequestError if the catalogue's network of that name is of another kind, with what can be done with it."""
    check_kind(name, "classifier")


def check_kind(name: str, kind: str) -> None:
    """Raise RequestError if the catalogue's network of that name is not of this kind, of KINDS.

    The error says what can be done with the network, or which networks are of the kind.
    """
    found = _catalogue().get(name)
    if found is None or found.kind == kind:
        return
    what = "an image classifier" if kind == "classifier" else f"a {kind} ({KINDS[kind]})"
    told = f"{name} is a net of the kind {found.kind} ({KINDS[found.kind]}), and this needs {what}; "
    if found.kind == "classifier":
        raise RequestError(told + f"there are {', '.join(one.name for one in entries(kind=kind))}")
    raise RequestError(
        f"{told}for {name} there are 'striate show {name}', striate.create({name!r}), and its training: "
        f"docs/nets/{found.file}.md"
    )


def kind_of(name: str) -> str:
    """The kind of the catalogue's network of that name, of KINDS; of a registered one "classifier"."""
    found = _catalogue().get(name)
    return "classifier" if found is None else found.kind


def known(name: str) -> Entry | OwnEntry:
    """A network of the catalogue, or one that was registered in this process, by its import path or its short name.

    Raises RequestError with suggestions for a name that is neither.
    """
    if own := _own.get(_short_names.get(name, name)):
        return own
    if is_import_path(name):
        raise RequestError(f"the net {name!r} {_not_registered(name)}")
    if name not in (catalogue := _catalogue()):
        raise unknown("net", name, [*catalogue, *_short_names])
    return catalogue[name]


def is_import_path(name: str) -> bool:
    """Whether a net's name is the import path of a constructor, `package.module:Attribute`."""
    return ":" in name


class Defaults(NamedTuple):
    """What a network takes unless told otherwise; None: nothing is known."""

    classes: int | None
    in_channels: int
    input_size: tuple[int, int] | None


def defaults_of(facts: Entry | OwnEntry, options: Mapping[str, object]) -> Defaults:
    """A network's own classes, channels and size (height, width) of an image, with these options.

    A searched network's images are those that its table is for: the option `image`. A net file says all three in its
    text. Raises RequestError for a text that is no net file.
    """
    side, text = (options.get(name) if isinstance(facts, Entry) else None for name in ("image", "text"))
    if isinstance(text, str):
        from striate.netfile import parse  # most networks are not of a net file

        written = parse(text)
        return Defaults(written.classes, written.input[0], written.input[1:])
    size = (side, side) if isinstance(side, int) else facts.input_size
    return Defaults(facts.classes, facts.in_channels, size)


def check_registered(name: str) -> None:
    """Raise RequestError if a model file's net is an import path that was not registered in this process."""
    if is_import_path(name) and name not in _own:
        raise RequestError(f"the model file names the net {name!r}, which {_not_registered(name)}")


def source_digest(name: str) -> str:
    """SHA-256 of the file that defines a registered network's constructor; "" where it has no file.

    A cache that is keyed by the weights alone would be stale after a change of the code.
    """
    try:
        file = inspect.getsourcefile(inspect.unwrap(_own[name].build))
        return hashlib.sha256(read_file(Path(file), TEXT)).hexdigest() if file else ""
    except (KeyError, TypeError, OSError):
        return ""


def _not_registered(name: str) -> str:
    attribute = name.rpartition(":")[2]
    return f"is not registered here: import it and call striate.register({attribute}) first"


def add_own(own: OwnEntry, short_name: str | None) -> None:
    """Add a registered network, which `known` finds by its import path and by its short name, if it has one.

    Raises RequestError for a short name that another network has.
    """
    if short_name is not None:
        if is_import_path(short_name) or not short_name:
            raise RequestError(f"name must be a word without a colon, not {short_name!r}")
        if short_name in _catalogue() or _short_names.get(short_name, own.name) != own.name:
            raise RequestError(f"the name {short_name!r} is another net's; choose another")
        _short_names[short_name] = own.name
    _own[own.name] = own


@functools.cache
def _catalogue() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    techniques = json.loads(read_file(TECHNIQUES, TEXT))
    for file, paper in papers():
        shared = {key: value for key, value in paper.items() if key not in ("nets", "rows")}
        for name, facts in paper["nets"].items():
            optional: dict[str, Any] = {"tiny": False, "weights": None, "recipe": None, "published": {}}
            merged = {**optional, **shared, **facts, "name": name, "file": file}
            merged["input_size"] = tuple(merged["input_size"])
            merged["techniques"] = tuple(techniques.get(name, ()))
            found[name] = Entry(**merged)
    return found


def clear() -> None:
    """Read the files of the catalogue again, when they are next needed."""
    _catalogue.cache_clear()


def papers() -> list[tuple[str, dict[str, Any]]]:
    """The modules in `striate.nets` with their papers' facts as stored, by year and then by number or authors.

    A module with networks of several papers, or of one paper for several datasets, has several.
    """
    found = [
        (path.stem, paper)
        for path in sorted(FACTS.glob("*.json"))
        for paper in json.loads(path.read_text(encoding="utf-8"))
    ]
    return sorted(found, key=lambda one: (one[1]["year"], one[1]["paper"]))
