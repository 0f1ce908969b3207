"""Prints the table of a library's published weights for networks of the catalogue: run in the peers' environment.

    python benchmarks/peers/published.py timm > striate/weights/published_timm.txt
    python benchmarks/peers/published.py pytorchcv > striate/weights/published_pytorchcv.txt

Sizes, crops, filters and colours are those of the package's own descriptions; a resize of 0 squashes the whole image.
Of timm, weights of other classes or colours are left out.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity import with_operators

TIMM_HEAD = """\
# Sizes, crops and colours are the package's; it states no accuracies. Of a file it names, the digits are the first of
# its SHA-256; those that are kept as safetensors have no published checksum. By benchmarks/peers/published.py."""
PYTORCHCV_HEAD = """\
# From the package's tables: the digits are the first of each file's SHA-1, which is against damage only. Accuracies are
# 100 less the errors of its README. Networks that end in c were trained with adversarial examples, which are normalised
# to -1..1. By benchmarks/peers/published.py."""
IMAGENET, HALF = (0.485, 0.456, 0.406), (0.5, 0.5, 0.5)
WIDTHS = {"": "100", "_140": "140", "_130": "130", "_075": "075", "_050": "050", "_035": "035"}
FIRST = ("in1k", "a1_in1k", "tf_in1k")  # tags
COLUMNS = ("net", "peer", "file", "size", "resize", "filter", "colour", "top1", "licence")
Row = tuple[str, ...]
# Our name -> timm's names, the one whose layers are the paper's first.
TIMM = {
    **{f"efficientnet_b{n}": (f"tf_efficientnet_b{n}", f"efficientnet_b{n}") for n in range(8)},
    **{f"efficientnet_lite{n}": (f"tf_efficientnet_lite{n}", f"efficientnet_lite{n}") for n in range(5)},
    **{f"resnet{n}": (f"resnet{n}",) for n in (18, 34)},
    **{f"resnet{n}_modern": (f"resnet{n}",) for n in (50, 101, 152)},
    **{f"se_resnet{n}": (f"seresnet{n}", f"legacy_seresnet{n}") for n in (50, 101, 152)},
    "wide_resnet50_2": ("wide_resnet50_2",),
    **{f"resnext{name}": (f"resnext{name}",) for name in ("50_32x4d", "101_32x4d", "101_32x8d", "101_64x4d")},
    **{f"se_resnext{name}": (f"seresnext{name}",) for name in ("50_32x4d", "101_32x4d")},
    "inception_v3_no_aux": ("inception_v3",),
    **{f"densenet{n}": (f"densenet{n}",) for n in (121, 161, 169, 201)},
    **{f"vgg{n}{bn}": (f"vgg{n}{bn}",) for bn in ("", "_bn") for n in (11, 13, 16, 19)},
    "mobilenet_v1": ("mobilenetv1_100",),
    **{f"mobilenet_v2{ours}": (f"mobilenetv2_{theirs}",) for ours, theirs in WIDTHS.items()},
    "inception_v4": ("inception_v4",),
    "inception_resnet_v2": ("inception_resnet_v2",),
    "xception": ("legacy_xception",),
    "mnasnet_a1": ("semnasnet_100",),
    "mnasnet_a1_075": ("semnasnet_075",),
    "mnasnet_b1": ("mnasnet_100",),
    "mnasnet_small": ("mnasnet_small",),
    "senet154": ("legacy_senet154",),
    "nasnet_a_large": ("nasnetalarge",),
}
# Our name -> pytorchcv's networks for ImageNet, the one whose layers are the paper's first.
PYTORCHCV = {
    "alexnet_one_tower": ("alexnetb",),
    **{f"vgg{n}": (f"vgg{n}",) for n in (11, 13, 16, 19)},
    **{f"vgg{n}_bn": (f"bn_vgg{n}b", f"bn_vgg{n}") for n in (11, 13, 16, 19)},
    "bn_inception": ("bninception",),
    "inception_v3_no_aux": ("inceptionv3",),
    **{f"resnet{n}": (f"resnet{n}",) for n in (18, 34, 50, 101, 152)},
    **{f"resnet{n}_modern": (f"resnet{n}b",) for n in (50, 101, 152)},
    **{f"se_resnet{n}": (f"seresnet{n}", f"seresnet{n}b") for n in (50, 101, 152)},
    **{f"preact_resnet{n}": (f"preresnet{n}b", f"preresnet{n}") for n in (152, 200)},
    **{f"densenet{n}": (f"densenet{n}",) for n in (121, 161, 169, 201)},
    "squeezenet1_0": ("squeezenet_v1_0",),
    "squeezenet1_0_bypass": ("squeezeresnet_v1_0",),
    "squeezenet1_1": ("squeezenet_v1_1", "squeezeresnet_v1_1"),
    "mobilenet_v1": ("mobilenet_w1",),
    "mobilenet_v1_075": ("mobilenet_w3d4",),
    "mobilenet_v1_050": ("mobilenet_wd2",),
    "mobilenet_v1_025": ("mobilenet_wd4",),
    "mobilenet_v2": ("mobilenetv2b_w1",),
    **{f"efficientnet_b{n}": (f"efficientnet_b{n}b", f"efficientnet_b{n}c", f"efficientnet_b{n}") for n in range(8)},
    "tiny_darknet": ("darknet_tiny",),
}
# The same for images of 32 x 32, without the data set at the end.
PYTORCHCV_CIFAR = {
    "nin_cifar": "nin",
    **{f"resnet{n}": f"resnet{n}" for n in (20, 56, 110, 1202)},
    "se_resnet20": "seresnet20",
    "preact_resnet110": "preresnet110",
    "preact_resnet164": "preresnet164bn",
    "preact_resnet1001": "preresnet1001",
    **{f"densenet{size}": f"densenet{size}" for size in ("40_k12", "100_k12", "100_k24")},
    **{
        f"densenet_bc{size}": f"densenet{size}_bc"
        for size in ("40_k36", "40_k48", "40_k60", "100_k12", "190_k40", "250_k24")
    },
}


def timm_rows(known: set[str]) -> Iterator[Row]:
    """timm's weights of the networks in `known`."""
    import timm

    for net, archs in TIMM.items():
        for arch in archs if net in known else ():
            # First the training that the name alone stands for.
            tags = sorted(timm.list_pretrained(f"{arch}.*"), key=lambda peer: peer.partition(".")[2] not in FIRST)
            for peer in tags:
                found = timm.get_pretrained_cfg(peer)
                colour = {IMAGENET: "imagenet", HALF: "half"}.get(tuple(found.mean))
                resize = 0 if found.crop_mode == "squash" else math.floor(found.input_size[-1] / found.crop_pct)
                if found.num_classes != 1000 or colour is None or found.crop_mode == "border" or found.label_offset:
                    print(f"left out: {peer}", file=sys.stderr)
                    continue
                size = found.input_size[-1]
                file = found.url.split("/")[-1] if found.url else "model.safetensors"
                licence = "-" if found.license == "apache-2.0" else str(found.license)
                yield net, peer, file, str(size), str(resize), found.interpolation, colour, "0", licence


def pytorchcv_rows(known: set[str]) -> Iterator[Row]:
    """pytorchcv's weights of the networks in `known`."""
    from pytorchcv.models.common import model_store

    with open(model_store.get_model_metainfos_file_path(), encoding="utf-8") as file:
        models = {row["model_name"]: row for row in csv.DictReader(file)}
    errors = _errors(str(metadata("pytorchcv").get_payload()))
    for net, peer in _peers_of(known):
        model = models.get(peer)
        if model is None or model["checksum"] == "NA":
            continue
        file_name = f"{peer}-{model['error_value']}-{model['checksum'][:8]}.pth"
        size, resize, colour = "32", "32", "cifar"
        if model["img_size"] != "NA":
            size, resize = model["img_size"], str(math.ceil(int(model["img_size"]) / float(model["img_scale"])))
            colour = "half" if model["remark"].endswith("*") else "imagenet"
        top1 = f"{100 - errors[file_name]:.2f}"
        yield net, peer, file_name, size, resize, "bilinear", colour, top1, "-"


def _errors(readme: str) -> dict[str, float]:
    """Top-1 errors in per cent of the README's tables, by the file of the weights."""
    lines = re.findall(r"^\| [^|]+ \| +([\d.]+) \|.*/([\w.-]+\.pth)\.log\)", readme, re.MULTILINE)
    return {file: float(error) for error, file in lines}


def _peers_of(known: set[str]) -> Iterator[tuple[str, str]]:
    """Our networks with pytorchcv's names of them."""
    for net, peers in PYTORCHCV.items():
        for peer in peers if net in known else ():
            yield net, peer
    for net, arch in PYTORCHCV_CIFAR.items():
        for data in ("cifar10", "cifar100", "svhn") if net in known else ():
            yield net, f"{arch}_{data}"


def main() -> None:
    """Print the table of the library named."""
    kept = with_operators()
    from striate.nets.catalog import entries

    (library,) = sys.argv[1:]
    head, rows_of = {"timm": (TIMM_HEAD, timm_rows), "pytorchcv": (PYTORCHCV_HEAD, pytorchcv_rows)}[library]
    rows = [COLUMNS, *rows_of({entry.name for entry in entries(tiny=True)})]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(COLUMNS))]
    print(head)
    for row in rows:
        print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    del kept


if __name__ == "__main__":
    main()
