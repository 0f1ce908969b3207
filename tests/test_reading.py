"""Every file that was made elsewhere is read by `striate.reading`: regular files only, of a limited size."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import striate
from striate.data.audit.decisions import read_decisions
from striate.data.opening import open_source
from striate.data.splits import read_split
from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.jobs.import_weights import read_classes
from striate.model import read as read_model
from striate.reading import TEXT, WEIGHTS, open_file, read_file, read_given
from striate.recipe import Recipe
from striate.weights.checkpoints import ENDINGS, read_checkpoint
from striate.weights.resnet_checkpoint import import_resnet_checkpoint

ROOT = Path(striate.__file__).parent

# Calls that read a file, by the last part of their name; and where they are allowed, each with the reason.
READING = {"read_bytes", "read_text", "open", "memmap", "fromfile", "loadtxt", "ZipFile", "safe_open", "load_file"}
LOADING = {"np.load", "numpy.load", "torch.load", "pickle.load", "spec.loader.exec_module"}
PACKAGE = "a file of this package, or of an installed one"
OURS = "what this program wrote, and holds open or locked"
ALLOWED = {
    "reading:open_file": "the place where files are opened",
    "anatomy.facts:recounted": PACKAGE,
    "cli.verbs.recipe:_of_paper": PACKAGE,
    "data.sources.named:_csv_of_pixels": PACKAGE,
    "data.sources.named:faces": PACKAGE,
    "nets.catalog:papers": PACKAGE,
    "nets.papers:paper_measured": PACKAGE,
    "weights.classes:class_order": PACKAGE,
    "weights.classes:imagenet_classes": PACKAGE,
    "weights.keys:published": PACKAGE,
    "weights.registry:_from_package": "bytes that striate.reading gave",
    "interop.keras_export:keras_file": "it writes an archive, and reads none",
    "weights.pickles:_loaded": "a file that striate.reading opened",
    "data.sources.arrays:open_npz": "a file that striate.reading opened",
    "data.pack.source:open_pack": "a file that striate.reading opened",
    "data.sources.unpacking:tar_files": "a file that striate.reading opened",
    "data.sources.unpacking:open_zip": "a file that striate.reading opened",
    "data.sources.unpacking:zip_files": "a file that striate.reading opened",
    "nets.own:_file_module": "the user's module, a regular file, is imported by Python",
    "training.checkpoints:_processor": "/proc/cpuinfo",
    "data.sources.fetching:_attempt": "an address, and the part of a download, opened to append",
    "data.sources.unpacking:unpack": "a new file, to write",
    "studio.signing:_make_key": "a new file, to write, that nobody else may read",
    "storage:publish": OURS,
    "data.pack.writing:__enter__": OURS,
    "data.pack.writing:finish": OURS,
    "data.pack.writing:_table": OURS,
    "data.pack.writing:_go_on": OURS,
    "data.pack.writing:alone": OURS,
    "jobs.export:export": OURS,
    "jobs.fetch:_alone": OURS,
    "studio.files:append_line": OURS,
    "studio.files:locked_for_append": OURS,
    "studio.jobs:_start": "the standard output of a job, to write",
    "studio.uploads:_stream": "the part of an upload, to write",
    "learning.run_folder:_open_log": OURS,
    "storage:alone": OURS,
    "learning.run_folder:_drop_damaged": OURS,
    "cli.streams:open_missing": "the null device",
    "cli.streams:_discard": "the null device",
}


def reading_calls(path: Path) -> Iterator[tuple[str, int, str]]:
    """(module:function, line, name) of each call that may read a file; calls of open for writing are none."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, int, str]]:
        for inner in ast.iter_child_nodes(node):
            named = isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from walk(inner, inner.name if named and not function else function)  # type: ignore[attr-defined]
            if isinstance(inner, ast.Call):
                name = getattr(inner.func, "attr", getattr(inner.func, "id", ""))
                if name in READING or ast.unparse(inner.func) in LOADING:
                    yield f"{module}:{function}", inner.lineno, ast.unparse(inner.func)

    yield from walk(ast.parse(path.read_text("utf-8")), "")


def test_no_other_code_reads_files() -> None:
    found = [one for path in sorted(ROOT.rglob("*.py")) for one in reading_calls(path)]
    wrong = [f"{place}, line {line}: {name}" for place, line, name in found if place not in ALLOWED]
    assert not wrong, "use striate.reading, or add the place with its reason to ALLOWED"
    assert {place for place, _, _ in found} == ALLOWED.keys(), "ALLOWED has places where nothing is read"


# What is no regular file


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def listening(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))  # the name stays when the socket is closed
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def zeros(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def sparse(path: Path) -> Path:
    with open(path, "wb") as file:
        file.truncate(400 * 10**9)
    return path


MADE = {
    "it is a named pipe": fifo,
    "it is a socket": listening,
    "it is a folder": folder,
    "it is a device": zeros,
    "400,000,000,000 bytes|more than 512 MiB": sparse,
}
READERS: dict[str, Callable[[Path], object]] = {
    "recipe.toml": Recipe.from_file,
    "decisions.csv": read_decisions,
    "split.csv": read_split,
    "classes.txt": read_classes,
    "model.safetensors": read_model,
    "resnet.th": lambda path: import_resnet_checkpoint(path, "resnet20"),
    **{f"weights{ending}": read_checkpoint for ending in ENDINGS},
}


@pytest.mark.parametrize("message", MADE)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_the_kind_is_one_error_at_once(name: str, message: str, tmp_path: Path) -> None:
    path = MADE[message](tmp_path / name)
    with pytest.raises(RequestError, match=message):
        READERS[name](path)


DATA = ("data.csv", "data.jsonl", "data.json", "data.npz", "data.pack", "data.tar.gz", "train-images-idx3-ubyte")


@pytest.mark.parametrize("kind", [fifo, listening, zeros, sparse], ids=lambda made: made.__name__)
@pytest.mark.parametrize("name", DATA)
def test_data_that_are_no_regular_file_are_one_error_at_once(
    name: str, kind: Callable[[Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 0]))
    with pytest.raises(RequestError) as caught:
        open_source(kind(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_none_is_told_at_once(trained: object, tmp_path: Path) -> None:
    import striate

    model = striate.load(trained.folder)  # type: ignore[attr-defined]
    assert isinstance(model, Predictor)
    for message, made in MADE.items():
        with pytest.raises(RequestError, match=message):
            model.predict(made(tmp_path / f"{made.__name__}.jpg"))


def test_a_pipe_with_a_writer_is_not_read(tmp_path: Path) -> None:
    path = fifo(tmp_path / "recipe.toml")
    both = os.open(path, os.O_RDWR)
    try:
        os.write(both, b"seed = 1")
        with pytest.raises(RequestError, match="it is a named pipe, not a file"):
            Recipe.from_file(path)
    finally:
        os.close(both)


# Limits


def test_the_limit_counts_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes; at most 4 are read"):
        read_file(path, 4)
    with open_file(path, None) as file:
        assert file.read() == b"12345"


def test_a_file_without_a_size_is_read_up_to_the_limit() -> None:
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("there is no /proc here")
    assert status.stat().st_size == 0
    assert b"Name:" in read_file(status, TEXT)
    with pytest.raises(OSError, match="it has more than 100 bytes"):
        read_file(status, 100)


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 300])
def test_a_name_that_is_none_is_one_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"cannot read the weights '.*': .*") as caught:
        read_given(tmp_path / name, "the weights", WEIGHTS)
    assert "\n" not in str(caught.value)
