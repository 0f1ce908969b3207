"""Ensemble: several models as one model file, and what it gains over them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.opening import Data, open_source
from striate.data.sources.base import Item, Source
from striate.errors import RequestError
from striate.inference.averaging import ensemble_predictor
from striate.inference.ensemble_evaluation import EnsembleEvaluation, evaluate_ensemble
from striate.inference.evaluation import part_of
from striate.jobs.outputs import require_file, same_file
from striate.jobs.trained_images import Trained, common_source, trained_keys
from striate.model import Ensemble, ensemble_of, write_ensemble
from striate.progress import Progress
from striate.reading import given_path
from striate.weights.models import open_any

SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False)
class Ensembled:
    """An ensemble and its file. names: of the members. evaluation: None without labelled images; then `notes` say so.

    left_out: images that were not evaluated on, because a member was trained on them.
    """

    path: Path
    ensemble: Ensemble
    names: tuple[str, ...]
    evaluation: EnsembleEvaluation | None
    left_out: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        members = [
            {"model": name, "net": model.net, "weight": weight}
            for name, model, weight in zip(self.names, self.ensemble.members, self.ensemble.weights, strict=True)
        ]
        return {
            "model": str(self.path),
            "members": members,
            "evaluation": self.evaluation.as_dict() if self.evaluation else None,
            "left_out": self.left_out,
            "notes": list(self.notes),
        }


def ensemble(
    models: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    data: Data | None = None,
    weights: Sequence[float] | None = None,
    part: str = "",
    engine: str = "auto",
    progress: Progress | None = None,
) -> Ensembled:
    """Combine models, of any networks and input sizes, into one model file that predicts the mean of their predictions.

    The mean is over probabilities; for regression, over values. models: model files, run folders, ensembles (whose
    members join) or networks with published weights, of one task and the same classes in any order. out: a
    .safetensors file, which `predict`, `evaluate`, `load` and `export` take. weights: one positive number a model.
    data: labelled images to evaluate the members and the ensemble on, by default the held-out images of the split that
    all members share; images that a member was trained on are left out. part: of the data, as for `evaluate`.
    Decision thresholds of several labels are the mean of the members'. OOD detection needs a detector in each member:
    the mean of the distances, each as a multiple of its threshold, is compared with 1.
    Raises RequestError for models that do not go together, and if no image is left to evaluate on.
    """
    path = given_path(out, "the ensemble")
    if path.suffix != SUFFIX:
        raise RequestError(f"an ensemble is written to a file ending in {SUFFIX}, not {str(path)!r}")
    given = [str(model) for model in models]
    opened = [open_any(model) for model in models]
    combined = ensemble_of(opened, given, weights)
    require_file(path)
    if any(same_file(path, file) for name in given for file in (Path(name), Path(name) / f"model{SUFFIX}")):
        raise RequestError(f"{str(path)!r} is a member of the ensemble, and is not overwritten; name another file")
    trained = [one for name, model in zip(given, opened, strict=True) for one in Trained.of(name, model)]
    names = [one.name for one in trained]
    chosen = _labelled(data, part, trained)
    predictor = ensemble_predictor(combined, engine=engine, precision="auto", many=True)
    found = None
    if chosen.source is not None:
        found = evaluate_ensemble(predictor, chosen.source, chosen.items, chosen.part, progress)
    places = {member.training.get("data") for member in combined.members}
    combined = dataclasses.replace(
        combined,
        training={"models": names, **({"data": places.pop()} if len(places) == 1 else {})},
        metrics=found.as_dict() if found else {},
        versions=combined.members[0].versions,
    )
    write_ensemble(path, combined)
    return Ensembled(path, combined, tuple(names), found, chosen.left_out, chosen.notes)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """The images to evaluate on; no source for none."""

    source: Source | None
    items: tuple[Item, ...] = ()
    part: str = ""
    left_out: int = 0
    notes: tuple[str, ...] = ()


def _labelled(data: Data | None, part: str, models: Sequence[Trained]) -> _Labelled:
    """The images of `data`, or of the common split, that no model was trained on."""
    source = common_source(models) if data is None else open_source(data)
    if source is None:
        return _Labelled(
            None, notes=("not evaluated: the members do not share a split; give labelled images (--data)",)
        )
    part = part_of(source, part)
    items = [item for item in source.items if item.part == part]
    keys, unknown = trained_keys(source, data, models)
    kept = tuple(item for item in items if item.key not in keys)
    notes = [f"{name}: not known which images it was trained on, some of these perhaps" for name in unknown]
    left_out = len(items) - len(kept)
    if left_out:
        notes.append(f"{left_out:,} of {len(items):,} images are left out: a member was trained on them")
    if kept:
        return _Labelled(source, kept, part, left_out, tuple(notes))
    if data is None:
        return _Labelled(None, notes=("not evaluated: the members' split holds no image out; give others (--data)",))
    raise RequestError(f"a member was trained on each of the {len(items):,} images of {source.name!r}; give others")
