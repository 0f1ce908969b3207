"""Why batch normalisation helps, measured: the loss along its gradient, drift of activations, noise from the batch.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167; Santurkar, Tsipras, Ilyas, Madry 2018, arXiv:1805.11604, sections 2, 3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.watching import watched
from striate.layers.modes import in_evaluation

Batch = tuple[Tensor, Tensor]  # images [N, C, H, W] and classes [N]


def loss_along_gradient(net: nn.Module, batch: Batch, steps: Sequence[float]) -> NDArray[np.float64]:
    """The loss [steps] after one step of each of these lengths against the gradient: w - length g, |g| as it is.

    In training mode, as an optimizer sees it; `net` is not changed. A smooth loss falls steadily over a wide range of
    steps, a rough one jumps.
    """
    moved = copy.deepcopy(net).train()
    images, targets = batch
    parameters = [parameter for parameter in moved.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(F.cross_entropy(moved(images), targets), parameters, allow_unused=True)
    start = [parameter.detach().clone() for parameter in parameters]
    losses = []
    with torch.no_grad():
        for step in steps:
            for parameter, before, gradient in zip(parameters, start, gradients, strict=True):
                if gradient is not None:
                    parameter.copy_(before - step * gradient)
            losses.append(float(F.cross_entropy(moved(images), targets)))
    return np.array(losses)


class Drift(NamedTuple):
    """means, deviations [steps, channels]: of a layer's output before each step, for the same images."""

    means: NDArray[np.float64]
    deviations: NDArray[np.float64]

    @property
    def moved(self) -> float:
        """How far the mean moves in a step, in standard deviations: the mean over steps and channels.

        Of the deviations before and after the step the larger one counts, so that a channel that awakes, after a ReLU
        that let nothing through, has moved by a few of them and not by any number.
        """
        wide = np.maximum(self.deviations[:-1], self.deviations[1:])
        return float((np.abs(np.diff(self.means, axis=0)) / np.where(wide > 0, wide, 1.0)).mean())

    @property
    def changed(self) -> float:
        """By what factor the standard deviation changes in a step, as the mean absolute logarithm.

        Of channels that vary before and after the step; 0 where none does.
        """
        logs = [np.abs(np.log(b[a * b > 0] / a[a * b > 0])) for a, b in pairwise(self.deviations)]
        found = np.concatenate(logs)
        return float(found.mean()) if found.size else 0.0


def drift(net: nn.Module, layer: str, images: Tensor, batches: Iterable[Batch], *, lr: float) -> Drift:
    """What training does to the distribution of a layer's output on `images`: one step of SGD for each batch.

    A copy is trained; `net` is not changed. Raises RequestError for an unknown module.
    """
    trained = copy.deepcopy(net).train()
    optimizer = torch.optim.SGD(trained.parameters(), lr)
    rows = []
    for x, targets in batches:
        with watched(trained, [layer]) as outputs, torch.no_grad():
            trained(images)
            values = outputs[layer].double().transpose(0, 1).flatten(1)
        rows.append((values.mean(1).numpy(), values.std(1).numpy()))
        optimizer.zero_grad()
        F.cross_entropy(trained(x), targets).backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
    return Drift(np.stack([mean for mean, _ in rows]), np.stack([deviation for _, deviation in rows]))


@torch.no_grad()
def batch_noise(
    net: nn.Module, image: Tensor, others: Tensor, batch_size: int, *, draws: int = 16, seed: int = 0
) -> float:
    """How much the logits of one image [C, H, W] depend on the images that it shares a batch with, in training mode.

    The standard deviation over `draws` random batches from `others` [N, C, H, W], as a share of that between the images
    of `others` in evaluation mode: 0 without batch norm, and smaller in larger batches. `net` is not changed.
    Raises RequestError for a batch of fewer than two images, or more than there are.
    """
    if not 2 <= batch_size <= len(others) + 1:
        raise RequestError(f"batch_size must be from 2 to {len(others) + 1}, not {batch_size}")
    noisy = copy.deepcopy(net).train()
    for module in noisy.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.eval()  # its noise is not the batch's
    random = np.random.default_rng(seed)
    logits = []
    for _ in range(draws):
        chosen = random.choice(len(others), batch_size - 1, replace=False)
        logits.append(noisy(torch.cat([image[None], others[torch.from_numpy(chosen)]]))[0])
    with in_evaluation(net):
        between = net(others).std(0).mean()
    return float(torch.stack(logits).std(0).mean() / between)


class Trial(NamedTuple):
    """One short training. accuracy: on the held-out images. loss: the last training loss; NaN where it diverged."""

    accuracy: float
    loss: float


def trial(make: Callable[[], nn.Module], train: Batch, held_out: Batch, *, lr: float, batch_size: int, steps: int,
          scale: float = 1.0, seed: int = 0) -> Trial:  # fmt: skip
    """Train a network from `make` for `steps` of SGD with momentum 0.9, all weights multiplied by `scale` at first.

    The same seed draws the same weights and batches, so that trials can be compared: with and without normalisation, by
    learning rate, initialisation or batch size.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make().train()
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(scale)
        optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
        loss = torch.tensor(float("nan"))
        for _ in range(steps):
            rows = torch.randint(len(train[0]), (batch_size,))
            loss = F.cross_entropy(net(train[0][rows]), train[1][rows])
            if not torch.isfinite(loss):
                return Trial(0.0, float("nan"))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()
        with in_evaluation(net), torch.no_grad():
            right = (net(held_out[0]).argmax(1) == held_out[1]).double().mean()
    return Trial(float(right), float(loss.detach()))
