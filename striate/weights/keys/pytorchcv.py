"""pytorchcv's names (0.0.74, MIT), and its published weights."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, conv_norm, inception, mobile, published, xception

HEAD = Rename("output", "head")

RESNET_BLOCKS = table(
    Rename,
    """
    theirs                                  ours
    features.init_block.conv                conv1
    features.stage{s}.unit{u}.body.conv{c}  conv{s+1}_x.{u-1}.conv{c}
    features.stage{s}.unit{u}.identity_conv conv{s+1}_x.{u-1}.shortcut
    """,
)
SE_LAYERS = table(
    Rename,
    """
    theirs                              ours
    features.stage{s}.unit{u}.se.conv1  conv{s+1}_x.{u-1}.conv3.excitation.reduce
    features.stage{s}.unit{u}.se.conv2  conv{s+1}_x.{u-1}.conv3.excitation.expand
    """,
)
CIFAR_RESNET_BLOCKS = table(
    Rename,
    """
    theirs                                  ours
    features.init_block                     stem
    features.stage{s}.unit{u}.body.conv{c}  stage{s}.{u-1}.conv{c}
    features.stage{s}.unit{u}.identity_conv stage{s}.{u-1}.shortcut
    """,
)

# The first normalisation is in the first unit there, and in the stem here.
CIFAR_PREACT_RESNET = table(
    Rename,
    """
    theirs                                      ours
    features.init_block                         stem.0
    features.stage1.unit1.body.conv1.bn         stem.1
    features.stage{s}.unit{u}.body.conv1.bn     stage{s}.{u-1}.before.0
    features.stage{s}.unit{u}.body.conv1.conv   stage{s}.{u-1}.residual.0
    features.stage{s}.unit{u}.body.conv2.bn     stage{s}.{u-1}.residual.1
    features.stage{s}.unit{u}.body.conv2.conv   stage{s}.{u-1}.residual.3
    features.stage{s}.unit{u}.body.conv3.bn     stage{s}.{u-1}.residual.4
    features.stage{s}.unit{u}.body.conv3.conv   stage{s}.{u-1}.residual.6
    features.stage{s}.unit{u}.identity_conv     stage{s}.{u-1}.shortcut.0
    features.post_activ.bn                      last.0
    output                                      head
    """,
)

CIFAR_DENSENET_BLOCKS = table(
    Rename,
    """
    theirs                              ours
    features.stage{s}.unit{u}.conv{c}   block{s}.{u-1}.conv{c}
    features.stage{s}.unit{u}.conv      block{s}.{u-1}.conv1
    features.stage{s}.trans{t}.conv     transition{s-1}.0
    """,
)

VGG_BLOCKS = table(
    Rename,
    """
    theirs                     ours
    features.stage{s}.unit{u}  stage{s}.conv{u}
    """,
)
VGG_HEAD = table(
    Rename,
    """
    theirs         ours
    output.fc1.fc  fc6.0
    output.fc2.fc  fc7.0
    output.fc3     head
    """,
)

ALEXNET = table(
    Rename,
    """
    theirs                      ours
    features.stage1.unit1.conv  conv1.conv
    features.stage2.unit1.conv  conv2.conv
    features.stage3.unit1.conv  conv3.conv
    features.stage3.unit2.conv  conv4.conv
    features.stage3.unit3.conv  conv5.conv
    output.fc1.fc               fc6.full
    output.fc2.fc               fc7.full
    output.fc3                  head
    """,
)

# A stage starts with a pooling; its units are Fire modules, which are numbered consecutively here, from fire2 on.
SQUEEZENET = table(
    Rename,
    """
    theirs                                   ours
    features.init_block.conv                 conv1.conv
    features.stage1.unit{u}.squeeze.conv     fire{u+1}.squeeze1x1.conv
    features.stage1.unit{u}.{X}.conv         fire{u+1}.{X}.conv
    features.stage2.unit{u}.squeeze.conv     fire{u+4}.squeeze1x1.conv
    features.stage2.unit{u}.{X}.conv         fire{u+4}.{X}.conv
    features.stage3.unit{u}.squeeze.conv     fire{u+8}.squeeze1x1.conv
    features.stage3.unit{u}.{X}.conv         fire{u+8}.{X}.conv
    output.final_conv                        conv10.conv
    """,
)
SQUEEZENET_1_1 = table(
    Rename,
    """
    theirs                                   ours
    features.init_block.conv                 conv1.conv
    features.stage1.unit{u}.squeeze.conv     fire{u+1}.squeeze1x1.conv
    features.stage1.unit{u}.{X}.conv         fire{u+1}.{X}.conv
    features.stage2.unit{u}.squeeze.conv     fire{u+3}.squeeze1x1.conv
    features.stage2.unit{u}.{X}.conv         fire{u+3}.{X}.conv
    features.stage3.unit{u}.squeeze.conv     fire{u+5}.squeeze1x1.conv
    features.stage3.unit{u}.{X}.conv         fire{u+5}.{X}.conv
    output.final_conv                        conv10.conv
    """,
)

# Which module a unit is; a module of stride 2 has two branches of convolutions, and all others have four.
_INCEPTIONS = {
    "stage1.unit1": "3a", "stage1.unit2": "3b", "stage2.unit2": "4a", "stage2.unit3": "4b", "stage2.unit4": "4c",
    "stage2.unit5": "4d", "stage3.unit2": "5a", "stage3.unit3": "5b",
}  # fmt: skip
_REDUCTIONS = {"stage2.unit1": "3c", "stage3.unit1": "4e"}
_BRANCHES = table(
    Rename,
    """
    theirs            ours
    branch1           1x1
    branch2.conv{c}   3x3.{c-1}
    branch3.conv{c}   double3x3.{c-1}
    branch4.conv      pool.1
    """,
)
_REDUCTION_BRANCHES = table(
    Rename,
    """
    theirs            ours
    branch1.conv{c}   3x3.{c-1}
    branch2.conv{c}   double3x3.{c-1}
    """,
)
BN_INCEPTION = (
    *conv_norm(
        (
            Rename("features.init_block.conv1", "conv1"),
            Rename("features.init_block.conv2.conv{c}", "conv2.{c-1}"),
            *(
                Rename(f"features.{unit}.branches.{row.theirs}", f"inception{module}.{row.ours}")
                for units, rows in ((_INCEPTIONS, _BRANCHES), (_REDUCTIONS, _REDUCTION_BRANCHES))
                for unit, module in units.items()
                for row in rows
            ),
        )
    ),
    HEAD,
)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    if net in ("resnet50", "resnet101", "resnet152"):
        return KeyMap((*conv_norm(RESNET_BLOCKS), HEAD))
    if net in ("se_resnet50", "se_resnet101", "se_resnet152"):
        return KeyMap((*conv_norm(RESNET_BLOCKS), *SE_LAYERS, HEAD))
    if net in ("resnet20", "resnet56", "resnet110"):
        # There, shortcuts between different shapes are convolutions.
        return KeyMap((*conv_norm(CIFAR_RESNET_BLOCKS), HEAD), {"shortcut": "B"})
    if net in ("preact_resnet164", "preact_resnet1001"):
        return KeyMap(CIFAR_PREACT_RESNET, {"stride_in": "3x3"})
    if net.startswith("densenet") and "_k" in net:
        ends = (Rename("features.init_block", "stem"), Rename("features.post_activ.bn", "last.0"))
        return KeyMap((*conv_norm(CIFAR_DENSENET_BLOCKS), *ends, HEAD))
    if net.startswith("shufflenet_g"):
        return mobile.SHUFFLENET
    if net.removesuffix("_bn") in ("vgg11", "vgg13", "vgg16", "vgg19"):
        return KeyMap((*conv_norm(VGG_BLOCKS), *VGG_HEAD))
    return {
        "alexnet_one_tower": KeyMap(ALEXNET),
        "zfnet": KeyMap(ALEXNET, {"layers": "pytorchcv"}),
        "bn_inception": KeyMap(BN_INCEPTION, norm_bias=True),
        "squeezenet1_0": KeyMap(SQUEEZENET, {"border": False}),
        "squeezenet1_0_bypass": KeyMap(SQUEEZENET, {"border": False}),
        "squeezenet1_1": KeyMap(SQUEEZENET_1_1),
        **inception.PYTORCHCV,
        "xception": xception.PYTORCHCV,
        **mobile.MNASNET_PYTORCHCV,
        **mobile.NASNET_PYTORCHCV,
    }.get(net)


WEIGHTS = published("pytorchcv")

_PADDING = "pytorchcv's pads equally on all sides and ours like TensorFlow, so the same weights give other outputs"
_FIRST = "pytorchcv's starts with two growth rates of filters, and the paper's, without compression, with 16"
DIFFERENT = {
    **dict.fromkeys(("densenet40_k12", "densenet100_k12", "densenet100_k24"), _FIRST),
    **dict.fromkeys(("nin_cifar", "senet154"), "pytorchcv's pads before it pools; ours pools as Caffe does"),
    "preact_resnet110": "pytorchcv's first activation is only in the branch of the first unit",
    "mobilenet_v1": _PADDING,
    "mobilenet_v2": _PADDING,
    **{f"resnet{depth}_modern": f"pytorchcv's resnet{depth} is the paper's: import it as resnet{depth}"
       for depth in (50, 101, 152)},
}  # fmt: skip
