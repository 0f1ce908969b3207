"""NumPy arrays in pickles, read without unpickling: of the opcodes, those that such files have are followed here.

Nothing that a file names is imported or called. Three names mean something, `numpy.ndarray`, `numpy.dtype` and the
function that makes an empty array, and stand for plain values of this module; others are refused. Source: pickletools.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown

MOST_STEPS = 2_000_000  # opcodes, of all pickles in a file
_LONGEST = 2**48  # of a side of an array; the product of larger numbers would take long
_MOST_PICKLES = 10_000  # in a row
_MOST_FOUND = 100_000  # values, counted each time that they occur
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

Array = NDArray[Any]


@dataclass
class _Name:
    """A name of the three, by what it makes."""

    makes: str


@dataclass
class _Made:
    """An array, dtype or text that is being made. state: what the file sets it to."""

    kind: str
    given: tuple[Any, ...]
    state: Any = None
    array: Array | None = None


class _Room:
    """The bytes that may be made from those of a file: few, because each of its bytes is of one array."""

    def __init__(self, size: int) -> None:
        self.left = 2 * size

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise RequestError("it is a pickle that holds the same bytes many times, and was not opened")


def arrays_in(content: bytes) -> list[Array]:
    """The arrays in the pickles of a file, in order. Raises RequestError for anything else in them, and for damage."""
    found: list[Array] = []
    stream, left, room = io.BytesIO(content), MOST_STEPS, _Room(len(content))
    count = 0
    while stream.tell() < len(content):
        count += 1
        if count > _MOST_PICKLES:
            raise RequestError(f"it has more than {_MOST_PICKLES:,} pickles")
        value, steps = _value(stream, left, room)
        left -= steps
        _collect(value, found, [_MOST_FOUND], 0, room)
    if not found:
        raise RequestError("it has no arrays")
    return found


def _value(stream: io.BytesIO, left: int, room: _Room) -> tuple[Any, int]:
    """What the next pickle holds, and the opcodes that it took."""
    machine = _Machine(room)
    steps = 0
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            steps += 1
            if steps > left:
                raise RequestError(f"it has more than {MOST_STEPS:,} steps: it is no pickle of arrays")
            if opcode.name == "STOP":
                return machine.stack[-1], steps
            machine.step(opcode.name, argument)
    except RequestError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError, AttributeError) as error:
        raise RequestError("it is no pickle, or is damaged") from error
    raise RequestError("it is a pickle that ends early")


class _Machine:
    """The stack and the memory that the opcodes of a pickle work on. marks: heights where tuples and lists begin."""

    def __init__(self, room: _Room) -> None:
        self.room = room
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow an opcode. Raises RequestError for one that no pickle of arrays has."""
        if name in _PLAIN:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            made = _CONSTANTS[name]
            self.stack.append(made() if callable(made) else made)
        elif name in ("PROTO", "FRAME"):
            return
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memory[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memory[int(argument)])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise RequestError(f"it is a pickle with more than arrays ({name}), and was not opened")

    def marked(self) -> list[Any]:
        """What is above the last mark, which is taken off with it."""
        place = self.marks.pop()
        above = self.stack[place:]
        del self.stack[place:]
        return above

    def popped(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def taken(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) - count < (self.marks[-1] if self.marks else 0):
            raise IndexError
        above = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return above


def _named(machine: _Machine, module: Any, name: Any) -> None:
    if not isinstance(module, str) or not isinstance(name, str):  # nested ones may be endless to write
        raise TypeError
    known = {("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype", ("_codecs", "encode"): "bytes"}
    known |= {(one, "_reconstruct"): "array" for one in _ARRAYS} | {(one, "scalar"): "scalar" for one in _ARRAYS}
    known |= {(one, "_frombuffer"): "frombuffer" for one in ("numpy.core.numeric", "numpy._core.numeric")}
    made = known.get((module, name))
    if made is None:
        raise RequestError(
            f"it is a pickle with more than arrays ({shown(f'{module}.{name}', 80)}), and was not opened"
        )
    machine.stack.append(_Name(made))


def _called(machine: _Machine, _: Any) -> None:
    what, given = machine.taken(2)
    if not isinstance(what, _Name) or not isinstance(given, tuple) or what.makes == "ndarray":  # called by none
        raise RequestError("it is a pickle that calls something, and was not opened")
    if what.makes == "bytes":
        text, coding = given if len(given) == 2 else (None, None)
        if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
            raise RequestError("it is a pickle with bytes in another coding than latin1")
        machine.room.take(len(text))
        machine.stack.append(text.encode("latin-1"))
    elif what.makes == "frombuffer":
        content, kind, shape, order = given
        if not isinstance(content, bytes | bytearray):  # of a number, there would be as many bytes
            raise TypeError
        machine.room.take(len(content))
        machine.stack.append(_Made("array", (), (1, shape, kind, order == "F", bytes(content))))
    else:
        machine.stack.append(_Made(what.makes, given))


def _built(machine: _Machine, _: Any) -> None:
    (state,) = machine.taken(1)
    if not isinstance(machine.stack[-1], _Made):
        raise RequestError("it is a pickle that changes something, and was not opened")
    machine.stack[-1].state = state


def _appended(machine: _Machine, values: list[Any]) -> None:
    if not isinstance(machine.stack[-1], list):
        raise TypeError
    machine.stack[-1].extend(values)


def _items(machine: _Machine, values: list[Any]) -> None:
    if not isinstance(machine.stack[-1], dict) or len(values) % 2:
        raise TypeError
    held: dict[int, Any] = machine.stack[-1]
    held.update(enumerate(values[1::2], len(held)))  # keys are not looked at: nested ones may be endless to compare


_PLAIN = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
     "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
     "BINUNICODE8", "FLOAT", "BINFLOAT"}
)  # fmt: skip
_CONSTANTS: Mapping[str, Any] = MappingProxyType(
    {
        "NONE": None,
        "NEWTRUE": True,
        "NEWFALSE": False,
        "EMPTY_LIST": list,
        "EMPTY_TUPLE": (),
        "EMPTY_DICT": dict,
    }
)
_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
        "POP": lambda machine, _: machine.popped(),
        "POP_MARK": lambda machine, _: machine.stack.extend(machine.marked()[:0]),
        "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.marked())),
        "TUPLE1": lambda machine, _: machine.stack.append(machine.taken(1)),
        "TUPLE2": lambda machine, _: machine.stack.append(machine.taken(2)),
        "TUPLE3": lambda machine, _: machine.stack.append(machine.taken(3)),
        "LIST": lambda machine, _: machine.stack.append(machine.marked()),
        "DICT": lambda machine, _: _filled(machine),
        "APPEND": lambda machine, _: _appended(machine, list(machine.taken(1))),
        "APPENDS": lambda machine, _: _appended(machine, machine.marked()),
        "SETITEM": lambda machine, _: _items(machine, list(machine.taken(2))),
        "SETITEMS": lambda machine, _: _items(machine, machine.marked()),
        "GLOBAL": lambda machine, argument: _named(machine, *argument.split(" ", 1)),
        "STACK_GLOBAL": lambda machine, _: _named(machine, *machine.taken(2)),
        "REDUCE": _called,
        "BUILD": _built,
    }
)


def _filled(machine: _Machine) -> None:
    values = machine.marked()
    machine.stack.append({})
    _items(machine, values)


def _collect(value: Any, found: list[Array], left: list[int], depth: int, room: _Room) -> None:
    """Add the arrays in lists, tuples and dictionaries; what occurs several times is counted each time."""
    left[0] -= 1
    if left[0] < 0 or depth > 20:
        raise RequestError("it has more values, or deeper ones, than weights have")
    if isinstance(value, _Made) and value.kind == "array":
        if value.array is None:
            value.array = _array(value, room)
        found.append(value.array)
    elif isinstance(value, list | tuple):
        for inner in value:
            _collect(inner, found, left, depth + 1, room)
    elif isinstance(value, dict):
        for inner in value.values():
            _collect(inner, found, left, depth + 1, room)


def _array(made: _Made, room: _Room) -> Array:
    """The array of a state: version, shape, type, whether its columns are together, and the bytes."""
    state = made.state
    if not isinstance(state, tuple) or len(state) != 5:
        raise RequestError("it is a damaged pickle: an array without values")
    _, shape, kind, columns, content = state
    if isinstance(content, str):  # of Python 2
        room.take(len(content))
        content = content.encode("latin-1", "replace")
    dtype = _dtype(kind)
    sides = (
        isinstance(shape, tuple)
        and len(shape) <= 32
        and all(type(side) is int and 0 <= side < _LONGEST for side in shape)
    )
    if not sides or not isinstance(content, bytes) or math.prod(shape) * dtype.itemsize != len(content):
        raise RequestError("it is a damaged pickle: an array's shape and its bytes do not fit")
    try:
        return np.frombuffer(content, dtype).reshape(shape, order="F" if columns else "C")
    except (ValueError, OverflowError) as error:
        raise RequestError("it is a damaged pickle: an array's shape and its bytes do not fit") from error


def _dtype(made: Any) -> np.dtype[Any]:
    named = made.given[0] if isinstance(made, _Made) and made.kind == "dtype" and made.given else None
    if not isinstance(named, str) or named not in _TYPES:  # what is nested may be endless to write
        raise RequestError("it has an array of something else than numbers")
    order = made.state[1] if isinstance(made.state, tuple) and len(made.state) > 1 else "<"
    return np.dtype(f"{'>' if order == '>' else '<'}{named}")
