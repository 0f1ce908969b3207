"""Sort predicted images into a folder for each class, as copies or links."""

from __future__ import annotations

import contextlib
import os
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources.base import JUNK
from striate.errors import RequestError, WorkError
from striate.inference.predictor import OUT_OF_DISTRIBUTION, Prediction
from striate.progress import Progress
from striate.tasks import Task

UNSURE = "unsure"  # the folder of images below the threshold
LONGEST = 200  # bytes of a folder's name: room for a number
LONGEST_FILE = 255  # bytes of a file's name, as file systems allow
_LONGEST_ENDING = 32  # bytes of what counts as a file name's ending
_FORBIDDEN = frozenset('<>:"/\\|?*')  # on Windows; the slash everywhere
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))])


@dataclass(frozen=True)
class Sorting:
    """Where predicted images are sorted into. folder: new or empty. link: hard or symbolic links instead of copies.

    unsure: images whose highest probability is below it go to a folder "unsure"; None: all go to their class.
    """

    folder: Path
    link: bool = False
    unsure: float | None = None

    def check(self, task: Task) -> None:
        """Raise RequestError where images cannot be sorted: by the task, the threshold or the folder."""
        if not task.one_class:
            raise RequestError(
                f"images are sorted by their class, and the model's task is {task.kind}: a table (--csv) has its "
                f"{task.wording.many}"
            )
        if self.unsure is not None and not 0 <= self.unsure <= 1:
            raise RequestError(f"the threshold of unsure images is a probability from 0 to 1, not {self.unsure:g}")
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise RequestError(f"{str(self.folder)!r} is a file; images are sorted into a new or empty folder")
            present = sorted(_visible(self.folder)) if self.folder.exists() else []
        except OSError as error:
            raise RequestError(f"cannot use the folder {str(self.folder)!r}: {error.strerror or error}") from error
        if present:
            raise RequestError(
                f"the folder {str(self.folder)!r} is not empty ({len(present)} entries, e.g. {present[0]!r}); images "
                "are sorted into a new or empty one, so that no results are mixed"
            )

    def check_places(self, table: Path | None, task: Task, inputs: Iterable[Path]) -> None:
        """Raise RequestError where the table or the folder would be mixed with images.

        table: the file it is written to. inputs: the folders that are predicted.
        """
        folder = Path(os.path.realpath(self.folder))
        for given in inputs:
            if folder.is_relative_to(os.path.realpath(given)):
                raise RequestError(
                    f"the folder {str(self.folder)!r} is inside {str(given)!r}, which is predicted: its images would "
                    "be predicted again the next time; name a folder outside"
                )
        if table is None:
            return
        place = Path(os.path.realpath(table))
        if folder.is_relative_to(place):
            raise RequestError(f"{str(table)!r} cannot be both the table and a folder of sorted images; name another")
        if place.is_relative_to(folder):
            classes = folder_names(task.names, _reserved(self, detecting=True)).values()
            taken = map(_compared, [*classes, *folder_names(task.names).values(), OUT_OF_DISTRIBUTION, UNSURE])
            if _compared(place.relative_to(folder).parts[0]) in set(taken):
                raise RequestError(
                    f"the table {str(table)!r} would be among the sorted images of a class; name another file, such as "
                    f"{str(self.folder / 'predictions.csv')!r}"
                )


def sort_images(predictions: Sequence[Prediction], sorting: Sorting, task: Task, progress: Progress) -> dict[str, Path]:
    """Copy or link each image into the folder of its class; the new path of each source.

    Raises WorkError, naming the image, if one cannot be written.
    """
    places = {source: sorting.folder / below for source, below in planned(predictions, sorting, task).items()}
    with progress.bar("Linking" if sorting.link else "Copying", len(places)) as bar:
        for source, place in places.items():
            bar.advance()
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                (_link if sorting.link else _copy)(Path(source), place)
            except OSError as error:
                raise WorkError(f"could not sort {source!r} into {str(place)!r}: {error.strerror or error}") from error
    return places


def planned(predictions: Sequence[Prediction], sorting: Sorting, task: Task) -> dict[str, str]:
    """Source -> its path in the folder, CLASS/NAME. Of equal names of one class all but the first get a number."""
    specials = [_special(one, sorting.unsure) for one in predictions]
    detecting = any(one.in_distribution is not None for one in predictions)
    folders = folder_names(task.names, _reserved(sorting, detecting))
    taken: dict[str, _Names] = {}
    found: dict[str, str] = {}
    for one, special in zip(predictions, specials, strict=True):
        if one.source in found:  # given twice
            continue
        folder = special or folders[one.answer.label]
        found[one.source] = f"{folder}/{taken.setdefault(folder, _Names()).free(Path(one.source).name)}"
    return found


def _reserved(sorting: Sorting, detecting: bool) -> list[str]:
    """The folders that no class has, whether or not an image goes there: names must not depend on the images."""
    return [OUT_OF_DISTRIBUTION] * detecting + [UNSURE] * (sorting.unsure is not None)


def folder_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Each class's name as one that every file system takes; no two are the same, in any letter case.

    taken: names that are used otherwise. Characters that cannot be in a file name become underscores.
    """
    used = _Names()
    for name in taken:
        used.free(name)
    return {name: used.free(_safe(name), whole=True) for name in names}


@dataclass
class _Names:
    """The names in one folder."""

    used: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)

    def free(self, name: str, *, whole: bool = False) -> str:
        """The name, with a number if it is taken: before the extension, or at the end of a `whole` name."""
        first, chosen = _compared(name), name
        stem, suffix = (name, "") if whole else (Path(name).stem, Path(name).suffix)
        if len(os.fsencode(suffix)) > _LONGEST_ENDING:
            stem, suffix = name, ""
        while _compared(chosen) in self.used:
            self.numbers[first] = self.numbers.get(first, 1) + 1
            chosen = _numbered(stem, f"-{self.numbers[first]}{suffix}")
        self.used.add(_compared(chosen))
        return chosen


def _numbered(stem: str, ending: str) -> str:
    """The name with this ending, shortened before it where no file system would take it."""
    while len(os.fsencode(stem + ending)) > LONGEST_FILE:
        stem = stem[:-1]
    return stem + ending


def _compared(name: str) -> str:
    """What names have in common that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _safe(name: str) -> str:
    plain = "".join("_" if letter in _FORBIDDEN or not letter.isprintable() else letter for letter in name)
    plain = plain.encode()[:LONGEST].decode(errors="ignore").strip(" ").rstrip(". ")
    # A hidden folder, or one like a tool's, would be left out when the result is trained on.
    reserved = not plain or plain.startswith(".") or plain.lower() in JUNK
    return f"_{plain}" if reserved or plain.partition(".")[0].lower() in _DEVICES else plain


def _special(one: Prediction, unsure: float | None) -> str:
    """The folder of an image that goes to no class; "" for one that does."""
    if one.in_distribution is False:
        return OUT_OF_DISTRIBUTION
    return UNSURE if unsure is not None and one.confidence < unsure else ""


def _visible(folder: Path) -> list[str]:
    names = [entry.name for entry in folder.iterdir()]
    return [name for name in names if not name.startswith(".") and name.lower() not in JUNK]


def _copy(source: Path, place: Path) -> None:
    """Copy content and times, under another name until it is whole."""
    part = place.parent / ".part"
    try:
        shutil.copyfile(source, part)
        with contextlib.suppress(OSError):  # some file systems have no permissions or times to set
            shutil.copystat(source, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _link(source: Path, place: Path) -> None:
    """A hard link; where the file system has none, as between two disks, a symbolic one."""
    real = Path(os.path.realpath(source))
    try:
        place.hardlink_to(real)
    except OSError:
        place.symlink_to(real)
