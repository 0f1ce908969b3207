"""Measure the audit's figures and write a record: python benchmarks/audit.py --cifar FOLDER [--parts ...]

FOLDER is the unpacked cifar10_jpeg.tar.xz: 60,000 files in train/ and test/. Times are of whole processes, each first
time with a new cache; the files are in the page cache. `--parts` selects what to measure; rows measured again replace
those of the same day.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from first_light import STRIATE, row, timed
from PIL import Image, ImageEnhance, ImageOps
from recording import DATA, write_record

from striate.data.audit.likeness import SIDE, near_groups, sketch
from striate.pixels import decode

Row = dict[str, object]


def speed(scratch: Path, folder: Path, cold: int, warm: int) -> list[Row]:
    """The 60,000 files with a cold and a warm cache, and the photographs."""
    rows = []
    for what, data in (("CIFAR-10-JPEG, 60,000 files", folder), ("hymenoptera, 398 files", DATA / "hymenoptera")):
        command = [STRIATE, "audit", str(data), "--json"]
        shown = f"striate audit {'FOLDER' if data == folder else data.name}"
        first = [timed(command, scratch / f"{data.name}{turn}") for turn in range(cold)]
        again = [timed(command, scratch / f"{data.name}0") for _ in range(warm)]
        images = json.loads(str(again[-1]["out"]))["images"]
        rows += [row(f"audit of {what}, first time", shown, first, images=images)]
        rows += [row(f"audit of {what}, again", shown, again, images=images)]
    return rows


def saved(image: Image.Image, form: str = "JPEG", quality: int = 90) -> bytes:
    """An image as a file."""
    stream = io.BytesIO()
    image.save(stream, form, quality=quality)
    return stream.getvalue()


def cropped(image: Image.Image, left: int, top: int) -> Image.Image:
    """95 % of each side; left and top in halves of the margin."""
    width, height = round(image.width * 0.95), round(image.height * 0.95)
    x, y = left * (image.width - width) // 2, top * (image.height - height) // 2
    return image.crop((x, y, x + width, y + height))


def resized(image: Image.Image, times: float) -> Image.Image:
    """Scaled, the shorter side at least 64 pixels."""
    times = max(times, 64 / min(image.size))
    return image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.BICUBIC)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    **{f"JPEG {q}": (lambda image, q=q: saved(image, quality=q)) for q in (30, 50, 70, 90)},
    "PNG": lambda image: saved(image, "PNG"),
    **{f"resized to {t:.0%}": (lambda image, t=t: saved(resized(image, t))) for t in (0.5, 0.7, 1.4, 2.0)},
    "crop of 95 %, centre": lambda image: saved(cropped(image, 1, 1)),
    "crop of 95 %, top left": lambda image: saved(cropped(image, 0, 0)),
    "crop of 95 %, bottom right": lambda image: saved(cropped(image, 2, 2)),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
    "mirrored, crop of 95 %, JPEG 60": lambda image: saved(cropped(ImageOps.mirror(image), 0, 0), quality=60),
    "brightness + 10 %": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
    "brightness - 15 %": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.85)),
}


def print_of(content: bytes) -> bytes:
    """The perceptual hash as the audit computes it."""
    decoded = decode(content, at_least=SIDE)
    return sketch(decoded.image, decoded.size)[1]


def framed(image: Image.Image) -> Image.Image:
    """The photograph in a white frame, the same for all."""
    return ImageOps.expand(image.resize((256, 256)), 26, "white")


def likeness() -> list[Row]:
    """Recall and precision on planted copies among all photographs, and matches among the originals."""
    files = sorted(file for name in ("hymenoptera", "imagenet_samples") for file in (DATA / name).rglob("*.jp*g"))
    contents = [file.read_bytes() for file in files]
    images = [decode(content).image for content in contents]
    prints, rows = [print_of(content) for content in contents], []
    originals = {"command": "near_groups(prints)", "n": 1, "photographs": len(prints)}
    rows.append(
        {"what": "near-duplicates among the photographs themselves", "groups": near_groups(prints), **originals}
    )
    alike = near_groups([print_of(saved(framed(image))) for image in images])
    rows.append({"what": "near-duplicates among them in the same white frame", "groups": alike, **originals})
    for kind, copy in COPIES.items():
        groups = near_groups(prints + [print_of(copy(image)) for image in images])
        right = sum(group == [group[0], group[0] + len(prints)] for group in groups)
        what = {"what": f"near-duplicates: {kind}", "command": "near_groups(prints + copies)", "n": 1}
        rows.append({**what, "photographs": len(prints), "found": right, "wrong_groups": len(groups) - right})
    return rows


def many_prints(count: int = 60_000) -> Row:
    """The comparison alone: perceptual hashes of random windows of the photographs."""
    generator = np.random.default_rng(0)
    files = sorted((DATA / "hymenoptera").rglob("*.jpg"))
    grey = [Image.open(file).convert("L").reduce(2) for file in files]
    prints = []
    while len(prints) < count:
        image = grey[generator.integers(len(grey))]
        side = int(min(image.size) * generator.uniform(0.35, 0.8))
        x, y = generator.integers(image.width - side + 1), generator.integers(image.height - side + 1)
        window = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=(x, y, x + side, y + side))
        prints.append(window.tobytes())
    start = time.perf_counter()
    groups = near_groups(prints)
    seconds = round(time.perf_counter() - start, 1)
    found = {"what": f"near-duplicates among {count:,} windows of photographs, the comparison alone", "n": 1}
    return {**found, "command": "near_groups(prints)", "seconds": seconds, "groups": len(groups)}


def main() -> None:
    """Measure and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cifar", type=Path, help="the unpacked cifar10_jpeg.tar.xz")
    options.add_argument("--cold", type=int, default=3)
    options.add_argument("--warm", type=int, default=5)
    options.add_argument("--parts", nargs="+", choices=("speed", "likeness", "many"))
    chosen = options.parse_args()
    parts = chosen.parts or ("speed", "likeness", "many")
    if "speed" in parts and not chosen.cifar:
        options.error("the part 'speed' needs --cifar FOLDER")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        if "speed" in parts:
            rows += speed(Path(scratch), chosen.cifar, chosen.cold, chosen.warm)
    rows += likeness() if "likeness" in parts else []
    rows += [many_prints()] if "many" in parts else []
    if os.getloadavg()[0] > (os.cpu_count() or 1) + 1:
        note = "with other load on the machine: slower than on an idle one"
        rows = [{**new, "note": note} if "seconds" in str(new.keys()) else new for new in rows]
    for new in rows:
        print(json.dumps(new))
    write_record("audit", rows, ("striate", "numpy", "pillow", "safetensors"))


if __name__ == "__main__":
    main()
