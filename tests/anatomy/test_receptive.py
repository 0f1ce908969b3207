"""What a place of a map sees, as it is followed through the operations and as gradients measure it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.receptive import Field
from striate.anatomy.trace import trace_module
from striate.layers.conv import SameConv2d
from striate.layers.pooling import SameAvgPool2d, SameMaxPool2d
from striate.layers.shortcut import ZeroPadShortcut
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import create

TRIED = [entry.name for entry in catalog.entries(tiny=True, kind="classifier") if entry.tiny or entry.file == "lenet"]
LARGEST = 100  # pixels; a net is measured at its deepest stage that sees no more


class Beside(nn.Module):
    """Parts that look at the same map; `join` makes one map of theirs."""

    def __init__(self, join: str, *parts: nn.Module) -> None:
        super().__init__()
        self.join, self.parts = join, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        maps = [part(x) for part in self.parts]
        if self.join == "cat":
            return torch.cat(maps, 1)
        total = maps[0]
        for each in maps[1:]:
            total = total * each if self.join == "times" else total + each
        return total


class Sliced(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (2, 0, 1, 0))[:, :, 1::2, -30::3]


def conv(kernel: int | tuple[int, int], **how: int) -> nn.Conv2d:
    return nn.Conv2d(1, 1, kernel, **how)  # type: ignore[arg-type]


SMALL = {
    "strides": nn.Sequential(conv(3, stride=2), conv(5, stride=3, padding=2), conv(3)),
    "dilated": nn.Sequential(conv(3, dilation=4, padding=4), conv(3, stride=2, dilation=2)),
    "one way": nn.Sequential(conv((1, 7)), conv((3, 1), stride=2)),
    "pools": nn.Sequential(nn.AvgPool2d(3, 2, ceil_mode=True), conv(3, padding=1), nn.AvgPool2d(2), conv(2)),
    "residual": nn.Sequential(
        conv(3), Beside("sum", nn.Sequential(conv(3, padding=1), conv(3, padding=1)), nn.Identity())
    ),
    "shortcut": Beside("sum", ZeroPadShortcut(1, 1, 2), conv(3, stride=2, padding=1)),
    "branches": nn.Sequential(
        conv(3, stride=2),
        Beside("cat", conv(1), conv(5, padding=2), conv((1, 7), padding=(0, 3))),  # type: ignore[arg-type]
    ),
    "not centred": Beside("cat", conv(4, padding=1), nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), conv(4))),
    "same": nn.Sequential(SameConv2d(1, 1, 3, stride=2), SameConv2d(1, 1, 5, stride=2), SameConv2d(1, 1, 3)),
    "even": nn.Sequential(nn.AdaptiveAvgPool2d((16, 32)), conv(3)),
    "sliced": nn.Sequential(conv(3), Sliced(), conv(2)),
}


class Features(nn.Module):
    """The last of the stages of a network in which a stage takes more than the map before it."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.features(x)


@torch.no_grad()
def averaging(module: nn.Module) -> nn.Module:
    """The module with equal, positive weights: no gradient is zero by chance, no activation is full."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if name == "bias":
                parameter.zero_()
            elif parameter.ndim > 1 and not isinstance(part, nn.BatchNorm2d):
                parameter.fill_(1 / math.prod(parameter.shape[1:]))
    return module.double().eval()


def measured(
    module: nn.Module, size: Sequence[int], place: tuple[int, int], channels: int
) -> tuple[list[int], list[int]]:
    """First pixel and number of pixels, down and across, that the gradient of one place reaches."""
    image = torch.full((1, channels, *size), 0.5, dtype=torch.double, requires_grad=True)
    module(image)[0, :, place[0], place[1]].sum().backward()
    assert image.grad is not None
    seen = image.grad[0].sum(0)
    rows, columns = (seen.sum(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return [rows[0], columns[0]], [rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1]


def expected(field: Field, place: tuple[int, int]) -> tuple[list[int], list[int]]:
    return [first + jump * at for first, jump, at in zip(field.first, field.jump, place, strict=True)], list(field.size)


@pytest.mark.parametrize("name", SMALL)
def test_small_modules_see_what_their_gradients_reach(name: str) -> None:
    module, size = averaging(SMALL[name]), (64, 96)
    last = trace_module(module, (1, *size)).steps[-1]
    assert last.field is not None and not last.field.gated
    place = (last.output[2] // 2, last.output[3] // 2)
    assert measured(module, size, place, 1) == expected(last.field, place)


@pytest.mark.parametrize("name", TRIED)
def test_nets_see_what_their_gradients_reach(name: str) -> None:
    net = create(name)
    chain = type(net)._run_stages is Net._run_stages
    names = net.stages
    for count in range(len(names), 0, -1):
        net.stages = names[:count]
        body = nn.Sequential(*map(net.get_submodule, net.stages)) if chain else Features(net)
        field = trace_module(body, (net.in_channels, 128, 128)).steps[-1].field
        assert field is not None
        if max(field.size) <= LARGEST and not field.gated:
            break
    # Of a maximum only one place has a gradient, and the window is the same.
    for module in list(body.modules()):
        for child, pool in module.named_children():
            if isinstance(pool, SameMaxPool2d):
                setattr(module, child, SameAvgPool2d(*pool.sides))
            elif isinstance(pool, nn.MaxPool2d):
                mean = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)  # type: ignore[arg-type]
                setattr(module, child, mean)
    body = averaging(body)
    # Just large enough that the first place that lies in no padding sees no border at the other end either.
    side = (max(field.size) + 2 * max(field.jump)) // 32 * 32 + 32
    last = trace_module(body, (net.in_channels, side, side)).steps[-1]
    assert last.field is not None and last.field.size == field.size
    down, across = (math.ceil(-first / jump) for first, jump in zip(last.field.first, last.field.jump, strict=True))
    assert measured(body, (side, side), (down, across), net.in_channels) == expected(last.field, (down, across))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"), [(3, 2, 1, 1), (2, 2, 0, 0), (4, 2, 1, 0), (5, 3, 1, 0)]
)
def test_after_up_sampling_the_field_is_the_largest(kernel: int, stride: int, padding: int, extra: int) -> None:
    up = nn.ConvTranspose2d(1, 1, kernel, stride, padding, output_padding=extra)
    module, size = averaging(nn.Sequential(conv(3, stride=stride), up)), (64, 64)
    last = trace_module(module, (1, *size)).steps[-1]
    assert last.field is not None and last.field.jump == (1, 1)
    sizes = [measured(module, size, (place, 24), 1)[1][0] for place in range(24, 24 + stride)]
    assert max(sizes) == last.field.size[0]


def test_what_is_unpooled_sees_what_was_pooled() -> None:
    class Unpooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled, places = F.max_pool2d(x, 2, return_indices=True)
            return F.max_unpool2d(F.conv2d(pooled, torch.ones(1, 1, 3, 3, device=x.device), padding=1), places, 2)

    field = trace_module(Unpooled(), (1, 32, 32)).steps[-1].field
    assert field is not None and (field.size, field.jump) == ((6, 6), (1, 1))


def test_the_fields_of_vgg19() -> None:
    # The lectures name conv1_2, conv3_3, conv4_3, conv5_3 and the last pooling.
    layers: list[nn.Module] = []
    names: list[str] = []
    for number, convolutions in enumerate((2, 2, 4, 4, 4), start=1):
        for each in range(convolutions):
            layers.append(conv(3, padding=1))
            names.append(f"conv{number}_{each + 1}")
        layers.append(nn.MaxPool2d(2))
        names.append(f"pool{number}")
    steps = trace_module(nn.Sequential(*layers), (1, 224, 224)).steps
    sizes = {name: step.field and step.field.size[0] for name, step in zip(names, steps, strict=True)}
    asked = ("conv1_2", "conv3_3", "conv4_3", "conv5_3", "pool5")
    assert [sizes[name] for name in asked] == [5, 40, 100, 220, 268]


def test_a_mean_sees_the_whole_image_and_a_gate_says_so() -> None:
    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3), keepdim=True).sigmoid()

    gated = nn.Sequential(conv(3), Beside("times", nn.Identity(), Gate()), conv(3))
    steps = trace_module(gated, (1, 20, 20)).steps
    means = [step.field for step in steps if step.op == "mean"]
    assert means == [None]
    last = steps[-1].field
    assert last is not None and last.gated and last.size == (5, 5)
    assert measured(averaging(gated), (20, 20), (8, 8), 1) == ([0, 0], [20, 20])
    assert trace_module(nn.Sequential(conv(3), nn.Upsample(scale_factor=2)), (1, 20, 20)).steps[-1].field is None
