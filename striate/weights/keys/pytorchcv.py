"""pytorchcv's networks (0.0.74, MIT), and its published weights."""

from __future__ import annotations

from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, PublishedRow, conv_norm, inception, mobile, published, xception
from striate.weights.keys import pytorchcv_mobile as mobile_names
from striate.weights.keys import pytorchcv_names as names
from striate.weights.keys import pytorchcv_residual as residual

_RESNET = (*conv_norm(names.RESNET_BLOCKS), names.HEAD)
_CIFAR_RESNET = (*conv_norm(names.CIFAR_RESNET_BLOCKS), names.HEAD)
_DENSENET = (*conv_norm(names.DENSENET_BLOCKS), Rename("features.post_activ.bn", "last.0"), names.HEAD)
_TORCH = {"padding": "half", "norm_eps": 1e-5}  # torch's padding and epsilon, where the authors' code has TensorFlow's


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None; `arch` is the library's name of it, where it has several."""
    if net not in {row.net for row in WEIGHTS} | WITHOUT_WEIGHTS:
        return None
    if net.startswith(("resnet", "se_resnet")):
        return _resnet(net, arch)
    if net.startswith("densenet"):
        return _densenet(net)
    if net.startswith("preact_resnet"):
        return _preact_resnet(net, arch)
    if "resnext" in net:
        return _resnext(net)
    if net.startswith("wrn"):
        return KeyMap(residual.WIDE_RESNET)
    if net.startswith("pyramidnet"):
        return KeyMap(residual.pyramidnet_rules(bottleneck=net.endswith("_bn")))
    if net.startswith("shufflenet_g"):
        return mobile.SHUFFLENET
    if net.startswith("vgg"):
        # Those without a b have no bias before a normalisation.
        without = () if arch.endswith("b") or not net.endswith("_bn") else ("stage*.conv",)
        return KeyMap((*conv_norm(names.VGG_BLOCKS), *names.VGG_HEAD), no_bias=without)
    if net.startswith("efficientnet_b"):
        # Those with b and c at the end have TensorFlow's padding and epsilon, as the authors' code.
        return KeyMap(mobile_names.efficientnet_rules(net), {} if arch[-1:] in ("b", "c") else _TORCH)
    if net.startswith("mobilenet_v1"):
        return KeyMap(mobile_names.MOBILENET_V1, _TORCH)
    if net == "mobilenet_v2":
        return KeyMap(mobile_names.mobilenet_v2_rules(), _TORCH, no_bias=("head",))
    return {
        "alexnet_one_tower": KeyMap(names.ALEXNET),
        "fractalnet20": KeyMap(residual.FRACTALNET, {"pool": "after_join"}),
        "bn_inception": KeyMap(names.BN_INCEPTION, norm_bias=True),
        "inception_v3_no_aux": KeyMap(names.INCEPTION_V3, {"count_border": True}),
        "nin_cifar": KeyMap(names.NIN_CIFAR, {"pooling": "padded"}),
        "squeezenet1_0": KeyMap(names.SQUEEZENET, {"border": False}),
        "squeezenet1_0_bypass": KeyMap(names.SQUEEZENET, {"border": False}),
        "tiny_darknet": KeyMap(names.TINY_DARKNET),
        "squeezenet1_1": KeyMap(names.SQUEEZENET_1_1, {"bypass": True} if "resnet" in arch else {}),
        "xception": xception.PYTORCHCV,
        "zfnet": KeyMap(names.ALEXNET, {"layers": "pytorchcv"}),
        **inception.PYTORCHCV,
        **mobile.MNASNET_PYTORCHCV,
        **mobile.NASNET_PYTORCHCV,
    }.get(net)


def _resnet(net: str, arch: str) -> KeyMap:
    if net in ("resnet20", "resnet56", "resnet110", "resnet1202"):
        # There, shortcuts between different shapes are convolutions.
        return KeyMap(_CIFAR_RESNET, {"shortcut": "B"})
    if net == "se_resnet20":
        return KeyMap((*names.SE_CIFAR_LAYERS, *_CIFAR_RESNET), {"shortcut": "B"})
    if net.startswith("se_"):
        return KeyMap((*_RESNET, *names.SE_LAYERS), {"stride_in": "3x3"} if arch.endswith("b") else {})
    return KeyMap(_RESNET)


def _resnext(net: str) -> KeyMap:
    if net.startswith("resnext29"):
        return KeyMap((*conv_norm(residual.CIFAR_RESNEXT_BLOCKS), names.HEAD))
    layers = residual.RESNEXT_SE_LAYERS if net.startswith("se_") else ()
    return KeyMap((*conv_norm(residual.RESNEXT_BLOCKS), *layers, names.HEAD))


def _densenet(net: str) -> KeyMap:
    if "_k" not in net:
        ends = (Rename("features.init_block.conv", "stem.0"), Rename("features.init_block.bn", "stem.1"))
        return KeyMap((*ends, *_DENSENET))
    rules = (Rename("features.init_block", "stem"), *_DENSENET)
    if "_bc" in net:
        return KeyMap(rules)
    # Transitions compress there, and the first convolution has two growth rates of filters.
    return KeyMap(rules, {"compression": 0.5, "filters": 2 * int(net.rpartition("_k")[2])})


def _preact_resnet(net: str, arch: str) -> KeyMap:
    if net in ("preact_resnet152", "preact_resnet200"):
        return KeyMap(names.PREACT_RESNET, {"opening": "own", "stride_in": "3x3" if arch.endswith("b") else "1x1"})
    if net == "preact_resnet110":
        return KeyMap((Rename("features.init_block", "stem.0"), *names.PREACT_UNITS), {"opening": "own"})
    return KeyMap(names.CIFAR_PREACT_RESNET, {"stride_in": "3x3"})


WEIGHTS = published("pytorchcv", PublishedRow)

WITHOUT_WEIGHTS = {"fractalnet20", "mnasnet_small"}  # networks of the library, of which it publishes no weights
DIFFERENT = {
    "senet154": "pytorchcv's pads before it pools; ours pools as Caffe does",
    **dict.fromkeys(("se_preact_resnet110", "se_preact_resnet164"),
                    "pytorchcv's have a normalisation after the first convolution and none after the last unit"),
    **dict.fromkeys(("mobilenet_v2_050", "mobilenet_v2_075"),
                    "pytorchcv does not round its numbers of channels to eights"),
}  # fmt: skip
