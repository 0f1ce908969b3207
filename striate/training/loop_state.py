"""The state of a running training: everything that changes during a run, in one place."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.keyed import Stream, bits
from striate.errors import WorkError
from striate.recipe import Recipe
from striate.storage import cache_root
from striate.training.batches import SampleOrder, batches, count, micro_batches, min_batch_of, sample_order
from striate.training.depthwise import fast_depthwise
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.optimizers import Rates, optimizer_for
from striate.training.schedule import Schedule
from striate.training.segments import in_segments
from striate.training.small_maps import fast_small_maps
from striate.training.training_module import LossFunction, TrainingModule
from striate.training.view import View
from striate.training.world import World

_MICRO_BATCHES = 2**17  # more than any batch has, so that each micro-batch has its own seed


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch.

    `epoch` counts from 1. `loss` is the mean over the training images, each at its step.
    `score` is the task's metric on the held-out images and `held_out_loss` their loss; None without any.
    `learning_rate` is that of the last step. `seconds` and `images_per_second` are of training alone, without
    evaluation.
    """

    epoch: int
    loss: float
    score: float | None
    held_out_loss: float | None
    learning_rate: float
    seconds: float
    images_per_second: float


@dataclass
class Sums:
    """Totals of the current epoch: images seen by all processes, their summed loss, and seconds."""

    loss: float = 0.0
    seen: int = 0
    seconds: float = 0.0


class LoopState:
    """The network, its optimizer and data, and the progress.

    epoch, batch: epochs done, and batches done of the current epoch. step: steps done in total. accumulate:
    micro-batches per batch, more than the recipe's after running out of memory. eval_net: the network that is evaluated
    on held-out images. over: set by a hook to end the run after this epoch. rate_scale: set by a hook, a factor of the
    schedule's learning rate.
    """

    def __init__(
        self,
        net: nn.Module,
        examples: Examples,
        recipe: Recipe,
        hooks: Sequence[Hook],
        rates: Rates | None,
        world: World,
        loss: LossFunction | None = None,
    ) -> None:
        self.net, self.examples, self.recipe, self.hooks, self.world = net, examples, recipe, list(hooks), world
        self.device = next(net.parameters()).device
        self.view = View(examples, self.device, Augmentation.of(recipe.augment), seed=recipe.seed)
        # Before the optimizer is made: its state takes the parameters' memory format.
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # undeclared, but documented
        self.optimizer: Optimizer = optimizer_for(net, recipe, rates)
        self.loss: LossFunction = loss or examples.loss(recipe)
        self.held_out_loss: LossFunction = loss or examples.loss(recipe, smoothed=False)
        self.min_batch = min_batch_of(net)
        self.epochs = recipe.train.chosen_epochs(len(examples))
        self.steps = count(len(examples), recipe.train.batch, min_batch=self.min_batch)
        self.schedule = Schedule(recipe, self.epochs, self.steps)
        self.training_module = self._wrapped()
        self.eval_net: nn.Module = net
        self.accumulate = recipe.train.accumulate
        self.epoch = self.batch = 0
        self.sums = Sums()
        self.reports: list[EpochReport] = []
        self.over = False
        self.rate_scale = 1.0
        self._order: tuple[int, SampleOrder] | None = None
        self._around = ExitStack()
        if self.device.type == "cpu" and recipe.train.compile != "yes":
            self._around.enter_context(fast_depthwise(net))
            self._around.enter_context(fast_small_maps(net))
        if recipe.train.gradient_checkpointing == "sqrt":
            self._around.enter_context(in_segments(net))

    def release(self) -> None:
        """Remove from the network what was attached for the run."""
        self._around.close()

    @property
    def step(self) -> int:
        """Steps done since the start of the run."""
        return self.epoch * self.steps + self.batch

    @property
    def finished(self) -> bool:
        """Whether every epoch is done, or a hook has ended the run."""
        return self.over or self.epoch >= self.epochs

    @property
    def where(self) -> str:
        """The current batch, in words."""
        return f"epoch {self.epoch + 1}, batch {self.batch + 1} of {self.steps}"

    def order(self) -> SampleOrder:
        """The sample order of the current epoch."""
        if self._order is None or self._order[0] != self.epoch:
            weights = self.examples.sampling_weights
            drawn = sample_order(len(self.examples), seed=self.recipe.seed, epoch=self.epoch, weights=weights)
            self._order = self.epoch, drawn
        return self._order[1]

    def batches_left(self) -> Iterator[SampleOrder]:
        """The batches of this epoch that are still to be trained on."""
        for number, batch in enumerate(batches(self.order(), self.recipe.train.batch, min_batch=self.min_batch)):
            if number >= self.batch:
                yield batch

    def set_rates(self) -> None:
        """Set the optimizer's learning rate and momentum for this step."""
        rate, momentum = self.rate_scale * self.schedule.rate(self.step), self.schedule.momentum(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
            if self.recipe.schedule.name != "one-cycle" or self.recipe.optimizer.name == "sgd":
                continue
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum

    def own_micro_batches(self, batch: SampleOrder) -> list[tuple[int, SampleOrder]]:
        """This process's micro-batches of a batch, each with its number among all of them.

        Micro-batch i of the n = accumulate x processes has every n-th image from i on, so that one process with n
        micro-batches has the same ones as n processes. A process has none if there are too few images.
        """
        size = self.world.size
        return list(enumerate(micro_batches(batch, self.accumulate * size, min_batch=self.min_batch)))[
            self.world.rank :: size
        ]

    def seed_layers(self, micro_batch: int) -> None:
        """Seed torch's generator, as for dropout, by the step and the micro-batch, independently of earlier draws."""
        torch.manual_seed(
            int(bits(self.recipe.seed, self.epoch, self.batch * _MICRO_BATCHES + micro_batch, Stream.NET))
        )

    def split_further(self, batch: int) -> None:
        """Double the number of micro-batches per batch.

        Raises WorkError if a micro-batch has the minimum number of images, or if other processes are waiting for this
        one's gradients.
        """
        held = -(-batch // (self.accumulate * self.world.size))
        found = f"out of memory at {self.where}, with {held} image{'s' if held > 1 else ''} at once"
        if held <= self.min_batch:
            raise WorkError(
                f"{found}: use a smaller net or smaller images, train.gradient_checkpointing = 'sqrt', or a machine "
                "with more memory"
            )
        if self.world.size > 1:
            raise WorkError(
                f"{found} in process {self.world.rank + 1} of {self.world.size}: set train.accumulate = "
                f"{2 * self.accumulate}, which trains on the same batch in smaller micro-batches"
            )
        self.accumulate *= 2
        self.say(
            f"out of memory with {held} images at once: continuing with {-(-held // 2)}; "
            f"the batch size is still {self.recipe.train.batch}"
        )

    def say(self, line: str) -> None:
        """Pass a line for the user to every hook."""
        for hook in self.hooks:
            hook.note(self, line)

    def close_epoch(self, score: float | None, held_out_loss: float | None) -> None:
        """Report the epoch and start the next."""
        loss, seen, seconds = self.sums.loss, self.sums.seen, self.sums.seconds
        rate = self.optimizer.param_groups[0]["lr"]
        speed = seen / seconds if seconds else 0.0
        self.reports.append(EpochReport(self.epoch + 1, loss / seen, score, held_out_loss, rate, seconds, speed))
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, Sums()

    def timed(self) -> _Timed:
        """Adds the seconds of a `with` block to the epoch's."""
        return _Timed(self.sums)

    def _wrapped(self) -> nn.Module:
        module: nn.Module = TrainingModule(self.net)
        if self.world.size > 1:
            # A net may skip layers in a step. And without find_unused_parameters DDP would rebuild its buckets after
            # the first step, so that the sums of a resumed run would differ in the last bits from an uninterrupted one.
            # One parameter is never used, or DDP would warn, in every process, that it found none.
            module.register_parameter("never_used", nn.Parameter(torch.zeros((), device=self.device)))
            module = wrapped = DistributedDataParallel(
                module, device_ids=[self.device] if self.world.on_gpu else None, find_unused_parameters=True
            )
            wrapped.broadcast_buffers = False  # at every step; they are not trained: see `World.broadcast_buffers`
        if self.recipe.train.compile == "yes":
            # Kept for the next run of the same network: compiling then takes a fifth of the time.
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
            module = torch.compile(module)  # type: ignore[assignment]
        return module


@dataclass
class _Timed:
    sums: Sums
    begun: float = field(default=0.0)

    def __enter__(self) -> None:
        self.begun = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        self.sums.seconds += time.perf_counter() - self.begun
