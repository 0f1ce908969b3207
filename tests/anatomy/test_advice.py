"""Design advice from the trace: what it flags, where, and what it leaves alone."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import striate
from striate.errors import RequestError


def kinds(net: str | nn.Module, size: tuple[int, ...] | None = None) -> dict[str, striate.anatomy.advice.Advice]:  # type: ignore[name-defined]
    return {one.kind: one for one in striate.advice(net, size)}


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    padded = kernel // 2
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, padded), nn.BatchNorm2d(after), nn.ReLU())


class Beside(nn.Module):
    """A grid halved by a convolution and a pooling side by side: Figure 10."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.pool = conv(channels, channels, 3, 2), nn.MaxPool2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.pool(x)], 1)


def ended(*layers: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def test_inception_v3_has_no_findings() -> None:
    assert striate.advice("inception_v3") == []


def test_pooling_first_is_a_bottleneck_and_beside_a_convolution_it_is_none() -> None:
    first = ended(conv(3, 32, 7, 2), conv(32, 32), nn.MaxPool2d(2), conv(32, 64), conv(64, 64), channels=64)
    found = kinds(first, (32, 32))["pooled first"]
    assert found.stage == "2" and found.number == 0.25
    assert "32 x 16 x 16 to 32 x 8 x 8, 25%, before it grows to 64 x 8 x 8" in found.line()
    beside = ended(conv(3, 32, 7, 2), conv(32, 32), Beside(32), conv(64, 64), conv(64, 64), channels=64)
    assert "pooled first" not in kinds(beside, (32, 32))


def test_a_narrow_layer_is_a_bottleneck_unless_it_is_linear() -> None:
    layers = [conv(3, 64), conv(64, 64), conv(64, 4, 1), conv(4, 64)]
    found = kinds(ended(*layers, channels=64), (32, 32))
    assert found["compression"].stage.startswith("2") and found["compression"].number == 4 / 64
    assert "compression" not in kinds("mobilenet_v2")


def test_vgg_is_told_of_its_pooling_its_linear_layers_and_its_missing_norms() -> None:
    found = kinds("vgg16")
    assert list(found) == ["pooled first", "fully connected", "no normalisation"]
    assert found["fully connected"].stage == "fc6.0" and found["fully connected"].number == pytest.approx(
        0.893, abs=1e-3
    )
    assert found["no normalisation"].number == 13


def test_large_kernels_where_they_cost() -> None:
    large = ended(conv(3, 32), conv(32, 32, 7), conv(32, 32), channels=32)
    found = kinds(large, (32, 32))["large kernels"]
    madds = 32 * 32 * 32 * (3 * 9 + 32 * 49 + 32 * 9) + 320
    assert found.number == pytest.approx(32 * 32 * 32 * 32 * 49 / madds) and found.stage == "1.0"
    assert "3 convolutions of 3 x 3 see as much with 45% fewer weights" in found.do
    assert "large kernels" not in kinds(ended(conv(3, 32, 11), conv(32, 32), channels=32), (32, 32))


def test_small_fields_missing_activations_and_one_sided_networks() -> None:
    bag = ended(conv(3, 16), conv(16, 16), channels=16)
    assert "sees 5 x 5 pixels of 32 x 32" in kinds(bag, (32, 32))["small field"].seen
    assert "small field" not in kinds(bag, (5, 5))
    linear = ended(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), channels=8)
    assert "one linear layer" in kinds(linear, (32, 32))["no activation"].seen
    deep = ended(*(conv(16 if n else 3, 16) for n in range(12)), conv(16, 16, 3, 2), channels=16)
    assert kinds(deep, (32, 32))["one stage"].number > 0.9
    old = ended(*(nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sigmoid()) for _ in range(4)), channels=3)
    assert kinds(old, (32, 32))["saturating"].number == 4


def test_never_more_than_five_and_no_weight_is_read() -> None:
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.Sigmoid()]
    for _ in range(10):
        layers += [nn.Conv2d(16, 16, 5, padding=2), nn.Sigmoid()]
    bad = nn.Sequential(
        *layers, nn.MaxPool2d(2), nn.Conv2d(16, 64, 5, padding=2), nn.Flatten(), nn.Linear(64 * 256, 100)
    ).to("meta")
    found = striate.advice(bad, (3, 32, 32))
    assert len(found) == 5
    assert not any("accuracy" in one.line() for one in found)


def test_requests_that_cannot_be_met() -> None:
    with pytest.raises(RequestError, match="needs the input_size"):
        striate.advice(nn.Conv2d(3, 4, 3))
    with pytest.raises(RequestError, match="height and width"):
        striate.advice(nn.Conv2d(3, 4, 3), (32,))
    with pytest.raises(RequestError, match="does not run on an image"):
        striate.advice(nn.Conv2d(3, 4, 3), (1, 1))
    with pytest.raises(RequestError, match="resnet50"):
        striate.advice("resnet5O")


def test_show_says_it(cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("show", "lenet5", "--advice")
    assert code == 0 and "saturating: " in out
    code, out, _ = cli("show", "resnet8", "--advice", "--json")
    assert code == 0 and json.loads(out)["advice"][0].keys() == {"kind", "stage", "number", "seen", "do"}
    code, out, _ = cli("show", "resnet20", "--advice")
    assert "nothing remarkable" in out
