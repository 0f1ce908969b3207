"""A model that captions images, opened with another width of its search."""

from __future__ import annotations

import dataclasses
import os

from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.jobs.load import load

WIDEST = 100  # beams: more than any net takes


def captioner(model: str | os.PathLike[str], *, beam: int | None = None, engine: str = "auto") -> Predictor:
    """The predictor of a captioning model. beam: width of the beam search; None: the model's own.

    Raises RequestError for a model that gives no captions, and for a width outside 1 to 100.
    """
    predictor = load(model, engine=engine)
    if not isinstance(predictor, Predictor) or not predictor.task.searched:
        raise RequestError(f"{os.fspath(model)!r} gives no captions: train a model on images with captions")
    if beam is None:
        return predictor
    if not 1 <= beam <= WIDEST:
        raise RequestError(f"--beam must be 1 to {WIDEST}, not {beam}")
    found = predictor.model
    options = {**found.options, "options": {**found.options.get("options", {}), "beam": beam}}
    return Predictor(dataclasses.replace(found, options=options), engine=engine)
