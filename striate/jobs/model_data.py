"""The images that a model was trained on, found again by what its file says."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.opening import Data, open_source
from striate.data.sources.base import Source
from striate.data.splits import apply_split
from striate.errors import RequestError
from striate.model import AnyModel


def images_of(model: AnyModel, given: Data | None, *, purpose: str, option: str, split: Path | None = None) -> Source:
    """The images `given`, or those that the model was trained on, with the parts of the saved `split` if there is one.

    purpose: why they are needed, as the start of an error: "an export is first checked on images". option: of the
    command line, that gives images.
    """
    if given is not None:
        return open_source(given)
    data = str(model.training.get("data") or "")
    if not data:
        raise RequestError(f"{purpose}, and the model was not trained on a path; give images with {option}")
    try:
        source = open_source(data)
    except RequestError as error:
        raise RequestError(
            f"{purpose}, and the training data {data!r} no longer exist; give a folder of images with {option}"
        ) from error
    return apply_split(source, split)[0] if split is not None and split.is_file() else source


def split_beside(model: str | os.PathLike[str]) -> Path:
    """Where the split of a model's run would be."""
    path = Path(model)
    return (path if path.is_dir() else path.parent) / "split.csv"
