"""Caffe's layer names, as in the definitions of the Model Zoo, and the weights published for them."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, PublishedRow, published

SQUEEZENET = table(
    Rename,
    """
    theirs       ours
    conv{n}      conv{n}.conv
    fire{n}/{X}  fire{n}.{X}.conv
    """,
)

CAFFENET = table(
    Rename,
    """
    theirs   ours
    conv{n}  conv{n}.conv
    fc8      head
    fc{n}    fc{n}.full
    """,
)

VGG = table(
    Rename,
    """
    theirs       ours
    conv{s}_{c}  stage{s}.conv{c}.conv
    fc8          head
    fc{n}        fc{n}.0
    """,
)

GOOGLENET = table(
    Rename,
    """
    theirs                    ours
    conv1/7x7_s2              conv1.0.conv
    conv2/3x3_reduce          conv2.0.conv
    conv2/3x3                 conv2.1.conv
    inception_{X}/1x1         inception{X}.1x1.conv
    inception_{X}/3x3_reduce  inception{X}.3x3.0.conv
    inception_{X}/3x3         inception{X}.3x3.1.conv
    inception_{X}/5x5_reduce  inception{X}.5x5.0.conv
    inception_{X}/5x5         inception{X}.5x5.1.conv
    inception_{X}/pool_proj   inception{X}.pool.1.conv
    loss3/classifier          head
    """,
)
GOOGLENET_AUXILIARY = table(
    Rename,
    """
    theirs               ours
    loss{n}/conv         auxiliary{n}.conv.conv
    loss{n}/fc           auxiliary{n}.full
    loss{n}/classifier   auxiliary{n}.head
    """,
)
NO_AUXILIARY = tuple(Rename(rule.theirs, "-") for rule in GOOGLENET_AUXILIARY)

NIN_IMAGENET = table(
    Rename,
    """
    theirs      ours
    conv4-1024  mlpconv4.conv.conv
    conv{n}     mlpconv{n}.conv.conv
    cccp1       mlpconv1.mlp1.conv
    cccp2       mlpconv1.mlp2.conv
    cccp3       mlpconv2.mlp1.conv
    cccp4       mlpconv2.mlp2.conv
    cccp5       mlpconv3.mlp1.conv
    cccp6       mlpconv3.mlp2.conv
    cccp7-1024  mlpconv4.mlp1.conv
    cccp8-1024  mlpconv4.mlp2.conv
    """,
)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    rules = {
        "squeezenet1_0": SQUEEZENET,
        "squeezenet1_1": SQUEEZENET,
        "caffenet": CAFFENET,
        "vgg16": VGG,
        "vgg19": VGG,
        "googlenet": (*GOOGLENET, *GOOGLENET_AUXILIARY),
        "googlenet_no_aux": (*GOOGLENET, *NO_AUXILIARY),
        "nin_imagenet": NIN_IMAGENET,
    }.get(net)
    return KeyMap(rules, bgr=True) if rules else None


WEIGHTS = published("caffe", PublishedRow)

DIFFERENT = {
    "alexnet": "Caffe's local response normalisation has other constants than the paper",
    **{f"resnet{depth}": "its normalisations are pairs of layers, BatchNorm and Scale, which are not joined here"
       for depth in (50, 101, 152)},
}  # fmt: skip
