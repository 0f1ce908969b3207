"""API: the routes of this studio as they are typed, for programs; the page loads nothing from elsewhere."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from striate.studio.rendering import Json
from striate.studio.studio import Studio

WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def add(app: FastAPI, studio: Studio) -> None:
    """Add /docs and its description."""

    @app.get("/docs", include_in_schema=False)
    def page(request: Request) -> Response:
        calls = sorted(_calls(app.openapi()), key=lambda call: call["tag"])
        groups = [(tag, list(some)) for tag, some in groupby(calls, key=lambda call: call["tag"])]
        address = str(request.base_url).rstrip("/")
        shown = f'curl -H "Authorization: Bearer $STRIATE_TOKEN" {address}/api/home'
        return studio.pages.page(request, "api.html", {"title": "API", "groups": groups, "shown": shown})

    @app.get("/api/openapi.json", tags=["api"])
    def described() -> Response:
        """This API as OpenAPI."""
        return Json(app.openapi())


def _calls(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of an OpenAPI description. fields: name, type and default of a JSON body."""
    schemas = described.get("components", {}).get("schemas", {})
    return [
        {"method": method.upper(), "path": path, "tag": one.get("tags", ["other"])[0],
         "about": one.get("description", ""), "parameters": [_parameter(each) for each in one.get("parameters", ())],
         "body": _body(one, schemas)}
        for path, operations in described["paths"].items()
        for method, one in operations.items()
    ]  # fmt: skip


def _parameter(one: dict[str, Any]) -> dict[str, str]:
    schema = one.get("schema", {})
    needed = "" if one.get("required") else f", by default {schema.get('default', '')!r}"
    return {"name": one["name"], "said": f"{_type(schema)}, in the {one['in']}{needed}"}


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """about: the body in words. fields: of a JSON object."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return {"about": "the image file itself" if content else "", "fields": []}
    schema = _resolved(content["application/json"]["schema"], schemas)
    fields = [{"name": name, "said": _type(_resolved(field, schemas)) +
               ("" if name in schema.get("required", ()) else f", by default {field.get('default', '')!r}")}
              for name, field in schema.get("properties", {}).items()]  # fmt: skip
    return {"about": schema.get("description", ""), "fields": fields}


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(schemas[name]) if name else schema


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "")
    if kind == "array":
        return f"a list of: {_type(schema.get('items', {}))}"
    if kind == "object":
        return "an object of texts"
    return WORDS.get(kind, "a value")
