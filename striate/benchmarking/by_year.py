"""Networks of the catalogue by year, as their papers report them on ImageNet: error, depth and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from striate.anatomy.depth import depth
from striate.benchmarking.comparing import pareto
from striate.nets.build import create_classifier
from striate.nets.catalog import Entry
from striate.progress import Progress
from striate.sections import (
    Axis,
    Bar,
    Block,
    Bubble,
    Bubbles,
    Column,
    Fact,
    Headline,
    Report,
    Section,
    Step,
    Table,
    Text,
)
from striate.sections.wording import DASH, number, percent, plain, quantity

DATA = "ImageNet"
HUMAN = 5.1  # percent
HUMAN_SOURCE = (
    "A trained person has a top-5 error of 5.1 % on 1,500 test images of ImageNet (Russakovsky et al. 2015, "
    "arXiv:1409.0575, section 6.4, annotator A1); a second one, with less training, 12.0 %."
)
SINGLE = (
    "Errors are those of single networks as their papers have them, on validation images, and by different protocols "
    "(one crop, ten crops, dense): differences of half a point mean little. The winners of the yearly challenge were "
    "ensembles, with lower errors."
)


@dataclass(frozen=True)
class YearRow:
    """A network with its paper's figures. depth: layers with weights on the longest path, counted.

    error, top5_error: in percent; None where the paper has none.
    """

    name: str
    year: int
    depth: int
    parameters: int
    madds: int
    error: float | None
    top5_error: float | None
    protocol: str
    source: str

    @property
    def accuracy(self) -> float | None:
        """Top-1, as a share."""
        return None if self.error is None else 1 - self.error / 100


def year_rows(nets: Sequence[Entry], progress: Progress | None = None) -> list[YearRow]:
    """Those of the networks that have a published error on ImageNet, in order of the year."""
    chosen = [net for net in nets if net.published.get("data") == DATA and net.kind == "classifier" and not net.tiny]
    found = []
    with (progress or Progress()).bar("Counting layers", len(chosen)) as bar:
        for net in sorted(chosen, key=lambda one: one.year):
            with torch.device("meta"):
                layers = depth(create_classifier(net.name), net.input_size)
            published = net.published
            found.append(
                YearRow(
                    net.name,
                    net.year,
                    layers,
                    net.parameters,
                    net.madds,
                    _number(published.get("error")),
                    _number(published.get("top5_error")),
                    str(published.get("protocol", "")),
                    f"{net.paper}, {published.get('source', '')}",
                )
            )
            bar.advance()
    return found


def year_report(rows: Sequence[YearRow]) -> Report:
    """The page of these rows, at least one of which has a top-1 error."""
    best = min((row for row in rows if row.error is not None), key=lambda row: row.error or 0.0)
    years = sorted({row.year for row in rows})
    deepest = max(rows, key=lambda row: row.depth)
    sections = (_errors(rows), _depths(rows), _top1(rows), _costs(rows), _table(rows))
    return Report(
        "Networks by year",
        f"{len(rows)} networks from {years[0]} to {years[-1]}, as their papers report them on {DATA}",
        Headline(
            "Lowest top-1 error", f"{best.error:g} %", (Text(f"{best.name}, {best.year}: {best.source}"), Text(SINGLE))
        ),
        (Step("cost", "What accuracy costs", "Multiply-adds and parameters against accuracy, with the Pareto front."),),
        (
            Fact("networks", number(len(rows))),
            Fact("deepest", str(deepest.depth), deepest.name),
            Fact("most parameters", _millions(max(row.parameters for row in rows))),
            Fact("fewest multiply-adds", _millions(min(row.madds for row in rows))),
        ),
        sections,
    )


def _errors(rows: Sequence[YearRow]) -> Section:
    """Top-5 error by year, with the human line."""
    known = [row for row in rows if row.top5_error is not None]
    firsts = _records(known)
    bubbles = [
        Bubble(row.name, row.year, row.top5_error or 0.0, more=row.source, tone="bad" if row in firsts else "good")
        for row in sorted(known, key=lambda row: (row not in firsts, row.top5_error))
    ]
    chart = Bubbles(
        "Top-5 error by year of the paper", tuple(bubbles), Axis("year of the paper"), Axis("top-5 error, %"),
        level=HUMAN, level_name=f"a trained person, {HUMAN:g} %", named=len(firsts),
    )  # fmt: skip
    lead = "The second colour marks networks whose error was lower than that of all earlier years."
    return Section("error", "Error by year", (chart, Text(HUMAN_SOURCE, "quiet")), lead)


def _records(rows: Sequence[YearRow]) -> list[YearRow]:
    """The network of the lowest top-5 error of each year, where no earlier year has one as low."""
    found: list[YearRow] = []
    for year in sorted({row.year for row in rows}):
        best = min((row for row in rows if row.year == year), key=lambda row: row.top5_error or 0.0)
        if not found or (best.top5_error or 0.0) < (found[-1].top5_error or 0.0):
            found.append(best)
    return found


def _depths(rows: Sequence[YearRow]) -> Section:
    """Depth by year."""
    known = ("alexnet", "vgg19", "googlenet", "resnet152", "inception_v4", "densenet264", "senet154", "mobilenet_v2",
             "efficientnet_b7", "zfnet", "preact_resnet200", "xception", "nasnet_a_large")  # fmt: skip
    ordered = sorted(rows, key=lambda row: (row.name not in known, -row.depth))
    bubbles = tuple(Bubble(f"{row.name} {row.depth}", row.year, row.depth, more=_said(row)) for row in ordered)
    chart = Bubbles(
        "Layers with weights on the longest path, by year of the paper", bubbles, Axis("year of the paper"),
        Axis("layers"), named=len(known),
    )  # fmt: skip
    return Section("depth", "Depth by year", (chart,), "Convolutions and linear layers, counted in the networks.")


def _said(row: YearRow) -> str:
    errors = [("top-1", row.error), ("top-5", row.top5_error)]
    return ", ".join(f"{name} error {value:g} %" for name, value in errors if value is not None)


def _top1(rows: Sequence[YearRow]) -> Section:
    """Top-1 accuracy as bars."""
    known = sorted((row for row in rows if row.accuracy is not None), key=lambda row: row.accuracy or 0.0)
    bars = [(f"{row.name} ({row.year})", Bar(row.accuracy), percent(row.accuracy)) for row in reversed(known)]
    columns = (Column("network"), Column(""), Column("top-1"))
    block = Table(columns, bars, ("network", "networks"), shown=30)
    return Section("top-one", "Top-1 accuracy", (block,), "One crop or more, as the papers have it.")


def _costs(rows: Sequence[YearRow]) -> Section:
    """Accuracy against multiply-adds and against parameters."""
    blocks: list[Block] = [
        _cost(rows, "madds", "Top-1 accuracy by multiply-adds", "multiply-adds of one image", "parameters"),
        _cost(rows, "parameters", "Top-1 accuracy by parameters", "parameters", "madds"),
    ]
    lead = "The dashed line, and the second colour, are the Pareto front: no other network is both cheaper and better."
    return Section("cost", "Accuracy and cost", tuple(blocks), lead)


def _cost(rows: Sequence[YearRow], cost: str, title: str, label: str, size: str) -> Bubbles:
    known = [row for row in rows if row.accuracy is not None]
    costs, scores = [float(getattr(row, cost)) for row in known], [row.accuracy or 0.0 for row in known]
    front = [row for row, on in zip(known, pareto(costs, scores, higher=True), strict=True) if on]
    bubbles = tuple(
        Bubble(
            row.name,
            float(getattr(row, cost)),
            row.accuracy or 0.0,
            float(getattr(row, size)),
            more=f"{row.year}, {_millions(row.parameters)} parameters, {_millions(row.madds)} multiply-adds",
            tone="bad" if row in front else "good",
        )
        for row in sorted(known, key=lambda row: (row not in front, row.error))
    )
    return Bubbles(
        title, bubbles, Axis(label, log=True), Axis("top-1", "percent"),
        front=tuple((float(getattr(row, cost)), row.accuracy or 0.0) for row in front),
        size_name="multiply-adds" if size == "madds" else size,
    )  # fmt: skip


def _table(rows: Sequence[YearRow]) -> Section:
    columns = (Column("network"), Column("year"), Column("layers"), Column("parameters"), Column("multiply-adds"),
               Column("top-1 error"), Column("top-5 error"), Column("protocol", optional=True))  # fmt: skip
    body = [
        (row.name, str(row.year), str(row.depth), _millions(row.parameters), _millions(row.madds),
         _error(row.error), _error(row.top5_error), row.protocol or DASH)
        for row in rows
    ]  # fmt: skip
    return Section("table", "All figures", (Table(columns, body, ("network", "networks"), shown=30),))


def _error(value: float | None) -> str:
    return DASH if value is None else f"{plain(value)} %"


def _millions(value: float) -> str:
    return f"{quantity(value / 1e6)} M"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
