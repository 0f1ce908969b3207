"""Dropout as an average of many networks: the mean over masks against the one network with scaled weights."""

from __future__ import annotations

from typing import Any

from striate.studies.protocols import SHORT
from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Curve, Published, Result, Scale, ScaleName, Study

ONE, MEAN, GEOMETRIC, SCALED = "one mask", "mean over masks", "geometric mean over masks", "scaled weights"
DISTANCE = "distance of the probabilities from those of scaled weights, points"
MASKS: dict[ScaleName, int] = {"quick": 50, "cpu": 200, "paper": 1000}
SHOWN = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500)  # masks at which the error is shown
NET = {"net.name": "lenet5_plain", "net.options": {"add_dropout": 0.3, "dropout_place": "activations"}}
RECIPE = {**SHORT, **NET, "optimizer.name": "adam", "optimizer.lr": 1e-3}


def compute(arm: Arm, context: Context) -> Result:
    """The test error of a way to average the thinned networks of a training, and how far its probabilities are off.

    Each image gets masks of its own. The distance is half the sum of the differences over the classes (total
    variation), on average over images.
    """
    import numpy as np

    from striate.learning.run_folder import MODEL
    from striate.model import read
    from striate.studies.held_out import held_out

    folder = context.trained({})
    model = read(folder / MODEL)
    images = held_out(context.opened(context.data), folder)
    masks = {ONE: 1, SCALED: 0}.get(arm.label, MASKS[context.scale])
    scaled, drawn = _probabilities(model, images.crops(model.pixels), masks, context.seed)
    counts = sorted({*(count for count in SHOWN if count < masks), masks})
    tables = {count: _mean(drawn[:count], geometric=arm.label == GEOMETRIC) if count else scaled for count in counts}
    errors = {count: 100 * float(np.mean(list(images.wrong(table).values()))) for count, table in tables.items()}
    curve = tuple({"masks": float(count), "error": error} for count, error in errors.items())
    last = tables[masks]
    distance = 100 * float(np.abs(last - scaled).sum(1).mean()) / 2
    return Result({TEST_ERROR: errors[masks], DISTANCE: distance}, images.wrong(last), curve)


def _probabilities(model: Any, crops: Any, masks: int, seed: int) -> tuple[Any, Any]:
    """Of the network with scaled weights [N, classes], and of so many thinned ones [masks, N, classes]."""
    import numpy as np
    import torch
    from torch import nn

    from striate.inference.backbones import net_of, normalised

    net, x = net_of(model).eval(), normalised(crops, model)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        scaled = net(x).softmax(1).numpy()
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        drawn = [net(x).softmax(1).numpy() for _ in range(masks)]
    return scaled, np.stack(drawn) if drawn else np.zeros((0, *scaled.shape), np.float32)


def _mean(tables: Any, *, geometric: bool) -> Any:
    import numpy as np

    if not geometric:
        return tables.mean(0)
    mean = np.exp(np.log(np.maximum(tables, 1e-30)).mean(0))
    return mean / mean.sum(1, keepdims=True)


def _scale(
    data: str, scale: ScaleName, epochs: int, seeds: int, said: str, time: str, images: tuple[int, int] | None
) -> Scale:
    deviation = (
        f"LeNet-5 with dropout 0.3 after every activation, {epochs} epochs on {said}, and {MASKS[scale]} masks, in "
        "place of networks of fully connected layers on MNIST."
    )
    return Scale(data, {**RECIPE, "train.epochs": epochs}, seeds, deviation, time, images=images)


STUDY = Study(
    "dropout-average",
    "Dropout as an average of many networks",
    "Does one network with scaled weights predict what the average of many thinned networks does?",
    "Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, JMLR 15, section 7.5",
    "F2",
    (
        Published(
            "MNIST: the mean over masks against scaled weights",
            "the mean comes near with some tens of masks (figure only)",
            "exponentially many models averaged",
            arm=MEAN,
        ),
    ),
    (Arm(ONE), Arm(MEAN), Arm(GEOMETRIC), Arm(SCALED)),
    (
        Claim("one thinned network has the larger error than scaled weights", TEST_ERROR, ONE, SCALED),
        Claim("one thinned network has the larger error than the mean over masks", TEST_ERROR, ONE, MEAN),
        Claim("the arithmetic mean is farther from scaled weights than the geometric one", DISTANCE, MEAN, GEOMETRIC),
    ),
    {
        "quick": _scale(
            "mnist-5k",
            "quick",
            4,
            3,
            "1,250 digits, a fifth of them for testing",
            "1 minute on two cores",
            (1500, 1500),
        ),
        "cpu": _scale("mnist", "cpu", 20, 5, "5,000 digits", "30 minutes on two cores", (5000, 5000)),
        "paper": _scale("mnist", "paper", 100, 10, "MNIST", "5 hours on a GPU", None),
    },
    (TEST_ERROR, DISTANCE),
    compute,
    curves=(Curve("error", "Test error by masks averaged, %", over="masks", log=True),),
)
