"""The training recipe: every choice of a run as one typed value, in nested tables.

Python, a TOML file and the command line all fill this same tree, by the same code. An unknown key is an error, with
the nearest valid one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from striate.errors import unknown
from striate.reading import TEXT, read_given
from striate.recipe.augment import Augment
from striate.recipe.changing import assigned, changed, flattened
from striate.recipe.keys import STRATEGIES, Key, Table, key, keys_of
from striate.recipe.measured import MEASURED, Measured
from striate.recipe.optimizers import Nesterov, Optimizer
from striate.recipe.schedules import Cosine, Schedule
from striate.recipe.tables import Checkpoint, Data, Finetune, Head, Inference, Input, Loss, Net, Train
from striate.recipe.toml import read_toml, written
from striate.recipe.tree import TABLES, every_key, name_key

__all__ = ["STRATEGIES", "Augment", "Key", "Measured", "Recipe", "keys_called"]

# Where files are, and what is only measured.
_APART = ("data.path", "data.split", "data.decisions", "head.learning_curve")


@dataclass(frozen=True)
class Recipe(Table):
    """What `striate train` runs. A key that is left out is unset: off, or chosen automatically and reported.

    Raises RequestError for values that a key does not take.
    """

    strategy: str = key(
        "auto",
        "training strategy; auto: by the data; quick: a linear head; best: fine-tuning",
        choices=("auto", "quick", "best", *STRATEGIES),
    )
    seed: int = key(0, "random seed, also of the split", low=0, high=2**31 - 1)
    data: Data = field(default=Data())
    net: Net = field(default_factory=Net)
    input: Input = field(default=Input())
    augment: Augment = field(default=Augment())
    optimizer: Optimizer = field(default=Nesterov())
    schedule: Schedule = field(default=Cosine())
    loss: Loss = field(default=Loss())
    train: Train = field(default=Train())
    finetune: Finetune = field(default=Finetune())
    head: Head = field(default=Head())
    checkpoint: Checkpoint = field(default=Checkpoint())
    inference: Inference = field(default=Inference())

    def check(self) -> None:
        """Check the type of each table."""
        for name, kind in TABLES.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"Recipe.{name} is a {kind.__name__}, not {getattr(self, name)!r}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """A recipe from nested mappings, as TOML gives them.

        Raises RequestError for an unknown key or a value that its key does not take.
        """
        return cls().updated(values)

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe") -> Self:
        """A recipe from TOML text; `source` names it in errors. A table [measured] is checked and left out."""
        values = read_toml(text, source)
        if MEASURED in values:
            Measured.from_mapping(values.pop(MEASURED))
        return cls.from_mapping(values)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """A recipe from a TOML file."""
        return cls.from_toml(read_file(path), f"recipe {str(path)!r}")

    def updated(self, changes: Mapping[str, Any]) -> Self:
        """This recipe with other values for some keys: {"optimizer.lr": 0.1}, or nested mappings, or whole tables.

        `augment.preset` resets that table to the preset. Another `optimizer.name` or `schedule.name` has its own
        defaults; keys that both have are retained.
        Raises RequestError as `from_mapping` does.
        """
        return dataclasses.replace(self, **changed(self, flattened(changes)))

    def assigned(self, words: Iterable[str]) -> Self:
        """This recipe updated by `KEY=VALUE` texts, as of `--set`; an empty value unsets a key."""
        return self.updated(assigned(words))

    def keys(self) -> list[Key]:
        """Every key of this recipe, in order; for optimizer and schedule, those of the chosen one."""
        found = list(keys_of(type(self)))
        for name in TABLES:
            found += [*name_key(name), *keys_of(type(getattr(self, name)))]
        return found

    def value(self, name: str) -> Any:
        """The value of a key by its dotted name. Raises RequestError for an unknown one."""
        return self.values()[name]

    def values(self) -> dict[str, Any]:
        """Every key's value by its dotted name."""
        return {one.name: getattr(getattr(self, one.table) if one.table else self, one.field) for one in self.keys()}

    def idle(self, strategy: str) -> list[str]:
        """Keys that are set, but not used by this strategy."""
        values = self.values()
        return [one.name for one in self.keys() if strategy not in one.strategies and values[one.name] != one.default]

    def choices(self) -> dict[str, Any]:
        """What determines the weights, by key: all except file paths, checkpoints, and inference."""
        apart = ("checkpoint", "inference")
        values = self.values()
        return {one.name: values[one.name] for one in self.keys() if one.name not in _APART and one.table not in apart}

    def for_trial(self) -> Self:
        """This recipe for a few trial steps: without what only matters at the end of a run."""
        return self.updated({"train": {"ema_decay": None, "keep_checkpoint": "last", "patience": None}})

    def toml(self) -> str:
        """This recipe as TOML, a comment on each key; unset keys are left out. `from_toml` reads it back unchanged."""
        return written(self.keys(), self.values())


def keys_called(name: str = "") -> list[Key]:
    """Every key that a recipe may have, of all optimizers and schedules; or those of one table, or one key, by name.

    Raises RequestError for an unknown name, with the nearest ones.
    """
    known = every_key(Recipe)
    found = [one for one in known if not name or name in (one.name, one.table)]
    found = found or [one for one in known if one.field == name]
    if not found:
        raise unknown("key or table of a recipe", name, [*TABLES, *(one.name for one in known)])
    return found


def read_file(path: Path) -> str:
    """The text of a recipe file. Raises RequestError where it cannot be read."""
    content = read_given(path, "the recipe", TEXT)
    return content.decode("utf-8-sig", "surrogateescape")  # a path in it may not be valid text
