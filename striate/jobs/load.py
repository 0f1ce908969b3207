"""Load: open a model for prediction."""

from __future__ import annotations

import os

from striate.data.opening import Data
from striate.inference.int8 import int8_folder
from striate.inference.predictor import Predictor
from striate.progress import Progress
from striate.weights.models import open_model


def load(name: str | os.PathLike[str], *, engine: str = "auto", precision: str = "auto") -> Predictor:
    """A predictor, from a model file, a run folder or the name of a net with published weights."""
    return Predictor(open_model(name), engine=engine, precision=precision)


def load_calibrated(
    name: str | os.PathLike[str],
    *,
    engine: str,
    precision: str,
    calibrate: Data | None,
    progress: Progress | None,
    many: bool = True,
) -> Predictor:
    """`load`, for many images or few; for int8 the model is quantised first.

    Not if it was quantised on this machine and no images are given. calibrate: labelled images, by default those it was
    trained on. Raises what `striate.quantize` raises.
    """
    predictor = Predictor(open_model(name), engine=engine, precision=precision, many=many)
    if predictor.precision == "int8" and (calibrate is not None or not int8_folder(predictor.model).is_dir()):
        from striate.jobs.quantize import quantize

        quantize(name, calibrate, progress=progress)
    return predictor
