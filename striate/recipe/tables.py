"""The tables of a recipe that have one form only: data, net, input, loss, train and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from striate.errors import RequestError
from striate.recipe.keys import LINEAR_HEADS, LOOP, VOTING_HEADS, Table, key

_STEPS = 2500  # target of an unset number of epochs, within 10 to 100 epochs
_SMOOTHING = 0.05  # if label_smoothing is unset


@dataclass(frozen=True)
class Data(Table):
    """The data, and how they are split."""

    TABLE: ClassVar[str] = "data"

    path: str | None = key(None, "folder, manifest, arrays, pack or named data set")
    layout: str = key(
        "auto",
        "how a folder is read: in parts such as train/ and val/, or as classes",
        choices=("auto", "parts", "classes"),
    )
    split: str | None = key(None, "split.csv of an earlier run, to reuse its split")
    decisions: str | None = key(None, "decisions.csv: images to drop, relabel or move")
    held_out: float = key(0.2, "fraction held out if the data have no split", low=0.01, high=0.9)
    folds: int | None = key(None, "number of cross-validation folds; unset: one held-out part", low=2, high=100)
    balance: str = key(
        "none", "balance the classes by weights of the loss, or by sampling", choices=("none", "weights", "sampling")
    )
    ood: str | None = key(None, "folder of out-of-distribution images: fit and evaluate OOD detection")


@dataclass(frozen=True)
class Net(Table):
    """The network, and the options of its constructor."""

    TABLE: ClassVar[str] = "net"

    name: str | None = key(None, "name of the network, or model file; unset: chosen with the strategy")
    options: dict[str, Any] = key({}, "options of the network's constructor", strategies=("scratch",))  # noqa: RUF009  (a field)


@dataclass(frozen=True)
class Input(Table):
    """How images are normalised."""

    TABLE: ClassVar[str] = "input"
    STRATEGIES: ClassVar[tuple[str, ...]] = ("scratch",)

    normalise: str = key(
        "channel",
        "normalisation: by channel, by the mean pixel, by the mean image, by each image's contrast (gcn), or whitened",
        choices=("channel", "mean-pixel", "mean-image", "gcn", "zca"),
    )
    gcn_scale: float = key(55.0, "of gcn and zca: the norm of every image after it", low=1e-3, high=1e6)
    zca_epsilon: float = key(0.1, "of zca: added to the variance along each axis", low=1e-12, high=1e6)


@dataclass(frozen=True)
class Loss(Table):
    """The training loss."""

    TABLE: ClassVar[str] = "loss"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP

    name: str | None = key(
        None,
        "loss; unset: the task's default",
        choices=("cross-entropy", "weighted-cross-entropy", "binary-cross-entropy", "mse", "huber"),
        strategies=("features", *LOOP),
    )
    label_smoothing: float | None = key(None, "label smoothing; unset: 0.05, in finetune 0", low=0, high=0.9)
    smoothing_prior: str = key(
        "uniform", "distribution of the smoothed mass over the classes", choices=("uniform", "frequency")
    )
    aux_weight: float = key(0.3, "weight of each auxiliary head's loss", low=0, high=10)

    @property
    def smoothing(self) -> float:
        """`label_smoothing`, or its default if unset."""
        return _SMOOTHING if self.label_smoothing is None else self.label_smoothing


@dataclass(frozen=True)
class Train(Table):
    """The training loop."""

    TABLE: ClassVar[str] = "train"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP

    epochs: int | None = key(None, "passes over the training images; unset: chosen", low=1, high=100_000)
    batch: int = key(64, "batch size", unit="images", low=1, high=65_536)
    accumulate: int = key(1, "micro-batches per batch (gradient accumulation), for less memory", low=1, high=65_536)
    clip_norm: float | None = key(1.0, "clip gradients to this norm; none: off", low=1e-6, high=1e6)
    l1: float | None = key(
        None,
        "L1 penalty l1 |w| on weights (with optimizer.weight_decay: the elastic net); unset: off",
        low=1e-12,
        high=10,
    )
    l1_norm_and_bias: bool = key(False, "the L1 penalty on normalisation layers and biases, too")
    ema_decay: float | None = key(
        None, "decay of the exponential moving average of the weights; unset: off", low=1e-6, high=0.999999
    )
    keep_checkpoint: str = key("last", "which epoch's weights the model gets", choices=("last", "best"))
    patience: int | None = key(
        None, "early stopping: epochs without improvement; unset: off", unit="epochs", low=1, high=100_000
    )
    stop_after: int | None = key(
        None,
        "stop when the training loss is below that of none of so many epochs before; unset: off",
        unit="epochs",
        low=1,
        high=100_000,
    )
    precision: str = key("auto", "precision of training; auto: measured", choices=("auto", "float32", "bfloat16"))
    compile: str = key("auto", "torch.compile; auto: measured", choices=("auto", "no", "yes"))
    gradient_checkpointing: str = key(
        "none", "recompute activations in the backward pass, for less memory", choices=("none", "sqrt")
    )
    overfit_batch: int | None = key(
        None,
        "images of a small batch to overfit first, as a check; unset: no check",
        low=1,
        high=1000,
        strategies=("scratch",),
    )

    def check(self) -> None:
        """A micro-batch has at least one image."""
        if self.accumulate > self.batch:
            raise RequestError(f"train.accumulate is at most train.batch, {self.batch}, not {self.accumulate}")

    @property
    def keeps_best(self) -> bool:
        """Whether the model gets the weights of the best epoch: requested, or by early stopping."""
        return self.keep_checkpoint == "best" or self.patience is not None

    def chosen_epochs(self, images: int) -> int:
        """`epochs`, or if unset as many as make about 2,500 steps for so many images: 10 to 100."""
        return self.epochs or min(100, max(10, round(_STEPS * self.batch / max(1, images))))


@dataclass(frozen=True)
class Finetune(Table):
    """Fine-tuning a pretrained network."""

    TABLE: ClassVar[str] = "finetune"
    STRATEGIES: ClassVar[tuple[str, ...]] = ("finetune",)

    unfreeze: int = key(2, "stages trained below the head, from the top", low=0, high=1000)
    layer_decay: float = key(
        0.5, "layer-wise learning-rate decay: factor from a stage to the one below", low=1e-6, high=1
    )
    batch_norm: str = key(
        "frozen",
        "running statistics of frozen stages: ImageNet's, re-estimated on the data, or updated by the batches",
        choices=("frozen", "recalibrated", "trained"),
    )


@dataclass(frozen=True)
class Head(Table):
    """The head on a frozen network."""

    TABLE: ClassVar[str] = "head"
    STRATEGIES: ClassVar[tuple[str, ...]] = ("features", "finetune")

    kind: str = key(
        "logistic",
        "classifier on the features; auto: the one of the fewest cross-validated errors",
        choices=(*LINEAR_HEADS, *VOTING_HEADS, "auto"),
    )
    cv_folds: int = key(5, "cross-validation folds that choose the head's regularisation", low=2, high=50)
    learning_curve: bool = key(
        False, "also train on parts of the data, and tell what more of them would give", strategies=("features",)
    )


@dataclass(frozen=True)
class Checkpoint(Table):
    """How often a run is saved during training."""

    TABLE: ClassVar[str] = "checkpoint"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP

    seconds: float | None = key(
        60.0, "time between checkpoints; none: by steps only", unit="seconds", low=1e-3, high=1e6
    )
    steps: int | None = key(None, "steps between checkpoints; unset: by time only", unit="steps", low=1, high=10**9)
    keep: int = key(2, "checkpoints kept during the run", low=1, high=1000)


@dataclass(frozen=True)
class Inference(Table):
    """Inference: for the run, and the default of the saved model."""

    TABLE: ClassVar[str] = "inference"

    precision: str = key("auto", "precision of inference", choices=("auto", "float32", "bfloat16"))
    engine: str = key("auto", "inference engine", choices=("auto", "openvino", "torch"))
