"""Stochastic depth: training in less time, to an error that is no larger."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import SECONDS, TEST_ERROR, Arm, Claim, Published, Scale, Study

CONSTANT, STOCHASTIC = "constant depth", "stochastic depth"


def _options(depth: int) -> dict[str, dict[str, object]]:
    name = "stochastic_depth_resnet110"
    return {
        CONSTANT: {"net.name": name, "net.options": {"depth": depth, "last_survival": 1.0}},
        STOCHASTIC: {"net.name": name, "net.options": {"depth": depth, "last_survival": 0.5}},
    }


STUDY = Study(
    "stochastic-depth",
    "Stochastic depth",
    "Does leaving out blocks at random in training save time, and lower the error?",
    "Huang, Sun, Liu, Sedra, Weinberger 2016, arXiv:1603.09382, Tables 1 and 2",
    "K15",
    (
        Published("ResNet-110, CIFAR-10, constant depth, test error", "6.41 %", arm=CONSTANT, measure=TEST_ERROR),
        Published("ResNet-110, CIFAR-10, stochastic depth", "5.25 %", arm=STOCHASTIC, measure=TEST_ERROR),
        Published("training time saved", "about 25 %"),
    ),
    (Arm(CONSTANT), Arm(STOCHASTIC)),
    (
        Claim("with constant depth training takes longer", SECONDS, CONSTANT, STOCHASTIC),
        Claim("with constant depth the test error is larger", TEST_ERROR, CONSTANT, STOCHASTIC),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 3},
            3,
            "56 layers, digits of 8 x 8 pixels, 3 epochs.",
            "2 minutes on two cores",
            images=(700, 700),
            changes=_options(56),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 12, "augment.preset": "shift+flip"},
            3,
            "56 layers in place of 110, 5,000 training and 2,000 test images, 12 epochs in place of 500.",
            "50 minutes on two cores",
            changes=_options(56),
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, "train.epochs": 500, "schedule.milestones": [250, 375]},
            3,
            "On one device.",
            "4 days on a GPU",
            changes=_options(110),
        ),
    },
    (TEST_ERROR, SECONDS),
)
