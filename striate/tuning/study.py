"""Studies: what all workers of a search share, in a journal file or a database, by Optuna."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from striate.errors import RequestError, WorkError
from striate.tuning.attributes import IDENTITY, TOTAL
from striate.tuning.sampling import ByTrial

_PASSWORD = re.compile(r"(?<=:)[^:/@]+(?=@)")

# What must be the same for all workers, and how it is called in a message.
_SHARED = {
    "data": "other images, targets or parts",
    "space": "another space",
    "recipe": "another recipe",
    "method": "another method",
    "judged": "other folds",
    "pruner": "another pruner",
    "seed": "another seed",
}


@dataclass(frozen=True, eq=False)
class Place:
    """Where studies are: a storage, and its name for messages. journal: the file, if it is one."""

    storage: BaseStorage
    name: str
    journal: Path | None = None

    def study(self, name: str, *, maximize: bool, sampler: ByTrial, pruner: str, epochs: int) -> optuna.Study:
        """The study of that name, made if there is none. epochs: of a whole trial, for the pruner."""
        with self.errors():
            return optuna.create_study(
                storage=self.storage,
                study_name=name,
                direction="maximize" if maximize else "minimize",
                load_if_exists=True,
                sampler=sampler,
                pruner=_pruner(pruner, epochs),
            )

    def close(self) -> None:
        """Close the connections of a database."""
        self.storage.remove_session()
        if isinstance(self.storage, RDBStorage):
            self.storage.engine.dispose()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of the storage within the block become one line; a journal that is gone is one."""
        import sqlalchemy.exc

        if self.journal is not None and not self.journal.is_file():  # Optuna would start a new one
            raise WorkError(f"the storage {self.name!r} is gone: the file does not exist any more")
        try:
            yield
        except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise WorkError(f"the storage {self.name!r} failed: {_first_line(error)}") from error
        except json.JSONDecodeError as error:
            raise WorkError(f"the storage {self.name!r} is damaged: {error}") from error


def open_place(storage: str) -> Place:
    """A journal file, or one of Optuna's database URLs. Raises RequestError for what cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" in storage:
        return Place(_database(storage), _PASSWORD.sub("***", storage))
    path = Path(storage)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise RequestError(f"the storage {storage!r} is not a file: name a journal file or a database URL")
        return Place(JournalStorage(JournalFileBackend(storage)), storage, path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"cannot open the storage {storage!r}, a journal of trials: {_first_line(error)}") from error


def _database(url: str) -> BaseStorage:
    import sqlalchemy.exc

    shown = _PASSWORD.sub("***", url)
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        driver = "pip install 'striate[postgresql]'" if url.startswith("postgresql") else "its Python package"
        raise RequestError(f"the storage {shown!r} needs a driver that is not installed: {driver}") from error
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, RuntimeError) as error:
        raise RequestError(f"cannot open the storage {shown!r}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return _PASSWORD.sub("***", " ".join(text.splitlines()[0].split()))


def require_same(study: optuna.Study, identity: Mapping[str, Any]) -> None:
    """Record what a new study searches. Raises RequestError if it was started on something else."""
    known = study.user_attrs.get(IDENTITY)
    if known is None and study.get_trials(deepcopy=False):
        raise RequestError(f"the study {study.study_name!r} is not one of striate tune: give another --study")
    if known is None:
        study.set_user_attr(IDENTITY, dict(identity))
        known = study.user_attrs.get(IDENTITY, {})  # another worker may have been the first
    for name, words in _SHARED.items():
        if known.get(name) != identity.get(name):
            raise RequestError(
                f"the study {study.study_name!r} was started on {words} ({known.get(name)}, not {identity.get(name)}); "
                "join it with the same, or give another --out or --study"
            )


def shared_total(study: optuna.Study, wanted: int | None, default: int) -> int:
    """How many trials all workers make together: those wanted, else what the study says, else the default."""
    known = study.user_attrs.get(TOTAL)
    total = int(wanted or known or default)
    if total != known:
        study.set_user_attr(TOTAL, total)
    return total


def _pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(1, epochs), reduction_factor=3)
    return optuna.pruners.NopPruner()
