"""Augmentation: what helps, and what does not."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

BASE = {"loss.label_smoothing": 0.0, "train.batch": 64, "augment.preset": "none"}

STUDY = Study(
    "augmentation",
    "Augmentation, rotation and input dropout",
    "Which augmentation lowers the test error, and does input dropout raise it?",
    "Mishkin, Sergievskiy, Matas 2017, caffenet-benchmark, table of augmentation; He et al. 2015 (shift and flip)",
    "K1, H6-H12, F9",
    (
        Published("default (crop and flip), accuracy", "47.1 %", arm="shift and flip", measure=TEST_ERROR),
        Published("input dropout 0.1", "30.6 % (unfinished)", arm="shift, flip, input dropout", measure=TEST_ERROR),
        Published("several scales", "46.2 %"),
        Published("rotation by up to 5 degrees", "44.8 %", arm="shift, flip, rotation 5", measure=TEST_ERROR),
    ),
    (
        Arm("none"),
        Arm("shift and flip", {"augment.preset": "shift+flip"}),
        Arm("shift, flip, rotation 5", {"augment.preset": "shift+flip", "augment.rotate": 5.0}),
        Arm("shift, flip, input dropout", {"augment.preset": "shift+flip", "augment.pixel_dropout": 0.1}),
    ),
    (
        Claim("without shift and flip the test error is larger", TEST_ERROR, "none", "shift and flip"),
        Claim(
            "with input dropout the test error is larger", TEST_ERROR, "shift, flip, input dropout", "shift and flip"
        ),
        Claim("with rotation the test error is larger", TEST_ERROR, "shift, flip, rotation 5", "shift and flip"),
    ),
    {
        "quick": Scale(
            "digits",
            {**BASE, "net.name": "resnet20", "train.epochs": 4},
            2,
            "ResNet-20 and digits in place of CaffeNet and ImageNet, 4 epochs.",
            "2 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**BASE, "net.name": "resnet20", "train.epochs": 20},
            3,
            "ResNet-20 and 5,000 images of CIFAR-10 in place of CaffeNet and ImageNet, 20 epochs.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**BASE, "net.name": "resnet20", "train.epochs": 160},
            5,
            "ResNet-20 and CIFAR-10 in place of CaffeNet and ImageNet.",
            "8 hours on a GPU",
        ),
    },
    (TEST_ERROR, TRAINING_ERROR),
)
