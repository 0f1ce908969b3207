"""Auxiliary heads: classifiers on earlier stages whose losses are added in training, and which are then removed."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Curve, Published, Scale, Study

NONE, ONE, TWO = "no auxiliary head", "a head on stage 2", "heads on stages 1 and 2"

STUDY = Study(
    "auxiliary-heads",
    "Auxiliary heads",
    "Do auxiliary classifiers in training lower the test error of the network without them?",
    "Szegedy et al. 2014, arXiv:1409.4842, section 5; Szegedy et al. 2015, arXiv:1512.00567, section 4",
    "F7",
    (
        Published("GoogLeNet, ImageNet, error: what the auxiliary networks bring", "about 0.5 points, and one suffices",
                  "two outputs with a weight of 0.3 each; later dropped, no gain in quality", arm=TWO),
        Published("Inception-v3: the same network without its lower head", "no adverse effect", arm=ONE),
    ),
    (
        Arm(NONE),
        Arm(ONE, {"net.options": {"add_auxiliary_heads": ["stage2"]}}),
        Arm(TWO, {"net.options": {"add_auxiliary_heads": ["stage1", "stage2"]}}),
    ),
    (
        Claim("without heads the test error is larger than with two", TEST_ERROR, NONE, TWO),
        Claim("two heads bring no more than one by a point of test error", TEST_ERROR, TWO, ONE, gain=-1.0),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "net.name": "plain20", "train.epochs": 3},
            3,
            "plain20 and digits in place of GoogLeNet and ImageNet, 3 epochs, losses of heads times 0.3.",
            "1 minute on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "net.name": "plain20", "train.epochs": 12, "augment.preset": "shift+flip"},
            3,
            "plain20 and 5,000 images of CIFAR-10 in place of GoogLeNet and ImageNet, 12 epochs, losses times 0.3.",
            "30 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, "net.name": "plain20"},
            5,
            "plain20 and CIFAR-10 in place of GoogLeNet and ImageNet, ResNet's recipe, losses of heads times 0.3.",
            "8 hours on a GPU",
        ),
    },
    (TEST_ERROR, TRAINING_ERROR),
    curves=(Curve("accuracy", "Held-out accuracy by epoch", form="percent"),),  # the loss has that of the heads in it
)  # fmt: skip
