"""The `[optimizer]` of a recipe: one dataclass per optimizer, with only its own keys.

The defaults are torch's, except for the learning rate, the weight decay and the momentum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.errors import RequestError
from striate.recipe.keys import LOOP, Table, key

AUTO = "auto"  # a learning rate found by a range test


def _momentum() -> float:
    found: float = key(0.9, "momentum factor", low=0, high=0.9999)
    return found


def _alpha() -> float:
    found: float = key(0.99, "decay of the average of squared gradients", low=0, high=0.999999)
    return found


def _epsilon() -> float:
    found: float = key(1e-8, "added to the denominator", low=0, high=10)
    return found


@dataclass(frozen=True)
class Optimizer(Table):
    """The keys of every optimizer."""

    TABLE: ClassVar[str] = "optimizer"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP
    name: ClassVar[str] = ""
    OWN_LR: ClassVar[float] = 0.1  # the peak if `lr` is unset

    lr: float | str | None = key(
        None,
        "peak learning rate; unset: the optimizer's default; auto: found by a range test",
        low=1e-12,
        high=1000,
        words=(AUTO,),
    )
    weight_decay: float = key(
        5e-4,
        "L2 penalty weight_decay / 2 w^2: adds weight_decay w to the gradient; for adamw, decoupled",
        low=0,
        high=1,
    )
    decay_norm_and_bias: bool = key(False, "also decay normalisation layers and biases")

    @property
    def peak(self) -> float:
        """The highest learning rate of the run. Raises RequestError for "auto"."""
        if isinstance(self.lr, str):
            raise RequestError(
                "optimizer.lr 'auto' is not a number yet: run the range test "
                "striate.training.finder.find_lr, as striate train does, or give a number"
            )
        return self.OWN_LR if self.lr is None else self.lr

    @property
    def gradient_momentum(self) -> float:
        """The decay of earlier gradients: `momentum`, Adam's `beta1`, or 0."""
        return 0.0


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent without momentum."""

    name: ClassVar[str] = "sgd"


@dataclass(frozen=True)
class _WithMomentum(Optimizer):
    momentum: float = _momentum()

    @property
    def gradient_momentum(self) -> float:
        return self.momentum


@dataclass(frozen=True)
class Momentum(_WithMomentum):
    """SGD with Polyak's momentum."""

    name: ClassVar[str] = "momentum"


@dataclass(frozen=True)
class Nesterov(_WithMomentum):
    """SGD with Nesterov's momentum."""

    name: ClassVar[str] = "nesterov"


@dataclass(frozen=True)
class RMSprop(_WithMomentum):
    """RMSprop, with momentum."""

    name: ClassVar[str] = "rmsprop"
    OWN_LR: ClassVar[float] = 1e-3
    alpha: float = _alpha()
    epsilon: float = _epsilon()


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam."""

    name: ClassVar[str] = "adam"
    OWN_LR: ClassVar[float] = 1e-3
    beta1: float = key(0.9, "decay of the average of gradients", low=0, high=0.9999)
    beta2: float = key(0.999, "decay of the average of squared gradients", low=0, high=0.999999)
    epsilon: float = _epsilon()

    @property
    def gradient_momentum(self) -> float:
        return self.beta1


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay."""

    name: ClassVar[str] = "adamw"


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """AdaGrad."""

    name: ClassVar[str] = "adagrad"
    OWN_LR: ClassVar[float] = 1e-2
    epsilon: float = key(1e-10, "added to the denominator", low=0, high=10)


@dataclass(frozen=True)
class ClassicalMomentum(_WithMomentum):
    """SGD with momentum, the learning rate within the velocity: v = momentum v - rate gradient."""

    name: ClassVar[str] = "classical-momentum"


@dataclass(frozen=True)
class ShiftedNesterov(_WithMomentum):
    """SGD with Nesterov's momentum at shifted weights, the learning rate within the velocity."""

    name: ClassVar[str] = "shifted-nesterov"


@dataclass(frozen=True)
class RMSpropInside(Optimizer):
    """RMSprop with epsilon inside the root."""

    name: ClassVar[str] = "rmsprop-inside"
    OWN_LR: ClassVar[float] = 1e-3
    alpha: float = _alpha()
    epsilon: float = _epsilon()


@dataclass(frozen=True)
class AdamUncorrected(Adam):
    """Adam without bias correction, with epsilon inside the root."""

    name: ClassVar[str] = "adam-uncorrected"


OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.name: kind
    for kind in (
        SGD, Momentum, Nesterov, RMSprop, Adam, AdamW, AdaGrad, ClassicalMomentum, ShiftedNesterov, RMSpropInside,
        AdamUncorrected,
    )
}  # fmt: skip
