"""The training loop: `fit` iterates over epochs, `train_step` trains on a batch. `hooks` lists the extension points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from striate.errors import RequestError
from striate.recipe import Recipe
from striate.training.batches import SampleOrder
from striate.training.evaluation import validate
from striate.training.examples import Examples
from striate.training.failure import check_weights, not_finite, out_of_memory, single_value
from striate.training.hooks import Hook
from striate.training.loop_state import EpochReport, LoopState
from striate.training.optimizers import Rates
from striate.training.techniques import techniques
from striate.training.training_module import LossFunction, loss_of
from striate.training.view import View
from striate.training.world import ALONE, World

Validator = Callable[[nn.Module], float]


def fit(
    net: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    held_out: Examples | Validator | None = None,
    hooks: Sequence[Hook] = (),
    rates: Rates | None = None,
    world: World = ALONE,
    loss: LossFunction | None = None,
) -> list[EpochReport]:
    """Train `net` in place, on its own device, and report each epoch; afterwards it is channels-last and in eval mode.

    `held_out` is evaluated after every epoch: examples, or a function that takes the network, in eval mode, and returns
    its score. `loss`: a custom loss in place of the task's: a callable from logits [N, outputs] and targets to losses
    [N]. `hooks` run after those of the recipe's techniques. `rates`: from a parameter's name to its learning rate
    multiplier. `world`: the processes that train together, each with the same arguments. A batch is split among them by
    seed, epoch
    and image: a process's micro-batch is every n-th image. Each sums losses and gradients of its own images,
    DistributedDataParallel averages over the processes in the order of its ring, and the loop scales the losses so that
    the step is that of the batch's mean loss. One process computes the same except for the order of these sums. Batch
    normalisation is per micro-batch, so n processes train as one does with accumulate = n, but the running statistics
    are those of the first process alone, whose network is evaluated and saved.
    A last batch of one image is dropped if the network has batch normalisation. The same seed gives the same weights,
    bit for bit, on the same machine, thread count and versions; the caller's random state does not change.
    Raises RequestError for arguments that do not match, WorkError at the first loss or parameter that is not finite, or
    if the memory does not hold the smallest micro-batch.
    """
    hooks = [*techniques(recipe, validated=held_out is not None), *hooks]
    loop = LoopState(net, examples, recipe, hooks, rates, world, loss)
    validated = View(held_out, loop.device) if isinstance(held_out, Examples) else held_out
    with preserved_state(loop):
        for hook in loop.hooks:
            hook.start(loop)
        while not loop.finished:
            net.train()
            for hook in loop.hooks:
                hook.epoch_begins(loop)
            for batch in loop.batches_left():
                with loop.timed():
                    train_step(loop, batch)
                for hook in loop.hooks:
                    hook.step_done(loop)
            check_weights(net, f"the end of epoch {loop.epoch + 1}", recipe)
            net.eval()
            loop.close_epoch(*_validated(loop, validated))
            for hook in loop.hooks:
                hook.epoch_done(loop)
        for hook in loop.hooks:
            hook.end(loop)
    return loop.reports


def train_step(loop: LoopState, batch: SampleOrder) -> None:
    """Train on one batch, in as many micro-batches as the memory requires."""
    loop.set_rates()
    while True:
        try:
            loss = _gradient(loop, batch)
            break
        except ValueError as error:
            if not single_value(error):
                raise
            raise RequestError(
                "batch normalisation needs more than one value per channel, and a batch of one image has a single one "
                "in the last layers: train with larger batches (train.batch), more images or another network"
            ) from error
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        loop.split_further(len(batch))  # outside the handler, which would keep the failed pass's tensors alive
    for hook in loop.hooks:
        hook.gradients_ready(loop)
    loop.optimizer.step()
    loop.sums.loss += loop.world.sum([loss])[0]
    loop.sums.seen += len(batch)
    loop.batch += 1


def _gradient(loop: LoopState, batch: SampleOrder) -> float:
    """Set the parameters' gradients to that of the batch's mean loss; returns the summed loss of this process's
    images."""
    loop.optimizer.zero_grad()
    micro_batches, total, recipe, counts = loop.own_micro_batches(batch), 0.0, loop.recipe, 1.0
    if not micro_batches:
        # All processes exchange gradients: this one takes part with images of another, with weight 0.
        micro_batches, counts = [(loop.world.rank, batch.of(slice(loop.min_batch)))], 0.0
    for number, (micro_batch, some) in enumerate(micro_batches):
        loop.seed_layers(micro_batch)
        micro = loop.view.training_batch(some, loop.order(), loop.epoch)
        for hook in loop.hooks:
            micro = hook.batch_ready(loop, micro)
        with _alone_until(loop, last=number == len(micro_batches) - 1):
            logits, loss = loss_of(
                loop.training_module, micro, loop.view, loop.loss,
                auxiliary=recipe.loss.aux_weight, precision=recipe.train.precision,
            )  # fmt: skip
            for hook in loop.hooks:
                loss = hook.loss_ready(loop, logits, loss)
            if not loss.isfinite():
                raise not_finite(loop.net, micro.x, loop.where, recipe)
            # DDP averages gradients over processes; the batch's gradient is their sum.
            (loss * (counts * loop.world.size / len(batch))).backward()  # type: ignore[no-untyped-call]
        total += counts * loss.item()
    return total


def _validated(loop: LoopState, validated: View | Validator | None) -> tuple[float | None, float | None]:
    """Score and loss on held-out images, the same in every process."""
    loop.world.broadcast_buffers(loop.eval_net)
    found: tuple[float | None, float | None] = (None, None)
    if loop.world.first and isinstance(validated, View):
        found = validate(loop.eval_net, validated, loop.held_out_loss, precision=loop.recipe.train.precision)
    elif loop.world.first and validated is not None and not isinstance(validated, View):
        found = validated(loop.eval_net), None
    score, loss = loop.world.broadcast(found)
    return score, loss


@contextmanager
def _alone_until(loop: LoopState, *, last: bool) -> Iterator[None]:
    """Gradients are exchanged once per batch, with its last micro-batch."""
    with ExitStack() as stack:
        if loop.world.size > 1 and not last:
            stack.enter_context(loop.training_module.no_sync())  # type: ignore[operator]
        yield


@contextmanager
def preserved_state(loop: LoopState) -> Iterator[None]:
    """Restores the caller's random state and removes our hooks from the network, whatever happens within it."""
    with torch.random.fork_rng(devices=[loop.device] if loop.device.type == "cuda" else []):
        try:
            yield
        finally:
            loop.release()
