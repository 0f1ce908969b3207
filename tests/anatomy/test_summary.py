"""What training keeps, what is not counted, and heads that only training runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy import summary
from striate.anatomy.trace import trace
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.shapes import output_shapes


class Odd(Net):
    """Things that the catalogue's nets may have, and more."""

    table = ""
    minimum_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 3
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.PReLU()
        self.auxiliary = nn.Linear(4, 5)
        self.head = nn.Linear(4, 5)
        self.mix = nn.Parameter(torch.eye(4))
        self.stages = ("conv", "act")
        self.feature_channels = self.embedding_size = 4

    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x) @ self.mix

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self(x), [self.auxiliary(self.features(x).mean((2, 3)))]


def really_saved(net: Net, size: tuple[int, int]) -> int:
    """What one more image adds to the bytes that torch saves for backward in a real pass, on the processor."""
    totals = []
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    for images in (2, 3):
        storages: dict[int, int] = {}
        held = []

        def save(tensor: Tensor, storages: dict[int, int] = storages, held: list[Tensor] = held) -> Tensor:
            held.append(tensor)
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        x = torch.randn(images, net.in_channels, *size)
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            net.train()(x)
        totals.append(sum(size for storage, size in storages.items() if storage not in weights))
    return totals[1] - totals[0]


@pytest.mark.parametrize("name", ["lenet5", "lenet5_plain", "resnet8", "efficientnet_lite_tiny"])
def test_what_training_keeps_is_what_torch_saves(name: str) -> None:
    net = create(name)
    size = entry(name).input_size
    assert summary.activation_memory(net, size) == really_saved(net, size)


def test_what_training_keeps_by_hand() -> None:
    # The image, for the convolution's weights; its answer, for PReLU and, once, for its slope; the means, for `mix`;
    # what is mixed, for the head. Then the auxiliary head's own run up to its input.
    image, answer = 3 * 8 * 8, 4 * 8 * 8
    assert summary.activation_memory(Odd(), (8, 8)) == 4 * (image + answer + 4 + 4 + answer + 4)


def test_stages_add_up_to_the_activation_memory() -> None:
    net = create("efficientnet_lite_tiny")
    rows = summary.stage_rows(net, (32, 32))
    assert sum(row.activation_bytes for row in rows) == summary.activation_memory(net, (32, 32))
    assert all(row.activation_bytes > 0 for row in rows)
    # The mask of dropout counts too, though dropout has no row.
    without = create("efficientnet_lite_tiny", options={"dropout": 0.0})
    assert (
        summary.activation_memory(net, (32, 32)) - summary.activation_memory(without, (32, 32))
        == 4 * net.embedding_size
    )


def test_what_is_not_counted_is_named() -> None:
    net = Odd()
    found = summary.uncounted(net, trace(net, (8, 8)))
    assert [tuple(each) for each in found] == [("Odd", 1, 16, 0), ("PReLU", 1, 1, 0), ("matmul in forward", 1, 0, 16)]
    assert summary.madds(net, (8, 8)) == 4 * 3 * 9 * 64 + 4 * 5


def test_every_parameter_is_of_a_layer_that_is_counted_or_named() -> None:
    for name in ("lenet5", "resnet8", "efficientnet_lite_tiny"):
        net = create(name)
        named = summary.uncounted(net, trace(net, entry(name).input_size))
        counted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear) or hasattr(m, "multiply_adds")]
        held = sum(p.numel() for module in counted for p in module.parameters(recurse=False))
        assert held + sum(each.parameters for each in named) == summary.parameters(net)


def test_auxiliary_heads_are_rows_that_cost_nothing_but_in_training() -> None:
    rows = {row.name: row for row in summary.stage_rows(Odd(), (8, 8))}
    assert list(rows) == ["conv", "act", "auxiliary", "head"]
    assert rows["auxiliary"] == ("auxiliary", (5,), 25, 0, None, False, 16, True)
    assert not rows["head"].training_only


def test_any_size_and_any_module() -> None:
    net = create("resnet8")
    assert [row.output for row in summary.stage_rows(net, (20, 36))][-2:] == [(64, 5, 9), (10,)]
    assert summary.module_madds(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 10, 10)) == 64 * 4 * 27
    assert output_shapes(net, ["stage2", "stage3.0.conv1"]) == {
        "stage2": (32, 4, 4),
        "stage3.0.conv1": (64, 2, 2),
    }


def test_a_head_that_does_nothing_has_a_row_too() -> None:
    net = Odd()
    net.head = nn.Identity()
    assert summary.stage_rows(net, (8, 8))[-1][:4] == ("head", (4,), 0, 0)
