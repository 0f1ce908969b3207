"""Features: the images of a data set as vectors of a network, for any other classifier or tool."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, audit
from striate.data.opening import Data, open_source
from striate.data.splits import split
from striate.errors import RequestError
from striate.jobs.outputs import require_apart, same_file
from striate.learning.extraction import FeatureExtractor, checked_precision, extract, feature_extractor, features_of
from striate.model import Model
from striate.progress import Progress
from striate.reading import given_path
from striate.recipe import Recipe
from striate.storage import write_bytes
from striate.tasks import Task
from striate.tasks.values import Targets
from striate.weights.models import DEFAULT_BACKBONE, is_model_file, pretrained


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """The features of the usable images of a data set, in its order.

    features [N, D]: float32. targets: as the task collates them: class indices [N], 0 and 1 for each label
    [N, labels], or quantities. paths, parts [N]: of each image; parts as given, or as `striate train` splits by
    default. classes: names of the targets. layer: the stage they are of, "" for the embedding. engine: what computed
    them.
    """

    features: NDArray[np.float32]
    targets: Targets
    paths: tuple[str, ...]
    parts: tuple[str, ...]
    task: Task
    net: str
    layer: str
    engine: str
    audit: Audit

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or quantities, in the order of the targets."""
        return self.task.names

    def words(self) -> str:
        """What was computed, in one line."""
        count, width = self.features.shape
        where = f"the stage {self.layer} of {self.net}" if self.layer else self.net
        return f"{count:,} images, {width:,} features each, of {where} ({self.engine})"

    def as_dict(self) -> dict[str, Any]:
        """The facts, without the arrays, as JSON values."""
        count, width = self.features.shape
        return {
            "images": count,
            "features": width,
            "net": self.net,
            "layer": self.layer,
            "engine": self.engine,
            "task": self.task.kind,
            "classes": list(self.classes),
            "parts": {part: self.parts.count(part) for part in dict.fromkeys(self.parts)},
            "set_aside": [{"path": one.path, "kind": one.kind, "why": one.why} for one in self.audit.set_aside],
        }


def features(
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    net: str | None = None,
    layer: str | None = None,
    layout: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> ImageFeatures:
    """The features of the images of `data` (as for `striate.train`) under a pretrained network.

    They come from the cache that the strategy "features" of `striate.train` fills and reads: what is in it is not
    decoded again.

    out: a file to write, `.npz` (opens without pickle) or `.parquet` (needs the extra `parquet`). net: a name with
    weights, or a model file; by default the backbone that training starts from. layer: a stage of the network, as
    `striate show` lists them, whose feature map is averaged over space; computed by torch. By default the embedding
    before the head. layout: how a folder is read. engine, precision: of inference; "auto": as in training.
    Raises RequestError for an invalid request, and for an output that would overwrite the data.
    """
    progress = progress or Progress()
    name = net or DEFAULT_BACKBONE
    path, write = (None, None) if out is None else _writer(given_path(out, "the features"))
    backbone = pretrained(name)
    if layer:
        _check_layer(backbone, layer, engine)
    source = open_source(data, layout)
    if path is not None:
        require_apart(path, data, source)
        if is_model_file(name) and same_file(path, Path(name)):
            raise RequestError(f"{str(path)!r} is the network, and is not overwritten; give another file")
    by = _extractor(backbone, layer or "", engine, precision, len(source.items))
    if precision == "auto" and not layer:
        by = checked_precision(source, by)
    if by.note:
        progress.say(by.note)
    pairs, cache = extract(source, by, progress)
    found = audit(source, pairs, progress=progress)
    if not found.usable:
        raise RequestError(f"{source.name} has no usable image; see 'striate audit'")
    defaults = Recipe()
    done = ImageFeatures(
        features_of(found.usable, cache),
        found.task.collate(entry.item.target for entry in found.usable),
        tuple(entry.item.key for entry in found.usable),
        tuple(split(found, defaults.data.held_out, defaults.seed)),
        found.task,
        backbone.net,
        layer or "",
        by.described,
        found,
    )
    if path is not None and write is not None:
        write_bytes(path, write(done))
    return done


def _extractor(backbone: Model, layer: str, engine: str, precision: str, images: int) -> FeatureExtractor:
    if not layer:
        return feature_extractor(backbone, engine, precision, images)
    return FeatureExtractor(backbone, "torch", "float32" if precision == "auto" else precision, layer=layer)


def _check_layer(backbone: Model, layer: str, engine: str) -> None:
    """Raise RequestError, before the data are opened, for an unknown stage, or an engine that cannot compute it."""
    from striate.inference.backbones import backbone_of

    if engine not in ("auto", "torch"):
        raise RequestError(f"a layer below the embedding is computed by the engine 'torch', not {engine!r}")
    backbone_of(backbone, layer)


def _writer(path: Path) -> tuple[Path, Callable[[ImageFeatures], bytes]]:
    """The path, and the function for its format."""
    if path.suffix == ".npz":
        return path, _npz
    if path.suffix == ".parquet":
        _arrow()
        return path, _parquet
    raise RequestError(f"the file of features must end in .npz or .parquet, not {str(path)!r}")


def _npz(done: ImageFeatures) -> bytes:
    """The arrays features, targets, paths, parts and classes, and the texts net, layer and task."""
    content = io.BytesIO()
    np.savez(
        content,
        features=done.features,
        targets=done.targets,
        paths=np.array(done.paths, np.str_),
        parts=np.array(done.parts, np.str_),
        classes=np.array(done.classes, np.str_),
        net=np.array(done.net),
        layer=np.array(done.layer),
        task=np.array(done.task.kind),
    )
    return content.getvalue()


def _parquet(done: ImageFeatures) -> bytes:
    """A row for each image: path, part, target, class (where there is one), and the features as a list."""
    arrow, write_table = _arrow()
    width = done.features.shape[1]
    flat = arrow.array(np.ascontiguousarray(done.features).reshape(-1))
    columns = {
        # A name that is not UTF-8 is escaped, because a text of Parquet must be.
        "path": arrow.array([path.encode("utf-8", "backslashreplace").decode() for path in done.paths]),
        "part": arrow.array(list(done.parts)),
        "target": arrow.array(done.targets.tolist()),
    }
    if done.task.one_class:
        columns["class"] = arrow.array([done.classes[target] for target in done.targets])
    columns["features"] = arrow.FixedSizeListArray.from_arrays(flat, width)
    facts = {"net": done.net, "layer": done.layer, "task": done.task.kind, "classes": json.dumps(done.classes)}
    table = arrow.table(columns).replace_schema_metadata({f"striate.{name}": text for name, text in facts.items()})
    content = io.BytesIO()
    write_table(table, content)
    return content.getvalue()


def _arrow() -> tuple[Any, Callable[..., Any]]:
    """pyarrow and its writer. Raises RequestError if it is not installed."""
    try:
        import pyarrow
        from pyarrow.parquet import write_table
    except ImportError:
        raise RequestError(
            "a .parquet file needs pyarrow: pip install 'striate[parquet]'; or write a .npz file"
        ) from None
    return pyarrow, write_table
