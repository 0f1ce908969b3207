"""Striate: a workbench for convolutional networks.

    import striate

    run = striate.train("photos/", out="run")           # audited, learnt, measured, reported
    model = striate.load("run/model.safetensors")       # everything that is needed is in that file
    model.predict(["new.jpg"])                          # names and probabilities
    net = striate.create("lenet5")                      # a torch module, as its paper has it

Importing this imports nothing heavy: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.errors import RequestError, StriateError, WorkError
    from striate.jobs.audit import audit
    from striate.jobs.augment import augment
    from striate.jobs.compare import compare
    from striate.jobs.evaluate import evaluate
    from striate.jobs.export import export
    from striate.jobs.fetch import fetch
    from striate.jobs.import_weights import import_weights
    from striate.jobs.load import load
    from striate.jobs.pack import pack
    from striate.jobs.train import train
    from striate.nets.build import create
    from striate.nets.fully_convolutional import fully_convolutional
    from striate.recipe import Recipe

__version__ = "0.1.0"
__all__ = [
    "Recipe",
    "RequestError",
    "StriateError",
    "WorkError",
    "audit",
    "augment",
    "compare",
    "create",
    "evaluate",
    "export",
    "fetch",
    "fully_convolutional",
    "import_weights",
    "load",
    "pack",
    "paper_recipe",
    "train",
]

_HOMES = {
    "Recipe": "recipe",
    "RequestError": "errors",
    "StriateError": "errors",
    "WorkError": "errors",
    "audit": "jobs.audit",
    "augment": "jobs.augment",
    "compare": "jobs.compare",
    "create": "nets.build",
    "evaluate": "jobs.evaluate",
    "export": "jobs.export",
    "fetch": "jobs.fetch",
    "fully_convolutional": "nets.fully_convolutional",
    "import_weights": "jobs.import_weights",
    "load": "jobs.load",
    "pack": "jobs.pack",
    "paper_recipe": "nets.papers",
    "train": "jobs.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"striate.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
