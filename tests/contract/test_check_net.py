"""check_net says in words what a module does not keep of the contract, and nothing of one that keeps it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import RequestError
from striate.nets.check import CHECKS, Failure


class Small(nn.Module):
    """Keeps the contract; what is wrong with its subclasses is what they override."""

    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.fc = nn.Linear(8, classes)

    def vectors(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.vectors(x))


class ManyOutputs(Small):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.vectors(x)), x


class Map(Small):
    def forward(self, x: Tensor) -> Any:
        return self.conv(x)


class Unused(Small):
    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__(classes, in_channels)
        self.spare = nn.Linear(2, 2)


class Detached(Small):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.vectors(x) * 0 + 1)


class Whitened(Small):
    def forward(self, x: Tensor) -> Any:
        vectors = self.vectors(x)
        return self.fc(vectors - vectors.mean(0))


class AlwaysDropping(Small):
    def forward(self, x: Tensor) -> Any:
        return self.fc(nn.functional.dropout(self.vectors(x), 0.5, training=True))


class Counting(Small):
    seen: Tensor

    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__(classes, in_channels)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        self.seen += len(x)
        return self.fc(self.vectors(x))


class TenClasses(Small):
    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__(10, in_channels)


class OwnSeed(Small):
    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__(classes, in_channels)
        nn.init.normal_(self.fc.weight, generator=torch.Generator().manual_seed(OwnSeed.made))
        OwnSeed.made += 1

    made = 0


class NotInTheState(Small):
    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__(classes, in_channels)
        self.scale = torch.randn(8)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.vectors(x) * self.scale)


class FixedBatch(Small):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.vectors(x) + (0.1 if len(x) == 3 else 0.0))


class Raising(Small):
    def forward(self, x: Tensor) -> Any:
        raise ValueError("no such layer\nmore")


@pytest.mark.parametrize(
    ("build", "check", "words"),
    [
        (ManyOutputs, "logits", "forward gives a tuple in training mode; return one tensor of logits"),
        (Map, "logits", r"give \[4, 8, 64, 64\] in training mode, not \[4, 10\]; return logits"),
        (Raising, "logits", "ValueError: no such layer; this must run without an error"),
        (Unused, "gradients", "spare.weight gets no gradient; use it in forward, or do not make it"),
        (Detached, "gradients", "the gradient of conv.weight is zero"),
        (Whitened, "independence", "depend on its batch"),
        (AlwaysDropping, "independence", "the same images give other logits; make dropout"),
        (Counting, "independence", "a pass in evaluation mode changes seen"),
        (TenClasses, "outputs", r"made for 1 classes and 1 channels, 2 images give \[2, 10\]"),
        (OwnSeed, "seed", "the same seed gives other logits"),
        (NotInTheState, "state", "a network with the same state gives other logits"),
        (FixedBatch, "export", "gives other logits for another batch size"),
    ],
)
def test_what_a_module_does_not_keep_is_said(build: type[Small], check: str, words: str) -> None:
    failures = striate.check_net(build)
    found = [str(failure).replace("body.", "") for failure in failures if failure.check == check]
    assert found, failures
    assert any(re.search(words, one) for one in found), found


def test_a_plain_module_that_keeps_it_has_no_failures() -> None:
    assert striate.check_net(Small) == []
    assert striate.check_net(Small(10)) == []
    assert striate.check_net(Small(3, 1), classes=3, in_channels=1, input_size=(20, 24)) == []


def test_a_module_is_left_as_it_was() -> None:
    net = Small(10).train()
    before, state = {key: value.clone() for key, value in net.state_dict().items()}, torch.get_rng_state()
    striate.check_net(net)
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_failure_reads_as_one_line() -> None:
    assert str(Failure("state", "this was found", "do that")) == "state: this was found; do that"
    assert next(iter(CHECKS)) == "logits"


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown net 'resnet2'"):
        striate.check_net("resnet2")
    with pytest.raises(RequestError, match="must take classes"):
        build: Callable[..., nn.Module] = nn.Identity
        striate.check_net(build)
