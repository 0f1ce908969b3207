"""Kinds of tasks by name: the built-in ones, and registered custom ones."""

from __future__ import annotations

from typing import Any, TypeVar

from striate.errors import RequestError, nearest
from striate.tasks.base import Task
from striate.tasks.captioning import Captioning
from striate.tasks.classification import Classification
from striate.tasks.detection import Detection
from striate.tasks.multilabel import Multilabel
from striate.tasks.regression import Regression
from striate.tasks.segmentation import Segmentation

_KINDS: dict[str, type[Task]] = {}
Class = TypeVar("Class", bound=type[Task])


def register(task: Class) -> Class:
    """Register a task class by its `kind`, so that its model files and packs can be opened; usable as a decorator.

    Raises RequestError where another class has that kind.
    """
    known = _KINDS.setdefault(task.kind, task)
    if (known.__module__, known.__qualname__) != (task.__module__, task.__qualname__):
        raise RequestError(f"the task kind {task.kind!r} is taken by {known.__module__}.{known.__qualname__}")
    _KINDS[task.kind] = task
    return task


def task_from_dict(values: dict[str, Any], names: tuple[str, ...]) -> Task:
    """The inverse of `Task.as_dict`. Raises RequestError for anything else.

    A kind that is not registered is refused: nothing is imported because a file names it.
    """
    if not isinstance(values, dict) or "kind" not in values:
        raise RequestError("a task needs a kind")
    kind = values["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        near = nearest(str(kind), _KINDS)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_KINDS)}"
        raise RequestError(
            f"the task kind {str(kind)[:60]!r} is not registered; {hint} (for a custom task: striate.tasks.register)"
        )
    return _KINDS[kind].from_dict({key: value for key, value in values.items() if key != "kind"}, names)


for _task in (Classification, Multilabel, Regression, Segmentation, Detection, Captioning):
    register(_task)
