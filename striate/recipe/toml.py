"""Recipes as TOML text: reading, and writing with a comment on each key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from striate.errors import RequestError
from striate.recipe.keys import NONE, STRATEGIES, Key


def read_toml(text: str, source: str) -> dict[str, Any]:
    """The values of TOML text; `source` names it in errors. Raises RequestError for other text."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{source} is not valid TOML: {error}") from error


def written(keys: Sequence[Key], values: Mapping[str, Any]) -> str:
    """The keys that are set as TOML, table by table, a comment on each key."""
    blocks: dict[str, list[str]] = {}
    for one in keys:
        value = values[one.name]
        if value is None and one.default is None:
            continue
        if one.type == "table":
            blocks[one.name] = [f"{name} = {text_of(option)}" for name, option in value.items()]
            continue
        line = f"{one.field} = {text_of(NONE if value is None else value)}"
        blocks.setdefault(one.table, []).append(f"{line.ljust(34)} # {_comment(one)}")
    parts = [[f"[{table}]", *lines] if table else lines for table, lines in blocks.items() if lines]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _comment(key: Key) -> str:
    text = key.help + (f", in {key.unit}" if key.unit else "")
    text += f" ({key.range})" if key.range else ""
    return text + ("" if set(key.strategies) == set(STRATEGIES) else f"; {', '.join(key.strategies)}")


def text_of(value: Any) -> str:
    """A value as TOML has it."""
    # JSON is also TOML for text, numbers and lists of them, but TOML wants DEL escaped too, and no surrogate pairs.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
