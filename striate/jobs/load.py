"""Load: open a model for prediction."""

from __future__ import annotations

import os

from striate.inference.predictor import Predictor
from striate.weights.models import open_model


def load(name: str | os.PathLike[str], *, engine: str = "auto", precision: str = "auto") -> Predictor:
    """A predictor, from a model file, a run folder or the name of a net with published weights."""
    return Predictor(open_model(name), engine=engine, precision=precision)
