"""DenseNet: the error of a residual network with fewer parameters."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import MADDS, PARAMETERS, TEST_ERROR, Arm, Claim, Published, Scale, Study

RESNET, DENSENET = "ResNet", "DenseNet"
SMALL: dict[str, dict[str, object]] = {
    RESNET: {"net.name": "resnet20"},
    DENSENET: {"net.name": "densenet_bc100_k12", "net.options": {"depth": 40, "growth_rate": 12}},
}

STUDY = Study(
    "dense",
    "Parameters of DenseNet and ResNet",
    "Does a densely connected network need fewer parameters than a residual one, at an error that is no larger?",
    "Huang, Liu, van der Maaten, Weinberger 2017, arXiv:1608.06993, Table 2; He et al. 2016, arXiv:1603.05027",
    "G51",
    (
        Published("DenseNet-BC-100-12, CIFAR-10 with augmentation: parameters, test error", "0.8 M, 4.51 %"),
        Published("ResNet-1001, pre-activation, batches of 64", "10.2 M, 4.62 %"),
        Published("DenseNet-BC-190-40", "25.6 M, 3.46 %"),
        Published("ResNet-110", "1.7 M, 6.43 %"),
    ),
    (Arm(RESNET), Arm(DENSENET)),
    (
        Claim("the residual network has more parameters", PARAMETERS, RESNET, DENSENET, exact=True),
        Claim("the residual network has the larger test error", TEST_ERROR, RESNET, DENSENET),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 4},
            2,
            "ResNet-20 and DenseNet-BC-40-12, digits of 8 x 8 pixels in place of CIFAR-10, 4 epochs.",
            "1 minute on two cores",
            images=(500, 500),
            changes=SMALL,
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 20, "augment.preset": "shift+flip"},
            3,
            "ResNet-20 and DenseNet-BC-40-12, 5,000 training and 2,000 test images, 20 epochs in place of 300.",
            "45 minutes on two cores",
            images=(5000, 2000),
            changes=SMALL,
        ),
        "paper": Scale(
            "cifar10",
            {**PAPER, "train.batch": 64, "train.epochs": 300, "schedule.milestones": [150, 225]},
            3,
            "On one device; ResNet-1001 is trained by DenseNet's recipe, too.",
            "3 weeks on a GPU",
            changes={
                RESNET: {"net.name": "preact_resnet1001", "train.gradient_checkpointing": "sqrt"},
                DENSENET: {"net.name": "densenet_bc100_k12"},
            },
        ),
    },
    (TEST_ERROR, PARAMETERS, MADDS),
)
