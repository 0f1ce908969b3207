"""The page of a network: boxes laid out by what goes into what, and drawn without a script."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from pages import inspect, names, plain

from striate.report.net.content import Block, Box, NetPage, StageRow
from striate.report.net.drawing import drawn
from striate.report.net.layout import Branches, Chain, Single, Size, laid_out, lane_lines, placed
from striate.report.net.page import render_net


def boxes(*inputs: tuple[int, ...], labels: str = "") -> list[Box]:
    """Boxes 1, 2, ... with these inputs; 0 is what comes from outside."""
    return [
        Box(number, "join" if label == "+" else "convolution", label, "64", given)
        for number, (given, label) in enumerate(zip(inputs, labels or "c" * len(inputs), strict=True), start=1)
    ]


def shape(chain: Chain) -> list[object]:
    """The layout as nested lists: numbers, and for branches their lanes, with "shortcut" where there is one."""
    return [
        part.number
        if isinstance(part, Single)
        else [*(shape(lane) for lane in part.lanes), *(["shortcut"] if part.shortcut else [])]
        for part in chain.parts
    ]


def arranged(nodes: list[Box]) -> Chain:
    return laid_out(nodes, {node.number: Size(50, 20, 20) for node in nodes})


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([(0,), (1,), (2,)], [1, 2, 3]),
        ([(0,), (1,), (0, 2)], [[[1, 2], "shortcut"], 3]),
        ([(0,), (1,), (0,), (2, 3)], [[[1, 2], [3]], 4]),
        ([(0,), (0,), (2,), (0,), (1, 3, 4)], [[[1], [2, 3], [4]], 5]),
        # A branch that parts again, as in Inception-v3, and a gate inside a residual.
        ([(0,), (0,), (2,), (2,), (1, 3, 4)], [[[1], [2, [[3], [4]]]], 5]),
        ([(0,), (1,), (1, 2), (0, 3)], [[[1, [[2], "shortcut"], 3], "shortcut"], 4]),
        # Ends that join outside of the block.
        ([(0,), (0,), (2,)], [[[1], [2, 3]]]),
    ],
)
def test_chains_branches_and_shortcuts(inputs: list[tuple[int, ...]], expected: list[object]) -> None:
    assert shape(arranged(boxes(*inputs))) == expected


def test_what_cannot_be_taken_apart_stands_in_a_row_under_arcs() -> None:
    chain = arranged(boxes((0,), (0,), (1, 2), (1, 2), (3, 4)))
    (branches, last) = chain.parts
    assert isinstance(branches, Branches) and isinstance(last, Single)
    (lane,) = branches.lanes
    assert shape(lane) == [1, 2, 3, 4]
    assert lane.skips and all(0 <= end <= 4 and end - start > 1 for start, end in lane.skips)


def test_nothing_overlaps() -> None:
    chain = arranged(boxes((0,), (0,), (2,), (0,), (1, 3, 4), (5,)))
    stands = list(placed(chain.parts, 10))
    for (left, at), (_, further) in pairwise(stands):
        assert at + left.size.width <= further
    branches = stands[0][0]
    assert isinstance(branches, Branches)
    lines = lane_lines(branches, 100)
    for upper, lower, one, other in zip(branches.lanes, branches.lanes[1:], lines, lines[1:], strict=False):
        assert one + upper.size.below <= other - lower.size.above
    assert lines[0] - branches.lanes[0].size.above == pytest.approx(100 - branches.size.above)


def test_a_drawing_is_well_formed_and_stays_inside() -> None:
    nodes = boxes((0,), (1,), (0, 2), (3,), (3,), (4, 5), labels="cc+ccc")
    svg = ElementTree.fromstring(drawn(Block("b", 1, False, nodes)).replace("&times;", "x"))
    width, height = (float(svg.attrib[side]) for side in ("width", "height"))
    rects = svg.findall(".//rect")
    assert len(rects) == 5 and len(svg.findall(".//circle")) == 1
    assert sum("arc" in path.attrib["class"] for path in svg.findall(".//path")) == 1
    for rect in rects:
        x, y, across, down = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + across <= width and y + down <= height
    for path in svg.findall(".//path"):
        for number in re.findall(r"M(\S+) (\S+?)[HCl]", path.attrib["d"]):
            assert 0 <= float(number[0]) <= width and 0 <= float(number[1]) <= height


def page(name: str = "net") -> str:
    block = Block("s.0", 3, False, boxes((0,), (1,), (0, 2), labels="cc+"))
    dense = Block("s.1", 2, True, boxes((0,)))
    rows = [
        StageRow(name, (64, 8, 8), 1234, 5_000_000, "15+", 4096, "", [block, dense]),
        StageRow("auxiliary", (10,), 7, 0, "all", 16, "in training only, from s", []),
        StageRow("head", (10,), 640, 640, "all", 256, "", [Block("head", 1, False, boxes((3,)))]),
    ]
    facts = [("Parameters", "1,881", "paper: 1,900")]
    return render_net(NetPage(name, "A Paper (2015)", "a  b\n1  <2>\n", facts, rows, ["said & done"]))


def test_the_page_holds_all_and_loads_nothing() -> None:
    html = page()
    tags = [tag for tag, _ in inspect(html).tags]
    assert tags.count("svg") == 3
    for words in ("1  &lt;2&gt;", "said &amp; done", "<b>3 &times;</b>", "input of each: all outputs before it", "15+"):
        assert words in html
    assert "in training only, from s" in html and "paper: 1,900" in html
    assert ">1,881<" in plain(html) and ">4,368<" in plain(html)  # sums


@given(name=names)
@settings(max_examples=30, deadline=None)
def test_the_page_believes_nothing(name: str) -> None:
    inspect(page(name))
