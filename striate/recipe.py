"""The training recipe: every choice of a run as one typed value, and its TOML.

Command line, recipe file and Python all fill this same object. Unknown keys are refused with the nearest right one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.errors import RequestError, unknown


def _key(
    default: Any, what: str, *, among: tuple[str, ...] = (), low: float = -math.inf, high: float = math.inf
) -> Any:
    return field(default=default, metadata={"what": what, "among": among, "low": low, "high": high})


STRATEGIES = ("features", "scratch")  # a key whose description ends in one of them, in brackets, is of that one alone


@dataclass(frozen=True)
class Recipe:
    """What `striate train` runs. Zero or an empty string means: chosen for you, and said in the report."""

    data: str = _key("", "folder, manifest, arrays, pack or named set to learn from")
    net: str = _key("", "catalogue name; empty: chosen with the strategy")
    strategy: str = _key("auto", "how to learn", among=("auto", *STRATEGIES))
    seed: int = _key(0, "seed of the split and of every draw", low=0, high=2**31 - 1)
    split: str = _key("", "split.csv of an earlier run, to be split the same; empty: as the data or the seed have it")
    decisions: str = _key("", "decisions.csv on the data: what to drop, relabel or move")
    folds: int = _key(0, "cross-validate in so many folds; 0: one held-out part", low=0, high=100)
    balance: str = _key("none", "count classes alike", among=("none", "weights", "sampling"))
    loss: str = _key("auto", "of a number: squares, or straight for wild ones", among=("auto", "mse", "huber"))
    strangers: str = _key("", "folder of images of none of the classes; empty: every image is one of them")
    held_out: float = _key(0.2, "fraction held out where the data brings no split", low=0.01, high=0.9)
    precision: str = _key("auto", "arithmetic of inference", among=("auto", "float32", "bfloat16"))
    engine: str = _key("auto", "what runs the net", among=("auto", "openvino", "torch"))
    search_folds: int = _key(5, "folds that choose the head's regularisation (features)", low=2, high=50)
    epochs: int = _key(0, "passes over the training images; 0: chosen from their number (scratch)", low=0, high=100_000)
    batch: int = _key(64, "images a step (scratch)", low=1, high=65_536)
    learning_rate: float = _key(0.1, "peak rate (scratch)", low=1e-12, high=1e3)
    momentum: float = _key(0.9, "Nesterov momentum (scratch)", low=0, high=0.9999)
    weight_decay: float = _key(5e-4, "L2 on weights, not on norms and biases (scratch)", low=0, high=1)
    warmup_epochs: float = _key(1.0, "epochs of linear warm-up before the cosine (scratch)", low=0, high=1000)
    clip_norm: float = _key(1.0, "largest norm of all gradients; 0: any (scratch)", low=0, high=1e6)
    label_smoothing: float = _key(0.05, "mass moved from the true class to all (scratch)", low=0, high=0.9)
    normalise: str = _key("channel", "what is subtracted (scratch)", among=("channel", "mean-pixel", "mean-image"))
    augment: str = _key("auto", "auto, a preset, or words such as 'flip=0.5 rotate=10' (scratch)")

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise RequestError("folds must be 0, for one held-out part, or at least 2, not 1")
        for item in dataclasses.fields(self):
            _check(item, getattr(self, item.name))

    @classmethod
    def keys(cls) -> list[str]:
        """Every key a recipe may have, in order."""
        return [item.name for item in dataclasses.fields(cls)]

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Recipe:
        """A recipe from keys and values. Raises RequestError for an unknown key or a value out of range."""
        known = cls.keys()
        for key in values:
            if key not in known:
                raise unknown("recipe key", key, known)
        return cls(**{key: _as_declared(key, value) for key, value in values.items()})

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
        """Keys that were set to something, and that only another strategy than this one uses."""
        others = [f"({other})" for other in STRATEGIES if other != strategy]
        return [
            item.name
            for item in dataclasses.fields(self)
            if item.metadata["what"].endswith(tuple(others)) and getattr(self, item.name) != item.default
        ]

    def with_settings(self, settings: list[str]) -> Recipe:
        """This recipe with `key=value` settings put over it, as `--set` gives them."""
        changes: dict[str, Any] = {}
        for setting in settings:
            key, separator, value = setting.partition("=")
            if not separator:
                raise RequestError(f"--set takes key=value, not {setting!r}")
            changes[key.strip()] = value.strip()
        return self.changed(changes)

    def changed(self, values: dict[str, Any]) -> Recipe:
        """This recipe with other values for some keys. Raises RequestError as `from_mapping` does."""
        return Recipe.from_mapping(dataclasses.asdict(self) | values)

    def toml(self) -> str:
        """This recipe as TOML, each key with a word on what it is; `from_toml` reads it back unchanged."""
        lines = []
        for item in dataclasses.fields(self):
            # A JSON string or number is also a TOML one, but TOML wants DEL escaped too, and knows no surrogate pairs.
            value = json.dumps(getattr(self, item.name), ensure_ascii=False).replace("\x7f", "\\u007f")
            lines.append(f"{item.name} = {value}".ljust(34) + f" # {item.metadata['what']}")
        return "\n".join(lines) + "\n"


_TYPES = {"str": str, "int": int, "float": float}


def _as_declared(key: str, value: Any) -> Any:
    declared = _TYPES[str(Recipe.__dataclass_fields__[key].type)]
    try:
        # Text comes from the command line; a number must survive the conversion unchanged.
        converted = declared(value)
        if isinstance(value, bool) or (not isinstance(value, str) and (declared is str or converted != value)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise RequestError(f"recipe key {key!r} takes {declared.__name__}, not {value!r}") from None
    return converted


def _check(item: dataclasses.Field[Any], value: Any) -> None:
    among, low, high = (item.metadata[name] for name in ("among", "low", "high"))
    if among and value not in among:
        raise unknown(item.name, str(value), among)
    if isinstance(value, (int, float)) and not low <= value <= high:
        raise RequestError(f"{item.name} must lie in {low:g} to {high:g}, not {value!r}")
