"""What OpenAPI cannot be told by types: bodies that are images, and the protocol's JSON."""

from __future__ import annotations

from typing import Any

from striate.tasks.detection_evaluation import SHOWN_SCORE

DESCRIPTION = (
    "Predictions for images, and what other applications answer: nearest photographs, digits of lines, paintings. POST "
    "an image file to /predict; or use version 2 of the open inference protocol, which KServe's and Triton's clients "
    "speak."
)
Responses = dict[int | str, dict[str, Any]]  # by status, as FastAPI takes them

_REFUSED: Responses = {
    400: {"description": "The request or the image cannot be used; `error` says why."},
    401: {"description": "The token is missing or wrong."},
    403: {"description": "A page of another site."},
    404: {"description": "No such model."},
    408: {"description": "The body did not arrive in time."},
    413: {"description": "Too many bytes, pixels or images."},
    415: {"description": "A form, or a compressed body."},
    421: {"description": "Another Host."},
    503: {"description": "Enough to do: ask again after Retry-After."},
}


def _answered(what: str, schema: dict[str, Any], picture: dict[str, Any] | None = None) -> Responses:
    content = {"application/json": {"schema": schema}} | ({"image/png": {"schema": picture}} if picture else {})
    return {200: {"description": what, "content": content}, **_REFUSED}


MOST_TOP = 100_000
MOST_NEIGHBOURS = 100
LEAST_SIDE, MOST_SIDE = 16, 1024  # pixels of the longer side of a painted picture
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png", "application/octet-stream")
        },
    },
}


def _parameter(name: str, what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": what, "schema": schema}


PREDICT: dict[str, Any] = {
    **IMAGE_BODY,
    "parameters": [
        _parameter(
            "top",
            f"only so many classes, or nearest photographs (at most {MOST_NEIGHBOURS})",
            {"type": "integer", "minimum": 1, "maximum": MOST_TOP},
        ),
        _parameter("model", "which model; the first without", {"type": "string"}),
        _parameter(
            "score", f"of boxes: the least score ({SHOWN_SCORE})", {"type": "number", "minimum": 0, "maximum": 1}
        ),
        _parameter("mask", "of masks: the mask, too, a PNG in base64", {"type": "boolean"}),
        _parameter(
            "size",
            "of style: the longer side in pixels",
            {"type": "integer", "minimum": LEAST_SIDE, "maximum": MOST_SIDE},
        ),
        _parameter("keep_colours", "of style: the colours are the picture's own", {"type": "boolean"}),
    ],
}
_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "score": {"type": "number"},
        "box": {"type": "array", "items": {"type": "number"}, "description": "x1, y1, x2, y2 in pixels."},
    },
}
_NEIGHBOUR: dict[str, Any] = {
    "type": "object",
    "required": ["path", "distance", "near_duplicate"],
    "properties": {
        "path": {"type": "string", "description": "Below the folder that all photographs are in."},
        "distance": {"type": "number", "description": "From 0, the same picture, to 2."},
        "near_duplicate": {"type": "boolean"},
    },
}
_CHARACTER: dict[str, Any] = {
    "type": "object",
    "required": ["label", "x", "probability"],
    "properties": {
        "label": {"type": "string"},
        "x": {"type": "number", "description": "The column of its middle, in pixels of the upright image."},
        "probability": {"type": "number"},
    },
}
PREDICTED = _answered(
    "The prediction; of style the painted picture, a PNG.",
    {
        "type": "object",
        "required": ["model", "label"],
        "properties": {
            "model": {"type": "string"},
            "label": {"type": "string", "description": "The class, labels, value, nearest photograph or digits."},
            "confidence": {"type": ["number", "null"]},
            "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
            "caption": {"type": "string", "description": "Of models of captions."},
            "shares": {"type": "object", "additionalProperties": {"type": "number"}, "description": "Of masks."},
            "mask": {"type": "string", "format": "byte", "description": "Of masks, with mask=true: a PNG."},
            "width": {"type": "integer", "description": "Of the upright image, with boxes."},
            "height": {"type": "integer"},
            "objects": {"type": "array", "items": _OBJECT, "description": "Of models of boxes."},
            "in_distribution": {"type": "boolean", "description": "Of models with a detector."},
            "distance": {"type": "number"},
            "neighbours": {"type": "array", "items": _NEIGHBOUR, "description": "Of an index, the nearest first."},
            "text": {"type": "string", "description": "Of models that read lines."},
            "probability": {"type": "number", "description": "Of all characters together."},
            "characters": {"type": "array", "items": _CHARACTER},
        },
    },
    picture={"type": "string", "format": "binary"},
)
_INPUT = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"const": "image"},
        "datatype": {"const": "BYTES"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {"type": "string", "format": "byte"}},
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer"}}},
    },
}
INFER_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "required": False,
            "description": "Bytes of JSON before the binary data.",
            "schema": {"type": "integer"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 1},
                        "outputs": {"type": "array", "items": {"type": "object"}},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
}
INFERRED = _answered(
    "The outputs.",
    {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    },
)
