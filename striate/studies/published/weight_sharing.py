"""A residual network whose blocks share their weights, against one whose blocks do not."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

OWN, SHARED = "ResNet", "recurrent ResNet"

STUDY = Study(
    "weight-sharing",
    "Residual networks with shared weights",
    "How much is lost if the blocks of a stage share their weights?",
    "Liao, Poggio 2016, arXiv:1604.03640",
    "G34, G35",
    (
        Published(
            "CIFAR-10: the shared network is a little worse, with far fewer parameters",
            "curves only",
            arm=SHARED,
            measure=TEST_ERROR,
        ),
    ),
    (Arm(OWN, {"net.name": "resnet20"}), Arm(SHARED, {"net.name": "recurrent_resnet20"})),
    (Claim("with shared weights the test error is larger", TEST_ERROR, SHARED, OWN),),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 4},
            3,
            "20 layers, digits of 8 x 8 pixels, 4 epochs.",
            "1 minute on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 25, "augment.preset": "shift+flip"},
            5,
            "20 layers, 5,000 training and 2,000 test images, 25 epochs.",
            "45 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale("cifar10", PAPER, 5, "Of 20 layers; the recipe is ResNet's.", "10 hours on a GPU"),
    },
    (TEST_ERROR, TRAINING_ERROR),
)
