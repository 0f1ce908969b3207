"""The search space: recipe keys, each with a range or a list of values, read from TOML and checked against the keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError, nearest, shown
from striate.reading import TEXT, read_given
from striate.recipe import Key, Recipe, keys_called
from striate.recipe.keys import converted
from striate.recipe.toml import read_toml, text_of
from striate.storage import json_text, sha256_of
from striate.tuning.net_options import PREFIX, option_key
from striate.tuning.usual import LOGARITHMIC, USUAL

AUTO = "auto"
POINTS = 5  # of a range in a grid, unless given
MOST_POINTS = 1_000_000  # of a grid
_RANGE = ("low", "high", "log", "points")  # what a table in a space may hold

# Keys that are not searched, and why.
_FIXED = {
    "strategy": "give it with --strategy",
    "seed": "trials share one seed, as a lucky seed is no better recipe",
    "net.options": "it is a table: search one of its options, such as net.options.width",
    "train.overfit_batch": "it is a check, and does not change the model",
    "head.learning_curve": "it is measured, and does not change the model",
}
_FIXED_TABLES = {
    "data": "all trials share the data and their split",
    "checkpoint": "checkpoints do not change the model",
    "inference": "all trials are evaluated by one engine",
}
_SEARCHED = ("data.balance",)  # in spite of its table

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """A key's numbers from `low` to `high`. log: on a logarithmic scale. points: of it in a grid; None: the default."""

    key: Key
    low: float
    high: float
    log: bool = False
    points: int | None = None

    @property
    def whole(self) -> bool:
        """Whether its values are integers."""
        return self.key.type == "int" or (self.key.whole == "from 1" and self.low >= 1) or self.key.whole == "all"

    def grid(self, points: int) -> tuple[Any, ...]:
        """Evenly spaced values, on the range's scale; of integers each once."""
        count = self.points or points
        shares = [0.5] if count == 1 else [place / (count - 1) for place in range(count)]
        values = [self.at(share) for share in shares]
        return tuple(dict.fromkeys(values))

    def at(self, share: float) -> Any:
        """The value at a share, from 0 to 1, of the range."""
        if share in (0, 1):  # exactly, as outside them there are no values
            value = (self.low, self.high)[int(share)]
        elif self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.whole else float(f"{value:.6g}") if 0 < share < 1 else float(value)

    def place(self, value: float) -> float:
        """The share of the range, from 0 to 1, at a value."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)

    def text(self) -> str:
        """The range in short."""
        return f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")

    def facts(self) -> dict[str, Any]:
        """As a space file has it."""
        points = {} if self.points is None else {"points": self.points}
        return {"low": self.low, "high": self.high, "log": self.log, **points}


@dataclass(frozen=True)
class Choices:
    """A key's values to choose from; None is unset."""

    key: Key
    values: tuple[Any, ...]

    def grid(self, points: int) -> tuple[Any, ...]:
        """The labels of the values."""
        return self.labels

    @property
    def labels(self) -> tuple[bool | int | float | str | None, ...]:
        """The values as an Optuna study holds them: lists as JSON text."""
        return tuple(label(value) for value in self.values)

    def text(self) -> str:
        """The values in short."""
        return ", ".join("unset" if one is None else str(one) for one in self.labels)

    def facts(self) -> list[Any]:
        """As a space file has it."""
        return ["none" if value is None else value for value in self.values]


Dimension = Range | Choices


def label(value: Any) -> bool | int | float | str | None:
    """A value as an Optuna study holds it: a scalar, or else JSON text."""
    return json_text(value) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Space:
    """What is searched: dimensions, those that choose an optimizer or schedule first.

    points: of each range in a grid.
    """

    dimensions: tuple[Dimension, ...]
    points: int = POINTS

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(one.key.name for one in self.dimensions)

    @property
    def finite(self) -> bool:
        """Whether it has only lists of values."""
        return all(isinstance(one, Choices) for one in self.dimensions)

    def dimension(self, name: str) -> Dimension:
        """The dimension of a key."""
        return next(one for one in self.dimensions if one.key.name == name)

    def active(self, chosen: Params, recipe: Recipe) -> Iterator[Dimension]:
        """The dimensions in order, without those that the chosen optimizer or schedule has no key for.

        chosen: read while iterating, so that it may be filled meanwhile.
        """
        unsearched = recipe.values()
        yield from (one for one in self.dimensions if _exists(one.key, chosen, unsearched))

    def grid(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Every point of the grid, as labels by key. Raises RequestError for more than `MOST_POINTS`."""
        found: list[dict[str, Any]] = [{}]
        unsearched = recipe.values()
        for one in self.dimensions:
            values = one.grid(self.points)
            has = [_exists(one.key, point, unsearched) for point in found]
            if len(found) * len(values) > MOST_POINTS:
                raise RequestError(
                    f"the grid has more than {MOST_POINTS:,} points: give fewer --points, or --method random"
                )
            found = [
                {**point, one.key.name: value} if holds else point
                for point, holds in zip(found, has, strict=True)
                for value in (values if holds else (None,))
            ]
        return found

    def values(self, params: Params) -> dict[str, Any]:
        """Recipe values by key, from the labels that a study holds."""
        found = {}
        for name, given in params.items():
            one = self.dimension(name)
            found[name] = (
                one.values[[repr(x) for x in one.labels].index(repr(given))] if isinstance(one, Choices) else given
            )
        return found

    def toml(self) -> str:
        """The space as TOML; `read_space` reads it back."""
        lines = []
        for one in self.dimensions:
            facts = one.facts()
            if isinstance(facts, dict):
                inner = ", ".join(f"{name} = {text_of(value)}" for name, value in facts.items())
                lines.append(f"{text_of(one.key.name)} = {{{inner}}}")
            else:
                lines.append(f"{text_of(one.key.name)} = {text_of(facts)}")
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """Identifies the space: what any two workers on one study must share."""
        return sha256_of(json.dumps([self.toml(), self.points]).encode())[:16]

    def lines(self) -> list[str]:
        """Each dimension in a line."""
        return [f"{one.key.name}: {one.text()}" for one in self.dimensions]


def _exists(key: Key, chosen: Params, unsearched: Params) -> bool:
    """Whether the chosen optimizer or schedule has the key."""
    name = f"{key.table}.name"
    return not key.of or chosen.get(name, unsearched.get(name)) in key.of


def read_space(path: Path) -> Mapping[str, Any]:
    """The content of a space file. Raises RequestError where it cannot be read."""
    text = read_given(path, "the space", TEXT).decode("utf-8-sig", "replace")
    return read_toml(text, f"space {str(path)!r}")


def make_space(
    given: Mapping[str, Any], recipe: Recipe, strategy: str, *, points: int = POINTS, nets: tuple[str, ...] = ()
) -> Space:
    """The space of nested or dotted keys, each with a range {low, high, log, points}, a list of values, or "auto".

    recipe: what is not searched. nets: those that "auto" stands for in net.name.
    Raises RequestError for a key that is unknown, not searched, or not used by the strategy or by any optimizer or
    schedule that is chosen; for a range outside the key's; for an empty list.
    """
    if not isinstance(points, int) or not 2 <= points <= MOST_POINTS:
        raise RequestError(f"--points takes 2 to {MOST_POINTS:,} values of each range in a grid, not {points!r}")
    found = [_dimension(_key(name, recipe), value, nets) for name, value in _flattened(given).items()]
    if not found:
        raise RequestError('the space is empty: name at least one key, such as "optimizer.lr" = {low = 0.01, high = 1}')
    found.sort(key=lambda one: one.key.field != "name")  # optimizer and schedule decide which keys there are
    space = Space(tuple(found), points)
    idle = [one.key.name for one in found if strategy not in one.key.strategies]
    if idle:
        raise RequestError(f"not used by the strategy {strategy}: {', '.join(idle)}; leave them out of the space")
    for one in found:
        if one.key.of and not _has(one, space, recipe):
            table = one.key.table
            raise RequestError(
                f"{one.key.name} is a key of the {table}s {', '.join(one.key.of)}, and the search has none of them: "
                f"set {table}.name, or search it"
            )
    return space


def _has(one: Dimension, space: Space, recipe: Recipe) -> bool:
    """Whether an optimizer or schedule that may be chosen has the key."""
    name = f"{one.key.table}.name"
    chosen = space.dimension(name).grid(2) if name in space.names else (recipe.value(name),)
    return not set(chosen).isdisjoint(one.key.of)


def _flattened(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Keys with their ranges or lists: a table that holds none of the words of a range holds keys."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{above}.{name}" if above else str(name)
        inner = isinstance(value, Mapping) and not any(word in value for word in _RANGE)
        more = _flattened(value, dotted) if inner and value else {dotted: value}
        if twice := sorted(found.keys() & more.keys()):
            raise RequestError(f"the space has the key {twice[0]!r} twice")
        found |= more
    return found


def _key(name: str, recipe: Recipe) -> Key:
    if name.startswith(PREFIX):
        return option_key(name, recipe)
    known = {one.name: one for one in keys_called()}
    if name not in known:
        by_field = {one.rpartition(".")[2]: one for one in known}
        near = nearest(name, known) or [by_field[one] for one in nearest(name, by_field)]
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "'striate recipe' lists them"
        raise RequestError(f"unknown key {name!r} in the space; {hint}")
    key = known[name]
    why = _FIXED.get(name) or (None if name in _SEARCHED else _FIXED_TABLES.get(key.table))
    if why:
        raise RequestError(f"{name} cannot be searched: {why}")
    return key


def _dimension(key: Key, given: Any, nets: tuple[str, ...]) -> Dimension:
    if isinstance(given, str) and given == AUTO:
        return own_range(key, nets)
    if isinstance(given, (list, tuple)):
        return _choices(key, given)
    if isinstance(given, Mapping):
        return _range(key, given)
    raise RequestError(
        f"{key.name} takes a range {{low = ..., high = ...}}, a list, or 'auto' in a space, not {shown(given)}"
    )


def own_range(key: Key, nets: tuple[str, ...] = ()) -> Dimension:
    """All that a key takes, or of a number what is usual: "auto"."""
    if key.name == "net.name" and nets:
        return Choices(key, nets)
    if key.name in USUAL:
        low, high = USUAL[key.name]
        return Range(key, low, high, key.name in LOGARITHMIC)
    if key.choices:
        # A schedule by the held-out score would be led by the images that the model is judged on.
        return Choices(key, tuple(one for one in key.choices if (key.name, one) != ("schedule.name", "plateau")))
    if key.type == "bool":
        return Choices(key, (False, True))
    if key.type in ("int", "float") and math.isfinite(key.low) and math.isfinite(key.high):
        log = key.low > 0 and key.high / key.low >= 1000
        return Range(key, key.low, key.high, log)
    raise RequestError(f"{key.name} has no range of its own: give a list of values in the space")


def _choices(key: Key, given: list[Any] | tuple[Any, ...]) -> Choices:
    values = tuple(converted(key, value) for value in given)
    if not values:
        raise RequestError(f"the list of values of {key.name} is empty: give at least one")
    if len({repr(value) for value in values}) < len(values):
        raise RequestError(f"the list of values of {key.name} has one of them twice")
    return Choices(key, values)


def _range(key: Key, given: Mapping[str, Any]) -> Range:
    other = [name for name in given if name not in _RANGE]
    if other:
        raise RequestError(f"a range has low, high, log and points; {key.name} has {', '.join(map(repr, other))}")
    if key.type not in ("int", "float") or key.choices:
        raise RequestError(f"{key.name} takes {key.takes}, so it has no range: give a list of values in the space")
    if "low" not in given or "high" not in given:
        usual = own_range(key)
        assert isinstance(usual, Range)
        given = {"low": usual.low, "high": usual.high, **given}
    low, high = (_bound(key, given[side]) for side in ("low", "high"))
    if low >= high:
        raise RequestError(f"the range of {key.name} is from low to high: low = {low:g} is not below high = {high:g}")
    if key.whole == "from 1" and low < 1 < high:
        raise RequestError(f"{key.name} is a fraction below 1 and whole from 1 on: give a range on one side of 1")
    log = given.get("log", key.name in LOGARITHMIC and low > 0)
    if not isinstance(log, bool):
        raise RequestError(f"log of {key.name} is true or false, not {shown(log)}")
    if log and low <= 0:
        raise RequestError(f"a logarithmic range starts above 0; low of {key.name} is {low:g}")
    points = given.get("points")
    if points is not None and (type(points) is not int or not 1 <= points <= MOST_POINTS):
        raise RequestError(f"points of {key.name} is a number of values in a grid, from 1 on, not {shown(points)}")
    return Range(key, low, high, log, points)


def _bound(key: Key, value: Any) -> float:
    """A bound of a range, which is a number that the key takes."""
    found = converted(key, value)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise RequestError(f"a range of {key.name} is between two numbers, not {shown(value)}")
    return found


def described(values: Params) -> str:
    """Keys and values in a line."""
    return ", ".join(f"{name} = {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    return "unset" if value is None else f"{value:.4g}" if isinstance(value, float) else str(label(value))


def combinations(space: Space, recipe: Recipe) -> int | None:
    """How many points a space without ranges has; None for one with ranges, or with more than a grid may have."""
    if not space.finite or math.prod(len(one.grid(2)) for one in space.dimensions) > MOST_POINTS:
        return None
    return len(space.grid(recipe))
