"""The index of photographs: their vectors, paths, hashes and prints, in one safetensors file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from striate.data.audit.likeness import SIDE, near_groups
from striate.errors import RequestError
from striate.model import Model
from striate.model.header import Header, NotSafetensors
from striate.pixels import Pixels
from striate.reading import WEIGHTS, open_file
from striate.retrieval.embedding import Floats, whole_picture
from striate.storage import sha256_of, write_bytes

FORMAT = 1
KEY = "striate-index"  # in the metadata of the file
_DIGEST, _PRINT = 32, SIDE * SIDE  # bytes


@dataclass(frozen=True)
class MadeBy:
    """The model of an index. net: the network's name. source: the model file, or the name of a net with weights.

    key: the hash of all that determines the embedding. pixels: the preprocessing.
    """

    net: str
    source: str
    key: str
    pixels: Pixels

    @classmethod
    def of(cls, model: Model, source: str) -> MadeBy:
        """Of a model that was opened by the name `source`."""
        return cls(model.net, source, model.backbone_key, whole_picture(model).pixels)

    def require(
        self, model: Model, source: str, index: str, way: str = "give the model it was made by (--net), or index again"
    ) -> None:
        """Raise RequestError unless `model`, opened by the name `source`, gives the embeddings of this index.

        way: what helps, for the user.
        """
        if self != dataclasses.replace(MadeBy.of(model, source), source=self.source):
            raise RequestError(
                f"the index {index!r} was made by another model: {self.net} ({self.key[:8]}), and {source!r} is "
                f"{model.net} ({model.backbone_key[:8]}); {way}"
            )


@dataclass(frozen=True)
class Photo:
    """A photograph of the index. path: absolute. digest: SHA-256 of its file. print: see
    `striate.data.audit.likeness`; b"" for a small image."""

    path: str
    digest: str
    print: bytes


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Photographs and their unit vectors [N, D], in one order, and the model that made them."""

    photos: tuple[Photo, ...]
    vectors: Floats
    made_by: MadeBy

    def __len__(self) -> int:
        return len(self.photos)

    @cached_property
    def folder(self) -> str:
        """The folder that all photographs are in, with a slash."""
        folders = [os.path.dirname(photo.path) for photo in self.photos]  # noqa: PTH120
        return (os.path.commonpath(folders) if folders else "").rstrip("/") + "/"

    def adding(self, photos: Sequence[Photo], vectors: Floats) -> ImageIndex:
        """With further photographs; one of the same path is replaced."""
        kept = self._keeping({photo.path for photo in photos})
        return dataclasses.replace(
            self,
            photos=(*kept.photos, *photos),
            vectors=np.concatenate([kept.vectors, vectors]) if len(kept) else vectors,
        )

    def removing(self, paths: Iterable[str]) -> ImageIndex:
        """Without the photographs of these absolute paths, and those below them where they are folders.

        Raises RequestError for a path that is not in the index.
        """
        gone: set[str] = set()
        for path in paths:
            found = {one.path for one in self.photos if one.path == path or one.path.startswith(path.rstrip("/") + "/")}
            if not found:
                raise RequestError(f"{path!r} is not in the index, and no folder of photographs in it")
            gone |= found
        return self._keeping(gone)

    def _keeping(self, gone: Collection[str]) -> ImageIndex:
        kept = [place for place, photo in enumerate(self.photos) if photo.path not in gone]
        return dataclasses.replace(self, photos=tuple(self.photos[place] for place in kept), vectors=self.vectors[kept])

    def near_duplicates(self, advance: Callable[[int], None] = lambda prints: None) -> list[list[Photo]]:
        """Groups of photographs that are copies of one another: the same file, or the same picture resized, cropped,
        re-encoded, mirrored or made lighter. Pictures under 64 pixels are only compared as files.

        advance: as for `striate.data.audit.likeness.near_groups`.
        """
        label = np.arange(len(self))
        by_digest: dict[str, list[int]] = {}
        for place, photo in enumerate(self.photos):
            by_digest.setdefault(photo.digest, []).append(place)
        prints = [
            photo.print if by_digest[photo.digest][0] == place else b"" for place, photo in enumerate(self.photos)
        ]
        for first, *others in (*by_digest.values(), *near_groups(prints, advance)):
            for other in others:
                label[label == label[other]] = label[first]
        groups: dict[int, list[Photo]] = {}
        for one, photo in zip(label.tolist(), self.photos, strict=True):
            groups.setdefault(one, []).append(photo)
        return [group for group in groups.values() if len(group) > 1]


def write_index(path: Path, index: ImageIndex) -> None:
    """Write the index atomically, as one safetensors file."""
    photos = index.photos
    words = json.dumps([photo.path for photo in photos]).encode()
    tensors = {
        "vectors": np.ascontiguousarray(index.vectors, np.float32),
        "digests": np.frombuffer(bytes.fromhex("".join(photo.digest for photo in photos)), np.uint8),
        "printed": np.array([bool(photo.print) for photo in photos], np.uint8),
        "prints": np.frombuffer(b"".join(photo.print for photo in photos), np.uint8),
        "paths": np.frombuffer(words, np.uint8),
    }
    made_by = dataclasses.asdict(index.made_by) | {"pixels": index.made_by.pixels.as_dict()}
    facts: dict[str, Any] = {"format": FORMAT, "made_by": made_by}
    facts["sha256"] = _checksum(facts, tensors)
    write_bytes(path, safetensors.numpy.save(tensors, {KEY: json.dumps(facts)}))


def read_index(path: Path) -> ImageIndex:
    """Read and check an index. Raises RequestError, with the file's name and the defect."""
    name = repr(str(path))
    try:
        with open_file(path, WEIGHTS) as file:
            facts = _facts(Header.read(file), name)
            file.seek(0)
            tensors = safetensors.numpy.load(file.read())
        if facts.pop("sha256") != _checksum(facts, tensors):
            raise RequestError(f"the index {name} is damaged: its content does not match its checksum")
        return _index(facts, tensors)
    except OSError as error:
        raise RequestError(f"cannot read the index {name}: {error.strerror or error}") from error
    except NotSafetensors as error:
        raise RequestError(f"{name} is no index of photographs, or is damaged: {error}") from error
    except RequestError:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"the index {name} is damaged: {error}") from error


def _facts(header: Header, name: str) -> dict[str, Any]:
    text = (header.values.get("__metadata__") or {}).get(KEY)
    if text is None:
        raise RequestError(f"{name} is no index of photographs; 'striate index PHOTOS --out FILE' makes one")
    facts: dict[str, Any] = json.loads(text)
    if facts["format"] != FORMAT:
        raise RequestError(f"the index {name} has format {facts['format']!r}, and this Striate reads {FORMAT}")
    return facts


def _index(facts: dict[str, Any], tensors: dict[str, Any]) -> ImageIndex:
    """The inverse of what `write_index` puts into a file. Raises ValueError, KeyError or TypeError otherwise."""
    paths = json.loads(tensors["paths"].tobytes())
    digests, prints = tensors["digests"].tobytes().hex(), tensors["prints"].tobytes()
    ends = (np.cumsum(tensors["printed"]) * _PRINT).tolist()
    vectors, count = tensors["vectors"], len(paths)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError("its vectors are not rows of finite numbers")
    if not len(vectors) == len(digests) // (2 * _DIGEST) == len(tensors["printed"]) == count:
        raise ValueError("its paths, hashes and vectors are not equally many")
    if len(prints) != (ends[-1] if count else 0) or not all(isinstance(path, str) for path in paths):
        raise ValueError("its prints or paths are incomplete")
    photos = tuple(
        Photo(path, digests[64 * place : 64 * place + 64], prints[end - _PRINT : end] if has else b"")
        for place, (path, has, end) in enumerate(zip(paths, tensors["printed"].tolist(), ends, strict=True))
    )
    made_by = facts["made_by"]
    if not all(isinstance(made_by[name], str) for name in ("net", "source", "key")):
        raise ValueError("its model is not named")
    return ImageIndex(photos, vectors, MadeBy(**{**made_by, "pixels": Pixels.from_dict(made_by["pixels"])}))


def _checksum(facts: dict[str, Any], tensors: dict[str, Any]) -> str:
    """Of the facts, and of the bytes and shapes of all tensors by name."""
    content = [
        [name, list(array.shape), sha256_of(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)]
        for name, array in sorted(tensors.items())
    ]
    return sha256_of(json.dumps([facts, content], sort_keys=True).encode())
