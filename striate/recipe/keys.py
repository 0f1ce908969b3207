"""A key of a recipe: type, default, range, unit and help; and the conversion of values and texts to its type."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from striate.errors import RequestError, shown, unknown

STRATEGIES = ("features", "finetune", "scratch")
LINEAR_HEADS = ("logistic", "svm", "bayes")
VOTING_HEADS = ("knn", "tree", "forest")  # classifiers that are no linear layer
LOOP = ("finetune", "scratch")  # the strategies that train by gradient steps
NONE = "none"  # the text that unsets a key with a default

# Types of keys: the declaration, the name, and a description.
_TYPES: dict[Any, tuple[str, str]] = {
    bool: ("bool", "true or false"),
    int: ("int", "an integer"),
    float: ("float", "a number"),
    str: ("str", "text"),
    tuple[float, float]: ("range", "a range [min, max]"),
    tuple[float, ...]: ("list", "a list of increasing numbers"),
    tuple[tuple[int, float], ...]: ("weighted", "a list of integers, or of pairs [number, probability]"),
    dict[str, Any]: ("table", "a table of options"),
}
_WORDS = dict(_TYPES.values())


@dataclass(frozen=True)
class Key:
    """One key. name: dotted, such as "augment.rotate". type: bool, int, float, str, range, list, weighted or table.

    default: None is unset. low, high: range of its number or numbers. choices: the allowed texts; () for any.
    words: texts allowed in place of a number. optional: whether it may be None. strategies: those that read it.
    of: the optimizers or schedules that have it; () for a key that always exists.
    """

    name: str
    type: str
    default: Any
    help: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    whole: str = ""
    optional: bool = False
    strategies: tuple[str, ...] = STRATEGIES
    of: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table it is in; "" for a key outside the tables."""
        return self.name.rpartition(".")[0]

    @property
    def field(self) -> str:
        """Its name within its table."""
        return self.name.rpartition(".")[2]

    @property
    def range(self) -> str:
        """The allowed values, in short: "1 to 1000", "sgd | adam", or ""."""
        words = [*self.choices, *self.words] + ([NONE] if self.optional and self.default is not None else [])
        if math.isinf(self.low) or self.choices:
            return " | ".join(words)
        return " | ".join([f"{self.low:g} to {self.high:g}", *words])

    @property
    def takes(self) -> str:
        """The allowed values, as part of a sentence."""
        text = _WORDS[self.type] if not self.choices else "one of " + ", ".join(map(repr, self.choices))
        if not math.isinf(self.low):
            text += f" from {self.low:g} to {self.high:g}"
        if self.whole:
            text += ", an integer" if self.whole == "all" else ", an integer from 1 on"
        return text + "".join(f", or {word!r}" for word in self.words)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `low` and `high` are None without a range."""
        facts = dataclasses.asdict(self)
        return facts | {side: None if math.isinf(facts[side]) else facts[side] for side in ("low", "high")}


def key(
    default: Any,
    help: str,  # noqa: A002  (as argparse names it)
    *,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    whole: str = "",
    strategies: tuple[str, ...] | None = None,
) -> Any:
    """A field of a table that is a key of the recipe: see `Key`. strategies: None for those of its table.

    whole: "all": a number must be an integer; "from 1": it must be one unless it is below 1, a fraction.
    """
    facts = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices, "words": words, "whole": whole}
    facts["strategies"] = strategies
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


class Table:
    """A table of a recipe: a frozen dataclass whose fields are keys, checked when it is made.

    Raises RequestError for a value that its key does not take.
    """

    TABLE: ClassVar[str] = ""
    RESETS: ClassVar[str] = ""  # the key that, if given, resets all others
    STRATEGIES: ClassVar[tuple[str, ...]] = STRATEGIES  # that read its keys, unless a key names its own

    def __post_init__(self) -> None:
        for one in keys_of(type(self)):
            object.__setattr__(self, one.field, converted(one, getattr(self, one.field)))
        self.check()

    def check(self) -> None:
        """Raise RequestError for values that do not go together."""

    def given(self) -> dict[str, Any]:
        """The keys that are not at their default, with their values."""
        values = {one.field: getattr(self, one.field) for one in keys_of(type(self))}
        return {one.field: values[one.field] for one in keys_of(type(self)) if values[one.field] != one.default}


_KNOWN: dict[type, tuple[Key, ...]] = {}


def keys_of(table: type[Table]) -> tuple[Key, ...]:
    """The keys of a table, in order."""
    if table not in _KNOWN:
        _KNOWN[table] = tuple(_read(table))
    return _KNOWN[table]


def _read(table: type[Table]) -> Iterator[Key]:
    hints = typing.get_type_hints(table)
    for item in dataclasses.fields(table):  # type: ignore[arg-type]
        if "help" not in item.metadata:  # a table within the recipe
            continue
        facts = dict(item.metadata)
        facts["strategies"] = table.STRATEGIES if facts["strategies"] is None else facts["strategies"]
        declared = hints[item.name]
        parts = typing.get_args(declared) if isinstance(declared, types.UnionType) else (declared,)
        default = {} if item.default is dataclasses.MISSING else item.default
        name = f"{table.TABLE}.{item.name}" if table.TABLE else item.name
        optional = type(None) in parts
        yield Key(name, _TYPES[parts[0]][0], default, optional=optional, **facts)


def converted(key: Key, value: Any) -> Any:
    """A value from a file, a command line or Python as the type of its key.

    Text is parsed to a number, list or bool; "none" is None for a number that may be unset.
    Raises RequestError for what the key does not take.
    """
    if key.optional and (value is None or (value == NONE and key.type != "str")):
        return None
    if isinstance(value, str) and value in key.words:
        return value
    if key.choices and isinstance(value, str):
        if value not in key.choices:
            raise unknown(key.name, value, key.choices)
        return value
    try:
        found = _CONVERT[key.type](value)
        _check_range(key, found)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise RequestError(f"{key.name} takes {key.takes}, not {shown(value)}") from None
    return found


def _check_range(key: Key, found: Any) -> None:
    """Raise ValueError for a number outside the key's range, and for one that must be an integer."""
    if key.type in ("str", "bool", "table"):
        return
    numbers = [found]
    if key.type == "weighted":
        numbers = [number for number, _ in found]
    elif isinstance(found, tuple):
        numbers = list(found)
    whole = key.whole == "all" or (key.whole and numbers[0] >= 1)
    for number in numbers:
        if not key.low <= number <= key.high or (whole and number != int(number)):
            raise ValueError


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "false": False, "yes": True, "no": False}[value.lower()] if value.lower() in (
            "true", "false", "yes", "no") else _refuse()  # fmt: skip
    return value if isinstance(value, bool) else _refuse()


def _refuse() -> Any:
    raise ValueError


def _number(kind: type[int] | type[float]) -> Callable[[Any], Any]:
    def number(value: Any) -> Any:
        if isinstance(value, (bool, bytes)):
            raise ValueError
        found = kind(value)
        if not isinstance(value, str) and found != value:  # the conversion must be lossless; NaN is refused
            raise ValueError
        return found

    return number


_int, _float = _number(int), _number(float)


def _str(value: Any) -> str:
    return value if isinstance(value, str) and value else _refuse()


def _list(value: Any) -> list[Any]:
    """A list, or its text: JSON, or values between commas."""
    if isinstance(value, str):
        value = json.loads(value) if value.strip().startswith("[") else value.split(",")
    return list(value) if isinstance(value, (list, tuple)) else _refuse()


def _range(value: Any) -> tuple[float, ...]:
    least, most = map(_float, _list(value))
    return (least, most) if least <= most else _refuse()


def _rising(value: Any) -> tuple[float, ...]:
    found = [_float(one) for one in _list(value)]
    return tuple(found) if found and found == sorted(set(found)) else _refuse()


def _weighted(value: Any) -> tuple[tuple[int, float], ...]:
    pairs = [one if isinstance(one, (list, tuple)) else (one, 1.0) for one in _list(value)]
    found = tuple((_int(number), _float(share)) for number, share in pairs)
    return found if all(0 < share < math.inf for _, share in found) else _refuse()


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError
    return {name: _option(name, one) for name, one in value.items()}


def _option(name: Any, value: Any) -> Any:
    """A value of a free table: a bool, a finite number, text, or a list of those."""
    if isinstance(value, (list, tuple)):
        return [_option(name, one) for one in value]
    fits = isinstance(value, (bool, str)) or (isinstance(value, (int, float)) and math.isfinite(value))
    if not (isinstance(name, str) and name.isidentifier() and fits):
        raise ValueError
    return value


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _str,
    "range": _range,
    "list": _rising,
    "weighted": _weighted,
    "table": _table,
}
