"""Predict: the predictions of a model for image files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from threadpoolctl import threadpool_limits

from striate.data.opening import Data
from striate.data.sources.base import Oddity
from striate.data.sources.folder import open_images
from striate.errors import RequestError
from striate.inference.averaging import AveragePredictor
from striate.inference.image_predictor import ImagePredictor, Prediction
from striate.inference.predictor import Predictor
from striate.jobs.captions import captioner
from striate.jobs.load import load_calibrated
from striate.jobs.outputs import require_outside, same_file
from striate.jobs.prediction_table import predictions_csv
from striate.jobs.sorting import Sorting, sort_images
from striate.jobs.usable import usable
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import write_text

FEW = 4  # files, for which an engine is opened that divides each image among the cores


@dataclass(frozen=True)
class Predictions:
    """The predictions, in the order of the files.

    failed: (path, why) of files that could not be used, and of folders that could not be listed. set_aside: entries of
    the folders that are not images, such as hidden and other files. sorted_to: the copy or link of each image, by its
    path, if images were sorted.
    """

    predictions: list[Prediction]
    failed: list[tuple[str, str]]
    predictor: Predictor | AveragePredictor
    set_aside: tuple[Oddity, ...] = ()
    sorted_to: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class _Given:
    """The files to predict. folders: as given. failed: (path, why) of folders. set_aside: what was left out in them."""

    paths: tuple[str, ...]
    folders: tuple[Path, ...]
    failed: tuple[tuple[str, str], ...]
    set_aside: tuple[Oddity, ...]


def predict(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    engine: str = "auto",
    precision: str = "auto",
    calibrate: Data | None = None,
    views: str = "",
    csv: str | os.PathLike[str] | None = None,
    sort_into: str | os.PathLike[str] | None = None,
    link: bool = False,
    unsure: float | None = None,
    beam: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files; a folder stands for the images in it, found as in training.

    Files are read and decoded on several threads. What cannot be used is listed in `failed`.

    precision: "float32", "bfloat16", "int8", or "auto", as the model was evaluated. calibrate: labelled images that
    int8 is calibrated and checked on, by default those the model was trained on; see `striate.quantize`.
    views: "flip", "ten-crop" or "scales": average the predictions over these views of each image; see `evaluate`.
    csv: a table to write, see `striate.jobs.prediction_table`. sort_into: a new or empty folder, in which each image is
    copied into a folder of its class; link: linked instead. unsure: images whose highest probability is below go to a
    folder "unsure". beam: of a captioning model, the width of its beam search; by default the model's.
    Raises RequestError if there is no image file, or for an output that cannot be written.
    """
    progress = progress or Progress()
    many = len(files) > FEW or any(os.path.isdir(file) for file in files)  # noqa: PTH112  (Path.is_dir raises)
    predictor = (
        load_calibrated(
            model, engine=engine, precision=precision, calibrate=calibrate, progress=progress, many=many, views=views
        )
        if beam is None
        else captioner(model, beam=beam, engine=engine)
    )
    given = image_files(files)
    sorting = _sorting(sort_into, link, unsure)
    table = _named(csv, "the table (--csv)") if csv is not None else None
    _check_outputs(table, sorting, predictor, model, given)
    predictions, failed = _predicted(predictor, given, progress)
    task = predictor.task
    sorted_to = sort_images(predictions, sorting, task, progress) if sorting else {}
    if table:
        write_text(table, predictions_csv(predictions, failed, task, sorted_to))
    return Predictions(predictions, failed, predictor, given.set_aside, sorted_to)


def _sorting(folder: str | os.PathLike[str] | None, link: bool, unsure: float | None) -> Sorting | None:
    if folder is not None:
        return Sorting(_named(folder, "the folder to sort into (--sort-into)"), link, unsure)
    if link or unsure is not None:
        raise RequestError(
            f"{'link' if link else 'unsure'} is for sorted images: give a folder to sort them into (--sort-into)"
        )
    return None


def _named(path: str | os.PathLike[str], what: str) -> Path:
    """A path that is not empty, as from an unset variable of a shell: it would mean the current folder."""
    if not os.fspath(path):
        raise RequestError(f"the path of {what} is empty, ''; the current folder is '.'")
    return Path(path)


def _check_outputs(
    csv: Path | None, sorting: Sorting | None, predictor: ImagePredictor, model: str | os.PathLike[str], given: _Given
) -> None:
    """Raise RequestError, before any work, for an output that cannot be written or would overwrite an input."""
    if sorting:
        sorting.check(predictor.task)
        sorting.check_places(csv, predictor.task, given.folders)
    if csv and csv.is_dir():
        raise RequestError(f"{str(csv)!r} is a folder; the table is written to a file, such as {str(csv / 'a.csv')!r}")
    if csv and any(same_file(csv, Path(path)) for path in (*given.paths, model)):
        raise RequestError(f"{str(csv)!r} is an input, and is not overwritten; name another file")
    if csv:
        require_outside(csv, [Path(model)])


def _predicted(
    predictor: ImagePredictor, given: _Given, progress: Progress
) -> tuple[list[Prediction], list[tuple[str, str]]]:
    """The predictions, and what failed with the reason."""
    failed = list(given.failed)

    def crop(path: str) -> tuple[str, Images]:
        return path, predictor.crop(path, path)

    # The head's products are small: more threads would only wait for cores that decode.
    with threadpool_limits(1, user_api="blas"), progress.bar("Predicting", len(given.paths)) as bar:
        return list(predictor.predict_crops(usable(given.paths, crop, failed, bar))), failed


def image_files(files: Sequence[str | os.PathLike[str]]) -> _Given:
    """The files in order, folders replaced by the images in them. Raises RequestError if no file is left."""
    paths: list[str] = []
    folders: list[Path] = []
    failed: list[tuple[str, str]] = []
    set_aside: list[Oddity] = []
    for path in [_named(file, "an image file or folder") for file in files]:
        if not os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
            paths.append(str(path))
            continue
        folders.append(path)
        try:
            source = open_images(path)
        except RequestError as error:
            failed.append((str(path), str(error)))
            continue
        paths += [str(path / item.key) for item in source.items]
        for one in source.oddities:
            where = str(path / one.path)
            if one.kind == "unreadable":  # a folder, in which there may be images
                failed.append((where, f"{where!r}: {one.why}"))
            else:
                set_aside.append(Oddity(where, one.kind, one.why))
    if not paths:
        raise RequestError(failed[0][1] if failed else "no image files were given")
    return _Given(tuple(paths), tuple(folders), tuple(failed), tuple(set_aside))
