"""Batch normalisation before or after the activation, with and without scale and bias."""

from __future__ import annotations

from striate.studies.protocols import SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

BEFORE, BEFORE_PLAIN = "before, scale and bias", "before"
AFTER, AFTER_PLAIN = "after, scale and bias", "after"
PROXY = "plain20 in place of CaffeNet at 128 pixels on ImageNet"

STUDY = Study(
    "norm-place",
    "Batch normalisation before or after the activation",
    "Is batch normalisation better after the activation than before it?",
    "Mishkin, Sergievskiy, Matas 2017, caffenet-benchmark, table of batch normalisation",
    "K2, E6",
    (
        Published("before, accuracy", "47.4 %", arm=BEFORE_PLAIN, measure=TEST_ERROR),
        Published("before, scale and bias", "47.8 %", arm=BEFORE, measure=TEST_ERROR),
        Published("after", "49.9 %", arm=AFTER_PLAIN, measure=TEST_ERROR),
        Published("after, scale and bias", "49.3 %", arm=AFTER, measure=TEST_ERROR),
    ),
    (
        Arm(BEFORE, {"net.options": {"move_norm": "before", "norm_affine": True}}),
        Arm(BEFORE_PLAIN, {"net.options": {"move_norm": "before", "norm_affine": False}}),
        Arm(AFTER, {"net.options": {"move_norm": "after", "norm_affine": True}}),
        Arm(AFTER_PLAIN, {"net.options": {"move_norm": "after", "norm_affine": False}}),
    ),
    (
        Claim("with scale and bias, the error is larger before the activation", TEST_ERROR, BEFORE, AFTER),
        Claim(
            "without scale and bias, the error is larger before the activation", TEST_ERROR, BEFORE_PLAIN, AFTER_PLAIN
        ),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "net.name": "plain20", "train.epochs": 4},
            3,
            f"{PROXY}, and digits; 4 epochs.",
            "1 minute on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "net.name": "plain20", "train.epochs": 15, "augment.preset": "shift+flip"},
            3,
            f"{PROXY}; 5,000 images of CIFAR-10, 15 epochs.",
            "40 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**SHORT, "net.name": "plain20", "train.epochs": 60, "augment.preset": "shift+flip"},
            5,
            f"{PROXY}; all of CIFAR-10, 60 epochs.",
            "3 hours on a GPU",
        ),
    },
    (TEST_ERROR, LOSS),
)
