"""Another activation in any network: the formulas, what is swapped, and what is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate import swap_activation
from striate.errors import RequestError
from striate.layers.activation import MaxoutActivation
from striate.layers.dropout import AlphaDropout
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets.activations import ACTIVATIONS, Activation
from striate.nets.build import create

SCALE = 1.0507009873554804934193349852946
ALPHA = 1.6732632423543772848170429916717
MEAN_SLOPE = (1 / 8 + 1 / 3) / 2

FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(0.0, x),
    "leaky-relu": lambda x: max(0.01 * x, x),
    "rrelu": lambda x: x if x > 0 else MEAN_SLOPE * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: SCALE * x if x > 0 else SCALE * (ALPHA * math.exp(x) - ALPHA),
    "maxout": lambda x: max(0.0, x),  # at the start
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "none": lambda x: x,
}


def plain(act: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), act or nn.ReLU(), nn.Flatten(), nn.Linear(4 * 62 * 62, 2))


def count(net: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in net.modules())


@pytest.mark.parametrize("activation", get_args(Activation))
def test_each_is_its_formula(activation: str) -> None:
    assert FORMULAS.keys() == set(get_args(Activation))
    net = plain().double().eval()
    assert swap_activation(net, activation) == 1
    values = torch.linspace(-4, 4, 33, dtype=torch.float64)
    given = net[1](values.view(1, 1, 33, 1).expand(2, 4, 33, 1))
    wanted = torch.tensor([FORMULAS[activation](float(x)) for x in values], dtype=torch.float64)
    assert torch.allclose(given, wanted.view(33, 1).expand_as(given), rtol=0, atol=1e-15)


def test_selus_constants_are_those_of_the_paper_in_full() -> None:
    net = plain()
    swap_activation(net, "selu")
    ends = net[1](torch.tensor([1.0, -1e4], dtype=torch.float64)).tolist()
    assert ends == [SCALE, -SCALE * ALPHA]


def test_selu_keeps_mean_and_variance_through_many_layers() -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(32) for layer in (nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.05))]
    net = nn.Sequential(*layers, nn.Linear(128, 2))
    assert swap_activation(net, "selu", images=torch.zeros(2, 128)) == 32
    assert count(net, AlphaDropout) == 32 and count(net, nn.Dropout) == 0
    with torch.no_grad():
        last = net[:-1](torch.randn(512, 128))
    assert abs(float(last.mean())) < 0.15 and 0.8 < float(last.var()) < 1.2
    deviations = [float(layer.weight.detach().std()) * 128**0.5 for layer in net if isinstance(layer, nn.Linear)]
    assert all(0.95 < one < 1.05 for one in deviations[:-1])
    swap_activation(net, "elu", images=torch.zeros(2, 128))
    assert count(net, AlphaDropout) == 0 and [layer.p for layer in net if isinstance(layer, nn.Dropout)] == [0.05] * 32


def test_rrelu_is_random_in_training_within_the_papers_bounds() -> None:
    net = plain()
    swap_activation(net, "rrelu")
    slopes = -net[1].train()(-torch.ones(100, 100))
    assert 0.125 <= float(slopes.min()) < 0.13 and 0.328 < float(slopes.max()) <= 1 / 3
    assert float(slopes.mean()) == pytest.approx(MEAN_SLOPE, abs=0.002)
    assert torch.equal(net[1].eval()(-torch.ones(5)), torch.full((5,), -MEAN_SLOPE))


def test_prelu_has_a_slope_for_each_channel_and_one_where_a_layer_serves_several() -> None:
    shared = nn.ReLU()
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), shared, nn.Conv2d(4, 6, 3), shared, nn.Conv2d(6, 5, 3), nn.ReLU(), *plain()[2:]
    )
    net[-1] = nn.Linear(5 * 58 * 58, 2)
    assert swap_activation(net, "prelu") == 2
    assert net[1] is net[3]
    assert [net[place].num_parameters for place in (1, 5)] == [1, 5]


def test_maxout_costs_two_linear_layers_over_the_channels() -> None:
    net = create("vgg_tiny", classes=3)
    before = sum(parameter.numel() for parameter in net.parameters())
    images = torch.randn(2, 3, 32, 32)
    logits = net.eval()(images)
    channels = [layer.out_channels for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    channels += [net.fc6[0].out_features, net.fc7[0].out_features]
    assert swap_activation(net, "maxout") == len(channels)
    assert sum(parameter.numel() for parameter in net.parameters()) - before == sum(2 * c * (c + 1) for c in channels)
    assert count(net, MaxoutActivation) == len(channels)
    assert torch.allclose(net.eval()(images), logits, atol=1e-6)  # it starts as ReLU


class Gated(nn.Module):
    """A user's own block of squeeze-and-excitation, with its gate as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 8, 3), nn.Hardswish()
        self.down, self.middle, self.up, self.gate = nn.Linear(8, 4), nn.ReLU6(), nn.Linear(4, 8), nn.Sigmoid()
        self.last, self.probability = nn.Linear(8, 2), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x)) * 0.5
        gate = self.gate(self.up(self.middle(self.down(x.mean((2, 3))))))
        x = x * gate.view(len(x), 8, 1, 1).expand_as(x)
        return self.probability(self.last(x.mean((2, 3))))


def test_gates_and_the_output_stay() -> None:
    net = Gated()
    assert swap_activation(net, "elu") == 2
    assert [type(layer) for layer in (net.act, net.middle, net.gate, net.probability)] == [
        *(nn.ELU, nn.ELU),
        *(nn.Sigmoid, nn.Sigmoid),
    ]


def test_squeeze_and_excitation_and_the_head_stay() -> None:
    net = create("se_resnet_tiny")
    kept = [layer.act for layer in net.modules() if isinstance(layer, SqueezeExcitation)]
    assert kept
    swap_activation(net, "tanh")
    assert all(type(layer) is nn.ReLU for layer in kept) and count(net, nn.ReLU) == len(kept)
    assert count(net, nn.Tanh) == 7
    net.head = nn.Sequential(nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 10))
    swap_activation(net, "elu")
    assert type(net.head[1]) is nn.GELU


def test_a_net_of_sigmoids_is_brought_up_to_date() -> None:
    net = plain(nn.Sigmoid())
    assert swap_activation(net, "relu") == 1
    assert type(net[1]) is nn.ReLU


@pytest.mark.parametrize(
    ("name", "kind", "places"),
    [
        ("resnet_tiny", nn.ReLU, 17),
        ("vgg_tiny", nn.ReLU, 10),
        ("lenet5", ACTIVATIONS, 6),
        ("efficientnet_lite_tiny", nn.ReLU6, 21),
        ("densenet_tiny", nn.ReLU, 15),
        ("googlenet_tiny", nn.ReLU, 61),  # with those of both auxiliary heads
    ],
)
def test_every_activation_of_a_family_is_swapped(name: str, kind: type[nn.Module], places: int) -> None:
    net = create(name)
    assert count(net, kind) == places
    assert swap_activation(net, "elu") == places
    assert count(net, nn.ELU) == places and count(net, ACTIVATIONS) == places


class Functional(nn.Module):
    def __init__(self, layer: bool) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.act = nn.ReLU() if layer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.act(self.conv(x)).mean((2, 3))))


@pytest.mark.parametrize("layer", [False, True])
def test_activations_that_are_called_as_functions_are_refused(layer: bool) -> None:
    with pytest.raises(RequestError, match=r"relu is called as a function.*make it a layer, such as nn\.ReLU"):
        swap_activation(Functional(layer), "elu")


def test_a_net_without_activations_is_refused() -> None:
    net = plain()
    swap_activation(net, "none")
    with pytest.raises(RequestError, match="no activation was found"):
        swap_activation(net, "relu")


def test_an_unknown_activation_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="selu"):
        swap_activation(plain(), "sellu")  # type: ignore[arg-type]


class OwnTensor(nn.Module):
    """For 28 x 28 pixels of one channel; makes a tensor in forward, so it does not run on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x + torch.zeros(1, 1, 28, 28))


def test_a_module_is_run_on_the_images_it_takes() -> None:
    with pytest.raises(RequestError, match=r"OwnTensor does not run on images .*give images"):
        swap_activation(OwnTensor(), "prelu")
    torch.manual_seed(0)
    drawn = torch.get_rng_state()
    net = OwnTensor()
    torch.set_rng_state(drawn)
    assert swap_activation(net, "prelu", images=torch.zeros(1, 1, 28, 28)) == 1
    assert net.layers[2].num_parameters == 5
    assert torch.equal(torch.get_rng_state(), drawn)


def test_the_new_layers_are_in_the_nets_mode_and_format() -> None:
    net = plain().to(torch.bfloat16).eval()
    swap_activation(net, "prelu")
    assert net[1].weight.dtype == torch.bfloat16 and not net[1].training
