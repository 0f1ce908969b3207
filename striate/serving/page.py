"""The API as a page: what /openapi.json says, without anything from elsewhere and without a script."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace}pre{overflow-x:auto}h2{font-size:1.1rem;margin:2rem 0 .3rem}"
    "td{padding:.1rem 1rem .1rem 0;vertical-align:top}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"


def page(described: dict[str, Any]) -> str:
    """HTML of an OpenAPI description."""
    title = escape(f"{described['info']['title']} {described['info']['version']}")
    parts = [f'<p>{escape(described["info"]["description"])} <a href="openapi.json">openapi.json</a></p>']
    for path, operations in described["paths"].items():
        parts += [_operation(path, method, one) for method, one in operations.items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{''.join(parts)}</body></html>"
    )


def _operation(path: str, method: str, one: dict[str, Any]) -> str:
    rows = [(f"<code>{escape(each['name'])}</code>", escape(each.get("description") or f"in the {each['in']}"))
            for each in one.get("parameters", ())]  # fmt: skip
    kinds = one.get("requestBody", {}).get("content", {})
    if kinds:
        rows.append(("body", escape(", ".join(kinds))))
    rows += [(f"<b>{escape(code)}</b>", escape(told["description"])) for code, told in one["responses"].items()]
    table = "".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in rows)
    return (
        f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(one.get('description', ''))}</p><table>{table}</table></section>"
    )
