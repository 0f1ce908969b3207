"""The facts files hold what counting the nets gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import striate.nets
from striate.anatomy.facts import recounted
from striate.nets import catalog

FILES = sorted(catalog.FACTS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_recounting_gives_the_stored_numbers(path: Path) -> None:
    assert recounted(path) == path.read_text("utf-8"), f"run python -m striate.anatomy.facts {path.stem}"


def test_a_new_net_is_counted_from_an_empty_entry(tmp_path: Path) -> None:
    stored = (catalog.FACTS / "lenet.json").read_text("utf-8")
    path = tmp_path / "lenet.json"
    path.write_text(stored.replace('{"parameters": 60806, "madds": 326520}', "{}"), "utf-8")
    assert path.read_text("utf-8") != stored
    assert recounted(path) == stored


def test_every_file_belongs_to_a_module() -> None:
    folder = Path(striate.nets.__file__).parent
    assert all((folder / f"{path.stem}.py").is_file() for path in FILES)
