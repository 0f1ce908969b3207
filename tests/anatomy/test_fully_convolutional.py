"""Heads made of convolutions: the same answer at the native size, and a map of answers on a larger image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import create

TRIED = [
    entry.name
    for entry in catalog.entries(tiny=True, kind="classifier")
    if (entry.tiny or entry.file == "lenet") and entry.file != "graph_net"  # rows that are read, not layers of ours
]


class Classic(Net):
    """Fully connected layers on the flattened map, no padding anywhere; one size of image."""

    table = ""
    minimum_size = 20

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 3
        self.conv = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2))
        self.fc = nn.Sequential(nn.Linear(6 * 4 * 5, 12), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(12, 7, bias=False)
        self.stages = ("conv",)
        self.feature_channels, self.embedding_size = 6, 12

    def embed(self, x: Tensor) -> Tensor:
        x = self.features(x)
        vector: Tensor = self.fc(x.view(x.size(0), -1))
        return torch.tanh(vector) * 2


class Refused(Classic):
    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x).sort(1).values


class Parting(Classic):
    def embed(self, x: Tensor) -> Tensor:
        vector = super().embed(x)
        return vector.relu() + vector


@pytest.mark.parametrize("name", TRIED)
@torch.no_grad()
def test_the_same_answer_at_the_native_size(name: str) -> None:
    torch.manual_seed(0)
    net = create(name).eval()
    size = catalog.entry(name).input_size
    x = torch.randn(1, net.in_channels, *size)
    dense = striate.fully_convolutional(net)
    scores, answers = net(x), dense(x)
    assert answers.shape == (*scores.shape, 1, 1)
    assert (answers[:, :, 0, 0] - scores).abs().max() <= 1e-5 * scores.abs().max()
    several = dense(torch.randn(1, net.in_channels, *(2 * side for side in size)))
    assert several.shape[:2] == scores.shape and min(several.shape[2:]) > 1


@pytest.mark.parametrize("net", ["lenet5", "lenet5_lecture", "lenet5_plain", Classic])
@torch.no_grad()
def test_without_padding_the_map_is_the_net_slid_over_the_image(net: str | type[Net]) -> None:
    torch.manual_seed(0)
    made, window = (create(net).eval(), (32, 32)) if isinstance(net, str) else (net().eval(), (20, 24))
    dense = striate.fully_convolutional(made, window)
    assert dense.window == window
    down, across = dense.stride
    x = torch.randn(2, made.in_channels, window[0] + 2 * down, window[1] + 3 * across)
    answers = dense(x)
    assert answers.shape[2:] == (3, 4)
    for row in range(3):
        for column in range(4):
            crop = x[:, :, row * down :, column * across :][:, :, : window[0], : window[1]]
            scores = made(crop)
            assert (answers[:, :, row, column] - scores).abs().max() <= 1e-5 * scores.abs().max()


@torch.no_grad()
def test_a_mean_is_over_a_window_of_the_native_map() -> None:
    net = create("resnet8").eval()
    x = torch.randn(1, 3, 48, 40)
    last = net.features(x)
    answers = striate.fully_convolutional(net)(x)
    assert answers.shape == (1, 10, 5, 3)
    expected = net.head(last[:, :, 1:9, 2:10].mean((2, 3)))
    assert torch.allclose(answers[:, :, 1, 2], expected, atol=1e-5)


def test_the_net_stays_as_it_was_and_shares_nothing() -> None:
    net = create("resnet8")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    dense = striate.fully_convolutional(net)
    assert dense.training
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert sum(parameter.numel() for parameter in dense.parameters()) == sum(p.numel() for p in net.parameters())


def test_what_cannot_be_is_refused() -> None:
    dense = striate.fully_convolutional(create("lenet5"))
    with pytest.raises(RequestError, match="images of at least 32 x 32 pixels are needed, not 32 x 31"):
        dense(torch.zeros(1, 1, 32, 31))
    with pytest.raises(RequestError, match="give the input_size"):
        striate.fully_convolutional(Classic())
    with pytest.raises(RequestError, match="head of Refused cannot be made of convolutions: sort"):
        striate.fully_convolutional(Refused(), (20, 24))
    with pytest.raises(RequestError, match="head of Parting branches"):
        striate.fully_convolutional(Parting(), (20, 24))
