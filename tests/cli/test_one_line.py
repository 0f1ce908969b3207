"""Whatever happens, the command line ends with one line; and closed, full or broken streams lose no work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drawings import blocks

from striate.cli.verbs import nets
from striate.errors import for_terminal, shown
from striate.model import read
from striate.recipe import Recipe

Cli = Callable[..., tuple[int, str, str]]
Patch = pytest.MonkeyPatch

UNFORESEEN = {
    "unexpected ZeroDivisionError: by nothing": ZeroDivisionError("by\nnothing"),
    "unexpected RecursionError: too deep": RecursionError("too deep"),
    "memory is exhausted": MemoryError(),
    "No space left on device '/x'": OSError(28, "No space left on device", "/x"),
    "unexpected KeyError: '\\x1b[31m'": KeyError("\x1b[31m"),
}


@pytest.mark.parametrize("words", UNFORESEEN)
def test_what_no_code_expected_is_one_line(words: str, cli: Cli, monkeypatch: Patch) -> None:
    def fail(chosen: object) -> None:
        raise UNFORESEEN[words]

    monkeypatch.delenv("STRIATE_TRACEBACK", raising=False)
    monkeypatch.setattr(nets, "run", fail)
    code, out, err = cli("nets")
    assert (code, out) == (1, "")
    assert err.startswith(f"striate: {words}") and err.endswith("(STRIATE_TRACEBACK=1 shows where)\n")
    assert err.count("\n") == 1 and "Traceback" not in err and "\x1b" not in err
    code, out, err = cli("nets", "--json")
    assert code == 1 and json.loads(out)["error"] in err
    monkeypatch.setenv("STRIATE_TRACEBACK", "1")
    code, _, err = cli("nets")
    assert code == 1 and err.startswith("Traceback (most recent call last):") and "in fail" in err


# Streams


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("streams") / "blocks", {"low": 12, "high": 12})


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, with the redirections of `line` after it."""
    words = ["sh", "-c", f'"$0" -m striate "$@" {line}', sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


TRAIN = ("--net", "lenet5_plain", "--strategy", "scratch", "--epochs", "1", "--set", "inference.engine=torch")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@pytest.mark.parametrize(
    ("redirected", "code"),
    [(">&- 2>&- <&-", 0), pytest.param("2>/dev/full", 0, marks=FULL),
     pytest.param(">/dev/full", 1, marks=FULL)],
)  # fmt: skip
def test_streams_that_cannot_be_written_lose_no_work(redirected: str, code: int, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = shell(redirected, "train", data, *TRAIN, "--out", run)
    assert done.returncode == code, done
    assert read(run / "model.safetensors").net == "lenet5_plain"  # and nothing was printed into it
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["plan", "epoch", "done"]
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    if code:
        told = "striate: the work is done, but its result could not be printed: No space left on device"
        assert told in done.stderr.splitlines()
    elif "2>" not in redirected:
        assert "Strategy scratch" in done.stderr


@pytest.mark.parametrize("redirected", [">&-", "2>&-"])
def test_one_closed_stream_loses_no_work(redirected: str, data: Path, tmp_path: Path) -> None:
    done = shell(redirected, "audit", data, "--fix-list", tmp_path / "fixes.csv")
    assert done.returncode == 0 and (tmp_path / "fixes.csv").read_text("utf-8").startswith("path,decision,to")
    assert "Traceback" not in done.stderr


@FULL
def test_help_to_a_full_disk_is_no_traceback() -> None:
    done = shell(">/dev/full", "--help")
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_reader_of_progress_that_went_away_ends_no_work(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "striate", "train", str(data), *TRAIN, "--out", str(run)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stderr.close()
    with process.stdout:
        assert b"Model  " in process.stdout.read()
    assert process.wait() == 0
    assert read(run / "model.safetensors").net == "lenet5_plain"


# What a terminal obeys


def test_a_terminal_gets_nothing_to_obey() -> None:
    text = "a\x1b[31mb\x07\x9b\u202e\ud800 é 日本 👩\u200d🚀\n\tb"
    assert for_terminal(text) == "a\\x1b[31mb\\x07\\x9b\\u202e\\ud800 é 日本 👩\u200d🚀\n\tb"
    assert for_terminal("é日", "ascii") == "\\xe9\\u65e5"


def test_names_with_escape_sequences_are_not_printed_raw(cli: Cli, tmp_path: Path) -> None:
    data = blocks(tmp_path / "d\x1b[31mata", {"low": 12, "high": 12})
    (data / "low").rename(data / "lo\x1b]0;w")
    for words in (
        ("train", data, *TRAIN, "--out", tmp_path / "r\x1b[31mun"),
        ("audit", data, "--html", tmp_path / "p\x1b[2J.html", "--fix-list", tmp_path / "\x1b[2J.csv"),
        ("compare", tmp_path / "r\x1b[31mun", tmp_path / "r\x1b[31mun", "--out", tmp_path / "\x1b[2J.html"),
        ("evaluate", tmp_path / "r\x1b[31mun", data),
        ("pack", data, "--out", tmp_path / "\x1b[2J.pack"),
        ("predict", tmp_path / "r\x1b[31mun", tmp_path / "\x1b[31m.jpg"),
        ("audit", tmp_path / "\x1b[31m"),
    ):
        _, out, err = cli(*words)
        assert "\x1b" not in out + err and "\\x1b" in out + err, words


# Numbers and texts that cannot be shown


def test_a_number_of_five_thousand_digits_is_one_line(cli: Cli, tmp_path: Path) -> None:
    digits = "9" * 5000
    (tmp_path / "decimal.toml").write_text(f"seed = {digits}\n")
    (tmp_path / "hex.toml").write_text(f"seed = 0x{digits}\n")
    (tmp_path / "option.toml").write_text(f'[net]\nname = "resnet8"\noptions = {{width = 0x{digits}}}\n')
    (tmp_path / "name.toml").write_text(f"[optimizer]\nname = 0x{digits}\n")
    for name in ("decimal", "hex", "option", "name"):
        code, _, err = cli("train", tmp_path, "--recipe", tmp_path / f"{name}.toml")
        assert code == 2 and err.count("\n") == 1 and len(err) < 1000, err
    for words in (("seed", digits), ("net.options.width", digits), ("optimizer.lr", digits)):
        code, _, err = cli("train", tmp_path, "--set", "=".join(words))
        assert code == 2 and err.count("\n") == 1
    with pytest.raises(ValueError, match=r"seed takes an integer .*not a number of 16,610 bits"):
        Recipe().updated({"seed": 10**5000})
    assert shown(10**5000) == "a number of 16,610 bits" and shown([10**5000]) == "a value too long to show"


NESTED = {
    "a.toml": "a = " + "[" * 5000 + "]" * 5000,
    "b.toml": "a." * 3000 + "b = 1",
    "c.toml": "[" + "a." * 3000 + "b]",
}


@pytest.mark.parametrize("name", NESTED)
def test_a_recipe_nested_deeply_is_one_line(name: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / name).write_text(NESTED[name])
    code, _, err = cli("train", tmp_path, "--recipe", tmp_path / name)
    assert code == 2 and err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "d/" * 2500], ids=["NUL", "long name", "long path"])
def test_a_name_that_no_file_can_have_is_one_error(name: str, data: Path, tmp_path: Path) -> None:
    import striate

    folder = f"{tmp_path}/{name}"
    for call in (
        lambda: striate.audit(folder),
        lambda: striate.load(folder),
        lambda: striate.train(data, out=folder),
        lambda: striate.train(resume=folder),
        lambda: striate.train(data, net=f"{folder}.safetensors"),
        lambda: striate.train(data, recipe=folder),
        lambda: striate.train(data, recipe={"data.split": folder}),
        lambda: striate.train(data, recipe={"data.decisions": folder}),
        lambda: striate.train(data, recipe={"data.ood": folder}),
        lambda: striate.import_weights(folder, net="squeezenet1_1", source="timm", out=tmp_path / "m.safetensors"),
        lambda: striate.import_weights("x.pth", net="squeezenet1_1", source="timm", out=f"{folder}.safetensors"),
        lambda: striate.pack(data, out=f"{folder}.pack"),
    ):
        with pytest.raises((striate.RequestError, striate.WorkError)) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_writing_to_a_name_that_is_none_is_one_line(cli: Cli, data: Path) -> None:
    for option in ("--html", "--fix-list"):
        code, _, err = cli("audit", data, option, "x" * 300)
        assert code == 2 and err.splitlines()[-1].endswith("is too long for a file name"), err


def test_the_home_of_nobody_is_one_line(cli: Cli) -> None:
    code, _, err = cli("fetch", "mnist", "--from", "~nobody-is-called-so/sets")
    assert code == 2 and err.splitlines()[-1].startswith("striate: --from '~nobody-is-called-so/sets': ")


# The cache folder


def test_a_cache_that_cannot_be_is_one_line(cli: Cli, data: Path, monkeypatch: Patch) -> None:
    for folder, words in (("x" * 300, "is too long"), ("d/" * 2500, "is too long"), ("~nobody-is-called-so/c", "home")):
        monkeypatch.setenv("STRIATE_CACHE", folder)
        code, _, err = cli("audit", data)
        assert code == 2 and err.count("\n") == 1 and words in err and "set STRIATE_CACHE" in err, err


def test_a_process_of_no_user_is_told_to_set_the_cache(data: Path) -> None:
    program = (
        "import os, pwd, sys\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from striate.cli.main import main\n"
        "sys.exit(main(['audit', sys.argv[1]]))"
    )
    without = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "STRIATE_CACHE", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(data)], env=without, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no home folder for the cache: set STRIATE_CACHE" in done.stderr
