"""Changes to a recipe by dotted keys: used by Python, TOML and the command line alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from striate.errors import RequestError, nearest, shown, unknown
from striate.recipe.keys import Table, keys_of
from striate.recipe.tree import CHOICES, TABLES, every_key

_DEEPEST = 16  # tables within tables; none is known below the second
_FREE = "options"  # the key of [net] that is a table of any keys


def flattened(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted keys."""
    found: dict[str, Any] = {}
    if above.count(".") >= _DEEPEST:
        raise RequestError(f"tables of a recipe are nested at most {_DEEPEST} deep, not {above[:60]!r}...")
    for name, value in values.items():
        if not isinstance(name, str):
            raise RequestError(f"a key of a recipe is a string, not {name!r}")
        dotted = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            found |= flattened(value, dotted)
        else:
            found[dotted] = value
    return found


def assigned(words: Iterable[str]) -> dict[str, Any]:
    """Keys and values from `KEY=VALUE` texts; an empty value is None. Raises RequestError for a text without "="."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name:
            raise RequestError(f"--set takes KEY=VALUE, such as train.batch=32, not {word!r}")
        found[name] = _free(text) if name.startswith(f"net.{_FREE}.") else text or None
    return found


def augment_keys(words: Iterable[str]) -> dict[str, Any]:
    """Keys and values of [augment] from words: a preset, or KEY=VALUE; each once. Raises RequestError for others."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        key, value = (name, text or None) if equals else ("preset", word)
        if not equals and word not in (known := keys_of(TABLES["augment"])[0].choices):
            raise unknown(
                "augmentation", word, [*known, *(f"{one.field}=..." for one in keys_of(TABLES["augment"])[1:])]
            )
        if key in found:
            raise RequestError(f"augment.{key} is given twice")
        found[key] = value
    return found


def options(words: Iterable[str]) -> dict[str, Any]:
    """Options of a network's constructor from `NAME=VALUE` texts: true, numbers, lists, else text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise RequestError(f"an option of a network is NAME=VALUE, not {word!r}")
        found[name] = _free(text)
    return found


def _free(text: str) -> Any:
    """Parse a text without a declared type: true, a number, a list, or else the text itself."""
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text


def changed(recipe: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the recipe that `values`, by dotted keys, change; tables whole. Raises RequestError."""
    known = {one.field for one in keys_of(type(recipe))}
    found: dict[str, Any] = {}
    by_table: dict[str, dict[str, Any]] = {}
    for dotted, value in values.items():
        table, dot, field = dotted.partition(".")
        if not dot and table in TABLES:
            if not isinstance(value, TABLES[table]):
                raise RequestError(f"[{table}] is a table of keys, and takes no value such as {shown(value)}")
            found[table] = value
        elif not dot and table in known:
            found[table] = value
        elif dot and table in TABLES:
            by_table.setdefault(table, {})[field] = value
        elif dot and table in known:
            raise RequestError(f"{table!r} is a key, not a table")
        else:
            raise _misplaced(recipe, dotted)
    for table, inner in by_table.items():
        found[table] = _table(recipe, table, found.get(table, getattr(recipe, table)), inner)
    return found


def _table(recipe: Table, name: str, now: Table, values: dict[str, Any]) -> Table:
    """The table with other values for some of its keys."""
    kind, kept = type(now), {} if type(now).RESETS in values else now.given()
    if name in CHOICES and "name" in values:
        chosen = values.pop("name")
        if not isinstance(chosen, str) or chosen not in CHOICES[name]:
            raise unknown(name, chosen if isinstance(chosen, str) else shown(chosen), CHOICES[name])
        kind = CHOICES[name][chosen]
    fields = [one.field for one in keys_of(kind)]
    kept = {field: value for field, value in kept.items() if field in fields}
    for field in [field for field in values if field.startswith(f"{_FREE}.") and _FREE in fields]:
        kept[_FREE] = {**kept.get(_FREE, {}), field.partition(".")[2]: values.pop(field)}
    for field in values:
        if field not in fields:
            raise _no_key(recipe, name, kind, field)
    return kind(**kept | values)


def _no_key(recipe: Table, table: str, kind: type[Table], field: str) -> RequestError:
    """The error for a key that the table does not have: another choice's, another table's, or unknown."""
    fields = [one.field for one in keys_of(kind)]
    if table in CHOICES:
        if any(field in [one.field for one in keys_of(other)] for other in CHOICES[table].values()):
            name = getattr(kind, "name", "")
            shown = ", ".join(fields) or "none"
            return RequestError(f"{table} {name!r} has no key {field!r}; its keys are {shown}")
        fields = ["name", *fields]
    if homes := _homes(recipe, field):
        return RequestError(f"{field!r} is not in [{table}]: it is {homes}")
    if near := nearest(field, fields):
        names = " or ".join(repr(name) for name in near)
        return RequestError(f"unknown key {field!r} in [{table}]: did you mean {names}?")
    return unknown(f"key in [{table}]", field, fields)


def _misplaced(recipe: Table, dotted: str) -> RequestError:
    """The error for a name that is neither a table nor a key outside the tables."""
    if "." in dotted:
        return unknown("table of a recipe", dotted.partition(".")[0], TABLES)
    if homes := _homes(recipe, dotted):
        return RequestError(f"{dotted!r} is in a table: {homes}")
    names = [one.name for one in every_key(type(recipe))]
    by_field = {name.rpartition(".")[2]: name for name in reversed(names)}
    near = list(dict.fromkeys(by_field.get(name, name) for name in nearest(dotted, [*by_field, *TABLES, *names])))
    if near:
        return RequestError(f"unknown recipe key {dotted!r}; did you mean {' or '.join(map(repr, near))}?")
    return unknown("recipe key", dotted, names)


def _homes(recipe: Table, field: str) -> str:
    """The full names of the keys with this field name, as text."""
    return " or ".join(dict.fromkeys(one.name for one in every_key(type(recipe)) if one.field == field))
