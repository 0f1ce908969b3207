"""Striate: a workbench for convolutional networks.

    import striate

    run = striate.train("photos/", out="run")           # audited, trained, evaluated, with a report
    predictor = striate.load("run/model.safetensors")   # everything that is needed is in that file
    predictor.predict(["new.jpg"])                      # labels and probabilities
    net = striate.create("lenet5")                      # a torch module, as in its paper
    data = striate.open_data("photos/")                 # images, targets and split for your own training loop

Importing this imports nothing heavy: each name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.anatomy.fully_convolutional import fully_convolutional
    from striate.data.dataset import open_data
    from striate.errors import RequestError, StriateError, WorkError
    from striate.jobs.advice import advice
    from striate.jobs.audit import audit
    from striate.jobs.augment import augment
    from striate.jobs.benchmark import benchmark
    from striate.jobs.catalogue import list_nets, show
    from striate.jobs.compare import compare
    from striate.jobs.compose import compose
    from striate.jobs.ensemble import ensemble
    from striate.jobs.evaluate import evaluate
    from striate.jobs.export import export
    from striate.jobs.features import features
    from striate.jobs.fetch import fetch
    from striate.jobs.grade import grade
    from striate.jobs.import_weights import import_weights
    from striate.jobs.index import index
    from striate.jobs.inspect import inspect_images
    from striate.jobs.lesson import lesson
    from striate.jobs.load import load
    from striate.jobs.pack import pack
    from striate.jobs.predict import predict
    from striate.jobs.quantize import quantize
    from striate.jobs.read import read
    from striate.jobs.reproduce import reproduce
    from striate.jobs.scale import scale
    from striate.jobs.search import evaluate_search, near_duplicates, search
    from striate.jobs.search_architecture import search_architecture
    from striate.jobs.serve import serve
    from striate.jobs.style import style, train_style
    from striate.jobs.train import train
    from striate.jobs.tune import tune
    from striate.layers.batch_statistics import recalibrate
    from striate.layers.gradient_check import check_gradient
    from striate.nets.activations import swap_activation
    from striate.nets.auxiliary import add_auxiliary_heads
    from striate.nets.check import check_net
    from striate.nets.dropouts import add_dropout, add_input_dropout
    from striate.nets.norms import move_norm, swap_norm
    from striate.nets.own import register
    from striate.nets.residuals import add_stochastic_depth
    from striate.recipe import Recipe
    from striate.sklearn import ImageClassifier
    from striate.training.hooks import Hook
    from striate.weights.create import create

__version__ = "0.1.0"
__all__ = [
    "Hook",
    "ImageClassifier",
    "Recipe",
    "RequestError",
    "StriateError",
    "WorkError",
    "add_auxiliary_heads",
    "add_dropout",
    "add_input_dropout",
    "add_stochastic_depth",
    "advice",
    "audit",
    "augment",
    "benchmark",
    "check_gradient",
    "check_net",
    "compare",
    "compose",
    "create",
    "ensemble",
    "evaluate",
    "evaluate_search",
    "export",
    "features",
    "fetch",
    "fully_convolutional",
    "grade",
    "import_weights",
    "index",
    "inspect_images",
    "lesson",
    "list_nets",
    "load",
    "move_norm",
    "near_duplicates",
    "open_data",
    "pack",
    "paper_recipe",
    "predict",
    "quantize",
    "read",
    "recalibrate",
    "register",
    "reproduce",
    "scale",
    "search",
    "search_architecture",
    "serve",
    "show",
    "style",
    "swap_activation",
    "swap_norm",
    "train",
    "train_style",
    "tune",
]

_HOMES = {
    "Hook": "training.hooks",
    "ImageClassifier": "sklearn",
    "Recipe": "recipe",
    "RequestError": "errors",
    "StriateError": "errors",
    "WorkError": "errors",
    "add_auxiliary_heads": "nets.auxiliary",
    "add_dropout": "nets.dropouts",
    "add_input_dropout": "nets.dropouts",
    "add_stochastic_depth": "nets.residuals",
    "advice": "jobs.advice",
    "audit": "jobs.audit",
    "augment": "jobs.augment",
    "benchmark": "jobs.benchmark",
    "compare": "jobs.compare",
    "compose": "jobs.compose",
    "create": "weights.create",
    "check_gradient": "layers.gradient_check",
    "check_net": "nets.check",
    "ensemble": "jobs.ensemble",
    "evaluate": "jobs.evaluate",
    "evaluate_search": "jobs.search",
    "export": "jobs.export",
    "features": "jobs.features",
    "fetch": "jobs.fetch",
    "fully_convolutional": "anatomy.fully_convolutional",
    "grade": "jobs.grade",
    "import_weights": "jobs.import_weights",
    "index": "jobs.index",
    "inspect_images": "jobs.inspect",
    "lesson": "jobs.lesson",
    "list_nets": "jobs.catalogue",
    "load": "jobs.load",
    "move_norm": "nets.norms",
    "near_duplicates": "jobs.search",
    "open_data": "data.dataset",
    "pack": "jobs.pack",
    "paper_recipe": "nets.papers",
    "predict": "jobs.predict",
    "quantize": "jobs.quantize",
    "read": "jobs.read",
    "scale": "jobs.scale",
    "search": "jobs.search",
    "search_architecture": "jobs.search_architecture",
    "serve": "jobs.serve",
    "show": "jobs.catalogue",
    "style": "jobs.style",
    "recalibrate": "layers.batch_statistics",
    "register": "nets.own",
    "reproduce": "jobs.reproduce",
    "swap_activation": "nets.activations",
    "swap_norm": "nets.norms",
    "train": "jobs.train",
    "train_style": "jobs.style",
    "tune": "jobs.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"striate.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
