"""What the tests of all pages share: a strict reader of HTML, pictures, hostile names, evaluations of a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

import numpy as np
from hypothesis import strategies as st

from striate.sections import Fact, Headline, Report, Section, Step
from striate.tasks import Classification, Evaluation, Multilabel, Regression

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

# Names of any letters there are, halves of pairs and control characters among them, and hostile ones.
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
    """Check what holds for every page: it can be written, is balanced, small, loads nothing, leads nowhere else."""
    assert len(page.encode("utf-8")) < 3_000_000
    parsed = Strict(page)
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("script") == scripts
    assert not {"link", "iframe", "object", "base", "form"} & set(tags)
    assert all(source.startswith("data:image/jpeg;base64,") for source in parsed.values("src"))
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    anchors = parsed.values("id")
    assert len(set(anchors)) == len(anchors)
    beside = re.compile(r"[a-z0-9-]+\.html")
    within = {link for link in parsed.values("href") if not beside.fullmatch(link)}
    assert within <= {f"#{anchor}" for anchor in anchors}
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|https?://", style)
    assert "default-src 'none'" in page
    return parsed


def plain(page: str) -> str:
    """A page without its entities and letters for gaps and dashes, so that numbers read as they are written."""
    signs = (("&nbsp;", " "), ("&gt;", ">"), ("\xa0", " "), ("\u202f", ","), ("\u2212", "-"), ("\u2013", "-"))
    for sign, letter in signs:
        page = page.replace(sign, letter)
    return page


def classified(
    matrix: np.ndarray | list[list[int]], names: tuple[str, ...] = ("ants", "bees"), confidence: float = 0.9
) -> Evaluation:
    """The evaluation of a classifier with this confusion matrix, all predictions of one confidence."""
    counts = np.asarray(matrix)
    rows, columns = np.nonzero(counts)
    targets, predicted = np.repeat(rows, counts[rows, columns]), np.repeat(columns, counts[rows, columns])
    rest = (1 - confidence) / max(1, len(names) - 1)
    predictions = np.full((len(targets), len(names)), rest, np.float32)
    predictions[np.arange(len(targets)), predicted] = confidence
    return Classification(names).evaluate("val", predictions, targets.astype(np.int64))


def labelled(
    names: tuple[str, ...], predictions: np.ndarray, targets: np.ndarray, limits: tuple[float, ...]
) -> Evaluation:
    """The evaluation of a multilabel classifier: predictions and targets [N, L]."""
    return Multilabel(names, limits).evaluate("val", predictions.astype(np.float32), targets)


def regressed(name: str, targets: Iterable[float], predicted: Iterable[float]) -> Evaluation:
    """The evaluation of a regression."""
    true, said = np.array(list(targets), np.float64), np.array(list(predicted), np.float32)
    return Regression((name,)).evaluate("val", said[:, None], true)


def report_of(*sections: Section, steps: tuple[Step, ...] = (), headline: Headline | None = None) -> Report:
    """A report of some sections."""
    return Report(
        "Ants or bees",
        "hymenoptera",
        headline or Headline("Accuracy", "96.1 %"),
        steps,
        (Fact("Network", "lite0", "an engine"),),
        sections,
    )


class Album:
    """Pictures by index, every one of them `image`."""

    def __init__(self, paths: Iterable[str], image: np.ndarray, target: str = "bees") -> None:
        self._paths, self._image, self._target = list(paths), image, target

    def images(self, places: Iterable[int]) -> dict[int, np.ndarray]:
        return dict.fromkeys(places, self._image)

    def path(self, place: int) -> str:
        return self._paths[place]

    def target(self, place: int) -> str:
        return self._target

    def places(self) -> dict[str, int]:
        return {path: place for place, path in enumerate(self._paths)}
