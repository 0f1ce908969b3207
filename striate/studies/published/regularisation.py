"""Dropout, weight decay, L1, the elastic net and label smoothing on few images."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

BASE = {"augment.preset": "none", "loss.label_smoothing": 0.0, "optimizer.weight_decay": 0.0, "train.batch": 32}

STUDY = Study(
    "regularisation",
    "Dropout, weight decay, L1, the elastic net and label smoothing",
    "What lowers the test error of a network that has too few images?",
    "Srivastava et al. 2014; Szegedy et al. 2015, arXiv:1512.00567, Table 3",
    "F1-F6",
    (
        Published("MNIST, fully connected, without and with dropout, test error", "1.60 % and 1.25 %"),
        Published("Inception v2, ImageNet, top-1 error with RMSProp, and with label smoothing", "23.1 % and 22.8 %"),
    ),
    (
        Arm("none"),
        Arm("dropout 0.5", {"net.options": {"add_dropout": 0.5}}),
        Arm("weight decay 5e-3", {"optimizer.weight_decay": 5e-3}),
        Arm("L1 1e-4", {"train.l1": 1e-4}),
        Arm("elastic net", {"train.l1": 1e-4, "optimizer.weight_decay": 5e-3}),
        Arm("label smoothing 0.1", {"loss.label_smoothing": 0.1}),
        Arm("label smoothing 0.1, by frequency", {"loss.label_smoothing": 0.1, "loss.smoothing_prior": "frequency"}),
    ),
    (
        Claim("without dropout the test error is larger", TEST_ERROR, "none", "dropout 0.5"),
        Claim("without weight decay the test error is larger", TEST_ERROR, "none", "weight decay 5e-3"),
        Claim("without label smoothing the test error is larger", TEST_ERROR, "none", "label smoothing 0.1"),
    ),
    {
        "quick": Scale(
            "mnist-5k",
            {**BASE, "net.name": "lenet5_plain", "train.epochs": 4},
            2,
            "LeNet-5 on 1,667 digits, a fifth of them for testing, in place of the papers' networks, 4 epochs.",
            "2 minutes on two cores",
            images=(2000, 2000),
        ),
        "cpu": Scale(
            "mnist",
            {**BASE, "net.name": "lenet5_plain", "train.epochs": 30},
            5,
            "LeNet-5 on 1,000 digits in place of the papers' networks, 30 epochs.",
            "40 minutes on two cores",
            images=(1000, 10000),
        ),
        "paper": Scale(
            "mnist",
            {**BASE, "net.name": "lenet5_plain", "train.epochs": 100},
            5,
            "LeNet-5 on all of MNIST in place of the papers' networks.",
            "5 hours on a GPU",
        ),
    },
    (TEST_ERROR, TRAINING_ERROR),
)
