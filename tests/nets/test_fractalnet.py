"""FractalNet: the rule of expansion, joins and drop-path, and the columns as networks of their own."""

from __future__ import annotations

import itertools
from collections import Counter
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, madds, parameters
from striate.errors import RequestError
from striate.layers.fractal import Join, survivors
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.fractalnet import DEPTH_ROWS, ROWS, Convolution, FractalBlock, FractalNet

# Counted from other builds; the last column is the authors' definition for Caffe.
KNOWN = {
    "fractalnet20": (33_724_618, 845_222_912, 33_714_314),
    "fractalnet5_narrow": (258_292, 4_583_936, 257_924),
    "fractalnet10_narrow": (847_716, 19_182_080, 846_612),
    "fractalnet20_narrow": (2_125_204, 53_834_240, 2_122_628),
    "fractalnet40_narrow": (4_778_820, 128_594_432, 4_773_300),
    "fractalnet80_narrow": (10_184_692, 283_570_688, 10_173_284),
    "fractalnet160_narrow": (21_095_076, 598_979_072, 21_071_892),
}


def tiny(**options: object) -> FractalNet:
    torch.manual_seed(0)
    net = create("fractalnet_tiny", options={"dropout": False, **options})
    assert isinstance(net, FractalNet)
    return net


def freeze_norms(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    count, cost, caffe = KNOWN[name]
    assert (entry(name).parameters, entry(name).madds) == (count, cost)
    with torch.device("meta"):
        net = create(name, options={"affine": False})
    assert (parameters(net), madds(net, (32, 32))) == (caffe, cost)
    if name == "fractalnet20":
        with torch.device("meta"):
            assert parameters(create(name, classes=100)) == 33_770_788


def expansion(block: FractalBlock, columns: int) -> Tensor:
    """f_C by its recursive rule, with the block's own convolutions taken in turn from each column."""
    taken = [iter(block.get_submodule(f"column{number}").children()) for number in range(1, columns + 1)]

    def f(depth: int, z: Tensor) -> list[Tensor]:
        """What f_depth gives to the join around it: of itself one path, its joined columns together as many."""
        if depth == 1:
            return [next(taken[0])(z)]
        deeper = f(depth - 1, mean(f(depth - 1, z)))
        return [*deeper, next(taken[depth - 1])(z)]

    def mean(paths: list[Tensor]) -> Tensor:
        return torch.stack(paths).mean(0)

    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return mean(f(columns, x))


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_a_block_is_the_rule_of_expansion(columns: int) -> None:
    torch.manual_seed(0)

    def convolution(inputs: int) -> nn.Module:
        return Convolution(inputs, 4, dropout=0.0, affine=True)

    block = FractalBlock(3, 4, columns, convolution, 0.0, "after_join").eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(block(x), nn.functional.max_pool2d(expansion(block, columns), 2))
    names = [name for name, _ in block.named_children() if name.startswith("column")]
    assert [len(block.get_submodule(name)) for name in names] == [2**number for number in reversed(range(columns))]  # type: ignore[arg-type]


def test_the_authors_pool_every_column_before_the_last_join() -> None:
    before, after = tiny(pool="before_join").eval(), tiny(pool="after_join").eval()
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(before(x), after(x))
    block = before.get_submodule("block1")
    middle = block.get_submodule("column1.1")(block.get_submodule("column1.0")(x))
    columns = [middle, block.get_submodule("column2.0")(x)]
    pooled = torch.stack([nn.functional.max_pool2d(one, 2) for one in columns]).mean(0)
    torch.testing.assert_close(block(x), pooled)
    torch.testing.assert_close(
        after.get_submodule("block1")(x), nn.functional.max_pool2d(torch.stack(columns).mean(0), 2)
    )


def test_a_join_is_the_mean_of_what_is_there() -> None:
    paths = [torch.full((2, 3), float(number)) for number in (1, 2, 4)]
    join = Join(0.5)
    assert torch.equal(join.eval()(paths), torch.full((2, 3), 7 / 3))
    possible = {
        round(sum(some) / len(some), 4) for count in (1, 2, 3) for some in itertools.combinations((1, 2, 4), count)
    }
    torch.manual_seed(0)
    seen = {round(float(join.train()(paths)[0, 0]), 4) for _ in range(200)}
    assert seen == possible
    assert torch.equal(Join(0.0).train()(paths), join.eval()(paths))


def test_paths_are_left_out_at_the_rate_and_never_all() -> None:
    torch.manual_seed(0)
    drawn = [survivors(3, 0.15) for _ in range(4000)]
    assert all(drawn)
    assert sum(map(len, drawn)) / 12_000 == pytest.approx(0.85, abs=0.02)
    rescued = Counter(one for some in (survivors(3, 0.999) for _ in range(900)) for one in some)
    assert all(250 < rescued[number] < 350 for number in range(3))


def test_without_drop_path_training_is_evaluation() -> None:
    net, x = tiny(drop_path=0.0, global_share=0.0), torch.randn(4, 3, 32, 32)
    expected = net.eval()(x)
    net.train()
    freeze_norms(net)
    assert torch.equal(net(x), expected)


def test_global_drop_path_is_one_column_for_the_whole_net() -> None:
    net, x = tiny(columns=3, global_share=1.0), torch.randn(2, 3, 32, 32)
    net.train()
    freeze_norms(net)
    alone = [net.column(number)(x) for number in (1, 2, 3)]
    assert not torch.allclose(alone[0], alone[1]) and not torch.allclose(alone[1], alone[2])
    seen = Counter()
    for _ in range(60):
        out = net(x)
        seen[next(number for number, one in enumerate(alone) if torch.equal(one, out))] += 1
    assert all(seen[number] > 8 for number in range(3))


def test_half_of_the_mini_batches_have_global_drop_path() -> None:
    torch.manual_seed(0)
    net = tiny()
    drawn = Counter(net._drawn_column() for _ in range(2000))
    assert drawn[None] / 2000 == pytest.approx(0.5, abs=0.04)
    assert drawn[1] / 2000 == pytest.approx(0.25, abs=0.04)
    with mock.patch.object(FractalNet, "_drawn_column", side_effect=AssertionError):
        net.eval()(torch.randn(1, 3, 32, 32))  # nothing is drawn in evaluation


def test_the_deepest_column_is_a_plain_net_of_its_convolutions() -> None:
    net = FractalNet(columns=3, width=0.0625).eval()
    column = net.column(1)
    assert sum(isinstance(one, nn.Conv2d) for one in column.modules()) == 4 * 5
    assert set(column.parameters()) < set(net.parameters())
    x = y = torch.randn(2, 3, 32, 32)
    for stage in net.stages:
        for one in net.get_submodule(f"{stage}.column1").children():
            y = torch.relu(one.get_submodule("norm")(one.get_submodule("conv")(y)))
        y = nn.functional.max_pool2d(y, 2)
    torch.testing.assert_close(column.eval()(x), net.head(y.mean((2, 3))))
    with pytest.raises(RequestError, match="column must be from 1 to 3, not 4"):
        net.column(4)


def test_one_column_has_no_join() -> None:
    net = FractalNet(columns=1, width=0.0625, global_share=0.0, dropout=False).eval()
    assert not [one for one in net.modules() if isinstance(one, Join)]
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(net(x), net.column(1).eval()(x))


def test_dropout_stands_between_convolution_and_batch_norm() -> None:
    net = create("fractalnet_tiny")
    for row in ROWS:
        for one in net.get_submodule(row.block).modules():
            if isinstance(one, Convolution):
                assert [name for name, _ in one.named_children()] == ["conv", "dropout", "norm", "act"]
                assert one.dropout.p == row.dropout


def test_depths_and_maps_are_the_tables() -> None:
    for row in DEPTH_ROWS:
        with torch.device("meta"):
            net = create(f"fractalnet{row.depth}_narrow")
        assert isinstance(net, FractalNet) and net.columns == row.columns
        assert sum(isinstance(one, nn.Conv2d) for one in net.column(1).modules()) == row.depth
        assert entry(net.name).published["error"] == row.error
    for row, shown in zip(ROWS, describe("fractalnet20"), strict=False):
        assert shown.output == (row.filters, row.output_size, row.output_size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 8}, "columns must be from 1 to 7, not 8"),
        ({"global_share": 1.5}, "global_share must be from 0 to 1, not 1.5"),
        ({"drop_path": 1.0}, "the rate of dropped paths must be at least 0 and below 1"),
        ({"pool": "never"}, "must be 'before_join' or 'after_join'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create("fractalnet_tiny", options=options)
