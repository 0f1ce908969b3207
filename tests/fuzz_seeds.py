"""Small valid files of every format, and how what is packed or checksummed in them is changed: for tests/fuzzing.py."""

from __future__ import annotations

import copy
import functools
import gzip
import io
import json
import random
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import tifffile
import torch
from image_files import content_of, photograph, wide_png
from keras_files import Layers, write_named, write_numbered

from striate.data.pack.writing import write_pack
from striate.data.sources.in_memory import from_parts
from striate.model import Model, ensemble_of, read, write, write_ensemble
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.storage import sha256_of
from striate.tasks import Classification, Multilabel, Regression, Task

Random = random.Random
Change = Callable[[bytes], bytes]
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 10**30, 10**6, "x", "", [], {}, [[]], ["a"], {"a": 1}, float("nan"), float("inf"),
    "\ud800", "a\0b", "../x", [1] * 40, {"": {}},
)  # fmt: skip


def _written(fill: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        fill(path)
        return path.read_bytes()


def _model(task: Task) -> bytes:
    tensors = {
        "stem.weight": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
        "head.weight": np.ones((task.outputs, 2), np.float32),
        "head.bias": np.zeros(task.outputs, np.float32),
    }
    options = {"classes": task.outputs, "in_channels": 3, "input_size": [32, 32], "options": {}}
    model = Model("resnet8", options, task, Pixels(32, 32), tensors, head="head", aliases={"a": "stem.weight"})
    return _written(lambda path: write(path, model), "m.safetensors")


def _ensemble(task: Task) -> bytes:
    """A model file of two networks."""

    def save(path: Path) -> None:
        path.write_bytes(_model(task))
        write_ensemble(path, ensemble_of([read(path), read(path)], ["a", "b"]))

    return _written(save, "m.safetensors")


def _pictures(form: str, *hows: dict[str, Any]) -> tuple[bytes, ...]:
    """A small photograph in a format, saved in several ways."""
    return tuple(content_of(photograph(40, 30), form, **how) for how in hows)


def _colours(kind: type[np.generic]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (12, 10, 3)).astype(kind)


def _tiffs() -> tuple[bytes, ...]:
    """Planar 16-bit colour, floats, and two pages."""
    found = []
    for values, how in (
        (np.moveaxis(_colours(np.uint16), -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        (_colours(np.float32)[..., 0], {"compression": "zlib"}),
        (np.stack([_colours(np.uint8)] * 2), {"photometric": "rgb"}),
    ):
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **how)
        found.append(stream.getvalue())
    return tuple(found)


def _images() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6), np.uint8)
    return images, np.array([0, 1, 0, 1])


def _torch(zipped: bool) -> bytes:
    state = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.count": torch.tensor(3), "half": torch.ones(2).half()}
    content = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, content, _use_new_zipfile_serialization=zipped)
    return content.getvalue()


def _varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _varint(value >> 7) if value > 127 else bytes([value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _caffe() -> bytes:
    values = np.arange(6, dtype="<f4").tobytes()
    new = _field(7, _field(7, _field(1, _varint(2) + _varint(3))) + _field(5, values))
    sides = b"".join(_varint(side << 3) + _varint(count) for side, count in ((1, 1), (2, 1), (3, 2), (4, 3)))
    old = _field(6, sides + _field(5, values))
    single = _field(
        7, b"".join(_varint(5 << 3 | 5) + values[at : at + 4] for at in (0, 4)) + _field(7, _field(1, b"\2"))
    )
    return _field(100, _field(1, b"conv") + new + single) + _field(2, _field(4, b"ip") + old)


def _keras() -> tuple[bytes, ...]:
    """Both layouts."""
    ones = np.ones(3, np.float32)
    layers: Layers = [
        ("conv", "Conv2D", [np.ones((1, 1, 2, 3), np.float32), ones]),
        ("bn", "BatchNormalization", [ones] * 4),
    ]
    return (
        _written(lambda path: write_named(path, layers), "w.h5"),
        _written(lambda path: write_named(path, layers, variable=True), "w.h5"),
        _written(lambda path: write_numbered(path, layers), "w.h5"),
    )


def _npz(compressed: bool) -> bytes:
    content = io.BytesIO()
    images, labels = _images()
    (np.savez_compressed if compressed else np.savez)(content, images=images, labels=labels)
    return content.getvalue()


def _idx() -> bytes:
    images, _ = _images()
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()


def _cifar() -> bytes:
    record = bytes([1]) + bytes(range(256)) * 12
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (
            ("cifar/data_batch_1.bin", record * 2),
            ("cifar/test_batch.bin", record),
            ("cifar/batches.meta.txt", b"a\nb\n"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)


def _pack() -> bytes:
    images, labels = _images()
    source = from_parts({"train": (images[:2], labels[:2]), "val": (images[2:], labels[2:])})
    return _written(lambda path: write_pack(path, source, Pixels(4, 4)), "p.pack")


CSV = "path,label,split,weight,group\n0.png,a,train,1,g\n1.png,b,val,0.5,h\n"
ROWS = [{"path": "0.png", "label": "a"}, {"path": "1.png", "label": "b", "split": "val", "weight": 2}]
COCO = {
    "images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "1.png"}],
    "annotations": [{"image_id": 1, "category_id": 3}, {"image_id": 2, "category_id": 4}],
    "categories": [{"id": 3, "name": "a"}, {"id": 4, "name": "b"}],
}
STUDIO = [
    {"data": {"image": "/data/upload/1/12345678-0.png"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]},
    {"data": {"image": "1.png"}, "annotations": [{"result": [{"value": {"choices": ["b"]}}]}]},
]
LOG = [
    {"time": 1.0, "event": "plan", "why": "so"},
    {"time": 2.0, "event": "checks", "lines": [], "finder": None},
    {"time": 3.0, "event": "epoch", "loss": 0.5},
]
TASKS: tuple[Task, ...] = (Classification(("a", "b")), Multilabel(("a", "b"), (0.5, 0.4)), Regression(("v",)))

RECIPE = b'[net]\nname = "resnet8"\noptions = {a = [1, 2.5, "x"]}\n[optimizer]\nname = "adam"\n'
SPLIT = b"path,class,part,fold,why\r\na.png,a,train,0,\r\nb.png,b,val,1,\r\nc,,set aside,,empty: zero\r\n"
DECISIONS = b'path,decision,to,found,suggested,why\r\na.png,drop,,,,\r\n"b,c.png",relabel,+new,,,\r\nd,move,val,,,\r\n'
TABLES = (
    CSV.encode(), CSV.replace(",", ";").encode("utf-16"), b"path,number:age\n0.png,1.5\n1.png,2\n",
    b"path,labels\n0.png,a|b\n1.png,\n", b"path,a,b\n0.png,1,0\n1.png,0,1\n",
)  # fmt: skip
LABELS = struct.pack(">4BI4B", 0, 0, 8, 1, 4, 0, 1, 0, 1)
_SEEDS: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "jpeg": lambda: _pictures("JPEG", {"quality": 80}, {"progressive": True}, {"icc_profile": b"no profile" * 20}),
    "png": lambda: (*_pictures("PNG", {}, {"icc_profile": b"no profile" * 20}), wide_png(_colours(np.uint16))),
    "tiff": lambda: (*_pictures("TIFF", {}, {"compression": "tiff_lzw"}), *_tiffs()),
    "webp": lambda: _pictures("WEBP", {}, {"lossless": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
    "other image": lambda: tuple(
        content_of(photograph(40, 30), form) for form in ("GIF", "BMP", "PPM", "ICO", "JPEG2000", "TGA", "AVIF")
    ),
    "model": lambda: (*map(_model, TASKS), *map(_ensemble, TASKS)),
    "weights": lambda: (safetensors.numpy.save({"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float16)}),),
    "pickle": lambda: (_torch(True),),
    "older pickle": lambda: (_torch(False),),
    "caffemodel": lambda: (_caffe(),),
    "darknet": lambda: tuple(struct.pack("<4i4f", 0, minor, 0, 7, *range(4)) for minor in (1, 2)),
    "keras": _keras,
    "npz": lambda: (_npz(True), _npz(False)),
    "idx": lambda: (_idx(), gzip.compress(_idx(), mtime=0)),
    "cifar": lambda: (_cifar(),),
    "pack": lambda: (_pack(),),
    "csv": lambda: TABLES,
    "json lines": lambda: ("".join(json.dumps(row) + "\n" for row in ROWS).encode(),),
    "json": lambda: tuple(json.dumps(content).encode() for content in (ROWS, COCO, STUDIO)),
    "recipe": lambda: (Recipe().toml().encode(), RECIPE),
    "split": lambda: (SPLIT,),
    "decisions": lambda: (DECISIONS,),
    "classes": lambda: ("ants\nbées\n".encode(),),
    "log": lambda: ("".join(json.dumps(line) + "\n" for line in LOG).encode(),),
}


@functools.cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Valid files of a format; made when they are first asked for."""
    return _SEEDS[name]()


# What is packed


def _in_zip(content: bytes, change: Change, draw: Random) -> bytes:
    """An archive with one of its members changed, and right checksums."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        chosen = next((name for name in names if name.endswith(".pkl")), draw.choice(names))
        for name in names:
            new.writestr(name, change(old.read(name)) if name == chosen else old.read(name))
    return packed.getvalue()


def _in_gzip(content: bytes, change: Change, draw: Random) -> bytes:
    return gzip.compress(change(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content), mtime=0)


Packing = Callable[[bytes, Change, Random], bytes]
MEMBERS: dict[str, Packing] = {"npz": _in_zip, "pickle": _in_zip}
GZIPPED: dict[str, Packing] = {"idx": _in_gzip, "cifar": _in_gzip}


# What is checksummed, or JSON: values of another type, in their places


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, one in inner for place in [(*above, name), *_places(one, (*above, name))]]


def _replaced(value: Any, draw: Random) -> Any:
    """A copy of a JSON value with one or two of its parts replaced by values of any type, or left out."""
    copied = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 2))):
        places = _places(copied)
        if not places:
            return copy.deepcopy(draw.choice(VALUES))
        *above, last = draw.choice(places)
        inner = copied
        for name in above:
            inner = inner[name]
        if draw.random() < 0.15:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(draw.choice(VALUES))
    return copied


def _resealed(mark: str) -> Callable[[bytes, Random], bytes]:
    """Changes the description in a safetensors header, which is checksummed, and sometimes the header around it."""

    def reseal(content: bytes, draw: Random) -> bytes:
        length = struct.unpack("<Q", content[:8])[0]
        outer, body = json.loads(content[8 : 8 + length]), content[8 + length :]
        inner = json.loads(outer["__metadata__"][mark])
        inner.pop("sha256")
        if draw.random() < 0.8:
            inner = _replaced(inner, draw)
            if isinstance(inner, dict):
                inner["sha256"] = sha256_of(json.dumps({k: v for k, v in inner.items() if k != "sha256"}).encode())
            outer["__metadata__"][mark] = json.dumps(inner)
        else:
            outer = _replaced(outer, draw)
        text = json.dumps(outer).encode()
        text = text.ljust(length) if len(text) <= length else text
        return struct.pack("<Q", len(text)) + text + body

    return reseal


def _table_resealed(content: bytes, draw: Random) -> bytes:
    """A pack with a changed line of its table, and right checksums; or with a changed description."""
    if draw.random() < 0.5:
        return _resealed("striate.pack")(content, draw)
    length = struct.unpack("<Q", content[:8])[0]
    outer = json.loads(content[8 : 8 + length])
    start = 8 + length + outer["table"]["data_offsets"][0]
    lines = content[start:].splitlines()
    chosen = draw.randrange(len(lines))
    lines[chosen] = json.dumps(_replaced(json.loads(lines[chosen]), draw)).encode()
    table = b"".join(line + b"\n" for line in lines)
    facts = json.loads(outer["__metadata__"]["striate.pack"])
    facts["table_sha256"] = sha256_of(table)
    facts.pop("sha256")
    facts["sha256"] = sha256_of(json.dumps(facts).encode())
    outer["__metadata__"]["striate.pack"] = json.dumps(facts)
    outer["table"] = {
        "dtype": "U8", "shape": [len(table)], "data_offsets": [start - 8 - length, start - 8 - length + len(table)],
    }  # fmt: skip
    text = json.dumps(outer).encode().ljust(length)
    return struct.pack("<Q", len(text)) + text + content[8 + length : start] + table


def _json_replaced(content: bytes, draw: Random) -> bytes:
    return json.dumps(_replaced(json.loads(content), draw)).encode()


def _line_replaced(content: bytes, draw: Random) -> bytes:
    rows = [json.loads(line) for line in content.splitlines()]
    return "".join(json.dumps(row) + "\n" for row in _replaced(rows, draw)).encode()


def _value_replaced(content: bytes, draw: Random) -> bytes:
    """A recipe with other values of some keys."""
    lines = content.decode().splitlines()
    words = [
        "0x" + "f" * 5000,
        "1979-05-27",
        "[[1]]",
        "{a = 1}",
        '"x"',
        "-1",
        "nan",
        "inf",
        "true",
        '""',
        "1e400",
        "[]",
    ]
    for _ in range(draw.choice((1, 2))):
        place = draw.randrange(len(lines))
        name, equals, _ = lines[place].partition("=")
        lines[place] = f"{name}= {draw.choice(words)}" if equals else lines[place]
    return "\n".join(lines).encode()


RESEALED: dict[str, Callable[[bytes, Random], bytes]] = {
    "model": _resealed("striate"),
    "pack": _table_resealed,
    "json": _json_replaced,
    "json lines": _line_replaced,
    "log": _line_replaced,
    "recipe": _value_replaced,
}
