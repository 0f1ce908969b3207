"""What squeeze-and-excitation costs: parameters, multiply-adds and latency."""

from __future__ import annotations

from striate.studies.costs import MADDS, PARAMETERS, costs_of
from striate.studies.study import LATENCY, Arm, Claim, Context, Published, Result, Scale, Study

NETS = {
    "ResNet-50": "resnet50",
    "SE-ResNet-50": "se_resnet50",
    "MobileNetV1": "mobilenet_v1",
    "SE-MobileNetV1": "se_mobilenet_v1",
}
DEVIATION = "Latency on one thread of this processor, by torch, for one image; nothing is trained."


def compute(arm: Arm, context: Context) -> Result:
    """Counts of a network, and its latency; each seed measures anew, on one thread."""
    return costs_of(NETS[arm.label], context.seed)


STUDY = Study(
    "squeeze-cost",
    "The cost of squeeze-and-excitation",
    "How much do squeeze-and-excitation blocks add to a network's parameters, multiply-adds and time?",
    "Hu, Shen, Albanie, Sun, Wu 2017, arXiv:1709.01507, Table 2 and section 4",
    "K18",
    (
        Published(
            "ResNet-50, again trained by the authors: top-1 error, top-5 error, GFLOPs",
            "24.80 %, 7.48 %, 3.86",
            arm="ResNet-50",
            measure=MADDS,
        ),
        Published("SE-ResNet-50", "23.29 %, 6.62 %, 3.87", arm="SE-ResNet-50", measure=MADDS),
        Published("parameters that SE adds to ResNet-50", "about 2.5 M, 10 %"),
        Published(
            "MobileNet: top-1 error, multiply-adds, parameters",
            "28.4 %, 569 M, 4.2 M",
            arm="MobileNetV1",
            measure=MADDS,
        ),
        Published("SE-MobileNet", "25.3 %, 572 M, 4.7 M", arm="SE-MobileNetV1", measure=MADDS),
    ),
    tuple(map(Arm, NETS)),
    (
        Claim("SE-ResNet-50 has more parameters", PARAMETERS, "SE-ResNet-50", "ResNet-50", exact=True),
        Claim("SE-ResNet-50 has more multiply-adds", MADDS, "SE-ResNet-50", "ResNet-50", exact=True),
        Claim("SE-ResNet-50 takes longer", LATENCY, "SE-ResNet-50", "ResNet-50"),
        Claim("SE-MobileNetV1 has more parameters", PARAMETERS, "SE-MobileNetV1", "MobileNetV1", exact=True),
        Claim("SE-MobileNetV1 takes longer", LATENCY, "SE-MobileNetV1", "MobileNetV1"),
    ),
    {
        "quick": Scale("", {}, 3, DEVIATION, "1 minute on two cores"),
        "cpu": Scale("", {}, 8, DEVIATION, "3 minutes on two cores"),
        "paper": Scale("", {}, 8, DEVIATION, "3 minutes on two cores"),
    },
    (PARAMETERS, MADDS, LATENCY),
    compute,
)
