"""The text of a net file: its table and blocks, read from TOML.

name = "resnet_mini"
input = [3, 32, 32]
parameters = { width = 16 }
table = '''
conv3-{width} bn relu
basic({width}) x3
globalavgpool
fc-classes
'''
[block.basic]
parameters = { out = 0, stride = 1 }
table = '''...'''
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.errors import RequestError, printable, shown, unknown
from striate.netfile.words import LARGEST_CHANNELS

LARGEST_TEXT = 200_000  # characters
LARGEST_SIDE = 16_384
LARGEST_NUMBER = 1_000_000
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True)
class BlockText:
    """A block: the names of its parameters with their defaults, and its table."""

    parameters: Mapping[str, int]
    table: str


@dataclass(frozen=True)
class NetText:
    """A net file as read. input: channels, height and width of an image. classes: of the net unless told otherwise."""

    name: str
    input: tuple[int, int, int]
    classes: int
    parameters: Mapping[str, int]
    table: str
    blocks: Mapping[str, BlockText]


def parse(text: str) -> NetText:
    """Read a net file. Raises RequestError for text that is none, with what is wrong."""
    if len(text) > LARGEST_TEXT:
        raise RequestError(f"the net file has {len(text):,} characters; at most {LARGEST_TEXT:,} are read")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RequestError(f"the net file is not TOML: {printable(str(error))}") from error
    _only(found, ("name", "input", "classes", "parameters", "table", "block"), "key of a net file:")
    if not isinstance(found.get("table"), str):
        raise RequestError("a net file has a table, the rows of the net as text: table = '''...'''")
    blocks = found.get("block", {})
    if not isinstance(blocks, dict):
        raise RequestError(f"block is written as [block.NAME], not {shown(blocks)}")
    return NetText(
        name=_name(found.get("name", "net"), "the name of the net"),
        input=_input(found.get("input", [3, 224, 224])),
        classes=_number(found.get("classes", 10), "classes", 1, LARGEST_CHANNELS),
        parameters=_parameters(found.get("parameters", {})),
        table=found["table"],
        blocks={_name(name, "the name of a block"): _block(name, block) for name, block in blocks.items()},
    )


def _block(name: str, found: object) -> BlockText:
    if not isinstance(found, dict) or not isinstance(found.get("table"), str):
        raise RequestError(f"block {shown(name)} has a table, its rows as text")
    _only(found, ("parameters", "table"), f"key of block {name}:")
    return BlockText(_parameters(found.get("parameters", {})), found["table"])


def _only(found: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in found:
        if key not in known:
            raise unknown(what, key, known)


def _name(found: object, what: str) -> str:
    if not isinstance(found, str) or not NAME.fullmatch(found):
        raise RequestError(f"{what} is a word of letters, digits and _, not {shown(found)}")
    return found


def _input(found: object) -> tuple[int, int, int]:
    if not isinstance(found, list) or len(found) != 3:
        raise RequestError(f"input is channels, height and width, such as [3, 224, 224], not {shown(found)}")
    channels = _number(found[0], "the channels of input", 1, 1024)
    height, width = (_number(side, "a side of input", 1, LARGEST_SIDE) for side in found[1:])
    return channels, height, width


def _parameters(found: object) -> dict[str, int]:
    if not isinstance(found, dict):
        raise RequestError(f"parameters are names with whole numbers, such as {{ out = 16 }}, not {shown(found)}")
    names = [_name(name, "the name of a parameter") for name in found]
    return {name: _number(found[name], f"the parameter {name}", 0, LARGEST_NUMBER) for name in names}


def _number(found: object, what: str, least: int, most: int) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise RequestError(f"{what} must be a whole number from {least} to {most:,}, not {shown(found)}")
    return found


def filled(row: str, values: Mapping[str, int]) -> str:
    """A row with `{...}` replaced: a parameter, or a sum, difference, product or quotient (//) of such and of numbers.

    Raises RequestError for an unknown parameter and for what is no such expression.
    """

    def value(found: re.Match[str]) -> str:
        return str(evaluated(found[1], values))

    text = re.sub(r"\{([^{}]{0,200})\}", value, row)
    if "{" in text or "}" in text:
        raise RequestError(f"a bracket without its other in {shown(row.strip())}")
    return text


def evaluated(text: str, values: Mapping[str, int]) -> int:
    """The whole number of an expression of parameters. Raises RequestError for anything else."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RequestError(f"{shown(text)} is no number, parameter or expression of them") from error
    number = _evaluated(tree, values, text)
    if not 0 <= number <= LARGEST_NUMBER:
        raise RequestError(f"{shown(text)} is {number:,}; numbers are from 0 to {LARGEST_NUMBER:,}")
    return number


def _evaluated(tree: ast.expr, values: Mapping[str, int], text: str) -> int:
    if isinstance(tree, ast.Constant) and type(tree.value) is int and tree.value <= LARGEST_NUMBER:
        return tree.value
    if isinstance(tree, ast.Name):
        if tree.id not in values:
            raise unknown("parameter", tree.id, values)
        return values[tree.id]
    if isinstance(tree, ast.BinOp):
        left, right = _evaluated(tree.left, values, text), _evaluated(tree.right, values, text)
        if isinstance(tree.op, ast.FloorDiv) and right == 0:
            raise RequestError(f"{shown(text)} divides by 0")
        match tree.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.FloorDiv():
                return left // right
    raise RequestError(f"{shown(text)}: parameters are combined by +, -, * and //")
