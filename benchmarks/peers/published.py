"""Prints the table of timm's published ImageNet weights for networks of the catalogue: run in the peers' environment.

    python benchmarks/peers/published.py > striate/weights/published_timm.txt

Sizes, crops, filters and colours are those of the package's own descriptions. Weights of other classes or colours, and
those whose evaluation squashes the image, are left out.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity import with_operators

HEAD = """\
# Sizes, crops and colours are the package's; it states no accuracies. Of a file it names, the digits are the first of
# its SHA-256; those that are kept as safetensors have no published checksum. By benchmarks/peers/published.py."""
IMAGENET, HALF = (0.485, 0.456, 0.406), (0.5, 0.5, 0.5)
WIDTHS = {"": "100", "_140": "140", "_130": "130", "_075": "075", "_050": "050", "_035": "035"}
FIRST = ("in1k", "a1_in1k", "tf_in1k")  # tags
# Our name -> timm's names, the one whose layers are the paper's first.
NETS = {
    **{f"efficientnet_b{n}": (f"tf_efficientnet_b{n}", f"efficientnet_b{n}") for n in range(8)},
    **{f"efficientnet_lite{n}": (f"tf_efficientnet_lite{n}", f"efficientnet_lite{n}") for n in range(5)},
    **{f"resnet{n}": (f"resnet{n}",) for n in (18, 34)},
    **{f"resnet{n}_modern": (f"resnet{n}",) for n in (50, 101, 152)},
    "se_resnet50": ("seresnet50",),
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


def main() -> None:
    """Print the table."""
    kept = with_operators()
    import timm

    from striate.nets.catalog import entries

    known = {entry.name for entry in entries(tiny=True)}
    rows = [("net", "peer", "file", "size", "resize", "filter", "colour", "top1", "licence")]
    for net, archs in NETS.items():
        if net not in known:
            continue
        for arch in archs:
            # First the training that the name alone stands for.
            tags = sorted(timm.list_pretrained(f"{arch}.*"), key=lambda peer: peer.partition(".")[2] not in FIRST)
            for peer in tags:
                found = timm.get_pretrained_cfg(peer)
                colour = {IMAGENET: "imagenet", HALF: "half"}.get(tuple(found.mean))
                if found.num_classes != 1000 or colour is None or found.crop_mode != "center" or found.label_offset:
                    continue
                size = found.input_size[-1]
                file = found.url.split("/")[-1] if found.url else "model.safetensors"
                licence = "-" if found.license == "apache-2.0" else str(found.license)
                resize = math.floor(size / found.crop_pct)
                rows.append((net, peer, file, str(size), str(resize), found.interpolation, colour, "0", licence))
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
    print(HEAD)
    for row in rows:
        print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    del kept


if __name__ == "__main__":
    main()
