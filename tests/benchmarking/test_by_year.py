"""Networks by year: their depths as papers count them, and the page of their errors and costs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
import torch

from striate.anatomy.depth import depth
from striate.benchmarking.by_year import HUMAN, year_report, year_rows
from striate.nets.build import create
from striate.nets.catalog import entries, entry
from striate.sections import Bubbles

DEPTHS = {"alexnet": 8, "vgg19": 19, "googlenet": 22, "resnet152": 152, "se_resnet50": 50, "mobilenet_v2": 53}


@pytest.mark.parametrize(("name", "layers"), DEPTHS.items())
def test_depths_are_the_papers(name: str, layers: int) -> None:
    with torch.device("meta"):
        net = create(name)
    assert depth(net, entry(name).input_size) == layers


def test_the_page_of_networks_by_year(cli, tmp_path: Path) -> None:
    code, out, err = cli("nets", "resnet1*", "--by-year", tmp_path / "a.html", "--json")
    assert code == 0, err
    facts = {row["name"]: row for row in json.loads(out)["nets"]}
    assert facts["resnet152"]["top5_error"] == 5.71 and facts["resnet18_a"]["depth"] == 18
    assert "resnet110" not in facts  # of CIFAR-10
    page = html.unescape((tmp_path / "a.html").read_text("utf-8"))
    for words in (
        "a trained person, 5.1 %",
        "arXiv:1409.0575, section 6.4",
        "resnet152 152",
        "Pareto front",
        "10-crop",
    ):
        assert words in page
    assert page.count('<figure class="bubbles">') == 4 and "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_the_charts_hold_the_papers_figures() -> None:
    rows = year_rows([one for one in entries() if one.name in ("alexnet", "vgg16", "mobilenet_v2", "efficientnet_b0")])
    report = year_report(rows)
    charts = [block for section in report.sections for block in section.blocks if isinstance(block, Bubbles)]
    errors, depths, by_madds, by_parameters = charts
    assert errors.level == HUMAN == 5.1
    assert {(one.name, one.x, one.y) for one in errors.bubbles} == {
        ("alexnet", 2012, 18.2), ("vgg16", 2014, 8.1), ("efficientnet_b0", 2019, 6.7),
    }  # fmt: skip
    assert ("vgg16 16", 2014, 16) in {(one.name, one.x, one.y) for one in depths.bubbles}
    vgg = next(one for one in by_madds.bubbles if one.name == "vgg16")
    assert (vgg.x, vgg.size) == (entry("vgg16").madds, entry("vgg16").parameters) and vgg.y == pytest.approx(0.744)
    front = [entry(name) for name in ("mobilenet_v2", "efficientnet_b0")]
    assert sorted(x for x, _ in by_madds.front) == sorted(one.madds for one in front)
    assert sorted(x for x, _ in by_parameters.front) == sorted(one.parameters for one in front)


def test_nets_without_a_published_error_are_one_line(cli, tmp_path: Path) -> None:
    code, _, err = cli("nets", "lenet*", "--by-year", tmp_path / "a.html")
    assert code == 2 and "published top-1 error" in err and not list(tmp_path.iterdir())
