"""Outside `tasks/` no code asks of which kind a task is: it asks the task. What reads files of users is listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import striate

ROOT = Path(striate.__file__).parent
KINDS = {"classification", "multilabel", "regression", "segmentation", "captioning"}
OLD_KINDS = {"class", "labels", "number"}

# File -> how many: names of columns and of arrays in files that users bring, and no kinds of tasks.
ALLOWED = {
    "data/sources/idx.py": 1,  # "labels" in the name of an IDX file
    "data/sources/coco_masks.py": 1,  # the key "segmentation" of a COCO file
    "data/sources/columns.py": 3,  # names of columns
    "data/sources/manifest.py": 3,
}


def strings(node: ast.AST) -> Iterator[str]:
    """The text constants among the operands of a comparison, inside tuples, lists and sets too."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for element in node.elts:
            yield from strings(element)


def comparisons(tree: ast.AST) -> Iterator[int]:
    """Lines that compare with a kind, match it, look one up in a dict literal, or key a dict by several."""
    for node in ast.walk(tree):
        found: set[str] = set()
        if isinstance(node, ast.Compare):
            found = {text for operand in (node.left, *node.comparators) for text in strings(operand)}
        elif isinstance(node, ast.MatchValue):
            found = set(strings(node.value))
        elif isinstance(node, ast.Dict):
            keys = {text for key in node.keys if key is not None for text in strings(key)}
            found = keys if len(keys & (KINDS | OLD_KINDS)) > 1 else set()
        elif isinstance(node, ast.Subscript):
            found = set(strings(node.slice)) & KINDS
        if found & (KINDS | OLD_KINDS):
            yield node.lineno


def test_the_walk_sees_every_way_of_asking() -> None:
    asked = """
task.kind == "classification"
"regression" != kind
kind in ("multilabel", "other")
{"class": 1, "number": 2}[kind]
match kind:
    case "regression": pass
sizes["multilabel"]
"""
    assert len(list(comparisons(ast.parse(asked)))) == 6
    assert not list(comparisons(ast.parse('task.one_class; {"class": 1}; row["class"]; print("regression")')))


def test_no_kind_is_compared_outside_the_tasks() -> None:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("tasks/") and (lines := list(comparisons(ast.parse(path.read_text("utf-8"))))):
            found[name] = lines
    assert {name: len(lines) for name, lines in found.items()} == ALLOWED, found
