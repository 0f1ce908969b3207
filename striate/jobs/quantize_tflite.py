"""A .tflite file in int8, if it predicts as float32 does; with weights alone in int8 where maps may not be."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.errors import RequestError, WorkError
from striate.inference.engine import in_batches
from striate.inference.int8_check import ENOUGH, Int8Check, compared
from striate.inference.predictor import Predictor
from striate.inference.runtimes import import_litert
from striate.interop.litert import LiteRT
from striate.interop.tflite_export import int8_files, tflite_layout
from striate.interop.written import Written, notes_on
from striate.jobs.quantize import Sample, sampled
from striate.model import Model
from striate.progress import Progress

_FORMS = {
    "int8": "int8: weights and maps are integers of 8 bits; normalisation and softmax are in floats",
    "dynamic int8": "dynamic int8: weights are integers of 8 bits, maps floats, from which the runtime makes integers",
}


class Int8File(NamedTuple):
    """content: of the file. run: it, on crops [N, H, W, C]. notes: what its user is told, which of both forms first."""

    content: bytes
    run: LiteRT
    check: Int8Check
    notes: tuple[str, ...]

    def write(self, model: Model, path: Path) -> Written:
        """Write the file."""
        path.write_bytes(self.content)
        return Written(self.run.predictions, (*self.notes, *notes_on(model, tflite_layout(model))))


def int8_tflite(model: Model, source: Source, progress: Progress) -> Int8File:
    """The model in int8 or, where that predicts otherwise than float32, in dynamic int8.

    Raises WorkError, with the figures, if both are refused; RequestError without LiteRT, or for fewer than 500 labelled
    images beside those that calibrate.
    """
    model.task.require_vectors("int8 is for no masks and no boxes")
    import_litert()  # an error before anything is decoded
    sample = sampled(model, source, progress)
    if len(sample.compared) < ENOUGH:
        raise RequestError(
            f"int8 for tflite is checked on {ENOUGH} labelled images or more, beside those that calibrate, and there "
            f"are {len(sample.compared)}: give more with --images"
        )
    progress.say(f"Quantising {model.net} to int8, calibrated on {len(sample.calibration)} images")
    floating, refused = Predictor(model, engine="openvino", precision="float32", many=True), list[str]()
    embedded = [row for _, row in in_batches(floating.embed, enumerate(sample.compared))]
    reference = floating.finite_predictions(np.stack(embedded))
    for form, content in int8_files(model, sample.calibration, progress):
        run = LiteRT(content)
        try:
            check = _checked(model, sample, reference, run, progress)
        except RuntimeError as error:  # its delegate takes no scales that are far from each other
            refused.append(f"{form} was refused: LiteRT cannot compute it ({str(error).splitlines()[0][:100]})")
            continue
        if check.passed:
            return Int8File(content, run, check, (_FORMS[form], *refused))
        refused.append(f"{form} was refused: {check.line()}")
    raise WorkError(f"no int8 file is written. {'. '.join(refused)}")


def _checked(
    model: Model, sample: Sample, reference: NDArray[np.float32], run: LiteRT, progress: Progress
) -> Int8Check:
    found = []
    with progress.bar("Comparing int8", len(sample.compared)) as bar:
        for crop in sample.compared:
            found.append(run.predictions(crop[None])[0])
            bar.advance()
    return compared(model.task, sample.targets, reference, np.stack(found), held_out=sample.held_out)
