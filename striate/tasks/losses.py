"""Losses, each defined once: a NumPy form with its gradient for the linear head, a torch form for the training loop.

Both forms take logits [N, outputs] and the targets as the task has them, and give a loss for each image [N]. A loss
over several outputs that are independent of each other is their mean.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

HUBER_DELTA = 1.345  # robust standard deviations: 95 % as efficient as squares where errors are normal (Huber 1964)
MAD_TO_STD = 1.4826  # a median absolute deviation times this estimates the standard deviation of normal values

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standardisation:
    """Targets shifted and scaled to (target - centre) / scale; one value for each output."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, targets: Array) -> Floats:
        """Targets [N] or [N, outputs], standardised, in the same shape."""
        values = np.asarray(targets, np.float64)
        table = values.reshape(len(values), -1)
        return np.asarray((table - np.array(self.centre)) / np.array(self.scale)).reshape(values.shape)


class Loss(ABC):
    """A loss for each image. Calling it is its torch form."""

    averages_outputs: ClassVar[bool] = True  # whether it is a mean over independent outputs

    @abstractmethod
    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Logits [N, outputs] and targets -> losses [N] and their gradient with respect to the logits [N, outputs]."""

    @abstractmethod
    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """The second derivative of each image's loss with respect to each of its logits [N, outputs]."""

    @abstractmethod
    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The same losses [N], in float32, differentiable. Raises RequestError for shapes that do not fit."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]: the torch form."""
        return self.torch(logits, targets)

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The mean loss of the best constant prediction, whatever the image; NaN where that is not known.

        targets: of N images, `weights` [N]: how much each counts.
        """
        return math.nan

    def floor(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The mean loss of perfect predictions: above 0 only where targets are smoothed."""
        return 0.0

    def untrained(self, outputs: int) -> tuple[float, str] | None:
        """The loss of predicting all outcomes alike, and its formula in words; None where there is no such thing."""
        return None


@dataclass(frozen=True, eq=False)
class CrossEntropy(Loss):
    """Minus the log-probability of the true class under a softmax; targets int64 [N].

    label_smoothing: the mass moved from the true class to all classes: equally, or by `prior`, the share of each class
    [classes], or of the first of them. Source: Szegedy et al. 2015, arXiv:1512.00567, section 7, where the distribution
    u(k) is the prior in general and uniform in the experiments.
    """

    label_smoothing: float = 0.0
    prior: Array | None = None
    averages_outputs: ClassVar[bool] = False

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Losses [N] and gradient [N, classes]."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        sums = powers.sum(axis=1, keepdims=True)
        logs, gradient = shifted - np.log(sums), powers / sums
        rows, smooth = np.arange(len(logits)), self.label_smoothing
        losses = -(1 - smooth) * logs[rows, targets]
        gradient[rows, targets] -= 1 - smooth
        if smooth:
            prior = self._prior(logits.shape[1])
            losses = losses - smooth * (logs @ prior)
            gradient -= smooth * prior
        return losses, gradient

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """p (1 - p), whatever the target."""
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return np.asarray(shares * (1 - shares))

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]."""
        import torch
        import torch.nn.functional as F

        if logits.ndim != 2 or targets.shape != logits.shape[:1]:
            raise _shapes("cross entropy takes logits [N, classes] and targets [N]", logits, targets)
        smooth = self.label_smoothing
        if self.prior is None or not smooth:
            return F.cross_entropy(logits.float(), targets, label_smoothing=smooth, reduction="none")
        logs = F.log_softmax(logits.float(), 1)
        prior = torch.as_tensor(self.prior, dtype=torch.float32, device=logits.device)
        true = F.nll_loss(logs, targets, reduction="none")
        return (1 - smooth) * true - smooth * (logs[:, : len(prior)] @ prior)

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of the classes' shares, smoothed."""
        smooth, shares = self.label_smoothing, _shares(targets, outputs, weights)
        return _entropy((1 - smooth) * shares + smooth * self._prior(outputs))

    def floor(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of the smoothed targets."""
        smooth, prior = self.label_smoothing, self._prior(outputs)
        each = [_entropy((1 - smooth) * np.eye(1, outputs, place)[0] + smooth * prior) for place in range(outputs)]
        return float(_shares(targets, outputs, weights) @ each)

    def untrained(self, outputs: int) -> tuple[float, str] | None:
        """ln(classes)."""
        return math.log(outputs), f"ln {outputs}"

    def _prior(self, outputs: int) -> Floats:
        if self.prior is None:
            return np.full(outputs, 1 / outputs)
        return np.pad(np.asarray(self.prior, np.float64), (0, outputs - len(self.prior)))


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Minus the log-probability of what is true of each label under a sigmoid; targets [N, labels] of 0 and 1."""

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Losses [N], the mean over the labels, and gradient [N, labels]."""
        losses = np.logaddexp(0, logits) - logits * targets
        return losses.mean(axis=1), (np.exp(-np.logaddexp(0, -logits)) - targets) / logits.shape[1]

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """p (1 - p), over the number of labels."""
        shares = np.exp(-np.logaddexp(0, -logits))
        return np.asarray(shares * (1 - shares) / logits.shape[1])

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N], the mean over the labels."""
        import torch.nn.functional as F

        if logits.ndim != 2 or targets.shape != logits.shape:
            raise _shapes("binary cross entropy takes logits [N, labels] and targets [N, labels]", logits, targets)
        return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean(1)

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The mean entropy of the labels."""
        shares = targets.astype(np.float64).mean(0)
        return float(np.mean([_entropy(np.array([share, 1 - share])) for share in shares]))

    def untrained(self, outputs: int) -> tuple[float, str] | None:
        """ln 2 a label."""
        return math.log(2), "ln 2"


@dataclass(frozen=True)
class ErrorLoss(Loss):
    """A loss of errors, counted in `scale`: one for all outputs, or one each. Targets: floats [N] or [N, outputs]."""

    scale: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not all(0 < value < math.inf for value in self.scale):
            raise RequestError(f"the scale of errors must be above 0, not {list(self.scale)}")

    @staticmethod
    @abstractmethod
    def standardisation(targets: Array) -> Standardisation:
        """The centre and the scale of targets [N] or [N, outputs] that go with this loss."""

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The loss of always predicting the centre."""
        centre = np.broadcast_to(self.standardisation(targets).centre, (len(targets), outputs))
        return float(self.numpy(centre, targets)[0].mean())

    def _errors(self, logits: Floats, targets: Array) -> Floats:
        return np.asarray((logits - np.asarray(targets, np.float64).reshape(logits.shape)) / np.array(self.scale))

    def _torch_errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        import torch

        single = logits.ndim == 2 and logits.shape[1] == 1 and targets.shape == logits.shape[:1]
        if not single and (logits.ndim != 2 or targets.shape != logits.shape):
            raise _shapes(
                "an error takes logits [N, outputs] and targets of that shape, or [N, 1] and [N]", logits, targets
            )
        errors = logits.float() - targets.view_as(logits)
        if len(self.scale) == 1:
            return errors / self.scale[0]
        return errors / torch.tensor(self.scale, device=errors.device)


@dataclass(frozen=True)
class MSE(ErrorLoss):
    """The squared error, the mean over the outputs."""

    @staticmethod
    def standardisation(targets: Array) -> Standardisation:
        """Mean and standard deviation."""
        table = _table(targets)
        return Standardisation(_tuple(table.mean(axis=0)), _tuple(_or_one(table.std(axis=0))))

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Losses [N] and gradient [N, outputs]."""
        errors = self._errors(logits, targets)
        return (errors * errors).mean(axis=1), 2 * errors / (errors.shape[1] * np.array(self.scale))

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """2, in units of the scale, over the number of outputs."""
        return np.broadcast_to(2 / (logits.shape[1] * np.square(self.scale)), logits.shape)

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]."""
        return self._torch_errors(logits, targets).square().mean(1)


@dataclass(frozen=True)
class Huber(ErrorLoss):
    """Half the squared error up to HUBER_DELTA, linear beyond, so that outliers count less; the mean over the outputs.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """

    @staticmethod
    def standardisation(targets: Array) -> Standardisation:
        """The median, and the standard deviation estimated by the median absolute deviation."""
        table = _table(targets)
        centre = np.median(table, axis=0)
        robust = MAD_TO_STD * np.median(np.abs(table - centre), axis=0)
        return Standardisation(_tuple(centre), _tuple(np.where(robust > 0, robust, _or_one(table.std(axis=0)))))

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Losses [N] and gradient [N, outputs]."""
        errors = self._errors(logits, targets)
        slope = errors.clip(-HUBER_DELTA, HUBER_DELTA)
        return (slope * (errors - 0.5 * slope)).mean(axis=1), slope / (errors.shape[1] * np.array(self.scale))

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """1 up to HUBER_DELTA and 0 beyond, in units of the scale, over the number of outputs."""
        small = np.abs(self._errors(logits, targets)) <= HUBER_DELTA
        return np.asarray(small / (logits.shape[1] * np.square(self.scale)))

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]."""
        import torch.nn.functional as F

        errors = self._torch_errors(logits, targets)
        zeros = errors.new_zeros(()).expand_as(errors)
        return F.huber_loss(errors, zeros, delta=HUBER_DELTA, reduction="none").mean(1)


def _table(targets: Array) -> Floats:
    return np.asarray(targets, np.float64).reshape(len(targets), -1)


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(map(float, values))


def _or_one(values: Floats) -> Floats:
    return np.where(values > 0, values, 1.0)


def _shares(targets: Array, outputs: int, weights: Array | None) -> Floats:
    counts = np.bincount(targets, weights, outputs)
    return np.asarray(counts / counts.sum())


def _entropy(shares: Floats) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _shapes(wanted: str, logits: Tensor, targets: Tensor) -> RequestError:
    return RequestError(f"{wanted}, not {list(logits.shape)} and {list(targets.shape)}")
