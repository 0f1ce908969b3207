"""The statistics of batch normalisation over a whole data set, in place of the running average of the batches'.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 3.1 and Algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.errors import RequestError
from striate.layers.modes import in_evaluation


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a module, in order."""
    return [found for found in module.modules() if isinstance(found, _BatchNorm)]


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of all batch norms of `net` to those of these images, in one pass over them.

    In training a batch norm uses the mean and variance of its batch, and keeps a running average of them, with
    forgetting, for prediction. Here its statistics become the mean and the (unbiased) variance of all values that it
    was given in the pass, exactly, whatever the batches' sizes. In the pass every batch norm normalises with its
    batch's statistics, as in training, so the values that upper layers see depend on the batches; all else, such as
    dropout, is as in prediction. Modes and momenta are restored.

    batches: the training images as the net takes them, each [N, C, H, W], of two images at least; they are moved to
    the net's device. When to use: after training with small batches or a low momentum, after averaging weights, and
    before predicting images of another kind.
    Raises RequestError for a net without batch norms that keep statistics, and no batches.
    """
    norms = [norm for norm in batch_norms(net) if norm.track_running_stats]
    if not norms:
        raise RequestError("there is no batch norm to recalibrate, that keeps statistics for prediction")
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    with in_evaluation(net), whole_set_statistics(norms):
        for images in batches:
            net(images.to(device))


@contextmanager
def whole_set_statistics(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Within it these norms are in training mode; at its end their statistics are those of all values they were given.

    Afterwards they are in evaluation mode. Norms that were not called keep their statistics.
    Raises RequestError if none was called.
    """
    sums = {norm: _Sums() for norm in norms}
    momenta = {norm: norm.momentum for norm in sums}
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: sums[norm].add(inputs[0])) for norm in sums]
    try:
        for norm in sums:
            norm.momentum = 0.0  # the running average stays
            norm.train()
        yield
        if sums and not any(one.batches for one in sums.values()):
            raise RequestError("no images were given to recalibrate the batch norms with")
        for norm, one in sums.items():
            one.write(norm)
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in momenta.items():
            norm.momentum = momentum
            norm.eval()


class _Sums:
    """Number, mean and sum of squared deviations of all values of each channel, in float64.

    Batches are merged as Chan, Golub and LeVeque (1983) do, which loses no digits where the mean is large.
    """

    def __init__(self) -> None:
        self.batches = 0
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Add the values of a batch [N, C, ...]."""
        values = x.detach().transpose(0, 1).flatten(1).double()
        mean, count = values.mean(1), values.shape[1]
        squares = (values - mean[:, None]).square().sum(1)
        if self.batches == 0:
            self.mean, self.squares = torch.zeros_like(mean), torch.zeros_like(mean)
        between, total = mean - self.mean, self.count + count
        self.mean = self.mean + between * (count / total)
        self.squares = self.squares + squares + between.square() * (self.count * count / total)
        self.count, self.batches = total, self.batches + 1

    def write(self, norm: _BatchNorm) -> None:
        """Into the running mean and variance of a norm, if it was called."""
        if self.batches == 0 or norm.running_mean is None or norm.running_var is None:
            return
        norm.running_mean.copy_(self.mean)
        norm.running_var.copy_(self.squares / max(1, self.count - 1))
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(self.batches)
