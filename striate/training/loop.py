"""The training loop: `fit` goes through the epochs, `_learn` through the steps of one. Both together fit on a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.data.augment import augment
from striate.data.keyed import Stream, bits
from striate.training.batches import batches, check, count, dislikes_one, normalised
from striate.training.failure import check_weights, not_finite
from striate.training.losses import cross_entropy
from striate.training.optimizers import sgd
from striate.training.schedule import learning_rate
from striate.training.settings import EpochReport, Settings

Validate = Callable[[nn.Module], float] | tuple[Tensor, Tensor] | None


def fit(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    validate: Validate = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> list[EpochReport]:
    """Train `net` in place, on its own device, and report each epoch; afterwards it is channels-last and in eval mode.

    `images` uint8 [N, C, H, W] and `labels` int64 [N], all kept on that device. The network sees (image - mean) / std,
    with one `mean` and `std` a channel on the scale 0 .. 255. `validate` is held-out (images, labels), or a function
    from the network, in eval mode, to its accuracy. A last batch of one image is left out where there is batch
    normalisation. The same seed gives the same weights, bit for bit, on the same CPU, thread count and versions; the
    caller's random state is left as it was.
    Raises RequestError for data that do not go together, WorkError at the first loss or parameter that is not finite.
    """
    device = next(net.parameters()).device
    check(images, labels)
    images, labels = images.to(device), labels.to(device)
    # Before the optimizer is made: momentum buffers take the format of the parameters.
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # undeclared, but documented
    rate, momentum, decay = settings.learning_rate, settings.momentum, settings.weight_decay
    optimizer = sgd(net, learning_rate=rate, momentum=momentum, weight_decay=decay)
    reports = []
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        net.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            loss, seen = _learn(net, optimizer, images, labels, settings, mean=mean, std=std, epoch=epoch)
        check_weights(net, f"the end of epoch {epoch + 1}", settings)
        seconds = time.perf_counter() - start
        net.eval()
        score: float | None
        if isinstance(validate, tuple):
            score = accuracy(net, *validate, mean=mean, std=std, precision=settings.precision)
        else:
            score = validate(net) if validate else None
        reports.append(EpochReport(epoch + 1, loss, score, optimizer.param_groups[0]["lr"], seconds, seen / seconds))
        if on_epoch:
            on_epoch(reports[-1])
    return reports


def _learn(
    net: nn.Module,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    epoch: int,
) -> tuple[float, int]:
    """One epoch of steps: the mean loss, and the images it was over."""
    seed, policy, pad = settings.seed, settings.augment, settings.augment_pad
    spare_one = dislikes_one(net)
    steps = count(len(images), settings.batch, spare_one=spare_one)
    total = settings.epochs * steps
    # At most half of the run, or a short one would end before its rate has come down.
    warmup = min(round(settings.warmup_epochs * steps), total // 2)
    total_loss, seen = 0.0, 0
    for number, chosen in enumerate(batches(len(images), settings.batch, seed=seed, epoch=epoch, spare_one=spare_one)):
        step = epoch * steps + number
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, total, warmup, settings.learning_rate)
        # What layers draw depends on the step, never on what was drawn before it.
        torch.manual_seed(int(bits(seed, epoch, number, Stream.NET)))
        index = torch.from_numpy(chosen).to(images.device)
        x = augment(images[index], chosen, policy=policy, pad=pad, seed=seed, epoch=epoch)
        x = normalised(x, mean, std)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            scores = net(x)
        loss = cross_entropy(scores, labels[index], label_smoothing=settings.label_smoothing)
        if not loss.isfinite():
            raise not_finite(net, x, f"epoch {epoch + 1}, batch {number + 1} of {steps}", settings)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimizer.step()
        total_loss += loss.item() * len(chosen)
        seen += len(chosen)
    return total_loss / seen, seen


@torch.no_grad()
def accuracy(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "float32",
    batch: int = 256,
) -> float:
    """The fraction of `images` (uint8 [N, C, H, W]) whose highest score is at their label (int64 [N]): 0 to 1.

    The network is used in the mode it is in, so call `eval()` before. `mean`, `std` and errors as in `fit`.
    """
    check(images, labels)
    device = next(net.parameters()).device
    right = 0
    for some, truth in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            scores = net(normalised(some.to(device), mean, std))
        right += int((scores.argmax(1) == truth.to(device)).sum())
    return right / len(images)
