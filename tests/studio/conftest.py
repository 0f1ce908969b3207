"""A studio with finished runs, which tests of several files use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from studio_app import LIGHT, Running, encoded, make_folder, running, trained


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A studio's folder with runs on uploads of two classes, and on tables of labels and of numbers."""
    home = tmp_path_factory.mktemp("results")
    make_folder(home / "own" / "images", 12)
    rows = [(f"images/{name}/{n}.png", name) for name in ("dark", "light") for n in range(12)]
    for file, column, values in (
        ("labels.csv", "labels", {"dark": "dark|noise", "light": "noise"}),
        ("numbers.csv", "number:shade", {"dark": "60", "light": "190"}),
    ):
        lines = [f"path,{column}", *(f"{path},{values[name]}" for path, name in rows)]
        (home / "own" / file).write_text("\n".join(lines) + "\n")
        trained(home, home / "own" / file, file.partition(".")[0], epochs=1)
    return home


@pytest.fixture(scope="session")
def finished(finished_home: Path) -> Iterator[Running]:
    home = finished_home
    with running(home) as found:
        number = found.api("POST", "/api/data", {"name": "shades"})["number"]
        for place, name in enumerate(("dark", LIGHT)):
            for image in range(14):
                part = "train" if image < 10 else "val"
                address = f"/api/data/{number}/files/{quote(name)}?part={part}"
                assert found.ask("PUT", address, encoded(100 * place + image, shade=130 * place)).status == 200
        trained(home, home / "data" / "shades", "first")
        trained(home, home / "data" / "shades", "second", epochs=1, lr=1e-7)
        yield found
