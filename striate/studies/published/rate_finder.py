"""The learning-rate range test: is the rate that it finds one that trains well?"""

from __future__ import annotations

from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

BASE = {
    "net.name": "lenet5_plain",
    "augment.preset": "none",
    "loss.label_smoothing": 0.0,
    "optimizer.name": "momentum",
    "optimizer.weight_decay": 0.0,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 0.0,
    "train.batch": 64,
}
RATES: dict[str, float | str] = {"found": "auto", "0.0001": 1e-4, "0.001": 1e-3, "0.01": 0.01, "0.1": 0.1}

STUDY = Study(
    "rate-finder",
    "Finding the learning rate",
    "Does a network train well at the learning rate that a range test finds?",
    "Smith 2015, arXiv:1506.01186, section 3.3",
    "J1",
    (
        Published(
            "one run of a few epochs at rising rates",
            "shows the good ones: from where the accuracy rises to where it slows or falls (Figure 3)",
            "200 values, one batch each; the loss over the exponent",
            arm="found",
        ),
    ),
    tuple(Arm(name, {"optimizer.lr": rate}) for name, rate in RATES.items()),
    (
        Claim("at 0.0001 the training loss is larger than at the rate found", LOSS, "0.0001", "found"),
        Claim("at 0.001 the training loss is larger than at the rate found", LOSS, "0.001", "found"),
        Claim("at 0.01 the test error is smaller by no more than half a point", TEST_ERROR, "0.01", "found", gain=-0.5),
    ),
    {
        "quick": Scale(
            "mnist-5k",
            {**BASE, "train.epochs": 3},
            3,
            "LeNet-5 on 1,667 digits, a fifth of them for testing, a constant rate, 3 epochs; the rate found lies "
            "where the averaged loss falls.",
            "1 minute on two cores",
            images=(2000, 2000),
        ),
        "cpu": Scale(
            "mnist",
            {**BASE, "train.epochs": 5},
            5,
            "LeNet-5 on 10,000 images, a constant rate, 5 epochs; the rate found lies where the averaged loss falls.",
            "15 minutes on two cores",
            images=(10_000, 5000),
        ),
        "paper": Scale(
            "cifar10",
            {**BASE, "net.name": "resnet20", "augment.preset": "shift+flip", "train.batch": 128, "train.epochs": 40},
            5,
            "ResNet-20 and CIFAR-10 in place of Caffe's network and of AlexNet; a constant rate, 40 epochs.",
            "10 hours on a GPU",
        ),
    },
    (LOSS, TEST_ERROR),
)
