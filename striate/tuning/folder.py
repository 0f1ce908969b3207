"""The folder of a search: its settings, by which workers join and resume it, and who finishes it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError, shown, unknown
from striate.reading import TEXT, read_given
from striate.storage import alone, json_text, write_text
from striate.tuning.space import POINTS

SETTINGS, SPACE, TRIALS, BEST_RECIPE, BEST, RESULT = (
    "tuning.json", "space.toml", "trials.csv", "best.toml", "best", "result.json",
)  # fmt: skip
ARCHITECTURE = "search.json"  # the settings of a search for an architecture
JOURNAL, LOCK, TRAINED = "journal.log", "finish.lock", "trained.txt"  # the digest of the recipe that `best` is of
METHODS, PRUNERS = ("random", "grid", "tpe"), ("none", "halving", "hyperband")
_MOST = 1_000_000  # trials
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@(?:[^?]*@)?")  # one may be in it, not escaped
_SECRET = re.compile(r"(ssl)?pass(word|wd)", re.IGNORECASE).fullmatch
_PART = re.compile(r"(\d+(?:\.\d+)?)(s|sec|m|min|h|d)")


@dataclass(frozen=True)
class Settings:
    """How a search is made. Raises RequestError for values that it does not take.

    space: as a space file has it; None for the strategy's own. recipe: what is not searched, as TOML. trials: None for
    the default. folds: that judge a trial; None for one validation part. nested: outer folds, each with a search.
    storage: "" for a journal in the folder; a database's URL is written without its password. study: the name in the
    storage.
    """

    recipe: str
    space: Mapping[str, Any] | None = None
    method: str = "random"
    trials: int | None = None
    folds: int | None = None
    nested: int | None = None
    pruner: str = "none"
    points: int = POINTS
    storage: str = ""
    study: str = ""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", str(self.method), METHODS)
        if self.pruner not in PRUNERS:
            raise unknown("pruner", str(self.pruner), PRUNERS)
        _whole("--trials", self.trials, 1, _MOST)
        _whole("--folds", self.folds, 2, 100)
        _whole("--nested", self.nested, 2, 100)
        _whole("--points", self.points, 2, _MOST)

    def text(self) -> str:
        """As JSON."""
        return json_text(dataclasses.asdict(self) | {"storage": without_password(self.storage)}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Those of a folder. Raises RequestError for a folder that has none."""
        path = folder / SETTINGS
        if (folder / ARCHITECTURE).is_file():
            raise RequestError(f"{str(folder)!r} is an architecture search: its command again goes on with it")
        if not path.is_file():
            raise RequestError(f"{str(folder)!r} is not a search to resume: it has no {SETTINGS}")
        try:
            found = json.loads(read_given(path, "the settings", TEXT))
            return cls(**found)
        except (ValueError, TypeError, RecursionError) as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(f"{str(path)!r} does not hold the settings of a search") from error


def without_password(storage: str) -> str:
    """A database's URL without the password before its host or among its parameters; other storages as they are."""
    if "://" not in storage:
        return storage
    address, asked, parameters = _PASSWORD.sub(r"\1@", storage).partition("?")
    kept = [one for one in parameters.split("&") if not _SECRET(one.partition("=")[0])]
    return address + (asked + "&".join(kept) if kept != [""] and kept else "")


def _whole(what: str, value: int | None, low: int, high: int) -> None:
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise RequestError(f"{what} takes an integer from {low:,} to {high:,}, not {shown(value)}")


def claimed(folder: Path, settings: Settings) -> Settings:
    """The settings of a new search, written, or those of one in the folder that is joined by the same settings.

    Raises RequestError for a folder with anything else in it, or with a search by other settings.
    """
    try:
        present = sorted(one.name for one in folder.iterdir() if one.suffix != ".part") if folder.exists() else []
    except OSError as error:
        raise RequestError(f"cannot use the folder {str(folder)!r}: {error.strerror or error}") from error
    if SETTINGS in present:
        known = Settings.read(folder)
        for field in dataclasses.fields(Settings):
            one, other = getattr(known, field.name), getattr(settings, field.name)
            if field.name == "storage":
                one, other = without_password(one), without_password(other)
            if field.name != "trials" and json_text(one) != json_text(other):
                raise RequestError(
                    f"{str(folder)!r} is a search with {field.name} {shown(one, 60)}, not {shown(other, 60)}: join it "
                    "with the same, resume it by --resume, or choose another --out"
                )
        return dataclasses.replace(known, trials=settings.trials, storage=settings.storage)
    if present:
        raise RequestError(
            f"the folder {str(folder)!r} is in use ({len(present)} entries, e.g. {present[0]!r}); choose another --out"
        )
    write_text(folder / SETTINGS, settings.text())
    return settings


def resumed(folder: Path, trials: int | None, storage: str) -> Settings:
    """The settings of the search in the folder. storage: the same again, with its password; "" for what is known.

    Raises RequestError for another storage, and for a journal that is gone.
    """
    known = Settings.read(folder)
    if storage and without_password(storage) != without_password(known.storage):
        mine, others = (repr(without_password(one)) for one in (known.storage, storage))
        where = mine if known.storage else f"its own {JOURNAL}"
        raise RequestError(f"the trials of {str(folder)!r} are in {where}, not in {others}: leave --storage out")
    found = dataclasses.replace(known, trials=trials, storage=storage or known.storage)
    journal = Path(found.storage or folder / JOURNAL)
    if "://" not in found.storage and not journal.is_file():  # Optuna would start a new one
        raise RequestError(f"the trials of {str(folder)!r} are gone: {str(journal)!r} does not exist any more")
    return found


def seconds_of(budget: float | str | None) -> float:
    """A time as seconds: a number, or text such as "90s", "30min" or "1h30min"; infinite for None.

    Raises RequestError for others.
    """
    if budget is None:
        return math.inf
    if isinstance(budget, (int, float)) and not isinstance(budget, bool):
        found = float(budget)
    else:
        text = str(budget).replace(" ", "").lower()
        parts = _PART.findall(text)
        whole = "".join(number + unit for number, unit in parts) == text
        found = sum(float(number) * _UNITS[unit] for number, unit in parts) if whole and parts else math.nan
    if not 0 < found < math.inf:
        raise RequestError(f"--budget takes a time such as 90s, 30min or 1h30min, not {shown(budget)}")
    return found


def finishing(folder: Path) -> AbstractContextManager[bool]:
    """Whether this worker is the one that finishes the search: within the block no other one is."""
    return alone(folder / LOCK)
