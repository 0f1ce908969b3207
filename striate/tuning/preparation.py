"""From a recipe and data to a search: the strategy, the space, the studies; and what cannot be searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.learning.balance import check_balance
from striate.learning.planning import DataSummary, Plan, check_linear_head, choose
from striate.recipe import Recipe
from striate.recipe.optimizers import AUTO as RANGE_TEST
from striate.storage import sha256_of
from striate.transfer.classifiers import check_head
from striate.tuning.folder import Settings
from striate.tuning.sampling import ByTrial
from striate.tuning.search import Search
from striate.tuning.space import AUTO, Choices, Range, Space, combinations, make_space
from striate.tuning.study import Place, require_same, shared_total
from striate.tuning.trial_data import Parts, TrialData
from striate.tuning.usual import usual_space
from striate.weights.registry import nets_with_weights

TRIALS = 50  # unless given
# Values by which held-out images lead a training, and what they would do.
_LED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "train.patience": (lambda value: value is not None, "would choose the epoch"),
    "train.keep_checkpoint": (lambda value: value == "best", "'best' would choose the epoch"),
    "schedule.name": (lambda value: value == "plateau", "'plateau' would set the learning rate"),
}


@dataclass(frozen=True)
class Chosen:
    """What is searched. own: whether the space is the strategy's, because none was given."""

    recipe: Recipe
    space: Space
    own: bool


def chosen_space(
    settings: Settings, source: Source, summary: DataSummary, plan: Plan, recipe: Recipe, given_val: bool
) -> Chosen:
    """The recipe with the plan's choices, and the space. given_val: the data have parts "val" and "test".

    Raises RequestError for a recipe or a space that cannot be searched.
    """
    recipe = recipe.updated({"strategy": plan.strategy, "net.name": plan.net})
    nets = _backbones(plan, summary)
    given: Mapping[str, Any]
    if settings.space is None:
        given = usual_space(plan.strategy, recipe, source.task, nets, _usual_rate(recipe))
        if not given:
            raise RequestError(
                f"there is nothing to choose among for the strategy {plan.strategy}: give --space, a file of keys with "
                "ranges or lists"
            )
    else:
        given = settings.space
    space = make_space(given, recipe, plan.strategy, points=settings.points, nets=nets)
    _check(settings, source, space, plan, recipe, summary, given_val)
    return Chosen(recipe, space, settings.space is None)


def _usual_rate(recipe: Recipe) -> float:
    """The peak learning rate of the recipe, or the default one; 0 for a strategy that has none."""
    if recipe.strategy == "features":
        return 0.0
    from striate.learning.checks import default_rate

    return recipe.optimizer.lr if isinstance(recipe.optimizer.lr, float) else default_rate(recipe)


def _backbones(plan: Plan, summary: DataSummary) -> tuple[str, ...]:
    """The networks that "auto" stands for in net.name, the plan's first: those with weights here."""
    if plan.strategy == "scratch":
        return ()
    found = [plan.net]
    for net in nets_with_weights():
        try:
            choose(summary, plan.strategy, net)
        except RequestError:
            continue
        found.append(net)
    return tuple(dict.fromkeys(found))


def _check(
    settings: Settings, source: Source, space: Space, plan: Plan, recipe: Recipe, summary: DataSummary, given_val: bool
) -> None:
    if recipe.data.folds:
        raise RequestError("data.folds evaluates by folds instead of held-out images; for a search, give --folds K")
    if settings.pruner != "none" and plan.strategy == "features":
        raise RequestError(f"--pruner {settings.pruner} ends trials by epochs, and the strategy features has none")
    if recipe.value("optimizer.lr") == RANGE_TEST and "optimizer.lr" not in space.names:
        raise RequestError(f"optimizer.lr = {AUTO!r} is found by a test that trials do not make: search it, or set it")

    def kind_fits(value: Any) -> None:
        check_head(source.task, str(value))
        check_linear_head(plan.strategy, str(value))

    checks: dict[str, Callable[[Any], object]] = {
        "net.name": lambda value: choose(summary, plan.strategy, str(value)),
        "head.kind": kind_fits,
        "loss.name": source.task.loss_name,
        "data.balance": lambda value: check_balance(source.task, str(value)),
    }
    for one in space.dimensions:
        for value in one.values if isinstance(one, Choices) and one.key.name in checks else ():
            checks[one.key.name](value)
    if given_val:
        return
    for name, (led, does) in _LED.items():
        searched = space.dimension(name) if name in space.names else None
        values = searched.values if isinstance(searched, Choices) else (recipe.value(name),)
        if isinstance(searched, Range) or any(map(led, values)):
            raise RequestError(
                f"{name}: {does} by the held-out images that the best recipe is judged on; search train.epochs "
                "instead, or give data with parts val and test"
            )


def open_search(
    settings: Settings, chosen: Chosen, data: TrialData, place: Place, parts: tuple[Parts, ...], name: str
) -> Search:
    """The search in a study of that name, new or joined. Raises RequestError for one on anything else."""
    recipe, space, method = chosen.recipe, chosen.space, settings.method
    points: list[dict[str, object]] | None = None
    if method == "grid" or (method == "random" and combinations(space, recipe) is not None):
        points = space.grid(recipe)
    epochs = max([recipe.train.chosen_epochs(len(parts[0].train)), *_epochs(space)])
    study = place.study(
        name,
        maximize=data.task.metric.share,
        sampler=ByTrial(method, recipe.seed),
        pruner=settings.pruner,
        epochs=epochs,
    )
    with place.errors():
        require_same(study, _identity(settings, chosen, data, parts))
        total = shared_total(study, settings.trials, len(points) if method == "grid" and points else TRIALS)
    return Search(
        place,
        study,
        space,
        recipe,
        total if points is None else min(total, len(points)),
        recipe.seed,
        points,
    )


def _epochs(space: Space) -> list[int]:
    """The most epochs that a trial may have, if they are searched."""
    if "train.epochs" not in space.names:
        return []
    one = space.dimension("train.epochs")
    return [int(value) for value in one.grid(2) if isinstance(value, (int, float))]


def _identity(settings: Settings, chosen: Chosen, data: TrialData, parts: tuple[Parts, ...]) -> dict[str, Any]:
    """What all workers of a study must share; file paths are not among it."""
    choices = {key: value for key, value in chosen.recipe.choices().items() if key not in ("net.name", "seed")}
    judged = sha256_of(repr([(part.train, part.judged) for part in parts]).encode())[:16]
    return {
        "data": data.digest(),
        "space": chosen.space.digest(),
        "recipe": sha256_of(f"{sorted(choices.items())!r} {data.plan.net}".encode())[:16],
        "method": settings.method,
        "judged": judged,
        "pruner": settings.pruner,
        "seed": chosen.recipe.seed,
    }
