"""pytorchcv's names (0.0.74, MIT) of the residual networks after ResNet."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import conv_norm
from striate.weights.keys.pytorchcv_names import CIFAR_RESNET_BLOCKS, HEAD, RESNET_BLOCKS, SE_LAYERS

RESNEXT_BLOCKS = tuple(
    Rename(rule.theirs, rule.ours.replace("{u-1}.conv{c}", "{u-1}.transformations.conv{c}")) for rule in RESNET_BLOCKS
)
RESNEXT_SE_LAYERS = tuple(Rename(rule.theirs, rule.ours.replace("conv3", "transformations")) for rule in SE_LAYERS)
CIFAR_RESNEXT_BLOCKS = tuple(
    Rename(rule.theirs, rule.ours.replace("{u-1}.conv{c}", "{u-1}.transformations.conv{c}"))
    for rule in CIFAR_RESNET_BLOCKS
)

WIDE_RESNET = table(
    Rename,
    """
    theirs                                     ours
    features.init_block                        conv1
    features.stage{s}.unit{u}.body.conv1.bn    conv{s+1}.{u-1}.before.0
    features.stage{s}.unit{u}.body.conv1.conv  conv{s+1}.{u-1}.residual.conv1
    features.stage{s}.unit{u}.body.conv2.bn    conv{s+1}.{u-1}.residual.between.0
    features.stage{s}.unit{u}.body.conv2.conv  conv{s+1}.{u-1}.residual.conv2
    features.stage{s}.unit{u}.identity_conv    conv{s+1}.{u-1}.shortcut
    features.post_activ.bn                     last.0
    output                                     head
    """,
)

# The last normalisation of a unit, LAST, is the second of a basic one and the third of a bottleneck.
_PYRAMIDNET = table(
    Rename,
    """
    theirs                                       ours
    features.init_block.conv                     conv1.0
    features.init_block.bn                       conv1.1
    features.stage{s}.unit{u}.body.conv1.bn      conv{s+1}.{u-1}.residual.norm
    features.stage{s}.unit{u}.body.conv{c}.bn    conv{s+1}.{u-1}.residual.norm{c-1}
    features.stage{s}.unit{u}.body.conv{c}.conv  conv{s+1}.{u-1}.residual.conv{c}
    features.stage{s}.unit{u}.bn                 conv{s+1}.{u-1}.residual.LAST
    features.post_activ.bn                       last.0
    output                                       head
    """,
)

# Unit 1 to 5, level l of a unit and a convolution j that ends there: that of column j, the deepest first.
FRACTALNET = (
    *conv_norm(
        tuple(
            Rename(
                f"features.unit{{u}}.block.blocks.block{level}.subblock{column}",
                f"block{{u}}.column{column}.{level // 2 ** (column - 1) - 1}",
            )
            for level in range(1, 5)
            for column in range(1, 4)
            if level % 2 ** (column - 1) == 0
        )
    ),
    HEAD,
)


def pyramidnet_rules(*, bottleneck: bool) -> tuple[Rename, ...]:
    """Rules for a PyramidNet of basic or of bottleneck units."""
    last = "norm3" if bottleneck else "norm2"
    return tuple(Rename(rule.theirs, rule.ours.replace("LAST", last)) for rule in _PYRAMIDNET)
