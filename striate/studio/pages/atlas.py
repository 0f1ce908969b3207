"""Atlas: every net of the catalogue, sorted by what one likes; each can be trained on data of this studio."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from striate.jobs.catalogue import error
from striate.nets.catalog import KINDS, Entry, entries
from striate.studio.studio import Studio
from striate.weights.registry import has_weights

ORDERS: dict[str, tuple[str, Callable[[Entry], Any]]] = {
    "name": ("Net", lambda net: net.name),
    "year": ("Year", lambda net: net.year),
    "parameters": ("Parameters", lambda net: net.parameters),
    "madds": ("Multiply-adds", lambda net: net.madds),
    "error": ("Error", lambda net: (error(net) is None, str(net.published.get("data", "")), error(net) or 0.0)),
}
TRAINED = ("classifier", "segmenter")  # kinds that `striate train` trains on images


def add(app: FastAPI, studio: Studio) -> None:
    """Add /nets."""

    @app.get("/nets", include_in_schema=False)
    def page(request: Request, sort: str = "", q: str = "", kind: str = "", data: int = 0, down: int = 0) -> Response:
        sort = sort if sort in ORDERS else ""
        kind = kind if kind in KINDS else ""
        sets = studio.data.all()
        chosen = next((one for one in sets if one.number == data), sets[-1] if sets else None)
        nets = [_facts(one) for one in _sorted(q, kind, sort, down=bool(down))]
        values = {
            "title": "Nets", "nets": nets, "orders": {key: words for key, (words, _) in ORDERS.items()}, "sort": sort,
            "down": bool(down), "q": q, "kind": kind, "kinds": KINDS, "sets": sets, "chosen": chosen,
            "shown": _command(q, kind, sort),
        }  # fmt: skip
        return studio.pages.page(request, "nets.html", values)

    @app.get("/api/nets", tags=["nets"])
    def listed() -> dict[str, Any]:
        """Every net of the catalogue."""
        return {"nets": [_facts(one) for one in entries()]}


def _sorted(text: str, kind: str, sort: str, *, down: bool) -> list[Entry]:
    wanted = text.lower().split()
    found = [one for one in entries(kind=kind or None) if all(word in _searched(one) for word in wanted)]
    if sort:
        found.sort(key=ORDERS[sort][1], reverse=down)
    return found


def _searched(net: Entry) -> str:
    return " ".join((net.name, net.title, str(net.year), *net.techniques)).lower()


def _facts(net: Entry) -> dict[str, Any]:
    height, width = net.input_size
    return {
        "name": net.name, "title": net.title, "year": net.year, "paper": net.paper, "kind": net.kind,
        "input": f"{net.in_channels} × {height} × {width}", "parameters": net.parameters, "madds": net.madds,
        "error": error(net), "data": str(net.published.get("data", "")), "weights": has_weights(net.name),
        "techniques": list(net.techniques), "trained": net.kind in TRAINED,
    }  # fmt: skip


def _command(text: str, kind: str, sort: str) -> str:
    glob = [f"*{text}*"] if text and " " not in text else []
    return shlex.join(
        ["striate", "nets", *glob, *(["--kind", kind] if kind else []), *(["--sort", sort] if sort else [])]
    )
