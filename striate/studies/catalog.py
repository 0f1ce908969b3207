"""The studies by name, each imported when it is asked for."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from striate.errors import unknown
from striate.studies import published
from striate.studies.study import Study


def names() -> tuple[str, ...]:
    """The names, in alphabetical order."""
    return tuple(sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(published.__path__)))


def study(name: str) -> Study:
    """The study of that name. Raises RequestError for an unknown one."""
    if name not in names():
        raise unknown("study", name, names())
    found = import_module(f"{published.__name__}.{name.replace('-', '_')}").STUDY
    assert isinstance(found, Study) and found.name == name
    return found
