"""The training loop: `fit` goes through the epochs, `_learn` through the steps of one. Both together fit on a page."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.data.augment.keyed import Stream, bits
from striate.errors import RequestError
from striate.training.batches import batches, count, dislikes_one, visits
from striate.training.failure import check_weights, not_finite
from striate.training.losses import loss_for
from striate.training.optimizers import sgd
from striate.training.schedule import learning_rate
from striate.training.scores import score
from striate.training.settings import EpochReport, Settings
from striate.training.view import Values, View, check

Validate = Callable[[nn.Module], float] | tuple[Tensor, Tensor] | None


def fit(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    settings: Settings,
    *,
    mean: Values,
    std: Values,
    validate: Validate = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    among: Tensor | None = None,
    weights: Tensor | None = None,
    chances: NDArray[np.float64] | None = None,
) -> list[EpochReport]:
    """Train `net` in place, on its own device, and report each epoch; afterwards it is channels-last and in eval mode.

    `images` uint8 [N, C, H, W], of any strides, such as a view of a memory map: only the rows of a step are read, and
    they are kept on the device where there is room for them. `targets` by the settings' task: "class" int64 [N],
    "labels" floats [N, labels] of 0 and 1, "number" floats [N] (the network answers [N, 1]).
    `among` int64 [N]: where among more images those to learn from are; targets, weights and chances go with it.
    The network sees (image - mean) / std on the scale 0 .. 255: `std` a number a channel, `mean` too or [C, H, W].
    `weights` [N]: how much each image counts in the loss, as a share of their mean. `chances` [N]: how often each image
    comes in an epoch, as a share of their mean; else each comes once. `validate` is held-out (images, targets), or a
    function from the network, in eval mode, to its score.
    A last batch of one image is left out where there is batch normalisation. The same seed gives the same weights, bit
    for bit, on the same CPU, thread count and versions; the caller's random state is left as it was.
    Raises RequestError for data that do not go together, WorkError at the first loss or parameter that is not finite.
    """
    device = next(net.parameters()).device
    check(images, targets, settings.task, among)
    targets = targets.to(device, torch.int64 if settings.task == "class" else torch.float32)
    counts = _relative(weights, len(targets)).to(device)
    view = View(images, settings, mean=mean, std=std, device=device, among=among)
    # Before the optimizer is made: momentum buffers take the format of the parameters.
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # undeclared, but documented
    rate, momentum, decay = settings.learning_rate, settings.momentum, settings.weight_decay
    optimizer = sgd(net, learning_rate=rate, momentum=momentum, weight_decay=decay)
    reports = []
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        net.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            loss, seen = _learn(net, optimizer, view, targets, counts, epoch=epoch, chances=chances)
        check_weights(net, f"the end of epoch {epoch + 1}", settings)
        seconds = time.perf_counter() - start
        net.eval()
        held: float | None
        if isinstance(validate, tuple):
            held = score(net, *validate, settings, mean=mean, std=std)
        else:
            held = validate(net) if validate else None
        reports.append(EpochReport(epoch + 1, loss, held, optimizer.param_groups[0]["lr"], seconds, seen / seconds))
        if on_epoch:
            on_epoch(reports[-1])
    return reports


def _learn(
    net: nn.Module,
    optimizer: Optimizer,
    view: View,
    targets: Tensor,
    counts: Tensor,
    *,
    epoch: int,
    chances: NDArray[np.float64] | None,
) -> tuple[float, int]:
    """One epoch of steps: the mean loss, and the images it was over."""
    settings = view.settings
    loss_of = loss_for(settings.task, settings.loss, label_smoothing=settings.label_smoothing, unit=settings.unit)
    whole, spare_one = visits(len(targets), seed=settings.seed, epoch=epoch, chances=chances), dislikes_one(net)
    steps = count(len(targets), settings.batch, spare_one=spare_one)
    total = settings.epochs * steps
    # At most half of the run, or a short one would end before its rate has come down.
    warmup = min(round(settings.warmup_epochs * steps), total // 2)
    total_loss, seen = 0.0, 0
    for number, some in enumerate(batches(whole, settings.batch, spare_one=spare_one)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(epoch * steps + number, total, warmup, settings.learning_rate)
        # What layers draw depends on the step, never on what was drawn before it.
        torch.manual_seed(int(bits(settings.seed, epoch, number, Stream.NET)))
        shown = view.learn(some, whole, epoch)
        with torch.autocast(shown.x.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            scores = net(shown.x)
        # Under mix-up there are two parts: the losses are mixed as the images are.
        each = [share * counts[rows] * loss_of(scores, targets[rows]) for rows, share in shown.parts]
        loss = torch.stack(each).sum(0).mean()
        if not loss.isfinite():
            raise not_finite(net, shown.x, f"epoch {epoch + 1}, batch {number + 1} of {steps}", settings)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimizer.step()
        total_loss += loss.item() * len(some)
        seen += len(some)
    return total_loss / seen, seen


def _relative(weights: Tensor | None, samples: int) -> Tensor:
    """The weights as shares of their mean, float32 [samples]; ones where there are none."""
    if weights is None:
        return torch.ones(samples)
    if weights.shape != (samples,) or not weights.isfinite().all() or weights.min() < 0 or not weights.any():
        raise RequestError(f"learning from {samples} images takes as many weights of 0 or more, not all 0")
    return (weights.double() / weights.double().mean()).float()
