"""The part of a recipe that the training loop reads: optimizer, schedule, batch, and every technique of a step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from striate.errors import RequestError
from striate.recipe.keys import check, converted, key

OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "step", "cosine", "one-cycle")
FINDER = -2.0  # stands for a learning rate that is to be found by a trial; no rate is below 0

_LOOP = ("scratch", "finetune")
_STEPS = 2500  # that an unset number of epochs aims at, within 10 to 100
_OWN_RATE = {"rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}  # of an optimizer that scales its gradients; others: 0.1

# With what a key is read: see `keys.key`.
_MOVING = ("optimizer", tuple(name for name in OPTIMIZERS if name != "sgd"))
_SCALING = ("optimizer", tuple(_OWN_RATE))
_WARMING = ("schedule", tuple(name for name in SCHEDULES if name != "one-cycle"))
_STEP = ("schedule", ("step",))


@dataclass(frozen=True)
class Settings:
    """The choices of the loop. Zero means off, or chosen, as each key says. Raises RequestError for a wrong value."""

    epochs: int = key(0, "passes over the training images; 0: chosen", low=0, high=100_000, only=_LOOP)
    batch: int = key(64, "images a step", low=1, high=65_536, only=_LOOP)
    accumulate: int = key(1, "parts a batch is learnt in, to save memory", low=1, high=65_536, only=_LOOP)
    optimizer: str = key("nesterov", "what makes a step of a gradient", among=OPTIMIZERS, only=_LOOP)
    learning_rate: float = key(
        0.0, "peak rate; 0: the optimizer's own; auto: found", low=0, high=1e3, only=_LOOP, words={"auto": FINDER}
    )
    momentum: float = key(
        0.9, "of a gradient, kept a step (beta1 of Adam)", low=0, high=0.9999, only=_LOOP, where=_MOVING
    )
    square_decay: float = key(
        0.0, "of squared gradients, kept; 0: the optimizer's own", low=0, high=0.999999, only=_LOOP, where=_SCALING
    )
    epsilon: float = key(0.0, "beside their root; 0: the optimizer's own", low=0, high=10, only=_LOOP, where=_SCALING)
    weight_decay: float = key(5e-4, "L2, or AdamW's decay", low=0, high=1, only=_LOOP)
    decay: str = key("weights", "decays: weights, or norms, biases too", among=("weights", "all"), only=_LOOP)
    schedule: str = key("cosine", "how the rate falls", among=SCHEDULES, only=_LOOP)
    warmup_epochs: float = key(1.0, "epochs of linear rise before it", low=0, high=1000, only=_LOOP, where=_WARMING)
    drop_at: str = key("0.5 0.75", "step: epochs, or below 1 shares of the run", only=_LOOP, where=_STEP)
    drop_every: float = key(
        0.0, "step: epochs between drops, in place of drop_at", low=0, high=1000, only=_LOOP, where=_STEP
    )
    drop_factor: float = key(
        0.1, "step: what a drop multiplies the rate with", low=1e-6, high=1, only=_LOOP, where=_STEP
    )
    clip_norm: float = key(1.0, "largest norm of all gradients; 0: any", low=0, high=1e6, only=_LOOP)
    label_smoothing: float = key(0.05, "mass moved from the true class", low=0, high=0.9, only=_LOOP)
    smooth_towards: str = key(
        "uniform", "all classes alike, or by their frequency", among=("uniform", "frequency"), only=_LOOP
    )
    loss: str = key("auto", "of a number: squares, or straight for wild ones", among=("auto", "mse", "huber"))
    auxiliary: float = key(0.3, "weight of each auxiliary head's loss", low=0, high=10, only=_LOOP)
    augment: str = key("auto", "auto, a preset, or words such as 'flip=0.5 rotate=10'", only=_LOOP)
    ema: float = key(0.0, "averaged weights: what is kept a step, as 0.999; 0: off", low=0, high=0.999999, only=_LOOP)
    take: str = key("last", "the epoch whose weights are kept", among=("last", "best"), only=_LOOP)
    patience: int = key(0, "stop after so many epochs without a better one; 0: off", low=0, high=100_000, only=_LOOP)
    train_precision: str = key(
        "auto", "arithmetic of learning; auto: measured", among=("auto", "float32", "bfloat16"), only=_LOOP
    )
    compile: str = key("auto", "by torch.compile; auto: measured", among=("auto", "no", "yes"), only=_LOOP)
    recompute: str = key("none", "activations anew, for less memory", among=("none", "sqrt"), only=_LOOP)
    seed: int = key(0, "seed of the split and of every draw", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = converted(item, getattr(self, item.name))
            check(item, value)
            object.__setattr__(self, item.name, value)
        self.drops  # noqa: B018  (read to be checked)
        if self.accumulate > self.batch:
            raise RequestError(f"accumulate must be at most the batch of {self.batch}, not {self.accumulate}")

    @property
    def drops(self) -> tuple[float, ...]:
        """The numbers of `drop_at`, rising."""
        try:
            found = tuple(float(word) for word in self.drop_at.split())
        except ValueError:
            found = (-1.0,)
        if not all(0 < drop < 1e6 for drop in found) or list(found) != sorted(set(found)):
            raise RequestError(f"drop_at takes rising numbers above 0, such as '82 123', not {self.drop_at!r}")
        return found

    @property
    def peak(self) -> float:
        """The learning rate as the optimizer is given it at its highest. Raises RequestError for one not yet found."""
        if self.learning_rate == FINDER:
            raise RequestError(
                "learning_rate 'auto' stands for a rate still to be found: find it by "
                "striate.training.finder.find_rate, as striate train does, or give a number"
            )
        return self.learning_rate or _OWN_RATE.get(self.optimizer, 0.1)

    def chosen_epochs(self, images: int) -> int:
        """`epochs`, or where they are open as many as make about 2,500 steps of so many images: 10 to 100."""
        return self.epochs or min(100, max(10, round(_STEPS * self.batch / max(1, images))))
