"""Requests made up from an OpenAPI description, and whether answers are what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(("", "..", "/", "a/../b", "\0", "%00", "-x", "<b>", "1", "é" * 60))
)
NUMBERS = st.one_of(st.integers(-2, 4), st.integers(), st.sampled_from((2**31, 2**63, 10**30)))
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@dataclass
class Call:
    """A request. described: the operation that it was made from."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]
    described: Mapping[str, Any] = field(repr=False)


def calls(
    described: Mapping[str, Any], known: Mapping[str, list[Any]], files: list[bytes], without: tuple[str, ...] = ()
) -> st.SearchStrategy[Call]:
    """Any call of the description. known: values that lead further, by parameter or field. files: for binary bodies."""
    operations = [
        (method.upper(), path, one)
        for path, found in described["paths"].items()
        for method, one in found.items()
        if path not in without
    ]
    schemas = described.get("components", {}).get("schemas", {})
    return st.sampled_from(operations).flatmap(lambda one: _call(*one, schemas, known, files))


def _call(method: str, path: str, one: Any, schemas: Any, known: Any, files: list[bytes]) -> st.SearchStrategy[Call]:
    @st.composite
    def made(draw: st.DrawFn) -> Call:
        address, query, headers, whole = path, {}, {}, draw(st.integers(0, 3)) > 0
        for parameter in one.get("parameters", ()):
            name = parameter["name"]
            text = str(draw(_value(parameter["schema"], schemas, known, name)))
            match parameter["in"]:
                case "path":
                    address = address.replace(f"{{{name}}}", quote(text.encode("utf-8", "replace"), safe=""))
                case "query" if draw(st.booleans()):
                    query[name] = text.encode("utf-8", "replace")
                case "header" if draw(st.booleans()) and text.isascii() and text.isprintable():
                    headers[name] = text
        body = b""
        content = one.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            headers["Content-Type"] = "application/json"
            given = draw(st.one_of(_value(content["application/json"]["schema"], schemas, known, ""), JUNK))
            body = json.dumps(given).encode("utf-8", "replace")
            body = body if whole else body[: len(body) // 2]
        elif content or method == "PUT":
            body = draw(st.one_of(st.sampled_from(files), st.binary(max_size=40)))
        return Call(method, address + ("?" + urlencode(query) if query else ""), body, headers, one)

    return made()


def _value(schema: Any, schemas: Any, known: Any, name: str) -> st.SearchStrategy[Any]:
    """A value of a schema, mostly."""
    if "$ref" in schema:
        return _value(schemas[schema["$ref"].rpartition("/")[2]], schemas, known, name)
    if name in known:
        return st.one_of(st.sampled_from(known[name]), _plain(schema, schemas, known))
    return _plain(schema, schemas, known)


def _plain(schema: Any, schemas: Any, known: Any) -> st.SearchStrategy[Any]:
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "string":
            return TEXTS
        case "integer" | "number":
            return NUMBERS
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(_value(schema.get("items", {}), schemas, known, ""), max_size=3)
        case "object":
            fields = {key: _value(one, schemas, known, key) for key, one in schema.get("properties", {}).items()}
            needed = {key: fields[key] for key in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional={key: fields[key] for key in fields if key not in needed})
        case _:
            return JUNK


def require_described(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail where an answer is an error of the server's, or none that the description has."""
    responses = call.described["responses"]
    wanted = responses.get(str(status)) or responses.get(f"{status // 100}XX")
    assert status < 500 and wanted is not None, (call, status, body[:300])
    kinds = wanted.get("content", {})
    kind = headers.get("content-type", "").partition(";")[0]
    assert not kinds or kind in kinds or not any(one.get("schema") for one in kinds.values()), (call, headers)
    if kind == "application/json" and kinds.get(kind, {}).get("schema"):
        _require(json.loads(body), kinds[kind]["schema"], call)
    if status >= 400:
        assert "\n" not in json.loads(body)["error"], (call, body)


_TYPES = {"object": dict, "string": str, "boolean": bool, "array": list, "integer": int, "number": (int, float),
          "null": type(None)}  # fmt: skip


def _require(value: Any, schema: Mapping[str, Any], call: Call) -> None:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    assert not kinds or any(isinstance(value, _TYPES[kind]) for kind in kinds), (call, value, schema)
    for key in schema.get("required", ()):
        assert key in value, (call, key, value)
    if isinstance(value, dict):
        for key, one in schema.get("properties", {}).items():
            if key in value:
                _require(value[key], one, call)
