"""What all tests share: a cache of their own, photographs (without them tests are skipped), one trained run."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from named_tests import (  # noqa: F401  the hooks that mark tests, and compare a full run with what the documentation names
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from real_data import DATA

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before tests import onnxruntime

# A shell that starts the tests in the background has them ignore Ctrl-C, and some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; with STRIATE_HYPOTHESIS=random each run draws others.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile(os.environ.get("STRIATE_HYPOTHESIS", "fixed"))

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """STRIATE_CACHE: a folder of this session, so that no test reads or leaves anything in the user's own."""
    before = os.environ.get("STRIATE_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["STRIATE_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["STRIATE_CACHE"]
    else:
        os.environ["STRIATE_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def session_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """XDG_STATE_HOME, likewise."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data beside the repository."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not at {DATA}; STRIATE_TEST_DATA says where it is")
    return DATA


@pytest.fixture(scope="session")
def photos(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of ants and bees, train/ (2 x 20) and val/ (2 x 8). Where they are missing, tests are skipped."""
    if not (test_data / "hymenoptera").is_dir():
        pytest.skip(f"no photographs: {test_data} has no folder hymenoptera")
    root = tmp_path_factory.mktemp("photos") / "insects"
    for part, count in (("train", 20), ("val", 8)):
        for name in ("ants", "bees"):
            files = sorted((test_data / "hymenoptera" / part / name).glob("*.jpg"))[:count]
            (root / part / name).mkdir(parents=True)
            for file in files:
                shutil.copyfile(file, root / part / name / file.name)
    return root


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> object:
    """A run on `photos`: features and a head, all caches warm afterwards."""
    from striate import Recipe, train

    return train(
        photos,
        out=tmp_path_factory.mktemp("runs") / "first",
        recipe=Recipe().updated({"strategy": "features", "inference.engine": "openvino"}),
    )


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs the command line in this process: `cli("nets")` -> (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        from striate.cli.main import main

        # Strict UTF-8, as a terminal is: what cannot be printed there fails here too.
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as leaving:
                code = int(leaving.code or 0)
        texts = [stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err)]  # type: ignore[attr-defined]
        return code, texts[0], texts[1]

    return run
