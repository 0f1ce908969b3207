"""The training loop: `fit` goes through the epochs, `learn` through a batch. What may step in stands in `hooks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from striate.recipe import Settings
from striate.training.batches import SampleOrder
from striate.training.evaluation import validate
from striate.training.examples import Examples
from striate.training.failure import check_weights, not_finite, out_of_memory
from striate.training.hooks import Hook
from striate.training.learner import LossFunction, loss_of
from striate.training.optimizers import Rates
from striate.training.run import EpochReport, Run
from striate.training.techniques import techniques
from striate.training.view import View
from striate.training.world import ALONE, World

Validator = Callable[[nn.Module], float]


def fit(
    net: nn.Module,
    examples: Examples,
    settings: Settings,
    *,
    held_out: Examples | Validator | None = None,
    hooks: Sequence[Hook] = (),
    rates: Rates | None = None,
    world: World = ALONE,
    loss: LossFunction | None = None,
) -> list[EpochReport]:
    """Train `net` in place, on its own device, and report each epoch; afterwards it is channels-last and in eval mode.

    `held_out` is evaluated after every epoch: examples, or a function from the network, in eval mode, to its score.
    `loss`: an own one in place of the task's: a callable from logits [N, outputs] and targets to losses [N].
    `hooks` come after those of the settings' techniques. `rates`: a parameter's share of the learning rate, by name.
    `world`: the processes that do this together, each with the same arguments. A batch is dealt out to them by seed,
    epoch and image, one process's micro-batch being every n-th image. Each sums losses and gradients of its own images,
    DistributedDataParallel averages over the processes in the order of its ring, and the loop has scaled what it
    averages, so that the step is that of the batch's mean loss. One process computes the same but for the order of
    these sums. Batch normalisation is within a micro-batch, so n processes train as one does with accumulate = n, but
    their running statistics are those of the first process alone, whose network is evaluated and saved.
    A last batch of one image is left out where there is batch normalisation. The same seed gives the same weights, bit
    for bit, on the same machine, thread count and versions; the caller's random state is left as it was.
    Raises RequestError for what does not go together, WorkError at the first loss or parameter that is not finite, or
    where the memory does not hold the smallest micro-batch.
    """
    run = Run(
        net, examples, settings, [*techniques(settings, validated=held_out is not None), *hooks], rates, world, loss
    )
    validated = View(held_out, run.device) if isinstance(held_out, Examples) else held_out
    with left_as_it_was(run):
        for hook in run.hooks:
            hook.start(run)
        while not run.finished:
            net.train()
            for hook in run.hooks:
                hook.epoch_begins(run)
            for batch in run.batches_left():
                with run.timed():
                    learn(run, batch)
                for hook in run.hooks:
                    hook.step_done(run)
            check_weights(net, f"the end of epoch {run.epoch + 1}", settings)
            net.eval()
            run.close_epoch(*_validated(run, validated))
            for hook in run.hooks:
                hook.epoch_done(run)
        for hook in run.hooks:
            hook.end(run)
    return run.reports


def learn(run: Run, batch: SampleOrder) -> None:
    """Train on one batch, in as many micro-batches as the memory asks for."""
    run.set_rates()
    while True:
        try:
            loss = _gradient(run, batch)
            break
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        run.split_further(len(batch))  # outside the handler, which would keep what the failed pass holds
    for hook in run.hooks:
        hook.gradients_ready(run)
    run.optimizer.step()
    run.sums.loss += run.world.summed([loss])[0]
    run.sums.seen += len(batch)
    run.batch += 1


def _gradient(run: Run, batch: SampleOrder) -> float:
    """Put the gradient of the batch's mean loss into the parameters; the summed loss of this process's images."""
    run.optimizer.zero_grad()
    micro_batches, total, settings, counts = run.dealt(batch), 0.0, run.settings, 1.0
    if (
        not micro_batches
    ):  # it goes along, for all exchange gradients, with images that another learns, and counts nothing
        micro_batches, counts = [(run.world.rank, batch.of(slice(run.min_batch)))], 0.0
    for number, (micro_batch, some) in enumerate(micro_batches):
        run.seed_layers(micro_batch)
        shown = run.view.learn(some, run.whole(), run.epoch)
        with _alone_until(run, last=number == len(micro_batches) - 1):
            loss = loss_of(
                run.learner, shown, run.view, run.loss,
                auxiliary=settings.auxiliary, precision=settings.train_precision,
            )  # fmt: skip
            if not loss.isfinite():
                raise not_finite(run.net, shown.x, run.where, settings)
            # Processes average their gradients; the batch's is their sum.
            (loss * (counts * run.world.size / len(batch))).backward()  # type: ignore[no-untyped-call]
        total += counts * loss.item()
    return total


def _validated(run: Run, validated: View | Validator | None) -> tuple[float | None, float | None]:
    """Score and loss on held-out images, the same in every process."""
    run.world.align(run.eval_net)
    found: tuple[float | None, float | None] = (None, None)
    if run.world.first and isinstance(validated, View):
        found = validate(run.eval_net, validated, run.held_out_loss, precision=run.settings.train_precision)
    elif run.world.first and validated is not None and not isinstance(validated, View):
        found = validated(run.eval_net), None
    score, loss = run.world.told(found)
    return score, loss


@contextmanager
def _alone_until(run: Run, *, last: bool) -> Iterator[None]:
    """Gradients are exchanged once a batch, with its last micro-batch."""
    with ExitStack() as stack:
        if run.world.size > 1 and not last:
            stack.enter_context(run.learner.no_sync())  # type: ignore[operator]
        yield


@contextmanager
def left_as_it_was(run: Run) -> Iterator[None]:
    """Whatever happens within it, the caller's random state comes back, and no hook of ours stays on the network."""
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        try:
            yield
        finally:
            run.release()
