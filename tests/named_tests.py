"""The tests that docs/coverage.toml and docs/lectures.toml name: do they exist, and did a full run run them?

conftest.py takes the hooks of this file; test_coverage.py and test_lectures.py take `missing`. Run as a program, it
follows tests that moved to another file under the same name, renders the pages, and prints the names left to repair.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import importlib.util
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("coverage", "lectures")  # docs/NAME.toml

# Where the tests train, run the command line or start processes; all others are unit tests.
# A test's own mark, `unit` or `end_to_end`, comes first.
END_TO_END_PLACES = (
    "tests/cli/",
    "tests/contract/test_end_to_end.py",
    "tests/interop/",
    "tests/jobs/",
    "tests/learning/",
    "tests/studio/test_studio_browser.py",
    "tests/studio/test_studio_jobs.py",
    "tests/studio/test_studio_training.py",
    "tests/test_docs.py",
    "tests/test_light.py",
    "tests/training/test_world.py",
)
END_TO_END_FIXTURES = {"cli", "trained"}


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of docs/NAME.toml."""
    return tomllib.loads((ROOT / "docs" / f"{name}.toml").read_text("utf-8"))["item"]


def named_in(row: dict[str, Any]) -> list[str]:
    """The tests that a row names: none, one text or a list of them."""
    named = row.get("test", [])
    return [named] if isinstance(named, str) else list(named)


def rendered_by(script: str) -> str:
    """The page that docs/SCRIPT.py renders."""
    spec = importlib.util.spec_from_file_location(script, ROOT / "docs" / f"{script}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.rendered())


def missing(names: Iterable[str]) -> list[str]:
    """What is wrong with each name that is no `path::test` of a test that can run; one line each."""
    return [f"{name}: {why}" for name in names if (why := _why_not(name))]


def _why_not(name: str) -> str:
    path, _, function = name.partition("::")
    if not function:
        return "name the test, as path::test"
    if (ROOT / path).is_file() and function in _functions(path):
        return "the test is always skipped" if _functions(path)[function] else ""
    why = "the file has no such test" if (ROOT / path).is_file() else "there is no such file"
    return f"{why}{_hint(path, function)}"


def _hint(path: str, function: str) -> str:
    """Where a test of this name is now, or which names of the same file are nearest."""
    if moved := _places(function):
        return f"; is it {' or '.join(moved)}?"
    files = [path] if (ROOT / path).is_file() else _files()
    known = [name for file in files for name in _functions(file)]
    near = difflib.get_close_matches(function, known, n=2, cutoff=0.5)
    return f"; is it {' or '.join(near)}?" if near else ""


def _files() -> list[str]:
    return [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "tests").rglob("test_*.py"))]


def _places(function: str) -> list[str]:
    return [f"{file}::{function}" for file in _files() if function in _functions(file)]


@functools.cache
def _functions(path: str) -> dict[str, bool]:
    """The test functions of a file, and whether each is always skipped."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    whole = any(_skips(node.value) for node in tree.body if isinstance(node, ast.Assign | ast.Expr))
    return {
        node.name: whole or any(map(_skips, node.decorator_list)) or _begins_with_skip(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@functools.cache
def slow_tests() -> frozenset[str]:
    """The tests that only `make test-full` runs, as path::test."""
    return frozenset(
        f"{file}::{node.name}"
        for file in _files()
        for node in ast.parse((ROOT / file).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("pytest.mark.slow") for mark in node.decorator_list)
    )


def _begins_with_skip(function: ast.FunctionDef) -> bool:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return bool(body) and isinstance(body[0], ast.Expr) and _skips(body[0].value)


def _skips(node: ast.expr) -> bool:
    """Whether an expression is pytest.skip(...), pytest.mark.skip or pytest.mark.xfail, alone or in a list."""
    if isinstance(node, ast.List | ast.Tuple):
        return any(map(_skips, node.elts))
    text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    return text in ("pytest.skip", "pytest.mark.skip", "pytest.mark.xfail")


def wrong_in_door(door: str) -> list[str]:
    """What a door names that does not exist: commands, their options, keys of the recipe, Python names."""
    from striate.recipe import keys_called

    wrong = []
    for verb, rest in re.findall(r"striate ([a-z]+(?:-[a-z]+)*)([^,;]*)", door):
        if verb not in _options():
            wrong.append(f"there is no command {verb}")
        else:
            wrong += [
                f"{verb} has no {flag}" for flag in re.findall(r" (--[a-z-]+)", rest) if flag not in _options()[verb]
            ]
    known = {key.name for key in keys_called()}
    wrong += [f"the recipe has no {key}" for key in re.findall(r"--set ([a-z_.]+)=", door) if key not in known]
    return wrong + [f"there is no {name}" for name in re.findall(r"\bstriate(?:\.\w+)+", door) if not _exists(name)]


@functools.cache
def _options() -> dict[str, set[str]]:
    """The commands with their options."""
    from striate.cli.main import parser

    (verbs,) = (action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {name: set(verb._option_string_actions) for name, verb in verbs.items()}


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def kind_of(item: pytest.Item) -> str:
    """`unit` or `end_to_end`: the item's own mark, else by where it lies and what it asks for."""
    for kind in ("unit", "end_to_end"):
        if item.get_closest_marker(kind):
            return kind
    fixtures = set(getattr(item, "fixturenames", ()))
    if item.nodeid.startswith(END_TO_END_PLACES) or fixtures & END_TO_END_FIXTURES:
        return "end_to_end"
    return "unit"


# The hooks.

_ran: set[str] = set()
_did_not_run: list[str] = []


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = kind_of(item)
        if not item.get_closest_marker(kind):
            item.add_marker(kind)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.skipped:
        _ran.add(_function_of(report.nodeid))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A full run fails if it left out a test that a row names. Skipped for want of data counts as run, and is shown.

    Several workers report to one process, which alone has seen all tests.
    """
    if (
        hasattr(session.config, "workerinput")
        or not _is_full(session)
        or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    ):
        return
    left_out = slow_tests() if session.config.option.markexpr == "not slow" else frozenset()
    _did_not_run.extend(name for name in _named() if name not in _ran | left_out)
    if _did_not_run:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in _did_not_run:
        terminalreporter.line(f"NOT RUN: {name}, which docs/coverage.toml or docs/lectures.toml names")


def _is_full(session: pytest.Session) -> bool:
    options = session.config.option
    whole = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    narrowed = options.keyword or options.collectonly or options.markexpr not in ("", "not slow")
    return whole and not narrowed and not options.deselect and not session.shouldstop and not session.shouldfail


def _named() -> Iterator[str]:
    for name in FILES:
        for row in rows(name):
            yield from named_in(row)


def _function_of(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def repair() -> list[str]:
    """Rewrite the names of tests that moved, render the pages; returns what is still wrong."""
    left: list[str] = []
    for name in FILES:
        path = ROOT / "docs" / f"{name}.toml"
        text = path.read_text("utf-8")
        for test in {test for row in rows(name) for test in named_in(row)}:
            places = _places(test.partition("::")[2])
            if missing([test]) and len(places) == 1:
                text = text.replace(f'"{test}"', f'"{places[0]}"')
        path.write_text(text, "utf-8")
        (ROOT / "docs" / f"{name}.md").write_text(rendered_by(f"render_{name}"), "utf-8")
        left += missing(test for row in rows(name) for test in named_in(row))
    return left


if __name__ == "__main__":
    print("\n".join(repair()) or "every row names tests that exist")
