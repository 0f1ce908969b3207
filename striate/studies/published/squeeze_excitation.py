"""Squeeze-and-excitation blocks lower the error of a residual network at a small cost."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import SECONDS, TEST_ERROR, Arm, Claim, Published, Scale, Study

PLAIN, SE = "ResNet", "SE-ResNet"

STUDY = Study(
    "squeeze-excitation",
    "Squeeze-and-excitation",
    "Does squeeze-and-excitation lower the error?",
    "Hu, Shen, Albanie, Sun, Wu 2017, arXiv:1709.01507, Tables 4 and 5",
    "K4, K5, K18",
    (
        Published("ResNet-110, CIFAR-10, test error", "6.37 %", arm=PLAIN, measure=TEST_ERROR),
        Published("SE-ResNet-110", "5.21 %", arm=SE, measure=TEST_ERROR),
        Published("ResNet-164", "5.46 %"),
        Published("SE-ResNet-164", "4.39 %"),
        Published("WRN-16-8", "4.27 %"),
        Published("SE-WRN-16-8", "3.88 %"),
        Published("ResNet-110, CIFAR-100", "26.88 %"),
        Published("SE-ResNet-110, CIFAR-100", "23.85 %"),
    ),
    (Arm(PLAIN, {"net.name": "resnet20"}), Arm(SE, {"net.name": "se_resnet20"})),
    (
        Claim("without squeeze-and-excitation the test error is larger", TEST_ERROR, PLAIN, SE),
        Claim("with squeeze-and-excitation training takes longer", SECONDS, SE, PLAIN),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 4},
            3,
            "20 layers, digits of 8 x 8 pixels in place of CIFAR-10, 4 epochs, no augmentation.",
            "1 minute on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 20, "augment.preset": "shift+flip"},
            5,
            "20 layers in place of 110, 5,000 training and 2,000 test images, 20 epochs.",
            "40 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            PAPER,
            5,
            "CIFAR-10 alone (CIFAR-100 by --data cifar100), 110 layers alone, on one device.",
            "20 hours on a GPU",
            changes={PLAIN: {"net.name": "preact_resnet110"}, SE: {"net.name": "se_preact_resnet110"}},
        ),
    },
    (TEST_ERROR, SECONDS),
)
