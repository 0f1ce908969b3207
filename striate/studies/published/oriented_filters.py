"""Hubel and Wiesel's experiment on trained first layers: how many filters answer to one orientation."""

from __future__ import annotations

from typing import Any

from striate.studies.study import Arm, Claim, Context, Curve, Published, Result, Scale, Study

SQUEEZENET, RANDOM7 = "SqueezeNet, 7 x 7", "random weights, 7 x 7"
LITE, CIFAR, RANDOM3 = "EfficientNet-Lite0, 3 x 3", "ResNet-20 on CIFAR-10, 3 x 3", "random weights, 3 x 3"
FILES = {
    SQUEEZENET: ("squeezenet1_0_caffe.safetensors", "squeezenet1_0", "caffe"),
    CIFAR: ("resnet20-12fca82f.th", "resnet20", "akamaster"),
}
RANDOM = {RANDOM7: (96, 3, 7, 7), RANDOM3: (32, 3, 3, 3)}
SELECTIVITY, ORIENTED, FREQUENCY, HALF = (
    "selectivity for orientation, mean of filters",
    "oriented filters, %",
    "preferred frequency, cycles a pixel, median of filters",
    "angle at which the answer is half the largest, degrees, median of oriented filters",
)
SEEDS = 4  # each has other filters of a trained layer, and other random ones
ORIENTED_FROM = 1 / 3  # of the selectivity, from 0 to 1


def compute(arm: Arm, context: Context) -> Result:
    """The preferences of a seed's filters for gratings: every fourth one of a trained layer."""
    import numpy as np

    from striate.inspect.orientation import ANGLES, preferences

    weight = _filters(arm.label, context)
    found = preferences(weight[context.seed % SEEDS :: SEEDS])
    oriented = found.selectivity >= ORIENTED_FROM
    step = 180 / ANGLES
    tuning = found.tuning[oriented] if oriented.any() else found.tuning
    # Both ways from the preferred angle are one: the mean of them, up to a right angle.
    half = (tuning[:, : ANGLES // 2 + 1] + np.roll(tuning[:, ::-1], 1, axis=1)[:, : ANGLES // 2 + 1]) / 2
    below = half < 0.5
    widths = np.where(below.any(1), below.argmax(1) * step, 90.0)
    curve = tuple({"degrees": step * place, "answer": float(value)} for place, value in enumerate(half.mean(0)))
    numbers = {
        SELECTIVITY: float(found.selectivity.mean()),
        ORIENTED: 100 * float(oriented.mean()),
        FREQUENCY: float(np.median(found.frequency)),
        HALF: float(np.median(widths)),
    }
    return Result(numbers, curve=curve)


def _filters(label: str, context: Context) -> Any:
    """The weights [N, C, h, w] of a first layer."""
    import torch

    from striate.inference.backbones import net_of
    from striate.inspect.filters import first_convolution
    from striate.weights.models import published_model

    if label in RANDOM:
        return torch.randn(RANDOM[label], generator=torch.Generator().manual_seed(context.seed))
    model = published_model("efficientnet_lite0") if label == LITE else context.published(*FILES[label])
    return first_convolution(net_of(model), torch.zeros(1, 3, 1, 1))[1].weight


DEVIATION = (
    "Gratings and filters of still images in place of bars and cells: the network is computed, so there is no noise of "
    "recording, and without time there is no direction of motion (the function striate.inspect.tuning.tuning has it, "
    "for networks of several frames). Grey gratings, so that filters for colour count by what they answer to grey. "
    "SqueezeNet in place of AlexNet, whose weights are not here; a filter counts as oriented from a selectivity of 1/3."
)

STUDY = Study(
    "oriented-filters",
    "Orientation and frequency of first-layer filters",
    "Do filters that were trained on photographs answer to one orientation, as the cells of the visual cortex do?",
    "Hubel, Wiesel 1959, Journal of Physiology 148; Krizhevsky, Sutskever, Hinton 2012, Figure 3",
    "A2, A3, L1",
    (
        Published(
            "cells of the cat's striate cortex",
            "most answer to a bar of one orientation at one place (no share is given)",
            "active only where the line falls on its part of the retina; the response changes with the bar's angle",
        ),
        Published(
            "AlexNet, 96 filters of 11 x 11",
            "frequencies, orientations and colours (figure only)",
            arm=SQUEEZENET,
            measure=ORIENTED,
        ),
    ),
    tuple(map(Arm, (SQUEEZENET, RANDOM7, LITE, CIFAR, RANDOM3))),
    (
        Claim("trained filters are more selective for orientation than random ones", SELECTIVITY, SQUEEZENET, RANDOM7),
        Claim("more of the trained filters are oriented", ORIENTED, SQUEEZENET, RANDOM7),
    ),
    {
        "quick": Scale("", {}, SEEDS, DEVIATION, "10 seconds"),
        "cpu": Scale("", {}, SEEDS, DEVIATION, "10 seconds"),
        "paper": Scale("", {}, SEEDS, DEVIATION, "10 seconds"),
    },
    (SELECTIVITY, ORIENTED, FREQUENCY, HALF),
    compute,
    "squeezenet1_0_caffe.safetensors (songhan/SqueezeNet-Deep-Compression) and resnet20-12fca82f.th "
    "(akamaster/pytorch_resnet_cifar10)",
    (Curve("answer", "Answer by degrees from the preferred angle, as a share of the largest", over="degrees",
           form="percent"),),
)  # fmt: skip
