"""The dense networks against the tables of their paper, and their memory-efficient form against the usual one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.build import create
from striate.nets.densenet import CIFAR_ROWS, CifarDenseNet, DenseBlock, DenseLayer, DenseNet, LayerOptions, Stage

# Counted from other builds of the same networks; that facts.json is what the code makes is tested in test_counts.
KNOWN = {
    "densenet40_k12": (1_019_722, 264_812_928),
    "densenet100_k12": (6_979_642, 1_769_516_448),
    "densenet100_k24": (27_249_082, 6_889_347_744),
    "densenet_bc100_k12": (769_162, 287_929_692),
    "densenet_bc250_k24": (15_324_406, 5_418_785_724),
    "densenet_bc190_k40": (25_624_430, 9_301_945_740),
    "densenet_bc40_k36": (1_542_682, 647_298_936),
    "densenet_bc40_k48": (2_733_130, 1_149_867_168),
    "densenet_bc40_k60": (4_261_690, 1_795_836_360),
    "densenet121": (7_978_856, 2_834_161_664),
    "densenet169": (14_149_480, 3_359_843_328),
    "densenet201": (20_013_928, 4_291_365_888),
    "densenet161": (28_681_000, 7_727_907_072),
    "densenet264": (33_337_704, 5_751_653_376),
}


def test_the_catalogue_has_the_known_counts() -> None:
    entries = {name: catalog.entry(name) for name in KNOWN}
    assert {name: (entry.parameters, entry.madds) for name, entry in entries.items()} == KNOWN


def test_maps_are_table_1s() -> None:
    # 64 maps and 32 more a layer; each transition halves maps and sizes.
    blocks = [(256, 56), (512, 28), (1024, 14), (1024, 7)]
    transitions = [(128, 28), (256, 14), (512, 7)]
    rows = {row.name: row.output for row in describe("densenet121")}
    assert rows["stem"] == (64, 56, 56)
    for number, (channels, size) in enumerate(blocks, start=1):
        assert rows[f"block{number}"] == (channels, size, size)
    for number, (channels, size) in enumerate(transitions, start=1):
        assert rows[f"transition{number}"] == (channels, size, size)


def test_a_name_counts_the_layers_with_weights() -> None:
    for name, depth in (("densenet121", 121), ("densenet40_k12", 40), ("densenet_bc100_k12", 100)):
        with torch.device("meta"):
            net = create(name)
        assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth


def test_parameters_are_table_2s() -> None:
    for row in CIFAR_ROWS:
        with torch.device("meta"):
            net = create(row.network)
        assert f"{parameters(net) / 1e6:.1f}M" == row.parameters


def test_the_first_convolution_has_16_filters_or_with_b_and_c_two_growth_rates() -> None:
    with torch.device("meta"):
        first = [create(name).stem.out_channels for name in ("densenet100_k24", "densenet_bc250_k24")]  # type: ignore[union-attr]
    assert first == [16, 48]


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_layer_sees_all_before_it(bottleneck: bool) -> None:
    block = DenseBlock(Stage(5, 4, 3, 0), LayerOptions(bottleneck, 0.0, False)).eval()
    x = torch.randn(2, 5, 6, 6)
    seen = x
    for layer in block:
        made = layer.conv1(seen)
        seen = torch.cat((seen, layer.conv2(made)), 1)
    assert torch.equal(block(x), seen)
    assert seen.shape == (2, 5 + 4 * 3, 6, 6)


def step(net: CifarDenseNet) -> list[Tensor]:
    """Scores, gradients and buffers after a step."""
    torch.manual_seed(1)
    scores = net(torch.randn(4, 3, 8, 8))
    scores.square().sum().backward()
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    return [scores, *gradients, *net.buffers()]


@pytest.mark.parametrize("options", [{}, {"bottleneck": True, "compression": 0.5}, {"dropout": 0.2}])
def test_saving_memory_changes_no_number(options: dict[str, object]) -> None:
    found = []
    for saving in (False, True):
        torch.manual_seed(0)
        found.append(step(CifarDenseNet(depth=22, growth_rate=4, memory_efficient=saving, **options)))  # type: ignore[arg-type]
    usual, saved = found
    assert len(usual) == len(saved)
    for one, other in zip(usual, saved, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def kept_for_backward(depth: int, saving: bool) -> int:
    """Bytes of maps that stand in memory between forward and backward; weights and statistics are not among them."""
    net = CifarDenseNet(depth=depth, growth_rate=2, memory_efficient=saving)
    kept: dict[int, Tensor] = {}
    # What is recomputed keeps its inputs, the layers' outputs, without asking a hook.
    for module in net.modules():
        if isinstance(module, DenseLayer):
            module.register_forward_hook(lambda _, __, output: kept.update({output.data_ptr(): output}))

    def pack(tensor: Tensor) -> Tensor:
        if tensor.ndim == 4 and not isinstance(tensor, nn.Parameter):
            kept[tensor.data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        scores = net(torch.randn(4, 3, 8, 8))
    assert scores.requires_grad
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.values())


def test_memory_grows_with_the_depth_and_not_with_its_square() -> None:
    bends = {}
    for saving in (False, True):
        first, second, third = (kept_for_backward(depth, saving) for depth in (16, 28, 40))
        assert first < second < third
        bends[saving] = (third - 2 * second + first) / third
    assert bends[True] == 0
    assert bends[False] > 0.05


def test_every_layer_of_the_imagenet_network_saves_memory_if_asked() -> None:
    for saving in (False, True):
        with torch.device("meta"):
            net = DenseNet(memory_efficient=saving)
        layers = [module for module in net.modules() if isinstance(module, DenseLayer)]
        assert [layer.memory_efficient for layer in layers] == [saving] * (6 + 12 + 24 + 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 41}, "depth must be 6n + 4, from 10 to 1000 (40, 100, ...), not 41"),
        ({"depth": 41, "bottleneck": False}, "depth must be 3n + 4, from 7 to 1000 (40, 100, ...), not 41"),
        ({"depth": 10**9}, "depth must be 6n + 4"),
        ({"growth_rate": 0}, "growth_rate must be in 1 to 256, not 0"),
        ({"compression": 0.0}, "compression must be in 0.1 to 1, not 0.0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, not 1.0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        create("densenet_tiny", options=options)
    assert message in str(caught.value)
