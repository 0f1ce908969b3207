"""The winners of the ImageNet challenge by year: deeper, not larger, and at last better than a trained person."""

from __future__ import annotations

import math

from striate.studies.study import Arm, Claim, Context, Published, Result, Scale, Study

ALEXNET, VGG, GOOGLENET, RESNET = "AlexNet (2012)", "VGG-19 (2014)", "GoogLeNet (2014)", "ResNet-152 (2015)"
ENSEMBLE, PERSON = "six ResNets (2015)", "a trained person"
NETS = {ALEXNET: "alexnet", VGG: "vgg19", GOOGLENET: "googlenet", RESNET: "resnet152"}
LAYERS, PARAMETERS, MADDS, ERROR = (
    "layers with weights", "parameters, M", "multiply-adds, M", "top-5 error as published, %",
)  # fmt: skip
SIX = 3.57  # on the test images: He et al. 2015, Table 5


def compute(arm: Arm, context: Context) -> Result:
    """Counts of a network, without its auxiliary heads, and its published error; of the others the error alone."""
    from striate.benchmarking.by_year import HUMAN, year_rows
    from striate.nets.catalog import entry

    if arm.label not in NETS:
        return Result({ERROR: SIX if arm.label == ENSEMBLE else HUMAN})
    (row,) = year_rows([entry(NETS[arm.label])])
    error = math.nan if row.top5_error is None else row.top5_error
    parameters = _without_heads(row.name, row.parameters)
    return Result({LAYERS: row.depth, PARAMETERS: parameters / 1e6, MADDS: row.madds / 1e6, ERROR: error})


def _without_heads(name: str, parameters: int) -> int:
    """Of the network that predicts: auxiliary heads are for training only."""
    import torch

    from striate.nets.build import create_classifier

    with torch.device("meta"):
        net = create_classifier(name)
    heads = [net.get_submodule(head) for head in net.auxiliary_heads.values()]
    return parameters - sum(one.numel() for head in heads for one in head.parameters())


DEVIATION = (
    "Layers on the longest path, parameters and multiply-adds are counted in the networks here; errors are those of "
    "their papers, by the papers' protocols. No network is trained. striate nets --by-year has the whole catalogue."
)

STUDY = Study(
    "depth-by-year",
    "Depth, cost and error by year",
    "Did the winners of the ImageNet challenge become deeper without more parameters, and better than a person?",
    "Krizhevsky et al. 2012; Simonyan, Zisserman 2014; Szegedy et al. 2014; He et al. 2015; Russakovsky et al. 2015",
    "K19-K21, L11, L12, L17-L19, G26",
    (
        Published("VGG-16: accuracy on ImageNet", "92.7 % of top five", "92.7 %, without saying top five"),
        Published(
            "GoogLeNet: top-5 error of one network on one crop, and of seven on 144 crops",
            "10.07 % and 6.67 %",
            "6.7 %, without saying seven",
            arm=GOOGLENET,
            measure=ERROR,
        ),
        Published(
            "AlexNet's parameters as a multiple of GoogLeNet's", "8.7 by count", "12", arm=ALEXNET, measure=PARAMETERS
        ),
        Published(
            "ResNet-152: top-5 error of one network on ten crops, of one on several scales, and of six",
            "5.71 %, 4.49 % and 3.57 %",
            "3.6 %, without saying six",
        ),
        Published("a trained person: top-5 error on 1,500 test images", "5.1 %", "about 5 %"),
    ),
    tuple(map(Arm, (*NETS, ENSEMBLE, PERSON))),
    (
        Claim("VGG-19 has more layers than AlexNet", LAYERS, VGG, ALEXNET, exact=True),
        Claim("GoogLeNet has more layers than VGG-19", LAYERS, GOOGLENET, VGG, exact=True),
        Claim("ResNet-152 has more layers than GoogLeNet", LAYERS, RESNET, GOOGLENET, exact=True),
        Claim("VGG-19 has more parameters than ResNet-152", PARAMETERS, VGG, RESNET, exact=True),
        Claim("AlexNet has more parameters than GoogLeNet", PARAMETERS, ALEXNET, GOOGLENET, exact=True),
        Claim("AlexNet has the larger error than GoogLeNet", ERROR, ALEXNET, GOOGLENET, exact=True),
        Claim("GoogLeNet has the larger error than ResNet-152", ERROR, GOOGLENET, RESNET, exact=True),
        Claim("a trained person has the larger error than six ResNets", ERROR, PERSON, ENSEMBLE, exact=True),
    ),
    {scale: Scale("", {}, 2, DEVIATION, "10 seconds") for scale in ("quick", "cpu", "paper")},
    (LAYERS, PARAMETERS, MADDS, ERROR),
    compute,
)
