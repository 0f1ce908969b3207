"""The initial weights: the same for a seed as ever, and of the distribution that each paper's rule names."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from striate.nets.build import create
from striate.nets.catalog import entries
from striate.nets.initialise import (
    caffe_xavier,
    glorot_uniform,
    he_normal,
    he_normal_fan_out,
    he_normal_torch7,
    normal,
    normal_with_biases,
    truncated_normal,
)

# All parameters for seed 0 times cos(0), cos(1), ...: a change of a draw or of its order changes these.
CHECKSUMS = {
    "alexnet_tiny": 9.84693,
    "bn_inception_tiny": 29.54258,
    "cognitron_tiny": 0.0,  # it begins with zeros
    "densenet_tiny": 36.20259,
    "efficientnet_lite_tiny": -10.32828,
    "efficientnet_tiny": 29.53342,
    "enet_encoder_tiny": 10.17552,
    "enet_tiny": 0.76607,
    "espnetv2_tiny": -73.53778,
    "farabet_tiny": 6.28103,
    "fcn_lite_tiny": -30.24932,
    "faster_rcnn_lite_tiny": -90.12671,
    "fcos_lite_tiny": -23.89783,
    "fractalnet_tiny": 3.54667,
    "googlenet_tiny": 11.57380,
    "graph_net_tiny": 1.54640,
    "highway_tiny": 8.31481,
    "hyper_lstm_tiny": 4.85412,
    "hyper_mnist_tiny": -2.15968,
    "hyper_wrn_tiny": -7.36252,
    "inception_resnet_tiny": -2.56064,
    "inception_v3_tiny": -28.68418,
    "inception_v4_tiny": 32.41581,
    "lenet5": -1.30080,
    "lenet5_lecture": -12.24221,
    "lenet5_plain": -24.97570,
    "lstm_tiny": -11.31586,
    "maxout_tiny": -0.71906,
    "mnasnet_tiny": -22.83771,
    "mobilenet_v1_tiny": 6.92405,
    "mobilenet_v2_tiny": 6.57522,
    "nasnet_tiny": 2.09488,
    "neocognitron_tiny": 0.04632,
    "nic_lite_tiny": -67.61931,
    "nin_tiny": 10.30608,
    "plain8": 6.68857,
    "preact_resnet_tiny": -82.88683,
    "pyramidnet_tiny": -4.02672,
    "recurrent_resnet_tiny": -11.32072,
    "resnet8": 6.68857,
    "resnet_tiny": -0.59173,
    "resnext_tiny": 14.19853,
    "searched_cells_tiny": 12.41378,
    "searched_mobile_tiny": -30.59662,
    "rir_tiny": 13.69933,
    "se_resnet_tiny": -2.49520,
    "shake_shake_tiny": -40.32500,
    "show_attend_tell_lite_tiny": -62.51444,
    "shufflenet_tiny": 25.34511,
    "snn_tiny": -6.68223,
    "squeezenet_tiny": -22.71237,
    "stochastic_depth_tiny": 6.68857,
    "table_net_tiny": -2.58407,
    "tiny_darknet_tiny": -5.37174,
    "vgg_tiny": 4.33210,
    "wrn_tiny": -4.58090,
    "xception_tiny": -4.49292,
    "zfnet_tiny": -5.08321,
}


def test_every_small_net_has_a_checksum() -> None:
    assert set(CHECKSUMS) == {entry.name for entry in entries(tiny=True) if entry.tiny or entry.file == "lenet"}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_seed_gives_the_weights_it_always_gave(name: str) -> None:
    torch.manual_seed(0)
    flat = torch.cat([parameter.detach().double().flatten() for parameter in create(name).parameters()])
    found = float(flat @ torch.arange(len(flat), dtype=torch.float64).cos())
    assert found == pytest.approx(CHECKSUMS[name], rel=1e-4, abs=1e-4)


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(64, 128, 3, groups=2), nn.BatchNorm2d(128), nn.Linear(256, 512))


@pytest.mark.parametrize(
    ("function", "convolution", "linear"),
    [
        (he_normal, math.sqrt(2 / (32 * 9)), math.sqrt(2 / 256)),
        (he_normal_fan_out, math.sqrt(2 / (64 * 9)), 1 / math.sqrt(512 * 3)),
        (lambda net: he_normal_torch7(net, "in"), math.sqrt(2 / (64 * 9)), 1 / math.sqrt(256 * 3)),
        (lambda net: he_normal_torch7(net, "out"), math.sqrt(2 / (128 * 9)), 1 / math.sqrt(256 * 3)),
        (glorot_uniform, math.sqrt(2 / (32 * 9 + 128 * 9)), math.sqrt(2 / (256 + 512))),
        (caffe_xavier, math.sqrt(1 / (32 * 9)), math.sqrt(1 / 256)),
        (lambda net: normal(net, 0.3), 0.3, 0.3),
        (truncated_normal, 0.0792, 0.0792),  # 0.09, cut off at 0.18
    ],
)
def test_weights_have_the_deviation_of_the_rule(
    function: Callable[[nn.Module], None], convolution: float, linear: float
) -> None:
    net = layers().requires_grad_(False)
    function(net)
    state = net.state_dict()
    assert float(state["0.weight"].std()) == pytest.approx(convolution, rel=0.02)
    assert float(state["2.weight"].std()) == pytest.approx(linear, rel=0.02)
    assert not state["0.bias"].any()
    assert not state["2.bias"].any()
    assert state["1.weight"].eq(1).all()


def test_biases_are_lifted_by_name() -> None:
    net = nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 1), "fc6": nn.Linear(4, 4), "head": nn.Linear(4, 2)})
    normal_with_biases(net, lambda name: 0.0 if name == "conv1" else 1.0, {"fc": 0.5})
    state = net.state_dict()
    assert [float(state[f"{name}.bias"].mean()) for name in net] == [0, 0.5, 0]
    assert not state["conv1.weight"].any()
    caffe_xavier(net, bias=0.2)
    assert [round(float(state[f"{name}.bias"].mean()), 6) for name in net] == [0.2, 0.2, 0]
