"""The training recipe: every choice of a run as one typed value, and its TOML.

Command line, recipe file and Python all fill this same object. Unknown keys are refused with the nearest right one.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError, unknown
from striate.recipe.keys import key, spoken
from striate.recipe.settings import Settings

__all__ = ["STRATEGIES", "Recipe", "Settings"]

STRATEGIES = ("features", "finetune", "scratch")


@dataclass(frozen=True)
class Recipe(Settings):
    """What `striate train` runs. Zero or an empty string means: chosen for you, and said in the report."""

    data: str = key("", "folder, manifest, arrays, pack or named set to learn from")
    net: str = key("", "catalogue name; empty: chosen with the strategy")
    options: str = key("", "of the net's constructor, such as 'width=0.5 depth=26'", only=("scratch",))
    strategy: str = key("auto", "how to learn", among=("auto", *STRATEGIES))
    split: str = key("", "split.csv of an earlier run, to be split the same; empty: as the data or the seed have it")
    decisions: str = key("", "decisions.csv on the data: what to drop, relabel or move")
    folds: int = key(0, "cross-validate in so many folds; 0: one held-out part", low=0, high=100)
    balance: str = key("none", "count classes alike", among=("none", "weights", "sampling"))
    strangers: str = key("", "folder of images of none of the classes; empty: every image is one of them")
    held_out: float = key(0.2, "fraction held out where the data brings no split", low=0.01, high=0.9)
    precision: str = key("auto", "arithmetic of inference", among=("auto", "float32", "bfloat16"))
    engine: str = key("auto", "what runs the net", among=("auto", "openvino", "torch"))
    search_folds: int = key(
        5, "folds that choose the head's regularisation", low=2, high=50, only=("features", "finetune")
    )
    normalise: str = key(
        "channel", "what is subtracted", among=("channel", "mean-pixel", "mean-image"), only=("scratch",)
    )
    unfreeze: int = key(2, "stages learnt below the head, from the top", low=0, high=1000, only=("finetune",))
    rate_decay: float = key(0.5, "rate of a stage, as a share of the one above", low=1e-6, high=1, only=("finetune",))
    norms: str = key("kept", "statistics of frozen norms", among=("kept", "measured", "moving"), only=("finetune",))
    sanity: int = key(0, "images to be learnt by heart before the run; 0: none", low=0, high=1000, only=("scratch",))
    checkpoint_seconds: float = key(
        60.0, "between checkpoints; 0: by steps alone", low=0, high=1e6, only=("scratch", "finetune")
    )
    checkpoint_steps: int = key(
        0, "steps between checkpoints; 0: by time alone", low=0, high=10**9, only=("scratch", "finetune")
    )
    checkpoint_keep: int = key(2, "checkpoints kept while it runs", low=1, high=1000, only=("scratch", "finetune"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds == 1:
            raise RequestError("folds must be 0, for one held-out part, or at least 2, not 1")

    @classmethod
    def keys(cls) -> list[str]:
        """Every key a recipe may have, in order: what is learnt and how, then the loop's."""
        return [item.name for item in _ordered()]

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Recipe:
        """A recipe from keys and values. Raises RequestError for an unknown key or a value out of range."""
        known = cls.keys()
        for name in values:
            if name not in known:
                raise unknown("recipe key", name, known)
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe") -> Recipe:
        """A recipe from TOML text; `source` names it in errors."""
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise RequestError(f"{source} is not valid TOML: {error}") from error
        return cls.from_mapping(values)

    @classmethod
    def from_file(cls, path: Path) -> Recipe:
        """A recipe from a TOML file."""
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")  # a path in it may be no text
        except OSError as error:
            raise RequestError(f"cannot read the recipe {str(path)!r}: {error.strerror or error}") from error
        return cls.from_toml(text, f"recipe {str(path)!r}")

    def idle(self, strategy: str) -> list[str]:
        """Keys that were set to something, and that only other strategies than this one use."""
        return [
            item.name
            for item in _ordered()
            if strategy not in (item.metadata["only"] or STRATEGIES) and getattr(self, item.name) != item.default
        ]

    def unread(self) -> list[str]:
        """A line for each key of the loop that was set to something, and that another key's value leaves unread."""
        lines = []
        for item in _ordered():
            other, values = item.metadata["where"] or ("", ())
            if other and getattr(self, other) not in values and getattr(self, item.name) != item.default:
                lines.append(f"Set, but not used with {other} {getattr(self, other)!r}: {item.name}")
        return lines

    def choices(self) -> dict[str, Any]:
        """What decides the weights, by key: all but where files lie, checkpoints, and what comes after learning."""
        apart = ("data", "split", "decisions", "precision", "engine")
        return {
            item.name: spoken(item, getattr(self, item.name))
            for item in _ordered()
            if item.name not in apart and not item.name.startswith("checkpoint_")
        }

    def with_settings(self, settings: list[str]) -> Recipe:
        """This recipe with `key=value` settings put over it, as `--set` gives them."""
        changes: dict[str, Any] = {}
        for setting in settings:
            name, separator, value = setting.partition("=")
            if not separator:
                raise RequestError(f"--set takes key=value, not {setting!r}")
            changes[name.strip()] = value.strip()
        return self.changed(changes)

    def changed(self, values: dict[str, Any]) -> Recipe:
        """This recipe with other values for some keys. Raises RequestError as `from_mapping` does."""
        return Recipe.from_mapping(dataclasses.asdict(self) | values)

    def toml(self) -> str:
        """This recipe as TOML, each key with a word on what it is; `from_toml` reads it back unchanged."""
        lines = []
        for item in _ordered():
            # A JSON string or number is also a TOML one, but TOML wants DEL escaped too, and knows no surrogate pairs.
            value = json.dumps(spoken(item, getattr(self, item.name)), ensure_ascii=False).replace("\x7f", "\\u007f")
            only = item.metadata["only"]
            of = f" ({', '.join(only)})" if only else ""
            lines.append(f"{item.name} = {value}".ljust(34) + f" # {item.metadata['what']}{of}")
        return "\n".join(lines) + "\n"


def _ordered() -> list[dataclasses.Field[Any]]:
    """The recipe's own keys, then the loop's."""
    loop = {item.name for item in dataclasses.fields(Settings)}
    return sorted(dataclasses.fields(Recipe), key=lambda item: item.name in loop)
