"""SqueezeNet against its Table 1 and its authors' definitions for Caffe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import madds, parameters, stage_rows
from striate.nets.build import create, net_class
from striate.nets.catalog import entry
from striate.nets.squeezenet import ROWS, Fire


def on_meta(name: str, **options: object) -> Any:
    with torch.device("meta"):
        return create(name, options=options)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_every_row_is_the_tables(name: str) -> None:
    net = on_meta(name, border=False)
    *counted, head = stage_rows(net, (227, 227))
    rows = ROWS[net_class(name).table]
    assert [row.name for row in counted] == [row.layer for row in rows]
    for row, count in zip(rows, counted, strict=True):
        assert count.output == (row.channels, row.size, row.size)
        assert count.parameters == row.parameters
    assert sum(row.parameters for row in rows) == entry(name).parameters
    assert (head.output, head.parameters) == ((1000,), 0)


def test_multiply_adds_of_caffes_definitions_and_of_the_table() -> None:
    assert madds(on_meta("squeezenet1_0"), (227, 227)) == 861_339_936
    assert madds(on_meta("squeezenet1_1"), (227, 227)) == 387_747_520
    # Other libraries have no border and look at 224 x 224.
    assert madds(on_meta("squeezenet1_0", border=False), (224, 224)) == 818_924_576
    assert madds(on_meta("squeezenet1_1"), (224, 224)) == 349_151_936


def test_the_border_of_conv10_adds_to_every_mean_what_its_bias_passes() -> None:
    torch.manual_seed(0)
    with_border: Any = create("squeezenet_tiny").eval()
    without = create("squeezenet_tiny", options={"border": False}).eval()
    nn.init.uniform_(with_border.conv10.conv.bias, -1, 1)
    without.load_state_dict(with_border.state_dict())
    x = torch.rand(2, 3, 45, 45)
    height, width = without.features(x).shape[2:]
    assert with_border.features(x).shape[2:] == (height + 2, width + 2)
    inside, all_of_it = height * width, (height + 2) * (width + 2)
    bias = with_border.conv10.conv.bias.relu()
    expected = (without(x) * inside + bias * (all_of_it - inside)) / all_of_it
    torch.testing.assert_close(with_border(x), expected)


def test_fifty_times_fewer_parameters_than_alexnet() -> None:
    ratio = entry("alexnet").parameters / entry("squeezenet1_0").parameters
    assert ratio == pytest.approx(48.8, abs=0.05)


def test_pooling_rounds_up() -> None:
    x = torch.empty(1, 96, 54, 54, device="meta")
    assert on_meta("squeezenet1_0").maxpool1(x).shape[2:] == (27, 27)
    assert nn.MaxPool2d(3, 2)(x).shape[2:] == (26, 26)


def test_a_fire_module_expands_side_by_side() -> None:
    torch.manual_seed(0)
    # The lecture's figure: three to squeeze, four and four to expand.
    fire = Fire(5, 3, 4, 4, bypass=False)
    x = torch.randn(2, 5, 6, 7)
    y = fire(x)
    assert y.shape == (2, 8, 6, 7)
    squeezed = fire.squeeze1x1(x)
    assert squeezed.shape == (2, 3, 6, 7)
    assert torch.equal(y[:, :4], fire.expand1x1(squeezed))
    assert torch.equal(y[:, 4:], fire.expand3x3(squeezed))
    assert parameters(fire) == (5 * 3 + 3) + (3 * 4 + 4) + (9 * 3 * 4 + 4)


def test_the_bypass_leads_around_every_second_fire_module() -> None:
    net = on_meta("squeezenet1_0_bypass")
    around = [name for name, module in net.named_children() if isinstance(module, Fire) and module.bypass]
    assert around == ["fire3", "fire5", "fire7", "fire9"]
    fire = Fire(8, 3, 4, 4, bypass=True)
    x = torch.randn(1, 8, 3, 3)
    y = fire(x)
    fire.bypass = False
    torch.testing.assert_close(y - x, fire(x))


def test_linear_classifies_the_mean_of_the_last_fire_module() -> None:
    torch.manual_seed(0)
    mapped: Any = create("squeezenet_tiny").eval()
    linear: Any = create("squeezenet_tiny", classes=3, options={"classifier": "linear"}).eval()
    below = {key: value for key, value in mapped.state_dict().items() if not key.startswith("conv10")}
    missing = linear.load_state_dict(below, strict=False)
    assert missing.unexpected_keys == []
    assert sorted(missing.missing_keys) == ["head.bias", "head.weight"]
    x = torch.rand(2, 3, 45, 45)
    assert torch.equal(linear.embed(x), linear.features(x).mean((2, 3)))
    assert linear.embed(x).shape == (2, linear.head.in_features)
    assert linear(x).shape == (2, 3)
    assert linear.train().embed(x).eq(0).sum() > linear.eval().embed(x).eq(0).sum()


def test_weights_begin_as_the_authors_definition_says() -> None:
    torch.manual_seed(0)
    for name, module in create("squeezenet_tiny", classes=1000, options={"width": 0.5}).named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            assert not module.bias.any()
            deviation = 0.01 if name.startswith("conv10") else module.weight[0].numel() ** -0.5
            assert float(module.weight.detach().std()) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize(("tiny", "maps"), [("squeezenet_tiny", "conv10.conv"), ("nin_tiny", "mlpconv3.mlp2.conv")])
def test_two_classes_train_from_any_seed(tiny: str, maps: str) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for seed in range(10):
        torch.manual_seed(seed)
        net = create(tiny, classes=2).eval()
        nn.functional.cross_entropy(net(images), torch.tensor([0, 0, 0, 1])).backward()
        assert all(rows.any() for rows in net.get_submodule(maps).weight.grad), seed
