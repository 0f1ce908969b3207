"""Sources of labelled images: a folder of class folders, or an .npz file of arrays.

A source lists its items and reads their bytes; it decides nothing. What its walk could not take as an image of a class
is kept in `oddities`, so that nothing is silently dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import RequestError
from striate.pixels import Decoded, decode, peek

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"), ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"), ".webp": "WEBP", ".avif": "AVIF",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"), ".mpo": "MPO", ".tga": "TGA", ".ico": "ICO",
    ".jp2": "JPEG2000",
}  # fmt: skip
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "__pycache__", "lost+found"}


@dataclass(frozen=True)
class Item:
    """One image. key: its path in the source, with forward slashes. label: index into classes. part: given, or ""."""

    key: str
    label: int
    part: str = ""


@dataclass(frozen=True)
class Oddity:
    """Something found that is set aside. kind: the finding it is listed under."""

    path: str
    kind: str
    why: str


class Source(Protocol):
    """Labelled images to look at."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def identity(self) -> str:
        """What caches are kept under: the place, not the content."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in order."""
        ...

    @property
    def items(self) -> tuple[Item, ...]:
        """The images."""
        ...

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What was set aside before any image was read."""
        ...

    def read(self, item: Item) -> bytes:
        """The item's bytes; equal bytes are the same image. Raises OSError."""
        ...

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """What `striate.pixels.decode` gives, for bytes of this source."""
        ...

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Width, height and channels as the header says, without decoding; None where it cannot be read."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """A folder of class folders, flat or under train/, val/ and test/."""

    root: Path
    name: str
    identity: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]

    def read(self, item: Item) -> bytes:
        """The file's bytes."""
        return (self.root / item.key).read_bytes()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """Decode an image file."""
        return decode(content, at_least=at_least)

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Read the file's header."""
        return peek(self.root / item.key)


@dataclass
class _Walk:
    """What walking a folder has found so far."""

    root: Path
    files: list[tuple[str, str, str]] = field(default_factory=list)  # key, class, part
    oddities: list[Oddity] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def aside(self, path: Path, kind: str, why: str) -> None:
        self.oddities.append(Oddity(path.relative_to(self.root).as_posix(), kind, why))

    def entries(self, folder: Path) -> Iterator[Path]:
        """The folder's entries in order, hidden and junk ones set aside."""
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                self.aside(entry, "hidden", "hidden name")
            elif entry.name.lower() in JUNK:
                self.aside(entry, "junk", "left by an operating system or a tool")
            else:
                yield entry

    def class_folders(self, folder: Path, part: str) -> None:
        for entry in self.entries(folder):
            if entry.is_dir():
                before = len(self.files)
                self.class_folder(entry, entry.name, part)
                if len(self.files) == before:
                    self.aside(entry, "empty-class", "class folder without an image")
                elif entry.name not in self.classes:
                    self.classes.append(entry.name)
            elif entry.suffix.lower() in SUFFIXES:
                self.aside(entry, "no-class", "image lies beside the class folders, not in one")
            else:
                self.aside(entry, "other-file", "not an image file")

    def class_folder(self, folder: Path, name: str, part: str) -> None:
        """All image files below a class folder, however deep."""
        for entry in self.entries(folder):
            if entry.is_dir() and not entry.is_symlink():  # a link below a class folder could lead round in a circle
                self.class_folder(entry, name, part)
            elif entry.exists() and not entry.is_file():  # a pipe would be waited for
                self.aside(entry, "other-file", "not a file")
            elif entry.suffix.lower() in SUFFIXES or _looks_like_image(entry):
                self.files.append((entry.relative_to(self.root).as_posix(), name, part))
            else:
                self.aside(entry, "other-file", "not an image file")


def _looks_like_image(path: Path) -> bool:
    """Whether a file without an image's ending begins like one (a photograph named .txt, or without an ending)."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
    return head.startswith(starts) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def open_folder(root: Path, name: str = "") -> FolderSource:
    """A folder as a source. Raises RequestError when it holds no class folder with images."""
    walk = _Walk(root)
    try:
        folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        parts = {entry: PARTS[entry.name.lower()] for entry in folders if entry.name.lower() in PARTS}
        # A class may be called "test": the layout with parts is meant only where a train/ stands beside another part.
        if len(set(parts.values())) >= 2 and "train" in parts.values():
            for entry in walk.entries(root):
                if entry in parts:
                    walk.class_folders(entry, parts[entry])
                else:
                    walk.aside(entry, "other-file" if entry.is_file() else "no-part", "lies beside train/ and val/")
        else:
            walk.class_folders(root, "")
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not walk.files:
        aside = f" ({len(walk.oddities)} entries set aside, e.g. {walk.oddities[0].path!r})" if walk.oddities else ""
        raise RequestError(
            f"no images in {str(root)!r}{aside}; a folder needs one sub-folder per class, with images in it"
        )
    classes = tuple(sorted(walk.classes))
    items = tuple(Item(key, classes.index(class_name), part) for key, class_name, part in walk.files)
    return FolderSource(root, name or root.resolve().name, str(root.resolve()), classes, items, tuple(walk.oddities))


@dataclass(frozen=True)
class ArraySource:
    """Images and labels as arrays: uint8 [N, H, W] or [N, H, W, 3], and whole-number or text labels."""

    name: str
    identity: str
    images: NDArray[np.uint8]
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...] = ()

    def read(self, item: Item) -> bytes:
        """The image's pixels as bytes."""
        content: bytes = self.images[int(item.key.rpartition("/")[2])].tobytes()
        return content

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """The pixels as an RGB image."""
        shape = self.images.shape[1:]
        image = Image.fromarray(np.frombuffer(content, np.uint8).reshape(shape))
        grey = len(shape) == 2
        return Decoded(image.convert("RGB"), (shape[1], shape[0]), "array", ("grey",) if grey else ())

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """The arrays' own shape."""
        return self.images.shape[2], self.images.shape[1], 1 if self.images.ndim == 3 else 3


def from_arrays(name: str, identity: str, parts: list[tuple[str, NDArray[Any], NDArray[Any]]]) -> ArraySource:
    """A source from (part, images, labels) triples. Raises RequestError for shapes, kinds or counts that do not fit."""
    checked = [(part, _checked_images(name, images), labels) for part, images, labels in parts]
    if len({images.shape[1:] for _, images, _ in checked}) != 1:
        raise RequestError(f"{name}: the parts hold images of different sizes")
    for _, images, labels in checked:
        if labels.shape != (len(images),):
            raise RequestError(
                f"{name}: {len(images)} images, but labels of shape {labels.shape}; one label each is needed"
            )
        if labels.dtype.kind not in "iuUb":
            raise RequestError(f"{name}: labels must be whole numbers or text, not {labels.dtype}")
    if len({labels.dtype.kind == "U" for _, _, labels in checked}) != 1:
        raise RequestError(f"{name}: the labels of one part are numbers, and those of another are text")
    values = sorted({value for _, _, labels in checked for value in labels.tolist()})
    index = {value: place for place, value in enumerate(values)}
    labelled = [(part, index[value]) for part, _, labels in checked for value in labels.tolist()]
    width = len(str(len(labelled)))
    items = tuple(Item(f"{part or 'image'}/{n:0{width}d}", label, part) for n, (part, label) in enumerate(labelled))
    images = np.concatenate([images for _, images, _ in checked])
    return ArraySource(name, identity, images, tuple(str(value) for value in values), items)


def _checked_images(name: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise RequestError(
            f"{name}: images must be uint8 [N, H, W] or [N, H, W, 3], not {images.dtype} {list(images.shape)}"
        )
    if 0 in images.shape:
        raise RequestError(f"{name}: no images in it (shape {list(images.shape)})")
    return images


_NPZ_LAYOUTS = (
    (("", "images", "labels"),),
    (("", "x", "y"),),
    (("train", "x_train", "y_train"), ("val", "x_val", "y_val"), ("test", "x_test", "y_test")),
    (("train", "xtr", "ytr"), ("test", "xte", "yte")),
    (
        ("train", "train_images", "train_labels"),
        ("val", "val_images", "val_labels"),
        ("test", "test_images", "test_labels"),
    ),
)


def open_npz(path: Path) -> ArraySource:
    """An .npz file as a source: images and labels, x and y, or x_train, y_train, x_test, y_test. Never unpickles."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = set(file.files)
            for layout in _NPZ_LAYOUTS:
                present = [row for row in layout if {row[1], row[2]} <= names]
                if present and present[0] == layout[0]:
                    # A member that is no array comes as bytes; as an array of them it is refused below.
                    parts = [
                        (part, np.asarray(file[images]), np.asarray(file[labels])) for part, images, labels in present
                    ]
                    # A lone part is no split that the user gave.
                    parts = [("", *parts[0][1:])] if len(parts) == 1 else parts
                    return from_arrays(path.stem, str(path.resolve()), parts)
    except RequestError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's header parser raise anything on damaged files
        raise RequestError(f"cannot read the arrays of {str(path)!r}: {error or type(error).__name__}") from error
    layouts = "; ".join(", ".join(f"{images} and {labels}" for _, images, labels in layout) for layout in _NPZ_LAYOUTS)
    raise RequestError(f"{str(path)!r} holds {sorted(names)}; expected one of: {layouts}")
