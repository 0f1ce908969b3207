"""The command line: help with an example, one JSON object, one line for an error, honest exit codes."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import striate
from striate.cli.main import parser
from striate.jobs.run import Run

VERBS = list(next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)).choices)


def test_the_verbs() -> None:
    assert set(VERBS) == {
        "train", "predict", "evaluate", "audit", "augment", "recipe", "pack", "features", "compare", "export", "fetch",
        "convert", "ensemble", "import", "nets", "show", "scale", "tune", "benchmark", "lesson", "inspect", "serve",
        "studio", "index", "search", "compose", "read",
    }  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verbs_help_has_an_example_that_parses(verb: str, cli) -> None:
    code, out, err = cli(verb, "--help")
    assert code == 0 and err == ""
    example = re.search(r"^example:\n  (striate .*)$", out, re.MULTILINE)
    assert example, out
    words = shlex.split(example[1])
    assert words[1] == verb
    parser().parse_args(words[1:])
    assert "--json" in out


def test_the_first_help_names_every_verb_and_the_exit_codes(cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0 and all(re.search(rf"^    {verb}\s", out, re.MULTILINE) for verb in VERBS)
    assert "Exit codes" in out and "STRIATE_CACHE" in out
    assert cli() == (0, out, "")


def test_the_version(cli) -> None:
    assert cli("--version") == (0, f"striate {striate.__version__}\n", "")


WRONG = [
    ("trian photos", "unknown verb 'trian'; did you mean 'train'?"),
    ("zzz", "unknown verb 'zzz'; choose from train, predict"),
    ("train photos --epoch 3", "unknown option '--epoch'; did you mean '--epochs'"),
    ("train photos --epoch=3", "unknown option '--epoch'; did you mean '--epochs'"),
    ("nets --jsn", "unknown option '--jsn'; did you mean '--json'"),
    ("--versoin", "unknown option '--versoin'; did you mean '--version'"),
    ("audit", "the following arguments are required: data"),
    ("predict model", "the following arguments are required: files"),
    ("nets a b", "unexpected arguments: b"),
    ("train photos --epochs many", "--epochs: invalid int value: 'many'"),
    ("train photos --epochs", "--epochs: expected one argument"),
    ("train photos --strategy feature", "unknown --strategy 'feature'; did you mean 'features'?"),
    ("predict m f --engine openvin", "unknown --engine 'openvin'; did you mean 'openvino'?"),
    ("predict m f --precision float23", "unknown --precision 'float23'; did you mean 'float32'?"),
    ("evaluate m d --part vla", "unknown --part 'vla'; did you mean 'val'?"),
    ("nets 'resnt*'", "no net matches 'resnt*'; did you mean 'resnet"),
    ("show lenet6", "unknown net 'lenet6'; did you mean 'lenet5'"),
    ("train faces --net resnt20", "unknown net 'resnt20'; did you mean 'resnet20'"),
    ("train faces --set epoch=3", "unknown recipe key 'epoch'; did you mean 'train.epochs'"),
    ("train faces --set epochs", "--set takes KEY=VALUE, such as train.batch=32, not 'epochs'"),
    ("train faces --set train.epochs=x", "train.epochs takes an integer from 1 to 100000, not 'x'"),
    ("train faces --set optimizer.momentum=2", "optimizer.momentum takes a number from 0 to 0.9999, not '2'"),
    ("train faces --recipe nowhere.toml", "cannot read the recipe 'nowhere.toml'"),
    ("train", "train needs DATA"),
    ("train face", "no folder or file 'face'; did you mean the named set 'faces'?"),
    ("audit nowhere", "no folder or file 'nowhere'"),
    ("predict nowhere x.jpg", "no model file 'nowhere'"),
    ("evaluate efficientnet_lite faces", "no model file 'efficientnet_lite'; did you mean 'efficientnet_lite"),
]


@pytest.mark.parametrize(("line", "words"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_request_is_one_line_with_the_nearest_right_one(
    line: str, words: str, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*shlex.split(line))
    assert code == 2 and out == ""
    assert err.startswith("striate: ") and words in err and len(err.splitlines()) == 1
    code, out, err_json = cli(*shlex.split(line), "--json")
    if words not in ("--epochs: expected one argument", "unknown option '--versoin'; did you mean '--version'"):
        assert code == 2 and json.loads(out) == {"error": err_json.removeprefix("striate: ").rstrip("\n")}
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_newlines_still_makes_one_line(cli) -> None:
    code, _, err = cli("audit", "no\nsuch\n\nfolder")
    assert code == 2 and len(err.splitlines()) == 1


def one_json(out: str) -> dict:
    """The one JSON object that standard output holds."""
    assert len(out.splitlines()) == 1
    answer = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert isinstance(answer, dict)
    return answer


def test_json_of_nets_and_show(cli) -> None:
    code, out, err = cli("nets", "lenet5*", "--json")
    assert (code, err) == (0, "")
    assert [net["name"] for net in one_json(out)["nets"]] == ["lenet5", "lenet5_lecture", "lenet5_plain"]
    code, out, _ = cli("show", "lenet5", "--json")
    assert code == 0 and one_json(out)["parameters"] == 60_000
    code, out, _ = cli("show", "lenet5")
    assert code == 0 and "60,000 parameters" in out and "c3" in out


def test_json_of_audit_predict_evaluate(trained: Run, photos: Path, cli) -> None:
    code, out, _ = cli("audit", photos, "--json")
    assert code == 0 and one_json(out) == trained.audit.as_dict()
    code, out, _ = cli("predict", trained.folder, photos / "val", "--json")
    answer = one_json(out)
    assert code == 0 and len(answer["predictions"]) == 16 and answer["failed"] == []
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-4 for row in answer["predictions"])
    code, out, _ = cli("evaluate", trained.folder, photos, "--json")
    assert code == 0 and one_json(out)["accuracy"] == trained.evaluation.accuracy


def test_json_of_train_is_alone_on_standard_output(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    code, out, err = cli("train", photos, "--out", tmp_path / "run", "--json")
    answer = one_json(out)
    assert code == 0 and answer["accuracy"] == trained.evaluation.accuracy and answer["set_aside"] == 0
    assert Path(answer["model"]).is_file() and Path(answer["report"]).is_file()
    assert "Strategy features" in err


def test_words_of_train_predict_evaluate_audit(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    code, out, _ = cli("train", photos, "--out", tmp_path / "run")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("Accuracy ") and lines[-1] == "Nothing was set aside."
    assert f"Report {tmp_path / 'run' / 'report.html'}" in lines
    image = next((photos / "val").rglob("*.jpg"))
    code, out, err = cli("predict", tmp_path / "run", image)
    assert (code, err) == (0, "") and re.match(rf"{re.escape(str(image))}: \w+ \d+\.\d %, \w+ \d+\.\d %\n$", out)
    code, out, _ = cli("evaluate", tmp_path / "run", photos)
    assert code == 0 and out.splitlines()[0] == lines[0] and "Balanced " in out
    code, out, _ = cli("audit", photos)
    assert code == 0 and out.startswith("56 usable images in 2 classes")


def test_python_m_striate() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "striate", "nets", "lenet5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "lenet5" in done.stdout and done.stderr == ""
    done = subprocess.run([sys.executable, "-m", "striate", "nest"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == "striate: unknown verb 'nest'; did you mean 'nets'?\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", "nets"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 0


def test_a_terminal_without_every_letter_is_no_error(tmp_path: Path) -> None:
    code = "import sys; from striate.cli.main import main; sys.exit(main(['audit', sys.argv[1]]))"
    for name in ("é", "ß"):
        (tmp_path / name).mkdir()
        from PIL import Image

        Image.new("RGB", (9, 9), (len(name), 2, 3)).save(tmp_path / name / "1.png")
    import os

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and b"\\xe9: 1 all" in done.stdout


def test_an_interrupt_is_one_line(cli, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.data.sources.files import FileSource

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileSource, "decode", interrupted)
    monkeypatch.setattr(FileSource, "read", interrupted)
    monkeypatch.setattr(FileSource, "stamp", interrupted)  # a file looked at before is not read again
    code, out, err = cli("audit", photos)
    assert (code, out, err) == (130, "", "striate: stopped\n")
