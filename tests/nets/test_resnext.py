"""ResNeXt: counts, Table 2, and the three forms of Figure 3 against each other and against ResNet."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, madds, parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.cells import Conv
from striate.nets.initialise import he_normal
from striate.nets.resnet import Block
from striate.nets.resnext import COMPLEXITY, ROWS, AggregatedBlock, CifarResNeXt, Form, bottleneck

# Counted from other builds of the same networks.
KNOWN = {
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "resnext101_32x4d": (44_177_704, 7_969_996_800),
    "resnext101_64x4d": (83_455_272, 15_460_270_080),
    "resnext101_32x8d": (88_791_336, 16_414_015_488),
    "resnext29_8x64d": (34_426_698, 5_387_266_048),
    "resnext29_16x64d": (68_155_210, 10_688_866_304),
}
CONVS = (Conv(1, 12), Conv(3, 12), Conv(1, 20))


def block(form: Form, cardinality: int = 3, stride: int = 2) -> AggregatedBlock:
    torch.manual_seed(0)
    made = AggregatedBlock(8, CONVS, stride, cardinality=cardinality, form=form)
    he_normal(made)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return made


def cut(state: dict[str, Tensor], form: Form, cardinality: int) -> dict[str, Tensor]:
    """The weights of a block of form C as those of form A or B: all but the last convolution cut by group."""
    found = {}
    for key, value in state.items():
        part, _, leaf = key.removeprefix("transformations.").partition(".")
        if key.startswith("shortcut") or (part == "conv3" and form == "B"):
            found[key] = value
        elif part == "conv3" and leaf == "conv.weight":
            for group, piece in enumerate(value.chunk(cardinality, 1)):
                found[f"transformations.paths.{group}.2.weight"] = piece
        elif part == "conv3":
            found[f"transformations.{leaf}"] = value
        else:
            pieces = value.chunk(cardinality) if value.ndim else [value] * cardinality
            for group, piece in enumerate(pieces):
                found[f"transformations.paths.{group}.{int(part[-1]) - 1}.{leaf}"] = piece
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


@pytest.mark.parametrize(("name", "count"), [("resnext29_8x64d", 34_518_948), ("resnext29_16x64d", 68_247_460)])
def test_the_known_counts_for_a_hundred_classes(name: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(create(name, classes=100)) == count


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("training", [False, True])
def test_the_three_forms_are_equal(form: Form, training: bool) -> None:
    grouped, other, x = block("C").train(training), block(form).train(training), torch.randn(4, 8, 7, 6)
    other.load_state_dict(cut(grouped.state_dict(), form, 3))
    torch.testing.assert_close(other(x), grouped(x), atol=1e-5, rtol=1e-4)
    if training:
        again = cut(grouped.state_dict(), form, 3)
        for key, value in other.state_dict().items():
            torch.testing.assert_close(value, again[key], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["A", "B"])
def test_the_three_forms_have_equal_counts(form: Form) -> None:
    with torch.device("meta"):
        net = create("resnext29_8x64d", options={"form": form})
    assert (parameters(net), madds(net, (32, 32))) == KNOWN["resnext29_8x64d"]


def test_one_group_of_64_is_resnets_block() -> None:
    torch.manual_seed(0)
    convs = bottleneck(ROWS[1].block, 0, cardinality=1, d=64)
    assert convs == ((1, 64), (3, 64), (1, 256))
    ours = AggregatedBlock(64, convs, 1, cardinality=1).eval()
    theirs = Block(64, convs, 1, shortcut="B", stride_in="3x3").eval()
    theirs.load_state_dict({key.replace("transformations.", ""): value for key, value in ours.state_dict().items()})
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(ours(x), theirs(x))


def test_the_widths_of_table_2() -> None:
    groups, widths, totals = (list(map(int, line.split()[1:])) for line in COMPLEXITY.strip().splitlines())
    ordinary = parameters(Block(256, bottleneck(ROWS[1].block, 0, 1, 64), 1, shortcut="B"))
    for cardinality, d, total in zip(groups, widths, totals, strict=True):
        convs = bottleneck(ROWS[1].block, 0, cardinality, d)
        assert [conv.channels for conv in convs] == [total, total, 256]
        made = AggregatedBlock(256, convs, 1, cardinality=cardinality)
        assert parameters(made) == pytest.approx(ordinary, rel=0.04)


def test_maps_and_groups_are_table_1s() -> None:
    for row, shown in zip(ROWS, describe("resnext50_32x4d"), strict=False):
        assert shown.output == (row.block[-1].channels, row.output, row.output)
    with torch.device("meta"):
        net = create("resnext101_64x4d")
    grouped = [one for one in net.modules() if isinstance(one, nn.Conv2d) and one.groups > 1]
    assert [one.groups for one in grouped] == [64] * 33
    assert [one.out_channels for one in grouped] == [256] * 3 + [512] * 4 + [1024] * 23 + [2048] * 3
    assert [number for number, one in enumerate(grouped) if one.stride == (2, 2)] == [3, 7, 30]


def test_the_initial_weights_are_by_fan_out_without_the_groups() -> None:
    torch.manual_seed(0)
    net = CifarResNeXt(depth=11, cardinality=4, d=16)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            expected = math.sqrt(2 / (module.out_channels * module.kernel_size[0] ** 2))
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20 + 1}, "depth must be 9n \\+ 2, from 11 to 1202"),
        ({"cardinality": 0}, "cardinality and d must be from 1 to 256, not 0 and 16"),
        ({"form": "D"}, "must be 'A' or 'B' or 'C'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create("resnext_tiny", options=options)
