"""MobileNetV2's Table 4: parameters and multiply-adds exactly, and latency on this machine."""

from __future__ import annotations

from striate.studies.costs import MADDS, PARAMETERS, costs_of
from striate.studies.study import LATENCY, Arm, Claim, Context, Published, Result, Scale, Study

NETS = {
    "MobileNetV1": "mobilenet_v1",
    "ShuffleNet (1.5)": "shufflenet_g3_150",
    "ShuffleNet (x2)": "shufflenet_g3_200",
    "NASNet-A": "nasnet_a_mobile",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV2 (1.4)": "mobilenet_v2_140",
}
DEVIATION = "One thread of this processor by torch, in place of one core of a Pixel 1 by TF-Lite."


def compute(arm: Arm, context: Context) -> Result:
    """Counts of a network, and its latency; each seed measures anew, on one thread."""
    return costs_of(NETS[arm.label], context.seed)


STUDY = Study(
    "mobile-costs",
    "Mobile networks: parameters, multiply-adds and latency",
    "Do counts and the order of latencies of Table 4 hold on another machine?",
    "Sandler, Howard, Zhu, Zhmoginov, Chen 2018, arXiv:1801.04381, Table 4",
    "M1-M3",
    (
        Published(
            "MobileNetV1: accuracy, parameters, multiply-adds, latency",
            "70.6 %, 4.2 M, 575 M, 113 ms",
            arm="MobileNetV1",
            measure=MADDS,
        ),
        Published("ShuffleNet (1.5)", "71.5 %, 3.4 M, 292 M, not supported", arm="ShuffleNet (1.5)", measure=MADDS),
        Published("ShuffleNet (x2)", "73.7 %, 5.4 M, 524 M, not supported", arm="ShuffleNet (x2)", measure=MADDS),
        Published("NASNet-A", "74.0 %, 5.3 M, 564 M, 183 ms", arm="NASNet-A", measure=MADDS),
        Published("MobileNetV2", "72.0 %, 3.4 M, 300 M, 75 ms", arm="MobileNetV2", measure=MADDS),
        Published("MobileNetV2 (1.4)", "74.7 %, 6.9 M, 585 M, 143 ms", arm="MobileNetV2 (1.4)", measure=MADDS),
    ),
    tuple(map(Arm, NETS)),
    (
        Claim("MobileNetV1 has more multiply-adds than MobileNetV2", MADDS, "MobileNetV1", "MobileNetV2", exact=True),
        Claim("MobileNetV1 takes longer than MobileNetV2", LATENCY, "MobileNetV1", "MobileNetV2"),
        Claim("NASNet-A takes longer than MobileNetV1", LATENCY, "NASNet-A", "MobileNetV1"),
        Claim("NASNet-A takes longer than MobileNetV2 (1.4)", LATENCY, "NASNet-A", "MobileNetV2 (1.4)"),
    ),
    {
        "quick": Scale(
            "",
            {},
            2,
            DEVIATION,
            "1 minute on two cores",
        ),
        "cpu": Scale(
            "",
            {},
            5,
            DEVIATION,
            "3 minutes on two cores",
        ),
        "paper": Scale("", {}, 10, DEVIATION, "6 minutes on two cores"),
    },
    (PARAMETERS, MADDS, LATENCY),
    compute,
)
