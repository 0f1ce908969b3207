"""Responses of layers: those of a residual network are smaller than a plain one's, and than a shallower one's."""

from __future__ import annotations

import math
import statistics

from striate.studies.study import Arm, Claim, Context, Curve, Published, Result, Scale, Study

PLAIN, RESIDUAL = "plain, 56 layers", "residual, 56 layers"
SHALLOW, DEEP = "residual, 20 layers, identity shortcuts", "residual, 56 layers, identity shortcuts"
FILES = {
    PLAIN: ("resnet56_plain_landscape.pt", "plain56", "landscape"),
    RESIDUAL: ("resnet56_landscape.pt", "resnet56", "landscape"),
    SHALLOW: ("resnet20-12fca82f.th", "resnet20", "akamaster"),
    DEEP: ("resnet56-4bfd9763.th", "resnet56", "akamaster"),
}
MEDIAN = "standard deviation of responses, median of layers"
SEEDS, AT_ONCE = 5, {"quick": 60, "cpu": 400, "paper": 2000}  # test images of a seed at most; each seed has other ones


def compute(arm: Arm, context: Context) -> Result:
    """The median over layers, on the test images of a seed."""
    from striate.inference.backbones import net_of, normalised
    from striate.inspect.responses import layer_responses
    from striate.studies.held_out import of_seed

    model = context.published(*FILES[arm.label])
    images = of_seed(context, model, SEEDS, AT_ONCE[context.scale])
    found = layer_responses(net_of(model), normalised(images.crops(model.pixels), model))
    powers = [math.log10(max(value, 1e-6)) for value in found.values()]
    curve = tuple({"layer": float(place), "power": power} for place, power in enumerate(powers, 1))
    return Result({MEDIAN: statistics.median(found.values())}, curve=curve)


def _scale(time: str, images: str) -> Scale:
    return Scale(
        "cifar10",
        {},
        SEEDS,
        f"ResNet-20 and -56 and plain-56 in place of ResNet-20, -56 and -110 and plain-20 and -56, by weights that "
        f"others trained, one network each; the plain one's twin has projections as shortcuts. {images}; the intervals "
        "are over images alone.",
        time,
    )


STUDY = Study(
    "layer-responses",
    "Responses of layers in plain and residual networks",
    "Are the responses of a residual network's layers smaller than a plain one's, and smaller the deeper it is?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2, Figure 7",
    "K8, L10",
    (
        Published(
            "residual against plain networks, standard deviations of layers",
            "generally smaller (figure only)",
            arm=RESIDUAL,
        ),
        Published("ResNet-20, -56 and -110", "the deeper, the smaller (figure only)", arm=DEEP),
    ),
    tuple(map(Arm, FILES)),
    (
        Claim("the plain network has the larger responses", MEDIAN, PLAIN, RESIDUAL),
        Claim("of residual networks, the shallower one has the larger responses", MEDIAN, SHALLOW, DEEP),
    ),
    {
        "quick": _scale("1 minute on two cores", "60 test images a seed"),
        "cpu": _scale("3 minutes on two cores", "At most 400 test images a seed"),
        "paper": _scale("30 minutes on two cores", "All test images"),
    },
    (MEDIAN,),
    compute,
    "resnet20-12fca82f.th and resnet56-4bfd9763.th (akamaster/pytorch_resnet_cifar10), resnet56_landscape.pt and "
    "resnet56_plain_landscape.pt (tomgoldstein/loss-landscape)",
    (Curve("power", "Standard deviation of responses by layer, as a power of ten", over="layer"),),
)
