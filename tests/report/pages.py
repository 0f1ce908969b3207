"""What the tests of all pages share: a strict reader of HTML, pictures, names that mean harm."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
from hypothesis import strategies as st

VOID = {"meta", "img", "line", "polyline", "rect", "br", "input"}

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=y>',
    "two\nlines",
    b"caf\xe9.jpg".decode("utf-8", "surrogateescape"),
    "lone\ud800",
    "txt\u202egpj.exe",
    "</section></main>",
    "&amp;{{}}%00",
)

# Names of any letters there are, halves of pairs and control characters among them, and those that mean harm.
names = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=()), min_size=1, max_size=30)


def picture(height: int = 224, width: int = 224, seed: int = 0) -> np.ndarray:
    """Noise: the hardest thing to compress, so sizes measured with it are upper bounds."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Strict(HTMLParser):
    """Checks that tags close in order, and gathers every tag, attribute and id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def inspect(page: str, scripts: int = 0) -> Strict:
    """Check what holds for every page: it can be written, is balanced, small, loads nothing, links within itself."""
    assert len(page.encode("utf-8")) < 3_000_000
    parsed = Strict(page)
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("script") == scripts
    assert not {"link", "iframe", "object", "base", "form"} & set(tags)
    assert all(source.startswith("data:image/jpeg;base64,") for source in parsed.values("src"))
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    anchors = parsed.values("id")
    assert len(set(anchors)) == len(anchors)
    assert set(parsed.values("href")) <= {f"#{anchor}" for anchor in anchors}
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|https?://", style)
    assert "default-src 'none'" in page
    return parsed


def plain(page: str) -> str:
    """A page without its entities for gaps and dashes, so that numbers read as they are written."""
    for entity, letter in (("&nbsp;", " "), ("&#8239;", ","), ("&minus;", "-"), ("&ndash;", "-"), ("&gt;", ">")):
        page = page.replace(entity, letter)
    return page
