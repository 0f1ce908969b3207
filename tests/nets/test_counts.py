"""Every network of the catalogue is, to the parameter and the multiply-add, what its facts say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import striate.nets
from striate.anatomy import summary
from striate.anatomy.facts import counts
from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.nets import catalog
from striate.nets.build import create, variants
from striate.nets.shapes import forward_hooks

ALL = catalog.entries(tiny=True)

# Written out here too, so that facts.json and the code cannot drift together.
KNOWN = {
    "lenet5": (60_000, 326_520),
    "lenet5_lecture": (60_806, 326_520),
    "lenet5_plain": (61_706, 416_520),
    "resnet20": (269_722, 40_551_040),
    "resnet32": (464_154, 68_862_592),
    "resnet44": (658_586, 97_174_144),
    "resnet56": (853_018, 125_485_696),
    "resnet110": (1_727_962, 252_887_680),
    "resnet1202": (19_421_274, 2_829_238_912),
    "plain20": (269_722, 40_551_040),
    "plain56": (853_018, 125_485_696),
    "plain110": (1_727_962, 252_887_680),
    "efficientnet_lite0": (4_652_008, 385_187_552),
}


# Over a thousand layers, which take seconds to count: resnet1202 alone is left here.
DEEP = {"preact_resnet1001", "stochastic_depth_resnet1202"}


@pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, id=entry.name, marks=[pytest.mark.slow] if entry.name in DEEP else []) for entry in ALL],
)
def test_counts_are_exact(entry: catalog.Entry) -> None:
    counted = counts(entry.file, entry.name, entry.classes, entry.in_channels, entry.input_size)
    assert counted == (entry.parameters, entry.madds)
    assert counted == KNOWN.get(entry.name, counted)


@pytest.mark.parametrize("name", KNOWN)
def test_published_parameters_are_met_to_their_rounding(name: str) -> None:
    entry = catalog.entry(name)
    published = entry.published.get("parameters")
    if isinstance(published, int):
        # The papers give two figures at least: 0.27 M, 1.7 M, 19.4 M.
        unit = 10 ** (len(str(published)) - 2)
        assert abs(entry.parameters - published) <= unit / 2


def test_catalogue_and_code_name_the_same_nets() -> None:
    folder = Path(striate.nets.__file__).parent
    papers = {path.stem for path in folder.glob("*.py") if "VARIANTS" in _assigned(path)}
    assert papers == {entry.file for entry in ALL}
    for paper in papers:
        assert set(variants(paper)) == {entry.name for entry in ALL if entry.file == paper}


def _assigned(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined]


def test_listing_needs_no_torch() -> None:
    code = "import sys; from striate.nets.catalog import entries; assert entries(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_entries_and_entry() -> None:
    assert [entry.name for entry in catalog.entries("lenet*")] == ["lenet5", "lenet5_lecture", "lenet5_plain"]
    assert "resnet8" not in {entry.name for entry in catalog.entries()}
    assert catalog.entries("nothing*") == []
    assert catalog.entry("efficientnet_lite0").weights == "imagenet"
    with pytest.raises(RequestError, match="unknown net 'resnet21'; did you mean 'resnet"):
        catalog.entry("resnet21")


def test_describe_adds_up_and_prints_the_table() -> None:
    rows = summary.describe("resnet20")
    assert [(row.name, row.output) for row in rows] == [
        ("stem", (16, 32, 32)),
        ("stage1", (16, 32, 32)),
        ("stage2", (32, 16, 16)),
        ("stage3", (64, 8, 8)),
        ("head", (10,)),
    ]
    assert sum(row.parameters for row in rows) == 269_722
    assert "layers           1+2n  2n  2n\n" in summary.table_text("resnet20")


def test_counting_leaves_a_net_as_it_was() -> None:
    net = create("resnet8").train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert summary.madds(net, (32, 32)) == 12_239_488
    with pytest.raises(RequestError, match="at least 8 x 8 pixels, not 4 x 4"):
        summary.madds(net, (4, 4))
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_hooks_come_off_after_an_error() -> None:
    net = ConvNormAct(3, 4, 3)
    with pytest.raises(RuntimeError), forward_hooks() as (before, after):
        before(net, lambda *_: None)
        after(net, lambda *_: None)
        raise RuntimeError
    assert not net._forward_hooks and not net._forward_pre_hooks
