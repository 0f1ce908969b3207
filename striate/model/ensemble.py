"""Several models as one: an ensemble, whose prediction is the weighted mean of its members' predictions.

Its file is a model file with a header for each member, whose tensors are named "0/...", "1/...".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from striate.errors import RequestError, printable
from striate.model.file import MEMBERS, Model, Tensors, checked, header_of, read_document, stored, write_document
from striate.tasks import Task

MOST = 1000  # members
LARGEST_WEIGHT = 1e100  # so that their sum is finite


@dataclass(frozen=True)
class Ensemble:
    """Models of one task. `ensemble_of` makes and checks one.

    weights: of the members, positive, summing to 1. task: with the first member's order of names; decision thresholds
    are the weighted mean of the members'. training, metrics, versions: its origin and metrics, as JSON values.
    """

    members: tuple[Model, ...]
    weights: tuple[float, ...]
    task: Task
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.task.names

    @cached_property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """For each member, the place of each of the ensemble's outputs among its own."""
        return tuple(tuple(member.task.names.index(name) for name in self.task.names) for member in self.members)

    @property
    def net(self) -> str:
        """The members' networks in words."""
        counts = {name: [one.net for one in self.members].count(name) for name in dict.fromkeys(self.nets)}
        return " + ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())

    @property
    def nets(self) -> tuple[str, ...]:
        """The network of each member."""
        return tuple(member.net for member in self.members)


AnyModel = Model | Ensemble


def ensemble_of(models: Sequence[AnyModel], names: Sequence[str], weights: Sequence[float] | None = None) -> Ensemble:
    """The ensemble of models, whose order of classes may differ; the members of ensembles among them are its members.

    names: what the models are called in errors. weights: one positive number a model; None: all equal.
    Raises RequestError for fewer than two members, for different tasks or classes, for captions, and for other weights.
    """
    given = _checked_weights(weights, len(models))
    members: list[Model] = []
    shares: list[float] = []
    for model, name, weight in zip(models, names, given, strict=True):
        _require_alike(models[0].task, model.task, names[0], name)
        if model.task.searched:
            raise RequestError(f"{name} predicts {model.task.wording.many}, which have no average to predict")
        inside = model.members if isinstance(model, Ensemble) else (model,)
        members += inside
        shares += [weight * share for share in (model.weights if isinstance(model, Ensemble) else (1.0,))]
    if not 2 <= len(members) <= MOST:
        raise RequestError(f"an ensemble has 2 to {MOST:,} members, not {len(members)}")
    total = sum(shares)
    # A file's shares, which sum to 1 but for rounding, stay as they are.
    shares = shares if abs(total - 1) < 1e-12 else [share / total for share in shares]
    if not all(shares):
        raise RequestError("the weights differ by so much that one is zero beside the others; leave that model out")
    return Ensemble(tuple(members), tuple(shares), _mean_thresholds(models[0].task, members, shares))


def write_ensemble(path: Path, ensemble: Ensemble) -> None:
    """Write the ensemble's file atomically."""
    tensors = {
        f"{place}/{name}": tensor
        for place, member in enumerate(ensemble.members)
        for name, tensor in stored(member).items()
    }
    header = {
        MEMBERS: [header_of(member) for member in ensemble.members],
        "weights": list(ensemble.weights),
        "training": ensemble.training,
        "metrics": ensemble.metrics,
        "versions": ensemble.versions,
    }
    write_document(path, header, tensors)


def read_any(path: Path) -> AnyModel:
    """Read and check a model file, of one network or of an ensemble. Raises RequestError as `striate.model.read`."""
    name = repr(str(path))
    header, tensors = read_document(path)
    if MEMBERS not in header:
        return checked(header, tensors, name)
    headers, weights = header[MEMBERS], header.get("weights")
    facts: dict[str, Any] = {key: header.get(key) for key in ("training", "metrics", "versions")}
    lists = isinstance(headers, list) and isinstance(weights, list) and all(isinstance(one, dict) for one in headers)
    if not lists or not all(isinstance(value, dict) for value in facts.values()):
        raise RequestError(f"the model file {name} is damaged: it does not describe the members of an ensemble")
    apart = _apart(tensors, len(headers), name)
    members = [checked(one, apart[place], f"{name}, member {place + 1}") for place, one in enumerate(headers)]
    names = [f"member {place + 1}" for place in range(len(members))]
    try:
        found = ensemble_of(members, names, weights)
    except RequestError as error:
        raise RequestError(f"the model file {name} is damaged: {error}") from error
    return dataclasses.replace(found, **facts)


def _apart(tensors: Tensors, count: int, name: str) -> list[Tensors]:
    """Each member's tensors, by their names in a file of its own."""
    found: dict[str, Tensors] = {str(place): {} for place in range(count)}
    for full, tensor in tensors.items():
        place, _, own = full.partition("/")
        if place not in found:
            raise RequestError(f"the model file {name} is damaged: tensor {full[:60]!r} belongs to no member")
        found[place][own] = tensor
    return list(found.values())


def _checked_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    numbers = all(type(one) in (int, float) and 0 < one <= LARGEST_WEIGHT for one in weights)
    if len(weights) != count or not numbers:
        shown = ", ".join(map(str, weights))
        raise RequestError(
            f"the weights are one positive number for each of {count} models, not {shown[:80] or 'none'}"
        )
    return [float(one) for one in weights]


def _require_alike(first: Task, other: Task, first_name: str, other_name: str) -> None:
    """Raise RequestError unless two members predict the same things; their order may differ."""
    if first.kind != other.kind:
        raise RequestError(
            f"an ensemble has one task: {first_name} has {first.kind!r}, and {other_name} {other.kind!r}"
        )
    differing = [
        f"{_listed(set(mine.names) - set(theirs.names))} only in {name}"
        for mine, theirs, name in ((first, other, first_name), (other, first, other_name))
        if set(mine.names) - set(theirs.names)
    ]
    if differing:
        raise RequestError(f"an ensemble's members have the same {first.wording.many}: {'; '.join(differing)}")
    if len(first.names) != len(set(first.names)) and first.names != other.names:
        raise RequestError(f"two {first.wording.many} of {first_name} have the same name: their order cannot be told")


def _listed(names: set[str]) -> str:
    found = sorted(names)
    return ", ".join(printable(name) for name in found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _mean_thresholds(task: Task, members: Sequence[Model], shares: Sequence[float]) -> Task:
    """The task with the weighted mean of the members' decision thresholds; the task itself, if it has none.

    The mean of probabilities is held against the mean of the thresholds that were fitted to them: no labels are used.
    """
    if not task.decision_thresholds:
        return task
    totals = [0.0] * task.outputs
    for member, share in zip(members, shares, strict=True):
        own = dict(zip(member.task.names, member.task.decision_thresholds, strict=True))
        totals = [total + share * own[name] for total, name in zip(totals, task.names, strict=True)]
    return task.with_decision_thresholds(tuple(min(1.0, total) for total in totals))
