"""PyramidNet: counts, the widths of every unit, and a unit written out once more."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.catalog import entries, entry
from striate.nets.cells import Conv
from striate.nets.pyramidnet import (
    IMAGENET_ROWS,
    RESULT_ROWS,
    ROWS,
    ImageNetPyramidNet,
    PyramidNet,
    PyramidUnit,
    widths,
)

# Counted from other builds of the same networks, for 10 and for 100 classes.
KNOWN = {
    "pyramidnet110_a48": (1_772_706, 1_778_556, 403_813_504),
    "pyramidnet110_a84": (3_904_446, 3_913_536, 772_168_168),
    "pyramidnet110_a270": (28_485_477, 28_511_307, 4_717_983_724),
    "pyramidnet164_a48_bn": (1_715_442, 1_738_572, 388_433_920),
    "pyramidnet164_a84_bn": (3_757_494, 3_793_584, 745_302_688),
    "pyramidnet164_a270_bn": (27_216_021, 27_319_071, 4_569_837_040),
    "pyramidnet200_a240_bn": (26_752_702, 26_844_952, 4_519_606_016),
    "pyramidnet236_a220_bn": (26_969_046, 27_054_096, 4_582_673_952),
    "pyramidnet272_a200_bn": (26_210_842, 26_288_692, 4_488_778_176),
    "pyramidnet110_mul_a4_75": (1_762_206, None, 333_659_128),
    "pyramidnet110_mul_a8": (3_876_547, None, 564_216_896),
    "pyramidnet110_mul_a27": (28_361_693, None, 2_646_677_664),
    "pyramidnet200_a300_imagenet": (62_368_168, None, 16_550_501_282),
    "pyramidnet200_a450_imagenet": (116_775_213, None, 29_196_815_629),
}


def norm(x: Tensor) -> Tensor:
    """A batch norm that has just been made, in training."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    count, hundred, madds = KNOWN[name]
    assert (entry(name).parameters, entry(name).madds) == (count, madds)
    if hundred:
        with torch.device("meta"):
            assert parameters(create(name, classes=100)) == hundred


def test_the_last_maps_are_the_results() -> None:
    named = [one.name for one in entries("pyramidnet*") if one.input_size == (32, 32)]
    for name, row in zip(named, RESULT_ROWS, strict=True):
        with torch.device("meta"):
            assert create(name).feature_channels == row.output_feat_dim
        published = entry(name).published
        assert published["error"] == row.CIFAR_10 and str(row.CIFAR_100) in str(published["source"])
    with torch.device("meta"):
        assert [ImageNetPyramidNet(alpha=alpha).feature_channels for alpha in (300, 450)] == [1456, 2056]


@pytest.mark.parametrize(
    "name",
    ["pyramidnet272_a200_bn", "pyramidnet164_a270_bn", "pyramidnet200_a300_imagenet", "pyramidnet200_a450_imagenet"],
)
def test_the_papers_counts_leave_out_the_batch_norms(name: str) -> None:
    with torch.device("meta"):
        net = create(name)
    norms = sum(parameters(module) for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    published = entry(name).published["parameters"]
    assert isinstance(published, int)
    assert abs(parameters(net) - norms - published) <= 60_000 < abs(parameters(net) - published)


def test_widths_are_equations_2_and_3() -> None:
    assert list(widths(16, 48, 3)) == [32, 48, 64]
    assert list(widths(16, 5, 2)) == [19, 21]  # 18.5 goes up, to where Python's round would not take it
    assert list(widths(16, 8, 3, "multiplicative")) == [32, 64, 128]
    with torch.device("meta"):
        net = PyramidNet(depth=110, alpha=48)
    found = [one.residual.conv2.out_channels for one in net.modules() if isinstance(one, PyramidUnit)]
    assert found == [int(16 + 48 * k / 54 + 0.5) for k in range(1, 55)]


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (4, 2)])
def test_a_basic_unit_is_the_figures(in_channels: int, stride: int) -> None:
    torch.manual_seed(0)
    unit = PyramidUnit(in_channels, (Conv(3, 6), Conv(3, 6)), stride)
    x = torch.randn(3, in_channels, 6, 6)
    first = F.conv2d(norm(x), unit.residual.conv1.weight, stride=stride, padding=1)
    branch = norm(F.conv2d(norm(first).relu(), unit.residual.conv2.weight, padding=1))
    identity = F.pad(F.avg_pool2d(x, stride), (0, 0, 0, 0, 0, 6 - in_channels))
    torch.testing.assert_close(unit(x), identity + branch, atol=1e-5, rtol=1e-4)


def test_a_bottleneck_unit_has_four_norms_and_the_stride_in_the_middle() -> None:
    unit = PyramidUnit(8, (Conv(1, 3), Conv(3, 3), Conv(1, 12)), 2)
    assert [type(one).__name__ for one in unit.residual] == [
        *("BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d")
    ]
    assert [one.stride[0] for one in unit.residual if isinstance(one, nn.Conv2d)] == [1, 2, 1]
    assert unit(torch.randn(2, 8, 7, 5)).shape == (2, 12, 4, 3)


def test_the_stem_has_no_activation_for_cifar_and_one_for_imagenet() -> None:
    with torch.device("meta"):
        cifar, imagenet = PyramidNet(), ImageNetPyramidNet()
    assert [type(one).__name__ for one in cifar.conv1] == ["Conv2d", "BatchNorm2d"]
    assert [type(one).__name__ for one in imagenet.conv1] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


def test_maps_are_the_tables() -> None:
    for name, rows in (("pyramidnet110_a48", ROWS), ("pyramidnet200_a300_imagenet", IMAGENET_ROWS)):
        sizes = [row.output_size for row in rows]
        if rows is IMAGENET_ROWS:
            sizes[0] = 56  # the pooling is part of the stem
        assert [row.output[1] for row in describe(name)[: len(sizes)]] == sizes


def test_dropout_is_on_the_vector_in_training_only() -> None:
    torch.manual_seed(0)
    net = create("pyramidnet200_a450_imagenet", options={"alpha": 0.0})
    x = torch.randn(2, 3, 32, 32)
    assert (net.train().embed(x) == 0).float().mean() > 0.3
    assert torch.equal(net.eval().embed(x), net.features(x).mean((2, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 9}, "depth must be 6n \\+ 2, from 8 to 1202"),
        ({"bottleneck": True}, "depth must be 9n \\+ 2, from 11 to 1202"),
        ({"alpha": -1.0}, "alpha must be from 0 to 1000, not -1.0"),
        ({"alpha": 0.5, "rule": "multiplicative"}, "alpha must be from 1 to 1000, not 0.5"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create("pyramidnet_tiny", options=options)
