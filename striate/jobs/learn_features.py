"""Strategy "features": one pass through a frozen pretrained net, then a linear head fitted to convergence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from striate.data.audit import Audit, Usable, audit, require_learnable
from striate.data.looking import Memory, Record, look
from striate.data.sources import Item, Source
from striate.data.splits import measured_part, split
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.classifier import Classifier
from striate.inference.engine import Engine, engine_version
from striate.jobs.clock import Clock
from striate.jobs.keeping import keep
from striate.jobs.learned import Learned
from striate.jobs.models import published_model
from striate.model import Model
from striate.progress import Progress
from striate.recipe import Recipe
from striate.task import Task, softmax
from striate.transfer.features import FeatureCache, FeatureWriter
from striate.transfer.head import Head, fit_head
from striate.transfer.strategy import Plan

MANY = 1000  # images: from so many on, the time that bfloat16 saves is worth checking its answers
CHECKED = 256  # held-out images that bfloat16 is checked on
AHEAD = 512  # crops that may wait while the engine opens (150 kB each)


def learn_features(source: Source, plan: Plan, recipe: Recipe, clock: Clock, progress: Progress) -> Learned:
    """Learn a head on the features of `plan.net`. Raises RequestError where the data cannot be learnt from."""
    with clock.stage("backbone"):
        backbone = published_model(plan.net)
        engine, note = choose_engine(recipe.engine)
        precision = _first_precision(recipe.precision, engine, len(source.items))
    with clock.stage("look and describe"):
        found, cache = _describe(source, backbone, engine, precision, progress)
    require_learnable(found, source.name)
    parts = split(found, recipe.held_out, recipe.seed)
    measured = measured_part(parts)
    with clock.stage("fit the head"):
        head = _fit(found, parts, cache, recipe)
    model = _with_head(backbone, head, found.task)
    notes = [note] if note else []
    held_out = _of_part(found, parts, measured)
    if recipe.precision == "auto" and precision == "bfloat16":
        with clock.stage("check bfloat16"):
            doubt = _bfloat16_differs(source, model, engine, cache, held_out)
        if doubt:
            progress.say(f"{doubt}; describing the images again in float32")
            learned = learn_features(source, plan, dataclasses.replace(recipe, precision="float32"), clock, progress)
            learned.notes.append(f"{doubt}; float32 was used")
            return learned
    probabilities = np.zeros((0, len(found.classes)), np.float32)
    if held_out:
        probabilities = softmax(Classifier(model).scores(cache.matrix(entry.record.digest for entry in held_out)))
    facts = {"strength": head.strength, "search": [list(row) for row in head.scores], "weights": backbone.training}
    words = f"{engine} {engine_version(engine)}, {precision}"
    return Learned(model, found, parts, measured, probabilities, words, precision, facts=facts, notes=notes)


def _first_precision(wanted: str, engine: str, images: int) -> str:
    if wanted != "auto":
        return wanted
    if engine != "openvino" or images < MANY:
        return "float32"
    from striate.inference.openvino_engine import has_bfloat16

    return "bfloat16" if has_bfloat16() else "float32"


def _describe(
    source: Source, backbone: Model, engine_name: str, precision: str, progress: Progress
) -> tuple[Audit, FeatureCache]:
    """Audit and features in one pass; the engine opens beside the first decoding, and only if a feature is missing."""
    memory, cache = Memory(source), FeatureCache(source, backbone, engine_name, precision)
    writer = FeatureWriter(cache)
    pairs: list[tuple[Item, Record]] = []
    opening: Future[Engine] | None = None
    known = len(cache.rows)
    with ThreadPoolExecutor(1) as opener, progress.bar("Looking at the images", len(source.items)) as bar:
        for looked in look(source, backbone.pixels, wanted=lambda digest: digest not in cache, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
            if looked.crop is None:
                continue
            writer.add(looked.record.digest, looked.crop)
            opening = opening or opener.submit(open_engine, backbone, engine_name, precision)
            if opening.done() or writer.waiting >= AHEAD:
                writer.run(opening.result())
        if opening is not None:
            bar.note("opening the network")
            writer.run(opening.result(), everything=True)
    digests = [record.digest for _, record in pairs]
    if len(cache.rows) > known:
        keep(lambda: cache.save(digests), progress)
        keep(lambda: memory.save(digests), progress)
    return audit(source, pairs), cache


def _of_part(found: Audit, parts: Iterable[str], part: str) -> list[Usable]:
    return [entry for entry, name in zip(found.usable, parts, strict=True) if name == part]


def _fit(found: Audit, parts: list[str], cache: FeatureCache, recipe: Recipe) -> Head:
    trained = _of_part(found, parts, "train")
    labels = np.array([entry.item.target for entry in trained], np.int64)
    features = cache.matrix(entry.record.digest for entry in trained)
    return fit_head(features, labels, len(found.classes), folds=recipe.folds, seed=recipe.seed)


def _with_head(backbone: Model, head: Head, task: Task) -> Model:
    tensors: dict[str, NDArray[np.generic]] = {
        **backbone.tensors,
        f"{backbone.head}.weight": head.weight,
        f"{backbone.head}.bias": head.bias,
    }
    options = {**backbone.options, "classes": task.outputs}
    return dataclasses.replace(backbone, task=task, options=options, tensors=tensors, strategy="features")


def _bfloat16_differs(source: Source, model: Model, engine: str, cache: FeatureCache, held_out: list[Usable]) -> str:
    """Why bfloat16 cannot be used, or "". The few images checked are decoded again: their crops were not kept."""
    step = max(1, len(held_out) // CHECKED)
    items = [entry.item for entry in held_out[::step][:CHECKED]]
    looked = [entry for entry in look(source, model.pixels, items=items) if entry.crop is not None]
    if not looked:
        return ""
    exact = Classifier(model, engine=engine, precision="float32")
    crops = np.stack([entry.crop for entry in looked if entry.crop is not None])
    slow = exact.probabilities(crops)
    fast = softmax(exact.scores(cache.matrix(entry.record.digest for entry in looked)))
    agree = float((slow.argmax(axis=1) == fast.argmax(axis=1)).mean())
    apart = float(np.abs(slow - fast).max())
    if agree >= 0.99 and apart <= 0.05:
        return ""
    return (
        f"bfloat16 changes the answers (top-1 agrees on {100 * agree:.1f} %, probabilities differ by up to {apart:.3f})"
    )
