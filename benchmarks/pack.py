"""Measure packed against unpacked epochs and write a record: python benchmarks/pack.py [--runs 5] [--parts ...]

On the photographs of hymenoptera, in one process, packed and unpacked alternating, medians. Unpacked images are decoded
as by `look`: on all cores, ahead of the net. The benchmark fails if a packed epoch reads a file of the source, or lets
Pillow open anything. Rows measured again replace those of the same day.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from recording import DATA, write_record

from striate.data.audit.looking import look
from striate.data.augment.keyed import permutation
from striate.data.opening import open_source
from striate.data.pack.cache import automatic_pack
from striate.data.pack.source import open_pack
from striate.data.pack.writing import write_pack
from striate.data.sources.base import Item, Source
from striate.decoding import decode as door
from striate.nets.build import create
from striate.pixels import Decoded, Pixels
from striate.training.view import normalised

PARTS = ("making", "batches", "training")
BATCH = 32
NEUTRAL = (127.5,) * 3
Batch = tuple[torch.Tensor, NDArray[np.int64]]  # uint8 [B, C, H, W], and the indices of the items

opened = [0]  # images that were decoded
_decoding = door._decode


def _counted(content: bytes, at_least: int) -> Decoded:
    opened[0] += 1
    return _decoding(content, at_least)


door._decode = _counted


class Counted:
    """A source that counts its reads."""

    def __init__(self, source: Source) -> None:
        self.source, self.reads = source, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.source, name)

    def read(self, item: Item) -> bytes:
        self.reads += 1
        return self.source.read(item)


def packed_batches(images: NDArray[np.uint8], epoch: int) -> Iterator[Batch]:
    """An epoch of batches in random order, gathered from the memory map."""
    order = permutation(0, epoch, len(images))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield torch.from_numpy(images[chosen]).permute(0, 3, 1, 2), chosen


def decoded_batches(source: Source, items: list[Item], pixels: Pixels, epoch: int) -> Iterator[Batch]:
    """The same, each image decoded from its file."""
    order = permutation(0, epoch, len(items))
    looked = look(source, pixels, items=[items[place] for place in order])
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        crops = [crop for _ in chosen if (crop := next(looked).crop) is not None]
        yield torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), chosen


def seconds_of(batches: Iterator[Batch], step: Callable[[Batch], object] = len) -> tuple[float, float]:
    """Seconds of an epoch, and those of them spent waiting for images."""
    begun, waited = time.perf_counter(), 0.0
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return time.perf_counter() - begun, waited
        step(batch)


def stepping(net_name: str, pixels: Pixels, labels: torch.Tensor, classes: int) -> Callable[[Batch], None]:
    """A step of plain SGD with a net that stays in training from call to call."""
    torch.manual_seed(0)
    net = create(net_name, classes=classes, in_channels=3, input_size=(pixels.height, pixels.width))
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step(batch: Batch) -> None:
        images, places = batch
        loss = F.cross_entropy(net(normalised(images, NEUTRAL, NEUTRAL)), labels[torch.from_numpy(places)])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def rows_of(what: str, runs: dict[str, list[tuple[float, float]]], images: int) -> list[dict[str, object]]:
    """A row for packed and one for unpacked."""
    found = []
    middle = {kind: statistics.median(seconds for seconds, _ in times) for kind, times in runs.items()}
    for kind, times in runs.items():
        seconds = [total for total, _ in times]
        row = {
            "what": f"{what}, {kind}",
            "command": "benchmarks/pack.py",
            "n": len(times),
            "images": images,
            "seconds_median": round(middle[kind], 4),
            "seconds_min": round(min(seconds), 4),
            "seconds_max": round(max(seconds), 4),
            "images_per_second": round(images / middle[kind], 1),
            "waiting_for_images": round(statistics.median(waited / total for total, waited in times), 3),
        }
        if kind == "packed":
            row |= {"ratio_to_unpacked": round(middle["un-packed"] / middle["packed"], 2), "files_read": 0, "opened": 0}
        found.append(row)
        print(json.dumps(row), flush=True)
    return found


def compared(
    what: str, source: Counted, pixels: Pixels, runs: int, step: Callable[[Batch], object] = len
) -> list[dict[str, object]]:
    """Epochs from the pack and from the files, alternating, after one uncounted warm-up of each."""
    packed = automatic_pack(source, pixels)  # type: ignore[arg-type]
    items = [item for item, record in packed.pairs if not record.problem]
    times: dict[str, list[tuple[float, float]]] = {"packed": [], "un-packed": []}
    for run in range(runs + 1):
        before = source.reads, opened[0]
        first = seconds_of(packed_batches(packed.images, run), step)
        if (source.reads, opened[0]) != before:
            raise SystemExit("a packed epoch read or opened an image file")
        second = seconds_of(decoded_batches(source, items, pixels, run), step)  # type: ignore[arg-type]
        if source.reads != before[0] + len(items):
            raise SystemExit("the file counter does not work")
        if run:
            times["packed"].append(first)
            times["un-packed"].append(second)
    return rows_of(what, times, len(items))


def making(source: Source, scratch: Path, runs: int) -> list[dict[str, object]]:
    """Packing itself, and opening a pack with and without its check."""
    pixels, path = Pixels(256, 256), scratch / "made.pack"
    times: dict[str, list[float]] = {"striate pack at 256": [], "open and check": [], "open unchecked": []}
    for _ in range(runs):
        for what, work in {
            "striate pack at 256": lambda: write_pack(path, source, pixels),
            "open and check": lambda: open_pack(path),
            "open unchecked": lambda: open_pack(path, check=False),
        }.items():
            begun = time.perf_counter()
            made = work()
            times[what].append(time.perf_counter() - begun)
    rows = []
    for what, seconds in times.items():
        middle = statistics.median(seconds)
        row: dict[str, object] = {"what": f"hymenoptera, {what}", "command": "benchmarks/pack.py", "n": runs}
        row |= {"seconds_median": round(middle, 4), "images_per_second": round(len(made.items) / middle, 1)}
        rows.append(row | {"megabytes": round(path.stat().st_size / 1e6, 1)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure everything and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options.add_argument("--note", default="", help="other load on the machine, for the record")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STRIATE_CACHE"] = folder
        source = Counted(open_source(DATA / "hymenoptera"))
        rows = making(source.source, Path(folder), chosen.runs) if "making" in chosen.parts else []
        for side in (224, 64) if "batches" in chosen.parts else ():
            rows += compared(f"batches of {BATCH} at {side}", source, Pixels(side, side), chosen.runs)
        torch.set_num_threads(1)  # waiting threads would measure the machine's other load
        labels = torch.tensor([item.target for item in source.source.items])
        for net, side in (("lenet5_plain", 32), ("resnet20", 64)) if "training" in chosen.parts else ():
            pixels = Pixels(side, side)
            step = stepping(net, pixels, labels, len(source.source.task.names))
            rows += compared(f"training epoch on one thread, {net} at {side}", source, pixels, chosen.runs, step)
    if chosen.note:
        rows = [row | {"note": chosen.note} for row in rows]
    write_record("pack", rows, ("striate", "torch", "numpy", "pillow"))


if __name__ == "__main__":
    main()
