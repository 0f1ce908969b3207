"""SqueezeNet in less than half a megabyte: pruned, with shared values and Huffman codes; its accuracy and AlexNet's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

FLOATS, CODED, VALUES_64, VALUES_16, FEWER, BOUND, ALEXNET = (
    "as published, 32 bits a weight",
    "as published, coded",
    "64 values, coded",
    "16 values, coded",
    "a tenth fewer weights, 64 values, coded",
    "half a megabyte",
    "AlexNet, 32 bits a weight",
)
SIZE, TOP5 = "size, MB", "top-5 error, %"
FILE = "squeezenet1_0_caffe.safetensors"
IMAGES = {"quick": 40, "cpu": 1000, "paper": 50_000}


def compute(arm: Arm, context: Context) -> Result:
    """Size and error of the network after the steps of the arm; the seed is that of k-means."""
    if arm.label == BOUND:
        return Result({SIZE: 0.5})
    if arm.label == ALEXNET:
        return Result({SIZE: _alexnet() * 4 / 1e6})
    import torch

    from striate.inference.backbones import net_of, normalised

    model = context.published(FILE, "squeezenet1_0", "caffe")
    net = net_of(model)
    size = _compress(net, arm.settings["fewer"], arm.settings["values"], context.seed)
    crops, targets, names = _photographs(Path(context.data), IMAGES[context.scale], model)
    with torch.no_grad():
        logits = torch.cat([net(x) for x in torch.split(normalised(crops, model), 20)])
    found = logits.topk(5).indices == torch.tensor(targets)[:, None]
    wrong, missed = ~found[:, 0], ~found.any(1)
    numbers = {SIZE: size, TEST_ERROR: 100 * float(wrong.float().mean()), TOP5: 100 * float(missed.float().mean())}
    return Result(numbers, dict(zip(names, wrong.float().tolist(), strict=True)))


def _compress(net: Any, fewer: float, values: int | None, seed: int) -> float:
    """Change the convolutions' weights in place; megabytes of all that a file would hold, without names.

    fewer: the share of a layer's weights other than 0 that become 0. values: those of a layer, which count beside the
    codes; None: weights have 32 bits, as biases.
    """
    import numpy as np
    import torch
    from torch import nn

    from striate.studies.compression import coded_bytes, pruned, shared

    total = 0
    for layer in (module for module in net.modules() if isinstance(module, nn.Conv2d)):
        weights = layer.weight.detach().numpy()
        if fewer:
            weights = pruned(weights, 1 - (1 - fewer) * np.count_nonzero(weights) / weights.size)
        if values:
            found = shared(weights, values, seed=seed)
            weights = found.weights
            total += coded_bytes(found.codes) + 4 * len(found.values)
        else:
            total += 4 * weights.size
        total += 0 if layer.bias is None else 4 * layer.bias.numel()
        layer.weight.data = torch.from_numpy(weights)
    return total / 1e6


def _photographs(folder: Path, most: int, model: Any) -> tuple[Any, list[int], list[str]]:
    """Crops, classes and names of at most so many photographs, evenly over the folder."""
    import math

    import numpy as np

    from striate.reading import IMAGE, read_given

    files = [file for file in sorted(folder.glob("*.jp*g")) if file.name[:4].isdigit()] if folder.is_dir() else []
    if not files:
        raise RequestError(
            "this study needs --data, a folder of photographs of ImageNet's classes whose names begin with the class's "
            f"number in four digits, 0000 to 0999; {str(folder)!r} has none"
        )
    files = files[:: math.ceil(len(files) / most)]
    crops = [model.pixels.apply(model.pixels.decode(read_given(file, "the image", IMAGE)).image) for file in files]
    return np.stack(crops), [int(file.name[:4]) for file in files], [file.name for file in files]


def _alexnet() -> int:
    import torch

    from striate.anatomy.summary import parameters
    from striate.nets.build import create

    with torch.device("meta"):
        return parameters(create("alexnet"))


def _scale(seeds: int, images: str, time: str) -> Scale:
    return Scale(
        "imagenet-samples",
        {},
        seeds,
        f"{images} of ImageNet in place of 50,000. The published weights were pruned and trained again by their "
        "authors: two thirds to four fifths of the 3 x 3 and the last layer are 0, a layer has 256 values. Their "
        "network before that, and one of 6 bits, or 64 values, are not at hand: fewer weights and values are made here "
        "without training. Of AlexNet the size alone is compared, its accuracy is the published one.",
        time,
    )


def _arm(label: str, fewer: float, values: int | None) -> Arm:
    return Arm(label, {"fewer": fewer, "values": values})


STUDY = Study(
    "small-squeezenet",
    "SqueezeNet below half a megabyte",
    "Does SqueezeNet fit into half a megabyte, and is it then as accurate as before?",
    "Iandola et al. 2016, arXiv:1602.07360; Han, Mao, Dally 2015, arXiv:1510.00149",
    "K17, G53",
    (
        Published("SqueezeNet 1.0, ImageNet, top-5 accuracy (the authors' repository)", "at least 80.3 %"),
        Published("AlexNet, Caffe's model, top-1 and top-5 accuracy, centre crop", "57.1 %, 80.2 %"),
        Published("SqueezeNet, 128 pixels (caffenet-benchmark), top-1 accuracy", "53.0 % to 54.7 %"),
        Published("CaffeNet, 128 pixels (caffenet-benchmark)", "47.0 %"),
        Published(
            "the lecture: AlexNet-level accuracy with less than 0.5 MB",
            "pruning, shared values of 6 bits, Huffman codes",
        ),
    ),
    (
        _arm(FLOATS, 0.0, None),
        _arm(CODED, 0.0, 256),
        _arm(VALUES_64, 0.0, 64),
        _arm(VALUES_16, 0.0, 16),
        _arm(FEWER, 0.1, 64),
        Arm(BOUND),
        Arm(ALEXNET),
    ),
    (
        Claim("AlexNet is larger by more than 200 MB", SIZE, ALEXNET, FLOATS, gain=200.0, exact=True),
        Claim("half a megabyte is more than the coded network", SIZE, BOUND, CODED, exact=True),
        Claim("with 64 values a layer it errs by less than 3 points more", TEST_ERROR, FLOATS, VALUES_64, gain=-3.0),
    ),
    {
        "quick": _scale(2, "40 photographs", "2 minutes on two cores"),
        "cpu": _scale(3, "200 photographs", "10 minutes on two cores"),
        "paper": _scale(5, "The validation photographs", "a day on two cores"),
    },
    (SIZE, TEST_ERROR, TOP5),
    compute,
    f"{FILE} (songhan/SqueezeNet-Deep-Compression)",
)
