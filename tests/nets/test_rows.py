"""Every row of the published numbers is a network of the catalogue, or says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.anatomy import summary
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import create

PAPERS = catalog.papers()
ROWS = [row for _, paper in PAPERS for row in paper.get("rows", [])]
MAPPED = [row for row in ROWS if "net" in row]
# Files of which the published numbers have no row.
WITHOUT_ROWS = {
    "cognitron",
    "efficientnet_lite",
    "espnetv2",
    "farabet",
    "faster_rcnn",
    "fcn",
    "fcos",
    "graph_net",
    "maxout",
    "neocognitron",
    "nic",
    "recurrent_resnet",
    "searched_cells",
    "searched_mobile",
    "show_attend_tell",
    "snn",
    "table_net",
    "tiny_darknet",
}


def made(row: dict[str, Any]) -> Net:
    with torch.device("meta"):
        return create(
            row["net"], options=row.get("options"), input_size=row.get("input_size"), classes=row.get("classes")
        )


def test_rows_are_named_once_and_have_a_net_or_a_reason() -> None:
    assert len({(row["row"], row["dataset"]) for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert ("net" in row) != ("why_not" in row), row
        assert set(row) <= {"row", "dataset", "net", "options", "input_size", "classes", "differs", "why_not"}, row
    known = {entry.name for entry in catalog.entries()}
    assert {row["net"] for row in MAPPED} <= known


@pytest.mark.parametrize("file", sorted({entry.file for entry in catalog.entries()} - WITHOUT_ROWS))
def test_every_papers_file_has_rows(file: str) -> None:
    assert any(paper.get("rows") for module, paper in PAPERS if module == file)


@pytest.mark.parametrize(
    ("row", "counted"),
    [
        # What the catalogue's own counts do not say: rows with options, or of another size.
        ("squeezenet1_0", (1_248_424, 818_924_576)),
        ("squeezenet1_1", (1_235_496, 349_151_936)),
    ],
)
def test_rows_with_options_are_counted(row: str, counted: tuple[int, int]) -> None:
    net = made(next(one for one in MAPPED if one["row"] == row))
    height, width = net.options["input_size"]  # type: ignore[misc]
    assert (summary.parameters(net), summary.madds(net, (height, width))) == counted
    assert [one["row"] for one in MAPPED if one.get("options") or one.get("input_size")] == [
        "squeezenet1_0",
        "squeezenet1_1",
    ]


def test_rows_have_the_classes_of_their_data() -> None:
    classes = {"mnist": 10, "cifar10": 10, "cifar100": 100, "imagenet": 1000, "cityscapes": 19, "ptb-char": 50}
    for row in MAPPED:
        assert row.get("classes", catalog.entry(row["net"]).classes) == classes[row["dataset"]], row


@pytest.mark.skipif("STRIATE_TEST_FACTS" not in os.environ, reason="STRIATE_TEST_FACTS, the published numbers")
def test_rows_agree_with_the_published_numbers() -> None:
    published = {
        (row["name"], row["dataset"]): row for row in json.loads(Path(os.environ["STRIATE_TEST_FACTS"]).read_text())
    }
    assert {(row["row"], row["dataset"]) for row in ROWS} <= published.keys()
    for row in MAPPED:
        numbers, net = published[row["row"], row["dataset"]], made(row)
        height, width = net.options["input_size"]  # type: ignore[misc]
        shape = f"{net.in_channels}x{height}x{width}"
        assert numbers["input"] == (f"{net.in_channels}-symbol one-hot" if net.kind == "sequence-model" else shape), row
        counted = summary.parameters(net), summary.madds(net, (height, width))
        expected = numbers["params_reference_exact"], numbers["madds_reference_exact"]
        agree = all(there is None or here == there for here, there in zip(counted, expected, strict=True))
        assert agree != ("differs" in row), (row, counted, expected)
