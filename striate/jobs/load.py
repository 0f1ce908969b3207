"""Load: open a model for prediction."""

from __future__ import annotations

import os

from striate.data.opening import Data
from striate.inference.averaging import AveragePredictor, ensemble_predictor, with_views
from striate.inference.int8 import int8_folder
from striate.inference.predictor import Predictor
from striate.model import Ensemble
from striate.progress import Progress
from striate.weights.models import open_any


def load(
    name: str | os.PathLike[str], *, engine: str = "auto", precision: str = "auto"
) -> Predictor | AveragePredictor:
    """A predictor, from a model file, a run folder or the name of a net with published weights.

    Of an ensemble's file an `AveragePredictor`, which predicts and evaluates in the same way.
    """
    return _opened(name, engine, precision, many=False)


def load_calibrated(
    name: str | os.PathLike[str],
    *,
    engine: str,
    precision: str,
    calibrate: Data | None,
    progress: Progress | None,
    many: bool = True,
    views: str = "",
) -> Predictor | AveragePredictor:
    """`load`, for many images or few; for int8 the model is quantised first; with `views`, averaged over them.

    Not if it was quantised on this machine and no images are given. calibrate: labelled images, by default those it was
    trained on. Raises what `striate.quantize` raises.
    """
    predictor = _opened(name, engine, precision, many=many)
    if isinstance(predictor, Predictor) and _to_quantise(predictor, calibrate):
        from striate.jobs.quantize import quantize

        quantize(name, calibrate, progress=progress)
    return with_views(predictor, views) if views else predictor


def _opened(name: str | os.PathLike[str], engine: str, precision: str, *, many: bool) -> Predictor | AveragePredictor:
    model = open_any(name)
    if isinstance(model, Ensemble):
        return ensemble_predictor(model, engine=engine, precision=precision, many=many)
    return Predictor(model, engine=engine, precision=precision, many=many)


def _to_quantise(predictor: Predictor, calibrate: Data | None) -> bool:
    return predictor.precision == "int8" and (calibrate is not None or not int8_folder(predictor.model).is_dir())
