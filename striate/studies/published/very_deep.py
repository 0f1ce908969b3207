"""A network of 1,001 layers: it trains, and better with identities as shortcuts than in the original form."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

FIRST, IDENTITY, ORIGINAL = "pre-activation, one epoch", "pre-activation", "original"
TORCH = {"inference.engine": "torch"}  # to compile 1,001 layers for a few images takes longer than to run them
RECOMPUTED = {"train.gradient_checkpointing": "sqrt"}  # activations of 1,001 layers of 32 x 32 pixels fill a memory


def _arm(label: str, activation: str) -> Arm:
    return Arm(label, {"net.name": "preact_resnet1001", "net.options": {"activation": activation}})


STUDY = Study(
    "very-deep",
    "A network of 1,001 layers",
    "Does a residual network of 1,001 layers train, and better with shortcuts that are identities all the way?",
    "He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Table 3",
    "K10",
    (
        Published("ResNet-1202, original units, CIFAR-10, test error", "7.93 %"),
        Published("ResNet-1001, pre-activation, CIFAR-10", "4.92 % (4.89 +- 0.14)"),
        Published("ResNet-1001, pre-activation, batches of 64", "4.62 % (4.69 +- 0.20)"),
        Published("ResNet-1001, pre-activation, CIFAR-100", "22.71 %"),
    ),
    (
        _arm(FIRST, "full_preactivation"),
        _arm(IDENTITY, "full_preactivation"),
        _arm(ORIGINAL, "original"),
    ),
    (
        Claim("pre-activation: after one epoch alone the training loss is larger", LOSS, FIRST, IDENTITY),
        Claim("the original units have the larger training loss", LOSS, ORIGINAL, IDENTITY),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, **TORCH, "train.batch": 16, "train.epochs": 3},
            2,
            "Digits of 8 x 8 pixels in place of CIFAR-10, 79 of them, a fifth for testing, 3 epochs in place of 200.",
            "3 minutes on two cores",
            images=(80, 80),
            changes={FIRST: {"train.epochs": 1}},
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, **TORCH, **RECOMPUTED, "train.batch": 32, "train.epochs": 4},
            2,
            "500 training and 200 test images of CIFAR-10, 4 epochs in place of 200, no augmentation.",
            "an hour on two cores",
            images=(500, 200),
            changes={FIRST: {"train.epochs": 1}},
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, **RECOMPUTED, "train.batch": 64, "train.epochs": 200, "schedule.milestones": [80, 120]},
            3,
            "CIFAR-10 alone (CIFAR-100 by --data cifar100), without the first 400 iterations at a rate of 0.01, on one "
            "device.",
            "2 weeks on a GPU",
            changes={FIRST: {"train.epochs": 1}},
        ),
    },
    (LOSS, TEST_ERROR),
)
