"""The initial weights of the papers, by name. Each function changes the module in place, without a gradient.

They draw from torch's global generator, layer by layer in the order of `named_modules`, for every convolution and
linear layer; biases are zero unless stated otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from striate.layers.subsampling import Subsampling
from striate.layers.table_conv import TableConv2d

Layer = nn.Conv2d | nn.Linear


@torch.no_grad()
def he_normal(net: nn.Module) -> None:
    """Normal weights of variance 2 / fan-in: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, equation 10."""
    for _, layer in _layers(net):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        _fill_bias(layer, 0.0)


@torch.no_grad()
def lecun_normal(net: nn.Module) -> None:
    """Normal weights of variance 1 / fan-in: LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.6."""
    for _, layer in _layers(net):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        _fill_bias(layer, 0.0)


@torch.no_grad()
def he_normal_fan_out(net: nn.Module) -> None:
    """Convolutions normal of variance 2 / fan-out, linear layers uniform in +-1 / sqrt(outputs).

    The same paper, equation 14, with fan-out counted in a group; both as the code of EfficientNet has it
    (tensorflow/tpu, models/official/efficientnet).
    """
    for _, layer in _layers(net):
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels // layer.groups
            layer.weight.normal_(0, math.sqrt(2 / fan_out))
        else:
            bound = 1 / math.sqrt(layer.out_features)
            layer.weight.uniform_(-bound, bound)
        _fill_bias(layer, 0.0)


@torch.no_grad()
def he_normal_torch7(net: nn.Module, fan: Literal["in", "out"]) -> None:
    """Convolutions normal of variance 2 / (kernel area x channels), linear layers uniform in +-1 / sqrt(inputs).

    `fan`: the channels are those of the input or of the output, all of them where a convolution has groups. Source:
    facebook/fb.resnet.torch and the codes that started from it; the linear layers are as torch 7 makes them.
    """
    for _, layer in _layers(net):
        if isinstance(layer, nn.Conv2d):
            channels = layer.in_channels if fan == "in" else layer.out_channels
            layer.weight.normal_(0, math.sqrt(2 / (channels * math.prod(layer.kernel_size))))
        else:
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound)
        _fill_bias(layer, 0.0)


@torch.no_grad()
def glorot_uniform(net: nn.Module) -> None:
    """Uniform weights of variance 2 / (fan-in + fan-out): Glorot, Bengio 2010, equation 16."""
    for _, layer in _layers(net):
        nn.init.xavier_uniform_(layer.weight)
        _fill_bias(layer, 0.0)


@torch.no_grad()
def caffe_xavier(net: nn.Module, *, bias: float = 0.0) -> None:
    """Uniform weights of variance 1 / fan-in: the filler that Caffe calls "xavier".

    bias: of every layer but those called `head`, whose bias is zero. BVLC/caffe, models/bvlc_googlenet, has 0.2.
    """
    for name, layer in _layers(net):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
        _fill_bias(layer, 0.0 if name.split(".")[-1] == "head" else bias)


@torch.no_grad()
def normal(net: nn.Module, deviation: float) -> None:
    """Normal weights of one standard deviation in all layers."""
    for _, layer in _layers(net):
        layer.weight.normal_(0, deviation)
        _fill_bias(layer, 0.0)


@torch.no_grad()
def truncated_normal(net: nn.Module, deviation: float = 0.09) -> None:
    """Normal weights, cut off at twice the deviation: the code of MobileNet V1 and V2 (tensorflow/models, slim)."""
    for _, layer in _layers(net):
        nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        _fill_bias(layer, 0.0)


@torch.no_grad()
def normal_with_biases(net: nn.Module, deviations: Callable[[str], float], biases: Mapping[str, float]) -> None:
    """Normal weights, and a bias other than zero where the first ReLUs need an input above zero.

    deviations: from a layer's name to the standard deviation of its weights. biases: by the prefix of a layer's
    name; zero for the others. Source: Krizhevsky, Sutskever, Hinton 2012, section 5.
    """
    for name, layer in _layers(net):
        layer.weight.normal_(0, deviations(name))
        _fill_bias(layer, next((bias for prefix, bias in biases.items() if name.startswith(prefix)), 0.0))


@torch.no_grad()
def uniform_by_fan_in(net: nn.Module, bound: Callable[[int], float]) -> None:
    """Weights and biases uniform in +- a bound that depends on the fan-in; also of LeNet's special layers."""
    for module in net.modules():
        if isinstance(module, TableConv2d):
            module.draw_uniform([bound(fan_in) for fan_in in module.fan_in])
        elif isinstance(module, Subsampling):
            _uniform((module.weight, module.bias), bound(module.kernel**2))
        elif isinstance(module, Layer):
            _uniform((module.weight, module.bias), bound(math.prod(module.weight.shape[1:])))


def lenet_bound(fan_in: int) -> float:
    """2.4 / fan-in: LeCun, Bottou, Bengio, Haffner 1998, appendix A."""
    return 2.4 / fan_in


def lecun_bound(fan_in: int) -> float:
    """Variance 1 / fan-in: LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, equation 16."""
    return math.sqrt(3 / fan_in)


def _layers(net: nn.Module) -> Iterator[tuple[str, Layer]]:
    for name, module in net.named_modules():
        if isinstance(module, Layer):
            yield name, module


def _fill_bias(layer: Layer, value: float) -> None:
    if layer.bias is not None:
        layer.bias.fill_(value)


def _uniform(tensors: Sequence[Tensor | None], bound: float) -> None:
    for tensor in tensors:
        if tensor is not None:
            tensor.uniform_(-bound, bound)
