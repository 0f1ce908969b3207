"""Each room imports lower ranks only: the tables of docs/architecture.md against every import, lazy ones too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import striate

ROOT = Path(striate.__file__).parent

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")


def ranks(heading: str) -> dict[str, int]:
    """The table under a heading of docs/architecture.md: names with their ranks."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {name: int(rank) for rank, name in re.findall(r"^\| (\d+) \| `([^`]+)` \|", section, flags=re.MULTILINE)}


RANK = ranks("Rooms and ranks")
DATA_RANK = ranks("Within data")
BELOW = {"errors", "reading"}  # imported by all others
TOP = {room for room, rank in RANK.items() if rank == max(RANK.values())}  # the package's faces know each other
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """The module of a file, within the package: "nets.catalog", "data", "__init__"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path) for path in FILES}
# Modules that have another rank than their room.
APART = {
    "nets.catalog": "nets.catalog",
    "interop.graph": "interop.graph",
    "interop.graph_net": "interop.graph",
    "interop.operators": "interop.graph",
}


def room_of(module: str) -> str:
    return APART.get(module, module.partition(".")[0])


def imports(tree: ast.AST, package_itself: bool) -> Iterator[str]:
    """Every module named by an import anywhere, `from package import submodule` resolved to the submodule."""
    skipped: set[ast.AST] = set()
    if package_itself:  # the package's own names for type checkers are fetched lazily
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("striate.") in MODULES else node.module


def imported(path: Path) -> list[str]:
    return list(imports(ast.parse(path.read_text("utf-8")), name_of(path) == "__init__"))


def ours(names: list[str]) -> set[str]:
    """Rooms among the imported modules; `import striate` itself is the package's top."""
    found = {
        name.removeprefix("striate.") if name != "striate" else "__init__"
        for name in names
        if name.split(".")[0] == "striate"
    }
    return {room_of(name) for name in found}


@pytest.mark.parametrize("path", FILES, ids=[name_of(path) for path in FILES])
def test_a_room_imports_lower_ranks_only(path: Path) -> None:
    room = room_of(name_of(path))
    assert room in RANK, f"{room!r} has no rank: docs/architecture.md lists the rooms"
    for other in ours(imported(path)) - {room}:
        if {room, other} <= TOP or other in BELOW:
            continue
        assert RANK[other] < RANK[room], f"{name_of(path)} (rank {RANK[room]}) imports {other} (rank {RANK[other]})"


def test_rank_0_and_model_import_no_torch() -> None:
    for path in FILES:
        room = room_of(name_of(path))
        if RANK[room] == 0 or room == "model":
            assert not {name for name in imported(path) if name.split(".")[0] == "torch"}, path


def test_nets_and_training_do_not_know_each_other() -> None:
    for path in FILES:
        room = room_of(name_of(path))
        if room in ("nets", "training"):
            assert ({"nets", "training"} - {room}).isdisjoint(ours(imported(path))), path


def test_papers_do_not_know_anatomy() -> None:
    for path in FILES:
        if room_of(name_of(path)) == "nets":
            assert "anatomy" not in ours(imported(path)), path


def test_data_and_report_know_no_net() -> None:
    for path in FILES:
        if room_of(name_of(path)) in ("data", "report"):
            assert {"nets", "nets.catalog"}.isdisjoint(ours(imported(path))), path


def test_within_data_the_arrows_go_one_way_too() -> None:
    for path in (ROOT / "data").rglob("*.py"):
        inner = path.relative_to(ROOT / "data").with_suffix("").parts[0]
        for module in imported(path):
            if module.startswith("striate.data.") and (other := module.split(".")[2]) != inner:
                assert DATA_RANK[other] < DATA_RANK[inner], f"{name_of(path)} imports {module}"


def test_no_room_is_empty() -> None:
    rooms = {path.parent for path in FILES} | {
        path for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    for folder in rooms - {ROOT}:
        holds = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        # Written in full in __init__.py is no empty room either.
        body = ast.parse((folder / "__init__.py").read_text("utf-8")).body if (folder / "__init__.py").exists() else []
        assert holds or len(body) > 1, f"{folder.name} is an empty room"


def test_every_listed_room_is_there() -> None:
    assert {room_of(name) for name in MODULES} == set(RANK)


def test_the_walk_sees_lazy_imports_and_submodules() -> None:
    tree = ast.parse(
        "def f():\n    from striate import model\n    import striate.nets.build\nfrom striate.nets import catalog"
    )
    assert ours(list(imports(tree, False))) == {"model", "nets", "nets.catalog"}
