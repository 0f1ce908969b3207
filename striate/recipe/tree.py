"""The tables of a recipe, those with several choices, and all keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from striate.recipe.augment import Augment
from striate.recipe.keys import LOOP, Key, Table, keys_of
from striate.recipe.optimizers import OPTIMIZERS, Optimizer
from striate.recipe.schedules import SCHEDULES, Schedule
from striate.recipe.tables import Checkpoint, Data, Finetune, Head, Inference, Input, Loss, Net, Train

TABLES: dict[str, type[Table]] = {
    kind.TABLE: kind
    for kind in (
        Data, Net, Input, Augment, Optimizer, Schedule, Loss, Train, Finetune, Head, Checkpoint, Inference,
    )
}  # fmt: skip

# Tables that are one of several dataclasses, by their key `name`; and the default name.
CHOICES: dict[str, Mapping[str, type[Table]]] = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
_DEFAULTS = {"optimizer": "nesterov", "schedule": "cosine"}
_HELP = {"optimizer": "optimizer", "schedule": "learning-rate schedule"}


def name_key(table: str) -> list[Key]:
    """The key `name` of a table that is one of several choices; none for others."""
    if table not in CHOICES:
        return []
    names = tuple(CHOICES[table])
    return [Key(f"{table}.name", "str", _DEFAULTS[table], _HELP[table], choices=names, strategies=LOOP)]


def every_key(root: type[Table]) -> list[Key]:
    """Every key that a recipe may have, over all choices; `of` names the choices of a key that not all have."""
    found = list(keys_of(root))
    for name, kind in TABLES.items():
        found += name_key(name)
        if name not in CHOICES:
            found += keys_of(kind)
            continue
        having: dict[str, list[str]] = {}
        keys: dict[str, Key] = {}
        for choice, choice_kind in CHOICES[name].items():
            for one in keys_of(choice_kind):
                keys.setdefault(one.name, one)
                having.setdefault(one.name, []).append(choice)
        every = len(CHOICES[name])
        found += [replace(one, of=() if len(having[key]) == every else tuple(having[key])) for key, one in keys.items()]
    return found
