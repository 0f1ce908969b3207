"""pytorchcv's names (0.0.74, MIT), by family."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import conv_norm

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
SE_CIFAR_LAYERS = table(
    Rename,
    """
    theirs                              ours
    features.stage{s}.unit{u}.se.conv1  stage{s}.{u-1}.conv2.excitation.reduce
    features.stage{s}.unit{u}.se.conv2  stage{s}.{u-1}.conv2.excitation.expand
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

PREACT_UNITS = table(
    Rename,
    """
    theirs                                      ours
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

# Where the first unit has a convolution as its shortcut, its normalisation is the stem's here.
CIFAR_PREACT_RESNET = (
    Rename("features.init_block", "stem.0"),
    Rename("features.stage1.unit1.body.conv1.bn", "stem.1"),
    *PREACT_UNITS,
)
PREACT_RESNET = (
    Rename("features.init_block.conv", "stem.0"),
    Rename("features.init_block.bn", "stem.1"),
    *PREACT_UNITS,
)

DENSENET_BLOCKS = table(
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

# Our blocks of a module, by theirs: conv_list is a sequence of convolutions.
_SEQUENCES = table(
    Rename,
    """
    theirs                    ours
    branch1.conv              1x1.0
    branch2.conv_list.conv{c} short.{c-1}
    branch2.conv1x3           short.1.row
    branch2.conv3x1           short.1.column
    branch3.conv_list.conv{c} long.{c-1}
    branch3.conv1x3           long.2.row
    branch3.conv3x1           long.2.column
    branch4.conv              pool.1
    """,
)
_STRIDED_SEQUENCES = table(
    Rename,
    """
    theirs                    ours
    branch1.conv_list.conv{c} short.{c-1}
    branch2.conv_list.conv{c} long.{c-1}
    """,
)
_MIXED = {"stage1.unit1": "5b", "stage1.unit2": "5c", "stage1.unit3": "5d", "stage2.unit2": "6b", "stage2.unit3": "6c",
          "stage2.unit4": "6d", "stage2.unit5": "6e", "stage3.unit2": "7b", "stage3.unit3": "7c"}  # fmt: skip
_MIXED_STRIDED = {"stage2.unit1": "6a", "stage3.unit1": "7a"}
INCEPTION_V3 = (
    *conv_norm(
        (
            *(
                Rename(f"features.init_block.conv{number}", f"conv{ours}")
                for number, ours in enumerate(("1a", "2a", "2b", "3b", "4a"), start=1)
            ),
            *(
                Rename(f"features.{unit}.branches.{row.theirs}", f"mixed{module}.{row.ours}")
                for units, rows in ((_MIXED, _SEQUENCES), (_MIXED_STRIDED, _STRIDED_SEQUENCES))
                for unit, module in units.items()
                for row in rows
            ),
        )
    ),
    Rename("output.fc", "head"),
)

NIN_CIFAR = table(
    Rename,
    """
    theirs                       ours
    features.stage{s}.unit1.conv mlpconv{s}.conv.conv
    features.stage{s}.unit2.conv mlpconv{s}.mlp1.conv
    features.stage{s}.unit3.conv mlpconv{s}.mlp2.conv
    output.final_conv.conv       mlpconv3.mlp2.conv
    """,
)

TINY_DARKNET = (
    *conv_norm(
        table(
            Rename,
            """
            theirs                    ours
            features.stage1.unit1     stage1.conv0
            features.stage2.unit1     stage2.conv2
            features.stage3.unit{u}   stage3.conv{u+3}
            features.stage4.unit{u}   stage4.conv{u+8}
            features.stage5.unit{u}   stage5.conv{u+13}
            """,
        )
    ),
    Rename("output.final_conv", "conv19"),
)
