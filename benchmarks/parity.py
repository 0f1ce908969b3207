"""Parity with other libraries: the same weights give the same outputs. `make peers` runs it in their environment.

Each row takes a freshly initialised network of torchvision, timm or pytorchcv, gives its batch norms statistics like
those of a trained network (see unsettle), imports the weights by the key map of `striate import`, and compares the
logits of two images in eval mode, for two seeds; also those of auxiliary heads. Passed: no logit differs by more than
1e-4 of the largest, and the logits of the two images differ by at least 1e-2. Rows measured again replace those of the
same day.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from recording import write_record
from torch import Tensor, nn

from striate.nets.build import create
from striate.nets.catalog import entry
from striate.tables import table
from striate.weights.peers import converted, key_map_of

LIMIT = 1e-4
TELLING = 1e-2  # two images must differ by this much, or a network that ignores its input would agree too
SEEDS = (0, 1)
PACKAGES = ("torch", "torchvision", "timm", "pytorchcv", "numpy")


class Pair(NamedTuple):
    """change: a documented difference to remove first, a key of CHANGES."""

    net: str
    library: str
    peer: str
    change: str


PAIRS = table(
    Pair,
    """
    net                   library      peer                        change
    alexnet_one_tower     torchvision  alexnet                     -
    vgg11                 torchvision  vgg11                       -
    vgg13                 torchvision  vgg13                       -
    vgg16                 torchvision  vgg16                       -
    vgg19                 torchvision  vgg19                       -
    vgg11_bn              torchvision  vgg11_bn                    -
    vgg13_bn              torchvision  vgg13_bn                    -
    vgg16_bn              torchvision  vgg16_bn                    -
    vgg19_bn              torchvision  vgg19_bn                    -
    squeezenet1_0         torchvision  squeezenet1_0               -
    squeezenet1_1         torchvision  squeezenet1_1               -
    inception_v3          torchvision  inception_v3                -
    resnet18              torchvision  resnet18                    -
    resnet34              torchvision  resnet34                    -
    resnet50_modern       torchvision  resnet50                    -
    resnet101_modern      torchvision  resnet101                   -
    resnet152_modern      torchvision  resnet152                   -
    densenet121           torchvision  densenet121                 -
    densenet161           torchvision  densenet161                 -
    densenet169           torchvision  densenet169                 -
    densenet201           torchvision  densenet201                 -
    googlenet             torchvision  googlenet                   -
    mobilenet_v2          torchvision  mobilenet_v2                -
    efficientnet_b0       torchvision  efficientnet_b0             -
    efficientnet_b1       torchvision  efficientnet_b1             -
    efficientnet_b2       torchvision  efficientnet_b2             -
    efficientnet_b3       torchvision  efficientnet_b3             -
    efficientnet_b4       torchvision  efficientnet_b4             -
    efficientnet_b5       torchvision  efficientnet_b5             -
    efficientnet_b6       torchvision  efficientnet_b6             -
    efficientnet_b7       torchvision  efficientnet_b7             -
    se_resnet50           timm         seresnet50                  -
    vgg16                 timm         vgg16                       -
    vgg16_bn              timm         vgg16_bn                    -
    inception_v3_no_aux   timm         inception_v3                -
    resnet18              timm         resnet18                    -
    resnet50_modern       timm         resnet50                    -
    densenet121           timm         densenet121                 -
    preact_resnet152      timm         resnetv2_152                -
    mobilenet_v1          timm         mobilenetv1_100             -
    mobilenet_v2          timm         mobilenetv2_100             -
    mobilenet_v2_035      timm         mobilenetv2_035             -
    mobilenet_v2_050      timm         mobilenetv2_050             -
    mobilenet_v2_075      timm         mobilenetv2_075             -
    mobilenet_v2_140      timm         mobilenetv2_140             -
    efficientnet_lite0    timm         tf_efficientnet_lite0       -
    efficientnet_lite0    timm         efficientnet_lite0          -
    efficientnet_b0       timm         efficientnet_b0             -
    efficientnet_b3       timm         efficientnet_b3             -
    efficientnet_b0       timm         tf_efficientnet_b0          -
    efficientnet_b1       timm         tf_efficientnet_b1          -
    efficientnet_b2       timm         tf_efficientnet_b2          -
    efficientnet_b3       timm         tf_efficientnet_b3          -
    efficientnet_b4       timm         tf_efficientnet_b4          -
    efficientnet_b5       timm         tf_efficientnet_b5          -
    efficientnet_b6       timm         tf_efficientnet_b6          -
    efficientnet_b7       timm         tf_efficientnet_b7          -
    alexnet_one_tower     pytorchcv    alexnetb                    -
    vgg16                 pytorchcv    vgg16                       -
    vgg16_bn              pytorchcv    bn_vgg16b                   -
    bn_inception          pytorchcv    bninception                 -
    resnet50              pytorchcv    resnet50                    -
    resnet101             pytorchcv    resnet101                   -
    resnet152             pytorchcv    resnet152                   -
    se_resnet50           pytorchcv    seresnet50                  -
    se_resnet101          pytorchcv    seresnet101                 -
    se_resnet152          pytorchcv    seresnet152                 -
    squeezenet1_0         pytorchcv    squeezenet_v1_0             -
    squeezenet1_0_bypass  pytorchcv    squeezeresnet_v1_0          -
    squeezenet1_1         pytorchcv    squeezenet_v1_1             -
    resnet20              pytorchcv    resnet20_cifar10            -
    resnet56              pytorchcv    resnet56_cifar10            -
    resnet110             pytorchcv    resnet110_cifar10           -
    preact_resnet164      pytorchcv    preresnet164bn_cifar10      -
    preact_resnet1001     pytorchcv    preresnet1001_cifar10       -
    densenet_bc40_k36     pytorchcv    densenet40_k36_bc_cifar10   -
    densenet_bc100_k12    pytorchcv    densenet100_k12_bc_cifar10  -
    densenet_bc190_k40    pytorchcv    densenet190_k40_bc_cifar10  -
    densenet_bc250_k24    pytorchcv    densenet250_k24_bc_cifar10  -
    zfnet                 pytorchcv    zfnet                       -
    inception_v4          timm         inception_v4                -
    inception_v4          pytorchcv    inceptionv4                 -
    inception_resnet_v2   timm         inception_resnet_v2         -
    inception_resnet_v2   pytorchcv    inceptionresnetv2           -
    inception_resnet_v1_facenet  pytorchcv  inceptionresnetv1      -
    xception              timm         legacy_xception             -
    xception              pytorchcv    xception                    -
    shufflenet_g1         pytorchcv    shufflenet_g1_w1            -
    shufflenet_g2         pytorchcv    shufflenet_g2_w1            -
    shufflenet_g3         pytorchcv    shufflenet_g3_w1            -
    shufflenet_g4         pytorchcv    shufflenet_g4_w1            -
    shufflenet_g8         pytorchcv    shufflenet_g8_w1            -
    shufflenet_g3_050     pytorchcv    shufflenet_g3_wd2           -
    mnasnet_a1            timm         semnasnet_100               -
    mnasnet_a1_075        timm         semnasnet_075               -
    mnasnet_b1            timm         mnasnet_100                 -
    mnasnet_small         timm         mnasnet_small               -
    mnasnet_b1            torchvision  mnasnet1_0                  -
    mnasnet_a1            pytorchcv    mnasnet_a1                  -
    mnasnet_b1            pytorchcv    mnasnet_b1                  -
    mnasnet_small         pytorchcv    mnasnet_small               -
    senet154              timm         legacy_senet154             -
    nasnet_a_mobile       pytorchcv    nasnet_4a1056               -
    nasnet_a_large        timm         nasnetalarge                -
    nasnet_a_large        pytorchcv    nasnet_6a4032               -
    """,
)
CHANGES = {
    "-": "",
    "border": "ours includes the padding in average pooling, as theirs does and the authors' code does not",
    "same": "theirs made with TensorFlow's padding and epsilon 1e-3, as in the authors' code",
    "relu": "theirs made with TensorFlow's padding, epsilon 1e-3 and ReLU instead of ReLU6",
}


def with_operators() -> torch.library.Library | None:
    """Make torchvision importable: with a CPU build of torch its operators do not load, and two are needed."""
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return library


def made(pair: Pair) -> nn.Module:
    """The peer, freshly initialised."""
    if pair.library == "torchvision":
        made_with: dict[str, Any] = {"init_weights": False} if "inception" in pair.peer else {}
        net: nn.Module = getattr(importlib.import_module("torchvision.models"), pair.peer)(weights=None, **made_with)
        if "inception" in pair.peer:
            net.transform_input = False  # type: ignore[assignment]
        return net
    if pair.library == "timm":
        same: dict[str, Any] = {"pad_type": "same", "bn_eps": 1e-3} if pair.change in ("same", "relu") else {}
        if pair.change == "relu":
            same["act_layer"] = "relu"
        return importlib.import_module("timm").create_model(pair.peer, pretrained=False, **same)  # type: ignore[no-any-return]
    provider = importlib.import_module("pytorchcv.model_provider")
    return provider.get_model(pair.peer, pretrained=False)  # type: ignore[no-any-return]


@torch.no_grad()
def unsettle(net: nn.Module, x: Tensor) -> None:
    """Give every batch norm statistics near those of `x` [N, 3, H, W], so that no signal vanishes, and random
    parameters.

    Means are shifted by a normally distributed share of the standard deviation, variances multiplied by 0.5 to 1.5;
    scales are 0.5 to 1.5; shifts and biases are normally distributed.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum, norm.weight.data, norm.bias.data = 1.0, torch.ones_like(norm.weight), torch.zeros_like(norm.bias)
    if norms:
        net.train()(x)
        net.eval()
    for norm in norms:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        mean += 0.1 * torch.randn_like(mean) * variance.sqrt()
        variance *= torch.empty_like(variance).uniform_(0.5, 1.5)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.normal_(0, 0.05)


def transplanted(peer: nn.Module, pair: Pair) -> nn.Module:
    """Our network with the peer's weights."""
    arrays = {key: tensor.numpy() for key, tensor in peer.state_dict().items()}
    key_map = key_map_of(pair.net, pair.library, pair.peer)
    found, classes = converted(arrays, pair.net, key_map)
    net = create(pair.net, classes=classes, options=key_map.options)
    net.load_state_dict({key: torch.from_numpy(array) for key, array in found.items()})
    if pair.change == "border":
        for module in net.modules():
            if isinstance(module, nn.AvgPool2d):
                module.count_include_pad = True
    return net.eval()


def size_of(pair: Pair) -> int:
    """The side of an image: the network's own; for SqueezeNet that of the other libraries' last pooling."""
    return 224 if pair.net.startswith("squeezenet") else entry(pair.net).input_size[0]


def images(side: int) -> Tensor:
    """Two images of smooth colours: for white noise, every large average would be the same."""
    return 2 * F.interpolate(torch.randn(2, 3, 7, 7), (side, side), mode="bilinear")


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest logit."""
    return float((one - other).abs().max() / other.abs().max())


@torch.inference_mode()
def differences(peer: nn.Module, net: nn.Module, x: Tensor) -> dict[str, float]:
    """Of the logits and, if both have them, the auxiliary logits; and between the two images."""
    theirs = peer(x)
    found = {"images": apart(theirs[0], theirs[1]), "scores": apart(net(x), theirs)}
    auxiliary = getattr(peer, "AuxLogits", None)
    if auxiliary is not None and hasattr(net, "forward_aux"):
        seen: list[Tensor] = []
        handle = peer.Mixed_6e.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        peer(x)
        handle.remove()
        found["auxiliary logits"] = apart(net.forward_aux(x)[1][0], auxiliary(seen[0]))
    return found


def row_of(pair: Pair, version: Callable[[str], str]) -> dict[str, object]:
    """Compare a pair."""
    largest: dict[str, float] = {}
    telling = float("inf")
    for seed in SEEDS:
        torch.manual_seed(seed)
        peer, x = made(pair).eval(), images(size_of(pair))
        unsettle(peer, x)
        net = transplanted(peer, pair)
        found = differences(peer, net, x)
        telling = min(telling, found.pop("images"))
        for what, difference in found.items():
            largest[what] = max(difference, largest.get(what, difference))
        del peer
    begun = time.perf_counter()
    create(pair.net)
    built = time.perf_counter() - begun
    return {
        "what": f"{pair.net} as {pair.library}'s {pair.peer}",
        "command": "benchmarks/parity.py",
        "peer_version": version(pair.library),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "n": len(SEEDS),
        "largest_relative_difference": {what: float(f"{value:.2e}") for what, value in largest.items()},
        "images_apart": float(f"{telling:.2e}"),
        "passed": all(value <= LIMIT for value in largest.values()) and telling >= TELLING,
        "seconds_to_build_ours": round(built, 2),
        **({"changed": CHANGES[pair.change]} if CHANGES[pair.change] else {}),
    }


def main() -> None:
    """Measure all pairs, or those of the nets named, and write the record. Exit code 1 if one does not agree."""
    from importlib.metadata import version

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nets", nargs="+", metavar="NET", help="only these networks")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    kept = with_operators()  # registered while this object is alive
    rows = []
    for pair in PAIRS:
        if chosen.nets and pair.net not in chosen.nets:
            continue
        rows.append(row_of(pair, version))
        print(json.dumps(rows[-1]), flush=True)
    write_record("parity", rows, PACKAGES)
    del kept
    failed = [str(row["what"]) for row in rows if not row["passed"]]
    if failed:
        raise SystemExit(f"different outputs: {', '.join(failed)}")
    print(f"{len(rows)} pairs agree within {LIMIT:g} of the largest logit")


if __name__ == "__main__":
    main()
