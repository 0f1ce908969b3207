"""Inception's forms, naive, reduced and factorised, and three ways to halve a map: cost and accuracy."""

from __future__ import annotations

from striate.studies.protocols import small_nets
from striate.studies.study import MADDS, PARAMETERS, TEST_ERROR, Arm, Claim, Published, Study

POOL = "maxpool3/1 p1\nconv1-{quarter} bn relu as pooled\nconcat one three five pooled"
REDUCED = "conv1-{quarter} bn relu as one\nat in\nconv1-{reduced} bn relu\n"
BLOCKS = {
    "naive": "conv1-{quarter} bn relu as one\nat in\nconv3-{quarter} bn relu as three\nat in\n"
    "conv5-{quarter} bn relu as five\nat in\nmaxpool3/1 p1 as pooled\nconcat one three five pooled",
    "reduced": f"{REDUCED}conv3-{{quarter}} bn relu as three\nat in\nconv1-{{reduced}} bn relu\n"
    f"conv5-{{quarter}} bn relu as five\nat in\n{POOL}",
    "5 x 5 as two 3 x 3": f"{REDUCED}conv3-{{quarter}} bn relu as three\nat in\nconv1-{{reduced}} bn relu\n"
    f"conv3-{{reduced}} bn relu\nconv3-{{quarter}} bn relu as five\nat in\n{POOL}",
    "N x 1 and 1 x N": f"{REDUCED}conv1x3-{{reduced}} bn relu\nconv3x1-{{quarter}} bn relu as three\nat in\n"
    "conv1-{reduced} bn relu\nconv1x5-{reduced} bn relu\nconv5x1-{quarter} bn relu as five\n"
    f"at in\n{POOL}",
}
# Of a map with c channels, one of half the side with 2 c.
HALVINGS = {
    "pool first": "maxpool2/2\nconv3-{2 * width} bn relu",
    "pool last": "conv3-{2 * width} bn relu\nmaxpool2/2",
    "parallel": "conv3-{width}/2 bn relu as small\nat in\nmaxpool2/2 as pooled\nconcat small pooled",
}


def block_net(rows: str) -> str:
    """The net file of a small network of two such blocks, each before a pooling, and one after."""
    return f"""
name = "inception"
input = [3, 32, 32]
parameters = {{ width = 32 }}
table = '''
conv3-{{width}} bn relu
module({{width // 4}}, {{width // 8}})
maxpool2/2
module({{width // 2}}, {{width // 4}})
maxpool2/2
module({{width // 2}}, {{width // 4}})
globalavgpool
fc-classes
'''

[block.module]
parameters = {{ quarter = 0, reduced = 0 }}
table = '''
{rows}
'''
"""


def halving_net(rows: str) -> str:
    """The net file of a small network in which a map is halved twice in this way."""
    return f"""
name = "halving"
input = [3, 32, 32]
parameters = {{ width = 16 }}
table = '''
conv3-{{width}} bn relu
halve({{width}})
halve({{2 * width}})
globalavgpool
fc-classes
'''

[block.halve]
parameters = {{ width = 0 }}
table = '''
{rows}
'''
"""


TEXTS = {
    **{label: block_net(rows) for label, rows in BLOCKS.items() if label != "naive"},
    "naive": block_net(BLOCKS["naive"]).replace("{quarter = 0, reduced = 0 }", "{ quarter = 0 }"),
    **{label: halving_net(rows) for label, rows in HALVINGS.items()},
}

STUDY = Study(
    "inception-forms",
    "Forms of the Inception block, and of halving a map",
    "What do reductions and factorised convolutions save, and does pooling first cost accuracy?",
    "Szegedy et al. 2014, arXiv:1409.4842, Figure 2 and Table 1; Szegedy et al. 2015, arXiv:1512.00567, Figures 5 to 9",
    "B13, G18, G19",
    (
        Published("GoogLeNet's block 3a, reduced: parameters, multiply-adds", "159 K, 128 M"),
        Published("block 4a", "364 K, 73 M"),
        Published("halving, convolution then pooling: multiply-adds, of a map of side d with k channels", "2 d^2 k^2"),
        Published("pooling, then convolution", "2 (d/2)^2 k^2, a quarter, and a bottleneck"),
    ),
    tuple(
        Arm(label, {"net.name": "table_net", "net.options": {"text": TEXTS[label]}}) for label in (*BLOCKS, *HALVINGS)
    ),
    (
        Claim("the naive block has more multiply-adds than the reduced one", MADDS, "naive", "reduced", exact=True),
        Claim("5 x 5 has more multiply-adds than two 3 x 3", MADDS, "reduced", "5 x 5 as two 3 x 3", exact=True),
        Claim("5 x 5 has more multiply-adds than 5 x 1 and 1 x 5", MADDS, "reduced", "N x 1 and 1 x N", exact=True),
        Claim("pooling last has more multiply-adds than in parallel", MADDS, "pool last", "parallel", exact=True),
        Claim("pooling first has the larger test error than in parallel", TEST_ERROR, "pool first", "parallel"),
    ),
    small_nets(
        "Networks of three blocks of 32 to 64 channels, or of two halvings;",
        "Networks of three blocks of 32 to 64 channels",
    ),
    (TEST_ERROR, PARAMETERS, MADDS),
)
