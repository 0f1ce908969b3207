"""timm's names (1.0.31, Apache-2.0), and its published weights."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, PublishedRow, inception, mobile, published, xception
from striate.weights.keys.torchvision import DENSENET, INCEPTION, RESNET, RESNEXT, vgg_rules

VGG_HEAD = table(
    Rename,
    """
    theirs          ours
    pre_logits.fc1  fc6.0
    pre_logits.fc2  fc7.0
    head.fc         head
    """,
)

# A block of the first stage has no expansion convolution, so its norms are numbered differently.
EFFICIENTNET = table(
    Rename,
    """
    theirs                         ours
    conv_stem                      stage1.conv
    bn1                            stage1.norm
    blocks.0.{b}.conv_dw           stage2.{b}.depthwise.conv
    blocks.0.{b}.bn1               stage2.{b}.depthwise.norm
    blocks.0.{b}.conv_pw           stage2.{b}.project.conv
    blocks.0.{b}.bn2               stage2.{b}.project.norm
    blocks.{s}.{b}.conv_pw         stage{s+2}.{b}.expand.conv
    blocks.{s}.{b}.bn1             stage{s+2}.{b}.expand.norm
    blocks.{s}.{b}.conv_dw         stage{s+2}.{b}.depthwise.conv
    blocks.{s}.{b}.bn2             stage{s+2}.{b}.depthwise.norm
    blocks.{s}.{b}.se.conv_reduce  stage{s+2}.{b}.depthwise.excitation.reduce
    blocks.{s}.{b}.se.conv_expand  stage{s+2}.{b}.depthwise.excitation.expand
    blocks.{s}.{b}.conv_pwl        stage{s+2}.{b}.project.conv
    blocks.{s}.{b}.bn3             stage{s+2}.{b}.project.norm
    conv_head                      stage9.conv
    bn2                            stage9.norm
    classifier                     head
    """,
)

MOBILENET_V2 = table(
    Rename,
    """
    theirs                   ours
    conv_stem                stem.conv
    bn1                      stem.norm
    blocks.0.{b}.conv_dw     stage1.{b}.depthwise.conv
    blocks.0.{b}.bn1         stage1.{b}.depthwise.norm
    blocks.0.{b}.conv_pw     stage1.{b}.project.conv
    blocks.0.{b}.bn2         stage1.{b}.project.norm
    blocks.{s}.{b}.conv_pw   stage{s+1}.{b}.expand.conv
    blocks.{s}.{b}.bn1       stage{s+1}.{b}.expand.norm
    blocks.{s}.{b}.conv_dw   stage{s+1}.{b}.depthwise.conv
    blocks.{s}.{b}.bn2       stage{s+1}.{b}.depthwise.norm
    blocks.{s}.{b}.conv_pwl  stage{s+1}.{b}.project.conv
    blocks.{s}.{b}.bn3       stage{s+1}.{b}.project.norm
    conv_head                conv.conv
    bn2                      conv.norm
    classifier               head
    """,
)

SENET154 = table(
    Rename,
    """
    theirs                     ours
    layer0.conv{c}             conv1.{c-1}.conv
    layer0.bn{c}               conv1.{c-1}.norm
    layer{s}.{b}.se_module.fc1 conv{s+1}_x.{b}.conv3.excitation.reduce
    layer{s}.{b}.se_module.fc2 conv{s+1}_x.{b}.conv3.excitation.expand
    last_linear                head
    """,
)

EXCITATION = table(
    Rename,
    """
    theirs                 ours
    layer{s}.{b}.se.fc1    conv{s+1}_x.{b}.conv3.excitation.reduce
    layer{s}.{b}.se.fc2    conv{s+1}_x.{b}.conv3.excitation.expand
    """,
)

# Of the networks as first published, for Caffe.
LEGACY_SE_RESNET = table(
    Rename,
    """
    theirs                       ours
    layer0.conv1                 conv1.conv
    layer0.bn1                   conv1.norm
    layer{s}.{b}.conv{c}         conv{s+1}_x.{b}.conv{c}.conv
    layer{s}.{b}.bn{c}           conv{s+1}_x.{b}.conv{c}.norm
    layer{s}.{b}.se_module.fc1   conv{s+1}_x.{b}.conv3.excitation.reduce
    layer{s}.{b}.se_module.fc2   conv{s+1}_x.{b}.conv3.excitation.expand
    layer{s}.{b}.downsample.0    conv{s+1}_x.{b}.shortcut.conv
    layer{s}.{b}.downsample.1    conv{s+1}_x.{b}.shortcut.norm
    last_linear                  head
    """,
)
RESNEXT_EXCITATION = tuple(Rename(rule.theirs, rule.ours.replace("conv3", "transformations")) for rule in EXCITATION)

# A stage there has one number of channels; here it is a row of the paper's table.
MOBILENET_V1 = tuple(
    Rename(rule.theirs.replace("BLOCK", place.theirs), rule.ours.replace("BLOCK", place.ours))
    for place in table(
        Rename,
        """
        theirs        ours
        blocks.0.0    stage1.0
        blocks.1.0    stage2.0
        blocks.1.1    stage3.0
        blocks.2.0    stage4.0
        blocks.2.1    stage5.0
        blocks.3.0    stage6.0
        blocks.3.{b}  stage7.{b-1}
        blocks.4.0    stage8.0
        blocks.4.1    stage9.0
        """,
    )
    for rule in table(
        Rename,
        """
        theirs         ours
        conv_stem      stem.conv
        bn1            stem.norm
        BLOCK.conv_dw  BLOCK.depthwise.conv
        BLOCK.bn1      BLOCK.depthwise.norm
        BLOCK.conv_pw  BLOCK.pointwise.conv
        BLOCK.bn2      BLOCK.pointwise.norm
        classifier     head
        """,
    )
)

# The first normalisation is in the first unit there, and in the stem here.
PREACT_RESNET = table(
    Rename,
    """
    theirs                               ours
    stem.conv                            stem.0
    stages.0.blocks.0.norm1              stem.1
    stages.{s}.blocks.{b}.norm1          stage{s+1}.{b}.before.0
    stages.{s}.blocks.{b}.conv1          stage{s+1}.{b}.residual.0
    stages.{s}.blocks.{b}.norm2          stage{s+1}.{b}.residual.1
    stages.{s}.blocks.{b}.conv2          stage{s+1}.{b}.residual.3
    stages.{s}.blocks.{b}.norm3          stage{s+1}.{b}.residual.4
    stages.{s}.blocks.{b}.conv3          stage{s+1}.{b}.residual.6
    stages.{s}.blocks.{b}.downsample.conv  stage{s+1}.{b}.shortcut.0
    norm                                 last.0
    head.fc                              head
    """,
)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None; `arch` is the library's name of it, where it has two."""
    if net in ("resnet18", "resnet34", "resnet50_modern", "resnet101_modern", "resnet152_modern"):
        return KeyMap(RESNET)
    if net == "wide_resnet50_2":
        return KeyMap(RESNET)
    if net in ("resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
        return KeyMap(RESNEXT)
    if net in ("se_resnext50_32x4d", "se_resnext101_32x4d"):
        return KeyMap((*RESNEXT, *RESNEXT_EXCITATION))
    if net in ("densenet121", "densenet161", "densenet169", "densenet201"):
        return KeyMap(DENSENET)
    if net.removesuffix("_bn") in ("vgg11", "vgg13", "vgg16", "vgg19"):
        return KeyMap((*vgg_rules(net), *VGG_HEAD))
    if net.startswith(("efficientnet_b", "efficientnet_lite")):
        # Those with tf_ have TensorFlow's padding and epsilon, as the authors' code.
        own = arch.startswith("efficientnet")
        return KeyMap(EFFICIENTNET, {"padding": "half", "norm_eps": 1e-5} if own else {})
    if net.startswith("mnasnet"):
        return KeyMap(EFFICIENTNET, {"padding": "half", "norm_eps": 1e-5})
    if net.startswith("mobilenet_v2"):
        return KeyMap(MOBILENET_V2, {"padding": "half", "norm_eps": 1e-5})
    if net in ("se_resnet50", "se_resnet101", "se_resnet152"):
        if arch.startswith("legacy") or net != "se_resnet50":
            return KeyMap(LEGACY_SE_RESNET, {"pooling": "ceil"})
        return KeyMap((*RESNET, *EXCITATION), {"stride_in": "3x3"})
    return {
        "inception_v3_no_aux": KeyMap(INCEPTION, {"count_border": True}),
        "mobilenet_v1": KeyMap(MOBILENET_V1, {"padding": "half", "norm_eps": 1e-5, "activation": "relu6"}),
        "preact_resnet152": KeyMap(PREACT_RESNET),
        **inception.TIMM,
        "xception": xception.TIMM,
        **mobile.NASNET_TIMM,
        "senet154": KeyMap((*RESNET, *SENET154)),
    }.get(net)


WEIGHTS = published("timm", PublishedRow)

DIFFERENT = {
    **{net: f"timm's has the stride in the 3x3 convolution: import it as {net}_modern"
       for net in ("resnet50", "resnet101", "resnet152")},
    "preact_resnet152": "timm pools before the first normalisation, which is equivalent only if no scale is negative",
}  # fmt: skip
