"""Pages from templates: every value escaped, every address relative, so that a proxy may put the studio anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import DictLoader, Environment, StrictUndefined

from striate.errors import printable
from striate.reading import TEXT, read_file
from striate.report import blocks, frame
from striate.report.compare import page as comparison
from striate.storage import json_text
from striate.web.refusals import Refused

HERE = Path(__file__).parent
KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
NAV = (
    ("", "Home"),
    ("data/new", "New data"),
    ("compare", "Compare"),
    ("nets", "Nets"),
    ("docs", "API"),
    ("about", "About"),
)


class Pages:
    """The templates and the files that pages load, all read once. version: of this program."""

    def __init__(self, version: str) -> None:
        templates = {one.name: _text(one) for one in sorted((HERE / "templates").glob("*.html"))}
        self._templates = Environment(
            loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, finalize=_shown,
        )  # fmt: skip
        self._templates.filters |= {"count": lambda value: f"{value:,}", "segment": lambda text: quote(text, safe="")}
        self._templates.globals |= {"version": version, "nav": NAV}
        static = {one.name: read_file(one, TEXT) for one in sorted((HERE / "static").iterdir()) if one.suffix in KINDS}
        static |= {"report.css": (frame.CSS + blocks.STYLE).encode(), "compare.css": comparison.CSS.encode()}
        self._static = static
        self._tags = {name: f'"{hashlib.sha256(content).hexdigest()[:16]}"' for name, content in self._static.items()}

    def page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A template with values, and `root`: the way to the first page, relative; `here`: the page's own path."""
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        root = "../" * (path.count("/") - 1) or "./"
        given = {"root": root, "here": path.strip("/"), **values}
        return HTMLResponse(self._templates.get_template(template).render(given), status)

    def static(self, request: Request, name: str) -> Response:
        """A file that pages load, by its name in a list; 304 for one that the browser has. Raises Refused."""
        content = self._static.get(name)
        if content is None:
            raise Refused(404, "there is no such file")
        headers = {"etag": self._tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=KINDS[Path(name).suffix], headers=headers)


def _shown(value: Any) -> Any:
    """A name may hold bytes that are no text, and marks that turn its letters round: they are written out."""
    return printable(value) if type(value) is str and not value.isprintable() and "\n" not in value else value


def _text(path: Path) -> str:
    return read_file(path, TEXT).decode()


class Json(JSONResponse):
    """JSON that every parser reads, whatever bytes a file's name has."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json_text(content).encode()
