"""A small net, noise as training data, and comparison of weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from striate.recipe import Recipe
from striate.training.examples import Examples

MEAN, STD = [33.0], [78.0]
QUICK = Recipe().updated(
    {
        "train.epochs": 2,
        "train.batch": 32,
        "optimizer.lr": 0.05,
        "augment": {"preset": "none"},
        "schedule.warmup_epochs": 0,
    }
)


def small_net(seed: int = 0, *, norm: bool = True, dropout: float = 0.0) -> nn.Sequential:
    """Two convolutions and a linear layer over 14 x 14 images of one channel."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16 * 9, 10),
    )


def some(n: int = 65) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 14, 14), dtype=torch.uint8, generator=generator)
    return images, torch.arange(n) % 10


def examples(images: Tensor, targets: Tensor, *, mean: Any = MEAN, std: Any = STD, **more: Any) -> Examples:
    """Images and targets as `Examples`."""
    return Examples(images, targets, mean, std, **more)


def noise(n: int = 65, **more: Any) -> Examples:
    """`some` images, to overfit."""
    return examples(*some(n), **more)


def flat(net: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
