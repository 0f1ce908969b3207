"""Search for an architecture: trials on a part of the training images, then the found network trained and judged."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.dataset import SplitData, open_data
from striate.data.opening import Data, path_of
from striate.errors import RequestError, unknown
from striate.jobs.compare import summary
from striate.jobs.found_architecture import Finalist, FoundArchitecture
from striate.jobs.stopping import resumable
from striate.jobs.train import train
from striate.learning.planning import DataSummary, summarise
from striate.learning.run_folder import MODEL, REPORT, next_free, unfinished
from striate.nets.catalog import check_classifier, entries, entry
from striate.nets.net_file import net_toml
from striate.progress import Progress
from striate.reading import TEXT, given_path, read_given
from striate.recipe import Recipe
from striate.report.compare.summary import RunSummary
from striate.report.page import render
from striate.storage import json_text, write_text
from striate.tuning.architecture.objective import Cost, Objective, madds_target, measured_latency, size_of
from striate.tuning.architecture.samplers import SAMPLERS, sampler
from striate.tuning.architecture.search import Study, require_result, run_study
from striate.tuning.architecture.space import Space
from striate.tuning.architecture.trial import Judge, Trial, trial_recipe
from striate.tuning.folder import ARCHITECTURE

if TYPE_CHECKING:
    from striate.tuning.architecture.images import TrialImages

FOUND, RESULT = "found.toml", "search-result.json"
SPACES = ("mobile", "cells")
LARGEST_SIDE = 64  # pixels of a trial's images unless another side is given
# Families of which a baseline is taken: those whose normalisation averages settle within a short training.
BASELINES = ("mobilenet_v1", "mobilenet_v2", "shufflenet", "resnet", "densenet", "squeezenet", "nasnet")


def search_architecture(
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    space: str = "mobile",
    vary: Sequence[str] = (),
    method: str = "evolution",
    trials: int = 24,
    cost: Cost = "madds",
    target: float | None = None,
    image: int | None = None,
    channels: int | None = None,
    images: int = 2000,
    epochs: int = 3,
    final_epochs: int = 20,
    baseline: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FoundArchitecture:
    """Search a space for a network with a high accuracy and a low cost on `data`, as for `striate.train`.

    Each trial trains a network for `epochs` on at most `images` training images, and validates it on other images of
    the training part; the held-out part is not used. The chosen method and random search get `trials` each. Then the
    found network, the best random one and a catalogue network of about that cost are trained for `final_epochs` on the
    whole training part, and each is evaluated once on the held-out part.

    out: the folder of the results; by default a new one under runs/. Called again with the folder of a search that was
      stopped, and the same arguments, it continues exactly; more `trials` extend it.
    space: "mobile" (stages of inverted residual blocks; `vary`: the choices that are searched, default all;
      `channels`: of the first stage, default by the size) or "cells" (a normal and a reduction cell; `channels`:
      filters of the first, default 8).
    method: "evolution", "reinforcement" or "random" (alone). cost: "madds" or "latency", of this machine. target:
      the objective's T, in multiply-adds or seconds; None: 400 M scaled to the image size, or the reference's latency.
    image: side of the images; None: that of the data, at most 64. baseline: a network of the catalogue; None: chosen.
    Raises RequestError for invalid arguments, WorkError if every trial fails.
    """
    progress = progress or Progress()
    _check(space, method, trials, cost, baseline)
    short, final = trial_recipe(epochs=epochs, batch=64, seed=seed), _final_recipe(final_epochs, seed)
    split = open_data(data, seed=seed, progress=progress)
    seen = summarise(split.source)
    side = image or min(LARGEST_SIDE, seen.largest)
    searched = _space(space, side, channels, vary)
    found_images = _images(split, seen, side, images, seed)
    objective = _objective(cost, target, searched, found_images.classes)
    settings = {
        "data": split.source.identity, "space": searched.name, "net": searched.net, "vary": list(vary), "image": side,
        "channels": channels, "method": method, "images": images, "epochs": epochs, "final_epochs": final_epochs,
        "seed": seed, "cost": cost, "target_given": target, "baseline_given": baseline, "target": objective.target,
    }  # fmt: skip
    folder = given_path(out, "--out") if out else next_free(f"{split.source.name}-search")
    objective = _claimed(folder, settings, objective)
    training, validation = found_images.at(side)
    judge = Judge(searched, objective, training, validation, short)
    with resumable(f"the same command and --out {shlex.quote(str(folder))}"):
        studies = _studies(method, trials, searched, judge, folder, seed, progress)
        require_result(studies)
        best = studies[0].best or studies[-1].best
        assert best is not None
        options = searched.options_of(best.point)
        write_text(folder / FOUND, net_toml(searched.net, options))
        finalists = _finalists(data, folder, searched, studies, baseline, final, found_images.classes, progress)
    done = FoundArchitecture(
        folder, searched, objective, studies, options, finalists, split.source.name,
        {**settings, "training": len(training), "validation": len(validation)},
    )  # fmt: skip
    from striate.jobs.architecture_page import architecture_page

    write_text(folder / REPORT, render(architecture_page(done)))
    write_text(folder / RESULT, json_text(done.as_dict(), indent=1))
    return done


def _check(space: str, method: str, trials: int, cost: str, baseline: str | None) -> None:
    """Raise RequestError for what can be told before the data are opened."""
    if space not in SPACES:
        raise unknown("space", space, SPACES)
    if method not in SAMPLERS:
        raise unknown("method", method, SAMPLERS)
    if cost not in ("madds", "latency"):
        raise unknown("cost", cost, ("madds", "latency"))
    if trials < 1:
        raise RequestError(f"a search needs 1 trial at least, not {trials}")
    if baseline is not None:
        entry(baseline)
        check_classifier(baseline)


def _space(name: str, side: int, channels: int | None, vary: Sequence[str]) -> Space:
    if name == "mobile":
        from striate.tuning.architecture.mobile_space import mobile_space

        return mobile_space(side, channels=channels, vary=vary)
    if vary:
        raise RequestError("vary names choices of the mobile space; the space of cells has none to leave out")
    from striate.tuning.architecture.cell_space import FILTERS, cell_space

    return cell_space(side, width=(channels or FILTERS // 4) / FILTERS)


def _images(split: SplitData, seen: DataSummary, side: int, most: int, seed: int) -> TrialImages:
    from striate.tuning.architecture.images import trial_images

    fits = seen.largest <= side and seen.side * 2 >= side  # as striate.learning.planning.scratch_pixels
    return trial_images(split, most=most, rule="centre" if fits else "crop", seed=seed)


def _objective(cost: Cost, target: float | None, space: Space, classes: int) -> Objective:
    """The objective; a latency is compared with the reference's unless a target is given."""
    if target is None and cost == "latency":
        from striate.nets.build import create_classifier

        size = (space.side, space.side)
        reference = create_classifier(
            space.net, classes=classes, input_size=size, options=space.options_of(space.reference)
        )
        target = measured_latency(reference, space.side).seconds
    return Objective(cost, madds_target(space.side) if target is None else target)


def _claimed(folder: Path, settings: dict[str, Any], objective: Objective) -> Objective:
    """Write the settings of a new search; of one that is continued, check them, and return its objective."""
    path = folder / ARCHITECTURE
    if not path.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise RequestError(f"the output folder {str(folder)!r} is in use, and not by a search; choose another")
        write_text(path, json_text(settings, indent=1))
        return objective
    try:
        before = json.loads(read_given(path, "the search", TEXT))
        target = float(before["target"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(f"{str(path)!r} is not of a search: {error}") from error
    for name, value in settings.items():
        if name != "target" and before.get(name) != value:
            raise RequestError(
                f"the search in {str(folder)!r} was started with {name} = {before.get(name)!r}, not {value!r}; "
                "continue it with the same arguments, or choose another folder"
            )
    return Objective(objective.cost, target)  # a latency is not measured again


def _studies(
    name: str, trials: int, space: Space, judge: Judge, folder: Path, seed: int, progress: Progress
) -> tuple[Study, ...]:
    """The chosen sampler's study, then the random one; a point that both propose is trained once."""
    studies: list[Study] = []
    for one in dict.fromkeys((name, "random")):
        log, known = folder / f"trials-{one}.jsonl", studies[0].trials if studies else ()
        proposing = sampler(one, space, seed)
        studies.append(run_study(proposing, trials, judge, name=one, log=log, known=known, progress=progress))
    return tuple(studies)


def _final_recipe(epochs: int, seed: int) -> Recipe:
    return Recipe().updated({"strategy": "scratch", "train.epochs": epochs, "seed": seed})


def _finalists(
    data: Data,
    folder: Path,
    space: Space,
    studies: tuple[Study, ...],
    baseline: str | None,
    recipe: Recipe,
    classes: int,
    progress: Progress,
) -> tuple[Finalist, ...]:
    """The networks that are compared on the held-out images; one that is trained already is read."""
    chosen: dict[str, tuple[Trial | None, str, Mapping[str, object]]] = {}
    for name, study in zip(("found", "random"), studies, strict=False):
        if study.best is not None and all(
            trial is None or study.best.point != trial.point for trial, _, _ in chosen.values()
        ):
            chosen[name] = (study.best, space.net, space.options_of(study.best.point))
    best = next(trial for trial, _, _ in chosen.values() if trial is not None)
    chosen["baseline"] = (None, baseline or nearest_net(best.madds, space.side), {})
    finalists = []
    for name, (trial, net, options) in chosen.items():
        changes = {f"net.options.{key}": value for key, value in options.items()}
        run = _trained(data, folder / name, recipe.updated({"net.name": net, **changes}), progress)
        facts = entry(net)
        size = (trial.parameters, trial.madds) if trial else size_of(net, {}, classes, facts.input_size[0])
        finalists.append(Finalist(name, trial, *size, run))
    return tuple(finalists)


def _trained(data: Data, folder: Path, recipe: Recipe, progress: Progress) -> RunSummary:
    """The scores of the run in `folder`, which is trained, or resumed, unless it is finished."""
    if not (folder / MODEL).is_file():
        if unfinished(folder):
            train(None if path_of(data) else data, resume=folder, progress=progress)
        else:
            train(data, out=folder, recipe=recipe, progress=progress)
    return summary(folder)


def nearest_net(madds: int, side: int) -> str:
    """The classifier of the catalogue for images of about `side` pixels whose multiply-adds are nearest to `madds`."""
    candidates = [
        net
        for net in entries(tiny=True, kind="classifier")
        if net.file in BASELINES and net.in_channels == 3 and net.input_size[0] <= max(32, 2 * side)
    ]
    return min(candidates, key=lambda net: abs(math.log(net.madds / madds))).name
