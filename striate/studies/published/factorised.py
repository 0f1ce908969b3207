"""Large convolutions taken apart: stacks of 3 x 3, N x 1 with 1 x N, and depthwise separable ones."""

from __future__ import annotations

from striate.studies.protocols import small_nets
from striate.studies.study import MADDS, PARAMETERS, TEST_ERROR, Arm, Claim, Published, Study

# Rows of a net file that stand for one convolution and see as far as it; the channels stay.
FIVE = {
    "5 x 5": "conv5-{width} bn relu",
    "two 3 x 3": "conv3-{width} bn relu x2",
    "5 x 1 and 1 x 5": "conv5x1-{width} bn relu\nconv1x5-{width} bn relu",
    "5 x 5, separable": "dwconv5 bn relu\nconv1-{width} bn relu",
}
SEVEN = {
    "7 x 7": "conv7-{width} bn relu",
    "three 3 x 3": "conv3-{width} bn relu x3",
    "7 x 1 and 1 x 7": "conv7x1-{width} bn relu\nconv1x7-{width} bn relu",
    "7 x 7, separable": "dwconv7 bn relu\nconv1-{width} bn relu",
}


def net_text(rows: str) -> str:
    """The net file of a small network with these rows at three sizes of map."""
    return f"""
name = "stack"
input = [3, 32, 32]
parameters = {{ width = 16 }}
table = '''
conv3-{{width}} bn relu
{rows}
maxpool2/2
{rows}
maxpool2/2
{rows}
globalavgpool
fc-classes
'''
"""


def _arm(label: str, rows: str) -> Arm:
    return Arm(label, {"net.name": "table_net", "net.options": {"text": net_text(rows)}})


def _costs(whole: str, parts: dict[str, str]) -> tuple[Claim, ...]:
    others = [label for label in parts if label != whole]
    return tuple(
        Claim(f"{whole} has more {what} than {other}", measure, whole, other, exact=True)
        for other in others
        for what, measure in (("parameters", PARAMETERS), ("multiply-adds", MADDS))
    )


STUDY = Study(
    "factorised",
    "Large convolutions taken apart",
    "What do 5 x 5 and 7 x 7 convolutions cost, and are stacks of 3 x 3, N x 1 and separable ones as accurate?",
    "Simonyan, Zisserman 2014, arXiv:1409.1556, section 2.3; Szegedy et al. 2015, arXiv:1512.00567, section 3; Howard "
    "et al. 2017, arXiv:1704.04861, Table 4; Mishkin et al., caffenet-benchmark",
    "B14, B15, B16",
    (
        Published("5 x 5 as two 3 x 3: weights for each pair of channels", "25 and 18, 28 % less", "22 % less"),
        Published(
            "11 x 11 as 3 x 3",
            "121 and 45, 63 % less: five are needed to see as far",
            "four: 121 and 36, 70 % less",
        ),
        Published("CaffeNet, 5 x 5 as two 3 x 3, ImageNet accuracy", "55.0 %"),
        Published("CaffeNet, 5 x 5 as 1 x 5 and 5 x 1", "54.0 %"),
        Published("MobileNet with full convolutions: accuracy, multiply-adds, parameters", "71.7 %, 4866 M, 29.3 M"),
        Published("MobileNet with separable ones", "70.6 %, 569 M, 4.2 M"),
    ),
    tuple(_arm(label, rows) for label, rows in {**FIVE, **SEVEN}.items()),
    (
        *_costs("5 x 5", FIVE),
        *_costs("7 x 7", SEVEN),
        Claim("5 x 5 has the larger test error than two 3 x 3", TEST_ERROR, "5 x 5", "two 3 x 3"),
        Claim("7 x 7 has the larger test error than three 3 x 3", TEST_ERROR, "7 x 7", "three 3 x 3"),
    ),
    small_nets(
        "Networks of 16 channels with one such part at each of three sizes of map,",
        "Networks of 16 channels",
    ),
    (TEST_ERROR, PARAMETERS, MADDS),
)
