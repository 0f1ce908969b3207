"""ShuffleNet against Table 1, the counts of independent builds, and its unit by its definition."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.layers.channel_shuffle import ChannelShuffle
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.shufflenet import ROWS, ShuffleUnit

# Counted from independent builds. Those of the authors' code, marked, have no bias in the linear layer, 1,000 fewer.
KNOWN = {
    "shufflenet_g1": (1_531_936, 143_078_976),
    "shufflenet_g2": (1_733_848, 140_836_512),
    "shufflenet_g3": (1_865_728, 137_460_672),
    "shufflenet_g4": (1_968_344, 134_339_776),
    "shufflenet_g8": (2_434_768, 138_365_952),
}
AUTHORS = {
    "shufflenet_g3_050": (717_324, 37_589_856),
    "shufflenet_g3": (1_864_728, 137_460_672),
    "shufflenet_g3_150": (3_441_168, 292_443_552),
    "shufflenet_g3_200": (5_449_776, 524_045_184),
    "shufflenet_g8_050": (1_010_448, 40_469_760),
    "shufflenet_g8": (2_433_768, 138_365_952),
    "shufflenet_g8_150": (4_268_952, 290_188_800),
    "shufflenet_g8_200": (6_521_232, 521_942_016),
}


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return create(name).eval()


@pytest.mark.parametrize("name", KNOWN)
def test_counts_are_those_of_independent_builds(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


@pytest.mark.parametrize("name", AUTHORS)
def test_without_the_last_bias_counts_are_the_authors(name: str) -> None:
    assert (entry(name).parameters - 1000, entry(name).madds) == AUTHORS[name]


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_stages_are_the_tables_for_every_number_of_groups(groups: int) -> None:
    outputs = {row.name: row.output for row in describe(f"shufflenet_g{groups}")}
    outputs["maxpool"] = outputs["stem"]
    for row in ROWS[1:]:
        assert outputs[row.layer] == (getattr(row, f"g{groups}"), row.output, row.output)
    net = on_meta(f"shufflenet_g{groups}")
    assert [len(net.get_submodule(stage)) for stage in net.stages[1:]] == [4, 8, 4]


def test_only_the_first_1x1_is_not_grouped() -> None:
    net = on_meta("shufflenet_g8")
    ones = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)]
    assert [conv.groups for conv in ones] == [1] + [8] * 31
    assert (ones[0].in_channels, ones[0].out_channels) == (24, 384 // 4)


def test_the_shuffle_reads_a_grid_of_groups_column_by_column() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert ChannelShuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert ChannelShuffle(3)(x).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    shuffled = torch.randn(2, 24, 3, 3)
    assert torch.equal(ChannelShuffle(8)(ChannelShuffle(3)(shuffled)), shuffled)


def test_without_the_shuffle_groups_would_not_meet() -> None:
    """Figure 1: an output of two stacked grouped convolutions sees one group, or with the shuffle all of them."""
    x = torch.zeros(1, 12, 1, 1, requires_grad=True)
    for shuffle, groups in ((ChannelShuffle(3), 3), (nn.Identity(), 1)):
        y = F.conv2d(shuffle(F.conv2d(x, torch.ones(12, 4, 1, 1), groups=3)), torch.ones(12, 4, 1, 1), groups=3)
        (gradient,) = torch.autograd.grad(y[0, 0, 0, 0], x)
        assert int((gradient.view(3, 4) != 0).all(1).sum()) == groups


def test_the_unit_is_figure_2() -> None:
    torch.manual_seed(0)
    for stride in (1, 2):
        unit = ShuffleUnit(24, 24 * stride, stride=stride, groups=3, first_groups=3, branch_first=False).eval()
        for norm in unit.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias)
        state = unit.state_dict()

        def step(x: Tensor, part: int, state: dict[str, Tensor] = state, **how: int) -> Tensor:
            y = F.conv2d(x, state[f"branch.{part}.conv.weight"], **how)
            keys = ("running_mean", "running_var", "weight", "bias")
            return F.batch_norm(y, *(state[f"branch.{part}.norm.{key}"] for key in keys))

        x = torch.randn(2, 24, 8, 8)
        y = step(x, 0, groups=3).relu()
        y = step(ChannelShuffle(3)(y), 2, groups=y.shape[1], stride=stride, padding=1)  # no ReLU after it
        y = step(y, 3, groups=3)
        expected = x + y if stride == 1 else torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1)
        torch.testing.assert_close(unit(x), expected.relu())


def test_the_order_of_a_concatenation_numbers_channels_only() -> None:
    torch.manual_seed(0)
    net = create("shufflenet_tiny").eval()
    other = create("shufflenet_tiny", options={"join": "branch"}).eval()
    other.load_state_dict(net.state_dict())
    x = torch.randn(1, 6, 16, 16)
    one, two = net.get_submodule("stage2.0")(x), other.get_submodule("stage2.0")(x)
    assert torch.equal(one, torch.cat([two[:, -6:], two[:, :-6]], 1))


def test_weights_start_as_in_the_authors_code() -> None:
    torch.manual_seed(0)
    net = create("shufflenet_g3")
    for name, deviation in (("stem.0.conv", 0.01), ("head", 0.01), ("stage3.1.branch.3.conv", 1 / 40)):
        weight = net.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        assert weight.std().item() == pytest.approx(deviation, rel=0.1)
        # Equal shares of one input: the number of input channels is that of a group.
    assert net.get_submodule("stage3.1.branch.3.conv").weight.shape[1] == 480 // 4 // 3  # type: ignore[union-attr]


def test_fewer_groups_cost_as_much_for_fewer_channels() -> None:
    costs = [entry(f"shufflenet_g{groups}").madds for groups in (1, 2, 3, 4, 8)]
    assert max(costs) / min(costs) < 1.07
    assert all(before.g1 < before.g8 for before, _ in itertools.pairwise(ROWS[2:]))


def test_channels_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(RequestError, match="with 8 groups, a width of 1 and a stem of 23, stage2 has 384 channels"):
        create("shufflenet_g8", options={"stem": 23})
    with pytest.raises(RequestError, match="must be multiples of 3"):
        create("shufflenet_g3", options={"width": 0.33})
