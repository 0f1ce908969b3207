"""Where the activation stands in a residual unit: full pre-activation is best, ReLU alone before the addition worst."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

KINDS = {
    "original": "original",
    "BN after addition": "bn_after_addition",
    "ReLU before addition": "relu_before_addition",
    "full pre-activation": "full_preactivation",
}


def _options(depth: int) -> dict[str, dict[str, dict[str, object]]]:
    return {label: {"net.options": {"depth": depth, "activation": kind}} for label, kind in KINDS.items()}


STUDY = Study(
    "preactivation",
    "The order of normalisation, activation and addition in a residual unit",
    "Is a residual unit with all activations before the convolutions the best one?",
    "He, Zhang, Ren, Sun 2016, arXiv:1603.05027, Table 2",
    "K12",
    (
        Published("ResNet-110, original, test error", "6.61 %", arm="original", measure=TEST_ERROR),
        Published("BN after addition", "8.17 %", arm="BN after addition", measure=TEST_ERROR),
        Published("ReLU before addition", "7.84 %", arm="ReLU before addition", measure=TEST_ERROR),
        Published("full pre-activation", "6.37 %", arm="full pre-activation", measure=TEST_ERROR),
    ),
    tuple(Arm(label) for label in KINDS),
    (
        Claim(
            "BN after addition gives the larger test error than pre-activation",
            TEST_ERROR,
            "BN after addition",
            "full pre-activation",
        ),
        Claim(
            "ReLU before addition gives the larger test error than pre-activation",
            TEST_ERROR,
            "ReLU before addition",
            "full pre-activation",
        ),
        Claim(
            "the original unit gives the larger test error than pre-activation",
            TEST_ERROR,
            "original",
            "full pre-activation",
        ),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "net.name": "preact_resnet110", "train.epochs": 3},
            3,
            "20 layers in place of 110, digits of 8 x 8 pixels in place of CIFAR-10, 3 epochs, no augmentation.",
            "2 minutes on two cores",
            images=(700, 700),
            changes=_options(20),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "net.name": "preact_resnet110", "train.epochs": 8},
            3,
            "56 layers in place of 110, 5,000 training and 2,000 test images, 8 epochs, no augmentation.",
            "an hour on two cores",
            changes=_options(56),
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, "net.name": "preact_resnet110"},
            5,
            "On one device, without the first 400 iterations at a rate of 0.01.",
            "20 hours on a GPU",
            changes=_options(110),
        ),
    },
    (TEST_ERROR, LOSS),
)
