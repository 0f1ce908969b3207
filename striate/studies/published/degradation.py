"""Deeper plain networks train worse, deeper residual networks do not: the degradation problem."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

PLAIN20, PLAIN56, RESNET20, RESNET56 = (
    "plain, 20 layers",
    "plain, 56 layers",
    "residual, 20 layers",
    "residual, 56 layers",
)
STUDY = Study(
    "degradation",
    "Degradation: plain and residual networks of 20 and 56 layers",
    "Does a deeper plain network have a larger training error, and a residual one not?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Figures 1 and 6, Table 6",
    "K7, G27",
    (
        Published("ResNet-20 on CIFAR-10, test error", "8.75 %", arm=RESNET20, measure=TEST_ERROR),
        Published("ResNet-56 on CIFAR-10, test error", "6.97 %", arm=RESNET56, measure=TEST_ERROR),
        Published("plain-20 against plain-56, training and test error", "both higher for 56 layers (Figure 1, left)"),
    ),
    (
        Arm(PLAIN20, {"net.name": "plain20"}),
        Arm(PLAIN56, {"net.name": "plain56"}),
        Arm(RESNET20, {"net.name": "resnet20"}),
        Arm(RESNET56, {"net.name": "resnet56"}),
    ),
    (
        Claim("plain: 56 layers have the larger training error than 20", TRAINING_ERROR, PLAIN56, PLAIN20),
        Claim("plain: 56 layers have the larger test error than 20", TEST_ERROR, PLAIN56, PLAIN20),
        Claim("of 56 layers, the plain ones have the larger training error", TRAINING_ERROR, PLAIN56, RESNET56),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 3},
            3,
            "Digits of 8 x 8 pixels in place of CIFAR-10, 3 epochs in place of 182, no augmentation.",
            "3 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 12},
            3,
            "5,000 of the 50,000 training images and 2,000 of the test images, 12 epochs in place of 182, a cosine in "
            "place of steps, no augmentation.",
            "an hour on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            PAPER,
            5,
            "64,000 iterations of 128 images, of all 50,000 training images, on one device.",
            "5 hours on a GPU",
        ),
    },
    (TRAINING_ERROR, TEST_ERROR),
)
