"""The ResNet with shared weights: counts, and equality with an ordinary ResNet that holds copies of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.layers.unrolled import UnrolledBlock
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import entry

KNOWN = {
    "recurrent_resnet20": (168_346, 40_551_040),
    "recurrent_resnet32": (169_242, 68_862_592),
    "recurrent_resnet56": (171_034, 125_485_696),
    "recurrent_resnet110": (175_066, 252_887_680),
}


def copies(net: Net) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """The state of the ordinary ResNet, and for each of its parameters' sources the names of the copies."""
    state: dict[str, Tensor] = {}
    origin: dict[str, list[str]] = {}
    for key, value in net.state_dict().items():
        for name in names_of(key, net):
            state[name] = value
            origin.setdefault(key, []).append(name)
    return state, origin


def names_of(key: str, net: Net) -> list[str]:
    """stage2.shared.norm1.3.weight is stage2.4.conv1.norm.weight there: block 0 stands alone in stages 2 and 3."""
    stage, _, rest = key.partition(".")
    if rest.startswith("first."):
        return [f"{stage}.0.{rest.removeprefix('first.')}"]
    if not rest.startswith("shared."):
        return [key]
    block = net.get_submodule(f"{stage}.shared")
    assert isinstance(block, UnrolledBlock)
    alone = 0 if stage == "stage1" else 1
    kind, *others = rest.removeprefix("shared.").split(".")
    conv, leaf = kind.replace("norm", "conv"), others[-1]
    if kind.startswith("conv"):
        return [f"{stage}.{alone + step}.{conv}.conv.{leaf}" for step in range(block.steps)]
    steps = [int(others[0])] if block.own_norms else range(block.steps)
    return [f"{stage}.{alone + step}.{conv}.norm.{leaf}" for step in steps]


def unsettle(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]
    assert entry(name).madds == entry(name.removeprefix("recurrent_")).madds  # it is run as often


def test_with_shared_norms_the_count_does_not_depend_on_the_depth() -> None:
    with torch.device("meta"):
        counts = {
            parameters(create("recurrent_resnet_tiny", options={"depth": depth, "own_norms": False}))
            for depth in (14, 20, 110)
        }
    assert counts == {167_834}


@pytest.mark.parametrize("own_norms", [True, False])
def test_it_is_resnet_20_with_copied_weights(own_norms: bool) -> None:
    torch.manual_seed(0)
    net = create("recurrent_resnet20", options={"own_norms": own_norms}).eval()
    unsettle(net)
    plain = create("resnet20").eval()
    plain.load_state_dict(copies(net)[0])
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net(x), plain(x))


def test_the_gradient_of_a_shared_weight_is_the_sum_over_its_copies() -> None:
    torch.manual_seed(0)
    net, plain = create("recurrent_resnet20").double(), create("resnet20").double()
    state, origin = copies(net)
    plain.load_state_dict(state)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    for one in (net.train(), plain.train()):
        nn.functional.cross_entropy(one(x), torch.arange(4)).backward()
    theirs = dict(plain.named_parameters())
    for key, parameter in net.named_parameters():
        total = sum(theirs[name].grad for name in origin[key])  # type: ignore[misc]
        torch.testing.assert_close(parameter.grad, total)
    assert max(map(len, origin.values())) == 3


def test_each_step_has_statistics_of_its_own() -> None:
    torch.manual_seed(0)
    block = UnrolledBlock(4, 3, own_norms=True).train()
    block(torch.randn(8, 4, 6, 6))
    means = [norm.running_mean for norm in block.norm2]
    assert not torch.allclose(means[0], means[1]) and not torch.allclose(means[1], means[2])  # type: ignore[arg-type]
    assert [int(norm.num_batches_tracked) for norm in block.norm1] == [1, 1, 1]  # type: ignore[arg-type]
    shared = UnrolledBlock(4, 3, own_norms=False).train()
    shared(torch.randn(8, 4, 6, 6))
    assert [int(norm.num_batches_tracked) for norm in shared.norm1] == [3]  # type: ignore[arg-type]


def test_maps_are_resnets() -> None:
    assert [row.output for row in describe("recurrent_resnet20")] == [row.output for row in describe("resnet20")]


def test_wrong_options_are_refused() -> None:
    with pytest.raises(RequestError, match="depth must be 6n \\+ 2, from 14 to 1202"):
        create("recurrent_resnet_tiny", options={"depth": 8})
