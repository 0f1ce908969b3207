"""A learning rate that falls against a constant one; cycles and warm restarts."""

from __future__ import annotations

from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

BASE = {
    "augment.preset": "none",
    "loss.label_smoothing": 0.0,
    "optimizer.name": "momentum",
    "optimizer.lr": 0.1,
    "train.batch": 64,
}
COLD = {"schedule.warmup_epochs": 0.0}
STEPS = {"schedule.name": "step", "schedule.milestones": [0.5, 0.75], **COLD}

STUDY = Study(
    "schedules",
    "Schedules of the learning rate",
    "Is a learning rate that falls better than a constant one?",
    "Loshchilov, Hutter 2017, arXiv:1608.03983; Smith 2017, arXiv:1506.01186; Smith, Topin 2018, arXiv:1708.07120",
    "J2-J6",
    (Published("WRN-28-10, CIFAR-10", "warm restarts below steps, in a half to a quarter of the epochs (Table 1)"),),
    (
        Arm("constant", {"schedule.name": "constant", **COLD}),
        Arm("steps: half at 0.1, a quarter each at 0.01 and 0.001", STEPS),
        Arm("cosine", {"schedule.name": "cosine", **COLD}),
        Arm("one cycle", {"schedule.name": "one-cycle"}),
        Arm("warm restarts", {"schedule.name": "warm-restarts", "schedule.period": 1.0, **COLD}),
    ),
    (
        Claim(
            "a constant rate gives the larger error than steps",
            TEST_ERROR,
            "constant",
            "steps: half at 0.1, a quarter each at 0.01 and 0.001",
        ),
        Claim("a constant rate gives the larger error than a cosine", TEST_ERROR, "constant", "cosine"),
    ),
    {
        "quick": Scale(
            "digits",
            {**BASE, "net.name": "resnet20", "train.epochs": 7},
            2,
            "ResNet-20 on digits, 7 epochs.",
            "3 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**BASE, "net.name": "resnet20", "train.epochs": 15, "augment.preset": "shift+flip"},
            3,
            "ResNet-20 in place of WRN-28-10, 5,000 images, 15 epochs in place of 200.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**BASE, "net.name": "wrn_28_10", "train.epochs": 200, "train.batch": 128, "augment.preset": "shift+flip"},
            3,
            "Warm restarts take 255 epochs, to the end of a cycle; steps are by a tenth at half and three quarters of "
            "the epochs, in place of a fifth at 60, 120 and 160; on one device.",
            "10 days on a GPU",
            changes={"warm restarts": {"train.epochs": 255}},
        ),
    },
    (TEST_ERROR, LOSS),
)
