"""What stands on the shortcut matters: anything but the identity makes a deep residual network worse."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

IDENTITY, HALF, CONV, DROPOUT = "identity", "times 0.5", "1 x 1 convolution", "dropout"


def _arm(label: str, shortcut: str) -> Arm:
    return Arm(label, {"net.options": {"depth": 56, "activation": "original", "shortcut": shortcut}})


STUDY = Study(
    "shortcuts",
    "Shortcuts that are not the identity",
    "Does scaling, a convolution or dropout on the shortcut make training worse?",
    "He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Table 1",
    "K11, S1-S3",
    (
        Published("ResNet-110, identity, test error", "6.61 %", arm=IDENTITY, measure=TEST_ERROR),
        Published("constant scaling by 0.5 of shortcut and residual", "12.35 %", arm=HALF, measure=TEST_ERROR),
        Published("1 x 1 convolution on the shortcut", "12.22 %", arm=CONV, measure=TEST_ERROR),
        Published("dropout 0.5 on the shortcut", "fails (above 20 %)", arm=DROPOUT, measure=TEST_ERROR),
    ),
    (
        _arm(IDENTITY, "original"),
        _arm(HALF, "constant_scaling"),
        _arm(CONV, "conv_shortcut"),
        _arm(DROPOUT, "dropout_shortcut"),
    ),
    (
        Claim("scaling by 0.5 gives the larger training loss", LOSS, HALF, IDENTITY),
        Claim("a convolution on the shortcut gives the larger training loss", LOSS, CONV, IDENTITY),
        Claim("dropout on the shortcut gives the larger training loss", LOSS, DROPOUT, IDENTITY),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "net.name": "preact_resnet110", "train.epochs": 3},
            3,
            "56 layers in place of 110, digits of 8 x 8 pixels in place of CIFAR-10, 3 epochs, no augmentation.",
            "4 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "net.name": "preact_resnet110", "train.epochs": 8},
            3,
            "56 layers in place of 110, 5,000 training and 2,000 test images, 8 epochs, no augmentation.",
            "an hour on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, "net.name": "preact_resnet110"},
            5,
            "Of 110 layers, without the first 400 iterations at a rate of 0.01, on one device.",
            "20 hours on a GPU",
            changes={
                label: {"net.options": {"depth": 110, "activation": "original", "shortcut": shortcut}}
                for label, shortcut in (
                    (IDENTITY, "original"),
                    (HALF, "constant_scaling"),
                    (CONV, "conv_shortcut"),
                    (DROPOUT, "dropout_shortcut"),
                )
            },
        ),
    },
    (LOSS, TEST_ERROR),
)
