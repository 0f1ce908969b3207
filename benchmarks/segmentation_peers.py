"""Decoders beside those of segmentation_models_pytorch: one frozen encoder, images and budget. `make peers` runs it.

EfficientNet-Lite0 with its ImageNet weights is the frozen encoder of both. Each decoder is trained on the 100 training
photographs of coco_small (persons against all else, unlabelled pixels left out): batches of 8, as many epochs, AdamW at
0.002 with a cosine schedule and mirrored images, all at the same size. IoU of persons in the 100 validation photographs
at that size, from one confusion matrix. Both run the encoder once for each image and its mirror image, and train on its
maps. Its own encoders are not compared: their weights cannot be fetched here.

python benchmarks/segmentation_peers.py [--epochs N] [--images N]
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from parity import with_operators
from PIL import Image
from recording import write_record
from segmentation import coco_person
from torch import Tensor, nn

from striate.jobs.train import train
from striate.recipe import Recipe
from striate.tasks.pixel_losses import VOID
from striate.tasks.segmentation_evaluation import class_ious, confusion
from striate.weights.fitting import renamed
from striate.weights.models import pretrained
from striate.weights.peers import key_map_of

NET, PEER = "efficientnet_lite0", "tu-tf_efficientnet_lite0"
DECODERS = ("Unet", "FPN")
SIDE, BATCH, RATE, PERSON = 384, 8, 2e-3, 1
COMMAND = "benchmarks/segmentation_peers.py"
PACKAGES = ("torch", "segmentation-models-pytorch", "timm", "numpy")

Masks = NDArray[np.uint8]


def loaded(folder: Path, part: str, count: int) -> tuple[Tensor, Tensor]:
    """Images as the encoder takes them, float32 [N, 3, SIDE, SIDE], and masks int64 [N, SIDE, SIDE]."""
    pixels = pretrained(NET).pixels
    mean, std = (torch.tensor(each)[:, None, None] for each in (pixels.mean, pixels.std))
    images, masks = [], []
    for path in sorted((folder / "images" / part).iterdir())[:count]:
        image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        images.append((torch.from_numpy(np.array(image)).permute(2, 0, 1).float() - mean) / std)
        mask = Image.open(folder / "masks" / part / f"{path.stem}.png").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        masks.append(torch.from_numpy(np.array(mask)).long())
    return torch.stack(images), torch.stack(masks)


def peer(library: Any, decoder: str) -> Any:
    """A network of the library with our encoder's weights, which is not trained."""
    net = getattr(library, decoder)(PEER, encoder_weights=None, classes=2)
    rules, ours = key_map_of(NET, "timm", "tf_efficientnet_lite0").rules, pretrained(NET).tensors
    given = {}
    for key, value in net.encoder.state_dict().items():
        inside = key.removeprefix("model.")
        (name,) = renamed({inside: value.numpy()}, rules)
        given[key] = value if name.endswith("num_batches_tracked") else torch.from_numpy(ours[name].copy())
    net.encoder.load_state_dict(given)
    net.encoder.requires_grad_(False)
    return net


@torch.no_grad()
def encoded(net: Any, images: Tensor) -> list[Tensor]:
    """The maps of the encoder in float16, each [N, c, h, w]."""
    net.encoder.eval()
    parts = [[one.half() for one in net.encoder(piece)] for piece in images.split(BATCH)]
    return [torch.cat(each) for each in zip(*parts, strict=True)]


def answered(net: Any, maps: list[Tensor]) -> Tensor:
    """Logits [N, 2, SIDE, SIDE]."""
    made: Tensor = net.segmentation_head(net.decoder([one.float() for one in maps]))
    return made


def peers_iou(library: Any, decoder: str, data: Path, epochs: int, count: int) -> float:
    """Train a decoder of the library, and the IoU of persons."""
    torch.manual_seed(0)
    net = peer(library, decoder)
    images, masks = loaded(data, "train", count)
    maps = [encoded(net, shown) for shown in (images, images.flip(3))]
    weights = [weight for part in (net.decoder, net.segmentation_head) for weight in part.parameters()]
    optimizer = torch.optim.AdamW(weights, RATE)
    steps = epochs * -(-len(images) // BATCH)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            side = int(torch.randint(2, ()))
            wanted = masks[rows].flip(2) if side else masks[rows]
            loss = nn.functional.cross_entropy(
                answered(net, [one[rows] for one in maps[side]]), wanted, ignore_index=VOID
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            falling.step()
    net.eval()
    return tested(net, *loaded(data, "val", count))


@torch.no_grad()
def tested(net: Any, images: Tensor, masks: Tensor) -> float:
    """The IoU of persons."""
    matrix = np.zeros((2, 2), np.int64)
    for piece, true in zip(images.split(BATCH), masks.split(BATCH), strict=True):
        found = answered(net, list(net.encoder(piece))).argmax(1).numpy().astype(np.uint8)
        matrix += confusion(found, true.numpy().astype(np.uint8), 2)
    return float(class_ious(matrix)[PERSON])


def our_iou(data: Path, out: Path, epochs: int) -> float:
    """Ours, of `striate train`."""
    chosen = {"strategy": "features", "train.epochs": epochs, "inference.engine": "torch"}
    run = train(data, out=out, recipe=Recipe().updated(chosen))
    return float(run.metrics["iou"]["person"])


def fewer(data: Path, count: int) -> Path:
    """The data with the first `count` images of each part."""
    for part in ("train", "val"):
        for path in sorted((data / "images" / part).iterdir())[count:]:
            path.unlink()
            (data / "masks" / part / f"{path.stem}.png").unlink()
    return data


def main() -> None:
    """Train each, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=100, help="of each part; fewer are not recorded")
    chosen = parser.parse_args()
    operators = with_operators()  # kept while the library is in use
    library = importlib.import_module("segmentation_models_pytorch")
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="striate-segmentation-") as folder:
        data = fewer(coco_person(Path(folder)), chosen.images)
        runs = [("striate, fcn_lite0", partial(our_iou, data, Path(folder) / "run", chosen.epochs))]
        for one in DECODERS:
            trained = partial(peers_iou, library, one, data, chosen.epochs, chosen.images)
            runs.append((f"segmentation_models_pytorch, {one}", trained))
        for name, run in runs:
            start = time.monotonic()
            iou = round(run(), 4)
            what = f"{name}, decoder on frozen {NET}, coco_person, {chosen.epochs} epochs at {SIDE} pixels"
            seconds = round(time.monotonic() - start, 1)
            rows.append({"what": what, "command": COMMAND, "n": 1, "person_iou": iou, "seconds": seconds})
            print(json.dumps(rows[-1]), flush=True)
    del operators
    if chosen.images == 100:
        write_record("segmentation-peers", rows, PACKAGES)


if __name__ == "__main__":
    main()
