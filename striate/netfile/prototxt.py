"""Protocol buffers' text format, in which Caffe's networks are written: text as nested fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from striate.errors import RequestError, shown

LARGEST_TEXT = 4_000_000  # characters; ResNet-152 has 150,000
MOST_DEPTH = 20  # of messages within messages

# A field has as many values as it occurs; a message is such fields again.
Message = Mapping[str, Sequence[Any]]

_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\n?\s*)*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[\w.+-]+)|(?P<mark>[{}\[\]<>:,;]))""",
    re.ASCII,
)
_REST = re.compile(r"\s*(?:#[^\n]*\n?\s*)*", re.ASCII)


def fields(text: str) -> Message:
    """The fields of a text. Words, numbers and strings are texts. Raises RequestError for text of another format."""
    if len(text) > LARGEST_TEXT:
        raise RequestError(f"the prototxt has {len(text):,} characters; at most {LARGEST_TEXT:,} are read")
    tokens = _tokens(text)
    found, end = _message(tokens, 0, 0)
    if end < len(tokens):
        raise RequestError(f"the prototxt has {shown(tokens[end])} without an opening bracket")
    return found


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    place = 0
    while found := _TOKEN.match(text, place):
        tokens.append(found[found.lastgroup or 0])
        place = found.end()
    rest = _REST.match(text, place)
    if rest is None or rest.end() < len(text):
        line = text.count("\n", 0, place) + 1
        raise RequestError(f"line {line} of the prototxt cannot be read: {shown(text[place : place + 40].strip())}")
    return tokens


def _message(tokens: list[str], place: int, depth: int) -> tuple[Message, int]:
    """The message that begins at a place, and the place of the bracket that ends it."""
    if depth > MOST_DEPTH:
        raise RequestError(f"the prototxt has messages more than {MOST_DEPTH} deep")
    found: dict[str, list[Any]] = {}
    while place < len(tokens) and tokens[place] not in "}>":
        name, place = tokens[place], place + 1
        if not re.fullmatch(r"\w+", name, re.ASCII):
            raise RequestError(f"the prototxt has {shown(name)} where the name of a field is expected")
        values, place = _values(tokens, place, depth, name)
        found.setdefault(name, []).extend(values)
        while place < len(tokens) and tokens[place] in ",;":
            place += 1
    return found, place


def _values(tokens: list[str], place: int, depth: int, name: str) -> tuple[list[Any], int]:
    place += tokens[place : place + 1] == [":"]
    if place >= len(tokens):
        raise RequestError(f"the prototxt ends after {shown(name)}: it is not whole")
    token = tokens[place]
    if token in "{<":
        inner, end = _message(tokens, place + 1, depth + 1)
        if end >= len(tokens):
            raise RequestError(f"the prototxt ends within {shown(name)}: it is not whole")
        return [inner], end + 1
    if token == "[":
        end = next((at for at in range(place, len(tokens)) if tokens[at] == "]"), 0)
        if not end:
            raise RequestError(f"the prototxt ends within {shown(name)}: it is not whole")
        return [_plain(one) for one in tokens[place + 1 : end] if one != ","], end + 1
    if token in "}>]:,;":
        raise RequestError(f"the prototxt has {shown(token)} where a value of {shown(name)} is expected")
    return [_plain(token)], place + 1


def _plain(token: str) -> str:
    return token[1:-1] if token[:1] in "\"'" else token
