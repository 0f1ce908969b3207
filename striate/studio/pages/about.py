"""About: versions, limits, and what leaves this machine: nothing."""

from __future__ import annotations

import platform
from importlib import metadata

from fastapi import FastAPI, Request
from fastapi.responses import Response

from striate.studio import hub, predicting, uploads
from striate.studio.studio import Studio

PACKAGES = ("torch", "numpy", "pillow", "openvino", "onnxruntime", "fastapi", "starlette", "uvicorn", "jinja2")
MIB = 2**20


def add(app: FastAPI, studio: Studio) -> None:
    """Add /about."""

    @app.get("/about", include_in_schema=False)
    def page(request: Request) -> Response:
        values = {
            "title": "About", "versions": _versions(studio), "limits": _limits(studio), "home_path": studio.home,
            "root_path": studio.root, "port": request.url.port or 80,
        }  # fmt: skip
        return studio.pages.page(request, "about.html", values)


def _versions(studio: Studio) -> list[tuple[str, str]]:
    found = [("Striate", studio.version), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _limits(studio: Studio) -> list[tuple[str, str]]:
    """What is refused, as it is enforced."""
    images, limits = studio.images.limits, studio.limits
    return [
        ("An image that is added", f"{uploads.MOST_BYTES // MIB} MiB"),
        ("A picture that is tried", f"{images.body // MIB} MiB"),
        ("Pixels of an image", f"{limits.pixels:,}"),
        ("Images decoded at a time", str(limits.decoders)),
        ("Uploads at a time", str(uploads.AT_A_TIME)),
        ("Pictures tried at a time", str(predicting.WAITING)),
        ("Models that stay open", str(predicting.KEPT)),
        ("Other requests", f"{limits.body // MIB} MiB"),
        ("Space that stays free", f"{uploads.LEAST_FREE // 2**30} GiB"),
        ("Pages that listen", str(hub.MOST)),
        ("Connections", f"{limits.connections:,}"),
    ]
