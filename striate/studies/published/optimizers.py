"""Momentum and adaptive rates against plain gradient descent."""

from __future__ import annotations

from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

BASE = {"augment.preset": "none", "loss.label_smoothing": 0.0, "optimizer.weight_decay": 0.0, "train.batch": 64}
RATES = {"sgd": 0.01, "momentum": 0.01, "nesterov": 0.01, "rmsprop": 0.001, "adam": 0.001}

STUDY = Study(
    "optimizers",
    "Optimizers",
    "Do momentum and adaptive rates train faster than plain gradient descent?",
    "Ruder 2016, arXiv:1609.04747; Sutskever et al. 2013; Kingma, Ba 2014, arXiv:1412.6980",
    "I1-I9, J7",
    (Published("training loss on MNIST, Kingma and Ba's Figures 1 to 3", "Adam lowest (curves only)"),),
    tuple(Arm(name, {"optimizer.name": name, "optimizer.lr": rate}) for name, rate in RATES.items()),
    (
        Claim("plain descent ends with the larger training loss than momentum", LOSS, "sgd", "momentum"),
        Claim("plain descent ends with the larger training loss than Adam", LOSS, "sgd", "adam"),
    ),
    {
        "quick": Scale(
            "mnist-5k",
            {**BASE, "net.name": "lenet5_plain", "train.epochs": 3},
            3,
            "LeNet-5, 1,667 digits, a fifth of them for testing, 3 epochs; one learning rate for each, of common "
            "practice.",
            "2 minutes on two cores",
            images=(2000, 2000),
        ),
        "cpu": Scale(
            "mnist",
            {**BASE, "net.name": "lenet5_plain", "train.epochs": 5},
            3,
            "LeNet-5, 5 epochs; one learning rate for each, of common practice.",
            "50 minutes on two cores",
        ),
        "paper": Scale(
            "cifar10",
            {**BASE, "net.name": "resnet20", "train.epochs": 45},
            5,
            "ResNet-20; one learning rate for each, of common practice.",
            "5 hours on a GPU",
        ),
    },
    (LOSS, TEST_ERROR),
)
