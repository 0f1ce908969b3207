"""The open inference protocol, version 2 (KServe, Triton), with its binary extension: requests read, answers written.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and Triton's
protocol/extension_binary_data. An image is one element of type BYTES: the content of its file. In JSON, which has no
bytes, it is base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.errors import shown
from striate.web.refusals import Refused

INPUT = "image"
LENGTH_HEADER = "inference-header-content-length"
Values = list[str] | list[bytes] | np.ndarray[Any, Any]  # of an output, for all images; an array may be of texts
DATATYPES = {"FP32": "<f4", "INT64": "<i8", "UINT8": "u1"}  # of the protocol, as NumPy's
MOST_DIGITS = 20  # of a number in a header or a query: Python refuses to read one of thousands
MOST_JSON = 16 * 2**20  # bytes: while JSON is read, nobody else is answered


@dataclass(frozen=True)
class Request:
    """images: the contents of files. outputs: the names asked for, each with whether it is sent as bytes; {}: all.

    binary: whether outputs that are not named are sent as bytes.
    """

    id: str
    images: tuple[bytes, ...]
    outputs: Mapping[str, bool]
    binary: bool


def parse(body: bytes, header_length: str | None) -> Request:
    """The request of a body: JSON of `header_length` bytes, all of it if None, then the bytes of binary inputs.

    Raises Refused, saying what is wrong.
    """
    length = len(body)
    if header_length is not None:
        told = whole_number(header_length)
        if told is None or told > length:
            raise _wrong(f"{LENGTH_HEADER} is {shown(header_length, 60)}; the body has {length:,} bytes")
        length = told
    if length > MOST_JSON:
        raise Refused(413, f"JSON has at most {MOST_JSON:,} bytes; more images fit behind it, as binary data")
    given = _json(body[:length])
    inputs = given.get("inputs")
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise _wrong(f'inputs has one entry, named "{INPUT}"')
    parameters = _parameters(given)
    images = _images(inputs[0], body[length:])
    return Request(str(given.get("id", "")), images, _outputs(given), parameters.get("binary_data_output") is True)


def whole_number(text: str) -> int | None:
    """The number of at most MOST_DIGITS decimal digits; None for another text."""
    return int(text) if len(text) <= MOST_DIGITS and text.isascii() and text.isdecimal() else None


def _json(content: bytes) -> dict[str, Any]:
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        raise _wrong("the request is not JSON") from None
    if not isinstance(given, dict):
        raise _wrong("the request is not a JSON object")
    return given


def _images(given: dict[str, Any], rest: bytes) -> tuple[bytes, ...]:
    name, kind, shape = given.get("name"), given.get("datatype"), given.get("shape")
    if name != INPUT or kind != "BYTES":
        raise _wrong(f'the input is named "{INPUT}", of datatype BYTES: the contents of image files; given: '
                     f"{shown(name, 60)}, {shown(kind, 60)}")  # fmt: skip
    sizes = shape if isinstance(shape, list) and all(type(one) is int and one >= 0 for one in shape) else []
    if not sizes or any(one != 1 for one in sizes[1:]):
        raise _wrong(f"the shape of the input is [N] or [N, 1], not {shown(shape, 60)}")
    size = _parameters(given).get("binary_data_size")
    if size is None:
        if rest:
            raise _wrong(f"{len(rest):,} bytes follow the JSON, and no input has binary_data_size")
        images = _base64(given.get("data"))
    elif size != len(rest) or type(size) is not int:
        raise _wrong(f"binary_data_size is {shown(size, 60)}; {len(rest):,} bytes follow the JSON")
    else:
        images = _elements(rest)
    if len(images) != sizes[0] or not images:
        raise _wrong(f"the shape says {sizes[0]:,} images; {len(images):,} were sent")
    return tuple(images)


def _elements(content: bytes) -> list[bytes]:
    """Elements of type BYTES: each its length in four bytes, little-endian, then its bytes."""
    found, place = [], 0
    while place < len(content):
        if place + 4 > len(content):
            raise _wrong("the binary data end within the length of an element")
        (length,) = struct.unpack_from("<I", content, place)
        place += 4
        if place + length > len(content):
            raise _wrong(f"an element of {length:,} bytes ends after the binary data")
        found.append(content[place : place + length])
        place += length
    return found


def _base64(data: object) -> list[bytes]:
    if not (isinstance(data, list) and all(isinstance(one, str) for one in data)):
        raise _wrong("data is a list of texts, each an image file in base64; or the images follow the JSON as bytes")
    try:
        return [base64.b64decode(one, validate=True) for one in data]
    except (binascii.Error, ValueError):
        raise _wrong("an element of data is not base64") from None


def _outputs(given: dict[str, Any]) -> dict[str, bool]:
    wanted = given.get("outputs", [])
    if not (isinstance(wanted, list) and all(isinstance(one, dict) for one in wanted)):
        raise _wrong("outputs is a list of objects with a name")
    found = {}
    for one in wanted:
        parameters = _parameters(one)
        if parameters.get("classification"):
            raise _wrong("the classification extension is not served; the output label is the predicted class")
        found[str(one.get("name"))] = parameters.get("binary_data") is True
    return found


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _wrong(f"parameters is an object, not {shown(parameters, 60)}")
    return parameters


def _wrong(why: str) -> Refused:
    return Refused(400, why)


@dataclass(frozen=True)
class Output:
    """An output's name, its datatype, of `DATATYPES` or "BYTES", and its shape after the number of images."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def answer(
    request: Request, model: str, outputs: Sequence[Output], values: Mapping[str, Values], images: int
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON if bytes follow.

    values: of each output by its name, for all images. Raises Refused for an output that is not there.
    """
    names = [one.name for one in outputs]
    wanted = request.outputs or dict.fromkeys(names, request.binary)
    for name in wanted:
        if name not in names:
            raise _wrong(f"there is no output {shown(name, 60)}; there are {', '.join(names)}")
    told: list[dict[str, Any]] = []
    after: list[bytes] = []
    for output in outputs:
        if output.name not in wanted:
            continue
        given = values[output.name]
        shape = [images] if isinstance(given, list) else list(given.shape)
        facts: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": shape}
        if wanted[output.name]:
            content = _packed(output.datatype, given)
            after.append(content)
            facts["parameters"] = {"binary_data_size": len(content)}
        else:
            facts["data"] = [_text(one) for one in given] if isinstance(given, list) else given.ravel().tolist()
        told.append(facts)
    named = {"id": request.id} if request.id else {}
    header = json.dumps({"model_name": model, "model_version": "1", **named, "outputs": told}).encode()
    return b"".join([header, *after]), len(header) if after else None


def _text(value: str | bytes) -> str:
    """As JSON has it: bytes in base64."""
    return value if isinstance(value, str) else base64.b64encode(value).decode()


def _packed(datatype: str, values: Values) -> bytes:
    if datatype == "BYTES":
        given = values if isinstance(values, list) else values.ravel().tolist()
        elements = [one.encode() if isinstance(one, str) else one for one in given]
        return b"".join(struct.pack("<I", len(one)) + one for one in elements)
    return np.ascontiguousarray(values, DATATYPES[datatype]).tobytes()
