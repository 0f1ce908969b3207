"""Activations in a network with batch normalisation."""

from __future__ import annotations

from striate.studies.protocols import SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

KINDS = {
    "ReLU": "relu",
    "RReLU": "rrelu",
    "PReLU": "prelu",
    "ELU": "elu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "Maxout": "maxout",
    "none": "none",
}
PROXY = "plain20 in place of CaffeNet at 128 pixels on ImageNet"

STUDY = Study(
    "norm-activations",
    "Activations with batch normalisation",
    "Which activation goes best with batch normalisation, and how much is lost without any?",
    "Mishkin, Sergievskiy, Matas 2017, caffenet-benchmark, table of batch normalisation and activations",
    "K3, C6",
    (
        Published("ReLU, accuracy", "49.9 %", arm="ReLU", measure=TEST_ERROR),
        Published("RReLU", "50.0 %", arm="RReLU", measure=TEST_ERROR),
        Published("PReLU", "50.3 %", arm="PReLU", measure=TEST_ERROR),
        Published("ELU", "49.8 %", arm="ELU", measure=TEST_ERROR),
        Published("Maxout", "48.7 %", arm="Maxout", measure=TEST_ERROR),
        Published("sigmoid", "47.5 %", arm="sigmoid", measure=TEST_ERROR),
        Published("tanh", "44.8 %", arm="tanh", measure=TEST_ERROR),
        Published("none", "38.4 %", arm="none", measure=TEST_ERROR),
    ),
    tuple(Arm(label, {"net.options": {"swap_activation": kind}}) for label, kind in KINDS.items()),
    (
        Claim("without an activation the error is larger than with ReLU", TEST_ERROR, "none", "ReLU"),
        Claim("with tanh the error is larger than with ReLU", TEST_ERROR, "tanh", "ReLU"),
        Claim("with a sigmoid the error is larger than with ReLU", TEST_ERROR, "sigmoid", "ReLU"),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "net.name": "plain20", "train.epochs": 3},
            2,
            f"{PROXY}, and digits; 3 epochs.",
            "2 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "net.name": "plain20", "train.epochs": 12, "augment.preset": "shift+flip"},
            3,
            f"{PROXY}; 5,000 images of CIFAR-10, 12 epochs.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**SHORT, "net.name": "plain20", "train.epochs": 60, "augment.preset": "shift+flip"},
            5,
            f"{PROXY}; all of CIFAR-10, 60 epochs.",
            "5 hours on a GPU",
        ),
    },
    (TEST_ERROR, LOSS),
)
