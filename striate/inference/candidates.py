"""The captions that the beam search of a captioner kept, and not the most probable one alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.inference.torch_engine import TorchEngine
from striate.nets.backbone import CaptionSearch
from striate.pixels import Images
from striate.tasks.words import caption_of


@dataclass(frozen=True, eq=False)
class Candidate:
    """A caption in the beam. words: as the task's predictions have them, int64 [T]. share: of the probability that all
    captions in the beam have together."""

    words: NDArray[Any]
    text: str
    share: float


def caption_candidates(predictor: Predictor, crop: Images) -> list[Candidate]:
    """The captions of one image, uint8 [H, W, C] as `Predictor.crop` makes it, the most probable first.

    The first is that of `Predictor.predict`. Raises RequestError for a model that gives no captions, and for outputs
    that are not finite.
    """
    engine = predictor.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.backbone, CaptionSearch):
        raise RequestError(f"the task of this model is {predictor.task.kind!r}: it gives no captions")
    with torch.inference_mode():
        words, scores = engine.backbone.candidates(torch.from_numpy(np.array(crop[None])).to(engine.device))
    likely = scores[0].isfinite()
    if not likely.any():
        raise RequestError("the outputs of the model are NaN or infinite")
    shares = scores[0][likely].softmax(0).tolist()
    rows = words[0][likely].cpu().numpy()
    return [Candidate(row, caption_of(row, predictor.classes), share) for row, share in zip(rows, shares, strict=True)]
