"""Self-normalising networks against batch normalisation in deep fully connected networks."""

from __future__ import annotations

from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

COMMON = {
    "optimizer.name": "sgd",
    "optimizer.lr": 1e-5,
    "optimizer.weight_decay": 0.0,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 0.0,
    "train.batch": 128,
    "augment.preset": "none",
    "loss.label_smoothing": 0.0,
    "train.clip_norm": None,
}
ARMS = tuple(
    Arm(f"{name}, {layers} layers", {"net.name": f"snn{layers}_mnist", "net.options": {"activation": kind}})
    for layers in (8, 16, 32)
    for name, kind in (("SELU", "selu"), ("batch norm", "relu_bn"))
)

STUDY = Study(
    "self-normalising",
    "SELU against batch normalisation in deep fully connected networks",
    "At the learning rate of the paper, which trains faster: SELU, or ReLU with batch normalisation?",
    "Klambauer, Unterthiner, Mayr, Hochreiter 2017, arXiv:1706.02515, Figure 1",
    "K6, G60",
    (
        Published(
            "training error on MNIST and CIFAR-10, 8, 16 and 32 layers, rate 1e-5",
            "SELU falls steadily; batch normalisation varies much and stays higher (curves only)",
        ),
    ),
    ARMS,
    tuple(
        Claim(
            f"of {layers} layers, batch norm has the larger training loss",
            LOSS,
            f"batch norm, {layers} layers",
            f"SELU, {layers} layers",
        )
        for layers in (8, 16, 32)
    ),
    {
        "quick": Scale(
            "mnist-5k",
            {**COMMON, "train.epochs": 2},
            2,
            "1,667 digits, a fifth of them for testing, and 2 epochs in place of 60,000 and 2,000.",
            "2 minutes on two cores",
            images=(2000, 2000),
        ),
        "cpu": Scale("mnist", {**COMMON, "train.epochs": 5}, 3, "5 epochs; MNIST alone.", "an hour on two cores"),
        "paper": Scale("mnist", {**COMMON, "train.epochs": 2000}, 3, "MNIST alone.", "10 hours on a GPU"),
    },
    (LOSS, TEST_ERROR),
)
