"""How a photograph becomes a vector of the index: the whole picture, the network's embedding, and a normalisation."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.model import Model

Floats = NDArray[np.float32]


def whole_picture(model: Model) -> Model:
    """The same model with a preprocessing that leaves nothing of the picture out: its centre crop becomes "squash".

    What lies near the border is searched for as well. With the EfficientNet-Lite0's embedding this raises the mean
    average precision on the AT&T faces from 0.578 to 0.767 (`benchmarks/search.py`).
    """
    if model.pixels.rule != "crop":
        return model
    return dataclasses.replace(model, pixels=dataclasses.replace(model.pixels, rule="squash", fraction=1.0))


def unit_vectors(embeddings: Floats) -> Floats:
    """Embeddings [N, D] as unit vectors: the signed square root of each value, then divided by the norm.

    The square root keeps single strong features from deciding alone; on embeddings without negative values the
    Euclidean distance of the results is the Hellinger distance. An embedding of zeros stays zero.
    Raises RequestError for NaN and infinite values. Source: Arandjelovic and Zisserman, CVPR 2012 (RootSIFT); with
    signs, Perronnin, Sanchez and Mensink, ECCV 2010, section 3.2.
    """
    if not np.isfinite(embeddings).all():
        raise RequestError("the network's embeddings have NaN or infinite values: its weights are damaged")
    roots = np.sign(embeddings) * np.sqrt(np.abs(embeddings))
    norms = np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(roots / np.where(norms > 0, norms, 1), np.float32)
