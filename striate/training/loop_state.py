"""A training run under way: everything that changes while it goes, in one place."""

from __future__ import annotations

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
from striate.training.batches import SampleOrder, batches, count, micro_batches, min_batch_of, sample_order
from striate.training.depthwise import fast_depthwise
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.learner import Learner, LossFunction
from striate.training.optimizers import Rates, optimizer_for
from striate.training.schedule import Schedule
from striate.training.segments import in_segments
from striate.training.view import View
from striate.training.world import World

_MICRO_BATCHES = 2**17  # more than any batch has, so that each micro-batch has a seed of its own


@dataclass(frozen=True)
class EpochReport:
    """One epoch, in numbers.

    `epoch` counts from 1. `loss` is the mean over the images learnt from, each as the network was at its step.
    `score` is the task's metric on the held-out images, and `held_out_loss` their loss,
    or None. `learning_rate` is the last step's. `seconds` and `images_per_second` are of learning alone.
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
    """Of the epoch under way: images seen by all processes, their summed loss, and seconds."""

    loss: float = 0.0
    seen: int = 0
    seconds: float = 0.0


class LoopState:
    """What is trained, with what, and how far it is.

    epoch, batch: epochs done, and batches done of the epoch under way. step: steps done in all. accumulate: micro-
    batches a batch, more than the recipe's where memory was short. eval_net: the network that held-out images are
    evaluated by. over: set by a hook to end the run after this epoch.
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
        # Before the optimizer is made: its own tensors take the format of the parameters.
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # undeclared, but documented
        self.optimizer: Optimizer = optimizer_for(net, recipe, rates)
        self.loss: LossFunction = loss or examples.loss(recipe)
        self.held_out_loss: LossFunction = loss or examples.loss(recipe, smoothed=False)
        self.min_batch = min_batch_of(net)
        self.epochs = recipe.train.chosen_epochs(len(examples))
        self.steps = count(len(examples), recipe.train.batch, min_batch=self.min_batch)
        self.schedule = Schedule(recipe, self.epochs, self.steps)
        self.learner = self._wrapped()
        self.eval_net: nn.Module = net
        self.accumulate = recipe.train.accumulate
        self.epoch = self.batch = 0
        self.sums = Sums()
        self.reports: list[EpochReport] = []
        self.over = False
        self._order: tuple[int, SampleOrder] | None = None
        self._around = ExitStack()
        if self.device.type == "cpu" and recipe.train.compile != "yes":
            self._around.enter_context(fast_depthwise(net))
        if recipe.train.gradient_checkpointing == "sqrt":
            self._around.enter_context(in_segments(net))

    def release(self) -> None:
        """Take off the network what was put on it for the run."""
        self._around.close()

    @property
    def step(self) -> int:
        """Steps done since the run began."""
        return self.epoch * self.steps + self.batch

    @property
    def finished(self) -> bool:
        """Whether every epoch is learnt, or a hook has ended the run."""
        return self.over or self.epoch >= self.epochs

    @property
    def where(self) -> str:
        """The batch under way, in words."""
        return f"epoch {self.epoch + 1}, batch {self.batch + 1} of {self.steps}"

    def whole(self) -> SampleOrder:
        """The order of the epoch under way."""
        if self._order is None or self._order[0] != self.epoch:
            weights = self.examples.sampling_weights
            drawn = sample_order(len(self.examples), seed=self.recipe.seed, epoch=self.epoch, weights=weights)
            self._order = self.epoch, drawn
        return self._order[1]

    def batches_left(self) -> Iterator[SampleOrder]:
        """The batches of this epoch that are not learnt yet."""
        for number, batch in enumerate(batches(self.whole(), self.recipe.train.batch, min_batch=self.min_batch)):
            if number >= self.batch:
                yield batch

    def set_rates(self) -> None:
        """Give the optimizer the rate and the momentum of this step."""
        rate, momentum = self.schedule.rate(self.step), self.schedule.momentum(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
            if self.recipe.schedule.name != "one-cycle" or self.recipe.optimizer.name == "sgd":
                continue
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum

    def dealt(self, batch: SampleOrder) -> list[tuple[int, SampleOrder]]:
        """This process's micro-batches of a batch, each with its number among all of them.

        Micro-batch i of the n = accumulate x processes has every n-th image from i on, so that one process that takes
        a batch in n micro-batches sees the same ones as n processes. A process has none where images are too few.
        """
        size = self.world.size
        return list(enumerate(micro_batches(batch, self.accumulate * size, min_batch=self.min_batch)))[
            self.world.rank :: size
        ]

    def seed_layers(self, micro_batch: int) -> None:
        """Seed what layers draw by the step and the micro-batch, never by what was drawn before."""
        torch.manual_seed(
            int(bits(self.recipe.seed, self.epoch, self.batch * _MICRO_BATCHES + micro_batch, Stream.NET))
        )

    def split_further(self, batch: int) -> None:
        """Train on batches in twice as many micro-batches.

        Raises WorkError where a micro-batch has the fewest images it may have, and where other processes wait for this
        one in the middle of their exchange of gradients.
        """
        held = -(-batch // (self.accumulate * self.world.size))
        found = f"out of memory at {self.where}, with {held} image{'s' if held > 1 else ''} at once"
        if held <= self.min_batch:
            raise WorkError(
                f"{found}: take a smaller net or smaller images, train.gradient_checkpointing = 'sqrt', or a machine "
                "with more memory"
            )
        if self.world.size > 1:
            raise WorkError(
                f"{found} in process {self.world.rank + 1} of {self.world.size}: set train.accumulate = "
                f"{2 * self.accumulate}, with which a step learns from as many images in smaller micro-batches"
            )
        self.accumulate *= 2
        self.say(
            f"out of memory with {held} images at once: going on with {-(-held // 2)}; "
            f"a step still learns from {self.recipe.train.batch}"
        )

    def say(self, line: str) -> None:
        """Tell every hook a line that is for the user."""
        for hook in self.hooks:
            hook.note(self, line)

    def close_epoch(self, score: float | None, held_out_loss: float | None) -> None:
        """Report the epoch, and go on to the next."""
        loss, seen, seconds = self.sums.loss, self.sums.seen, self.sums.seconds
        rate = self.optimizer.param_groups[0]["lr"]
        speed = seen / seconds if seconds else 0.0
        self.reports.append(EpochReport(self.epoch + 1, loss / seen, score, held_out_loss, rate, seconds, speed))
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, Sums()

    def timed(self) -> _Timed:
        """Counts the seconds of a `with` block as the epoch's."""
        return _Timed(self.sums)

    def _wrapped(self) -> nn.Module:
        learner: nn.Module = Learner(self.net)
        if self.world.size > 1:
            # A net may leave out layers for a step. And without finding them DDP would bundle gradients anew after the
            # first step, so that the sums of a resumed run would differ in the last bits from one never stopped.
            # One parameter is never used, or DDP would warn, in every process, that there was nothing to find.
            learner.register_parameter("never_used", nn.Parameter(torch.zeros((), device=self.device)))
            learner = wrapped = DistributedDataParallel(
                learner, device_ids=[self.device] if self.world.on_gpu else None, find_unused_parameters=True
            )
            wrapped.broadcast_buffers = False  # at every step; nothing is learnt by them: see `World.align`
        if self.recipe.train.compile == "yes":
            learner = torch.compile(learner)  # type: ignore[assignment]
        return learner


@dataclass
class _Timed:
    sums: Sums
    begun: float = field(default=0.0)

    def __enter__(self) -> None:
        self.begun = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        self.sums.seconds += time.perf_counter() - self.begun
