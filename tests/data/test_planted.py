"""Fifty faults of thirty-odd kinds planted among real photographs: all are found, and no good photograph is named."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from striate import audit
from striate.data.audit.audit import Audit

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and names of other systems are planted")


class Garden:
    """A folder of photographs to plant faults in: `faults` says under which kind each path must be named."""

    def __init__(self, root: Path, spare: Iterator[Path]) -> None:
        self.root = root
        self.spare = spare
        self.faults: list[tuple[str, str]] = []  # path, kind
        self.partners: set[str] = set()  # good photographs that are named beside a copy of theirs
        kept = iter(sorted(path.relative_to(root).as_posix() for path in (root / "train" / "ants").iterdir()))
        self.originals = kept

    def put(self, key: str, kind: str, content: bytes = b"") -> Path:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.faults.append((key, kind))
        return path

    def fresh(self) -> Image.Image:
        """A photograph that is not in the folder."""
        with Image.open(next(self.spare)) as opened:
            return opened.convert("RGB")

    def original(self) -> tuple[str, Image.Image]:
        """A photograph of train/ants, each but once, with its path; it will be named beside its copy."""
        key = next(self.originals)
        self.partners.add(key)
        with Image.open(self.root / key) as opened:
            return key, opened.convert("RGB")


def saved(image: Image.Image, form: str = "JPEG", **how: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **how)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG that declares 200,000 x 200,000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def broken_files(garden: Garden) -> None:
    whole, png = saved(garden.fresh(), quality=90), saved(garden.fresh().resize((200, 150)), "PNG")
    (garden.root / "train/bees/gone.jpg").symlink_to(garden.root / "nowhere.jpg")
    garden.faults.append(("train/bees/gone.jpg", "unreadable"))
    garden.put("train/ants/zero.jpg", "empty")
    garden.put("val/bees/zero.png", "empty")
    garden.put("train/ants/cut.jpg", "truncated", whole[: len(whole) // 2])
    garden.put("train/bees/cut.png", "truncated", png[: len(png) // 2])
    garden.put("train/bees/checksum.png", "damaged", png[:5000] + bytes([png[5000] ^ 255]) + png[5001:])
    garden.put("train/ants/page.jpg", "not-an-image", b"<!DOCTYPE html><title>404</title>")
    garden.put("val/ants/words.png", "not-an-image", "not an image at all".encode("utf-16"))
    garden.put("train/bees/bomb.png", "bomb", bomb())


def stray_files(garden: Garden) -> None:
    photograph = saved(garden.fresh())
    garden.put("train/ants/._shadow.jpg", "hidden", photograph)
    garden.put("train/.ipynb_checkpoints/x.jpg", "hidden", photograph)
    garden.faults[-1] = ("train/.ipynb_checkpoints", "hidden")
    garden.put("train/bees/Thumbs.db", "junk", b"\xd0\xcf\x11\xe0")
    garden.put("__MACOSX/x.jpg", "junk", photograph)
    garden.faults[-1] = ("__MACOSX", "junk")
    garden.put("train/ants/notes.txt", "other-file", b"some words")
    garden.put("train/labels.csv", "other-file", b"a,b\n")
    garden.put("val/loose.jpg", "no-class", photograph)
    garden.put("extra/x.jpg", "no-part", photograph)
    garden.faults[-1] = ("extra", "no-part")
    (garden.root / "train/wasps").mkdir()
    garden.faults.append(("train/wasps", "empty-class"))


def odd_files(garden: Garden) -> None:
    garden.put("train/ants/really a png.jpg", "mistyped", saved(garden.fresh(), "PNG"))
    garden.put("val/bees/really a jpeg.png", "mistyped", saved(garden.fresh()))
    garden.put("train/bees/drawing.bmp", "odd-format", saved(garden.fresh(), "BMP"))
    garden.put("train/ants/black.jpg", "blank", saved(Image.new("RGB", (500, 375))))
    noise = np.random.default_rng(0).integers(250, 256, (375, 500, 3), dtype=np.uint8)
    garden.put("train/bees/white.png", "blank", saved(Image.fromarray(noise), "PNG"))
    garden.put("train/bees/icon.png", "tiny", saved(garden.fresh().resize((24, 18)), "PNG"))
    garden.put("val/ants/scan.jpg", "huge", saved(garden.fresh().resize((4800, 3600)), quality=50))
    garden.put("train/ants/banner.jpg", "odd-aspect", saved(garden.fresh().resize((1200, 150))))
    garden.put("train/beetles/only.jpg", "tiny-class", saved(garden.fresh()))
    garden.faults.append(("beetles", "imbalance"))
    garden.put("val/hornets/1.jpg", "unseen-class", saved(garden.fresh()))


def equal_files(garden: Garden) -> None:
    for key, kind in {
        "train/ants/copy.jpg": "duplicate", "train/ants/copy of another.jpg": "duplicate",
        "train/bees/an ant.jpg": "contradiction", "val/ants/seen before.jpg": "leak",
    }.items():  # fmt: skip
        original, _ = garden.original()
        shutil.copy(garden.root / original, garden.root / key)
        garden.faults.append((key, kind))


NEAR: dict[str, Callable[[Image.Image], bytes]] = {
    "compressed.jpg": lambda image: saved(image, quality=30),
    "lossless.png": lambda image: saved(image, "PNG"),
    "smaller.jpg": lambda image: saved(image.resize((image.width // 2, image.height // 2))),
    "larger.jpg": lambda image: saved(image.resize((image.width * 2, image.height * 2))),
    "centre.jpg": lambda image: saved(ImageOps.crop(image, round(min(image.size) * 0.025))),
    "corner.jpg": lambda image: saved(image.crop((0, 0, round(image.width * 0.95), round(image.height * 0.95)))),
    "mirrored.jpg": lambda image: saved(ImageOps.mirror(image)),
    "brighter.jpg": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
}


def near_files(garden: Garden) -> None:
    for name, change in NEAR.items():
        garden.put(f"train/ants/{name}", "near-duplicate", change(garden.original()[1]))
    garden.put("train/bees/no bee.jpg", "near-contradiction", saved(garden.original()[1], quality=40))
    garden.put("val/ants/nearly seen.jpg", "near-leak", saved(ImageOps.mirror(garden.original()[1])))


def converted_files(garden: Garden) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    garden.put("train/ants/turned.jpg", "exif-rotated", saved(garden.fresh(), exif=exif))
    garden.put("train/ants/print.jpg", "cmyk", saved(garden.fresh().convert("CMYK")))
    garden.put("train/bees/grey.jpg", "grey", saved(garden.fresh().convert("L")))
    garden.put("train/bees/clear.png", "alpha", saved(garden.fresh().convert("RGBA"), "PNG"))
    garden.put("val/bees/few.png", "palette", saved(garden.fresh().quantize(32), "PNG"))
    deep = Image.fromarray(np.asarray(garden.fresh().convert("L"), np.uint16) * 257)
    garden.put("val/ants/deep.png", "16-bit", saved(deep, "PNG"))
    frames = [garden.fresh().resize((320, 240)) for _ in range(3)]
    garden.put("val/bees/moving.gif", "animated", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    garden.faults.append(("val/bees/moving.gif", "odd-format"))


PLANTED = (broken_files, stray_files, odd_files, equal_files, near_files, converted_files)


@pytest.fixture(scope="module")
def garden(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Garden:
    """Sixty photographs to learn from and thirty held out, and all the faults."""
    real = test_data / "hymenoptera"
    if not real.is_dir():
        pytest.skip(f"no hymenoptera photographs in {test_data}")
    root, spare = tmp_path_factory.mktemp("planted") / "insects", []
    for part, count in (("train", 30), ("val", 15)):
        for name in ("ants", "bees"):
            files = sorted((real / part / name).glob("*.jpg"))
            (root / part / name).mkdir(parents=True)
            for file in files[:count]:
                shutil.copy(file, root / part / name)
            spare += files[count : count + 12]
    made = Garden(root, iter(spare))
    for plant in PLANTED:
        plant(made)
    return made


@pytest.fixture(scope="module")
def found(garden: Garden) -> Audit:
    """The audit of the planted folder."""
    return audit(garden.root)


def test_all_planted_faults_are_found_under_their_kind(garden: Garden, found: Audit) -> None:
    assert len(garden.faults) >= 40 and len({kind for _, kind in garden.faults}) >= 20
    named = {(path, finding.kind) for finding in found.findings for path in finding.paths}
    assert [fault for fault in garden.faults if fault not in named] == []


def test_no_good_photograph_is_named(garden: Garden, found: Audit) -> None:
    faults = {path for path, _ in garden.faults} | garden.partners
    told = [finding for finding in found.findings if finding.action != "converted"]
    assert {path for finding in told for path in finding.paths} - faults == set()
    paired = {path for finding in told if finding.groups for path in finding.paths}
    assert garden.partners <= paired  # a good photograph is named as what a copy was made of, and for nothing else
    alone = {path for finding in told if not finding.groups for path in finding.paths}
    assert alone.isdisjoint(garden.partners)


def test_each_fault_is_named_once_or_for_what_it_also_is(garden: Garden, found: Audit) -> None:
    told = {(path, finding.kind) for finding in found.findings for path in finding.paths}
    planted = {path for path, _ in garden.faults}
    also = {(path, kind) for path, kind in told if path in planted} - set(garden.faults)
    assert also == {
        ("train/bees/an ant.jpg", "duplicate"), ("val/ants/seen before.jpg", "duplicate"),  # by the same bytes
        ("val/bees/moving.gif", "palette"), ("val/ants/deep.png", "grey"),  # as GIF and 16-bit PNG are stored
            ("train/bees/clear.png", "profile"), ("train/ants/lossless.png", "profile"),  # the cameras' own
    }  # fmt: skip


def test_copies_stay_with_their_originals(garden: Garden, found: Audit) -> None:
    groups = [{found.usable[place].item.key for place in group} for group in found.twins()]
    assert sorted(len(group) for group in groups) == [2] * len(garden.partners)
    assert set().union(*groups) - {path for path, _ in garden.faults} == garden.partners


def test_the_photographs_themselves_raise_no_alarm(test_data: Path, tmp_path: Path) -> None:
    for name in ("hymenoptera", "imagenet_samples", "coil20_att"):
        if not (test_data / name).is_dir():
            pytest.skip(f"no {name} in {test_data}")
    two = tmp_path / "two"
    (two / "one").mkdir(parents=True)
    for number, path in enumerate(sorted((test_data / "imagenet_samples").glob("*.jpg"))):
        target = two / ("one" if number % 2 else "other") / path.name
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(path)
    named = {
        (finding.kind, path)
        for root in (test_data / "hymenoptera", two, test_data / "coil20_att")
        for finding in audit(root).findings
        if finding.action != "converted"
        for path in finding.paths
    }
    assert named == {("odd-format", "train/ants/imageNotFound.gif"), ("other-file", "att_faces/README")}
