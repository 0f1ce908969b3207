"""`striate fetch NET`: published weights, downloaded from a local server or copied, checked, kept as a model file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from drawings import blocks

from striate import RequestError, load
from striate.errors import StriateError, WorkError
from striate.jobs.fetch_weights import fetch_weights
from striate.model import read
from striate.nets.base import Net
from striate.weights import create
from striate.weights.imported import fetched_path, imported_path
from striate.weights.keys import PublishedRow, torchvision
from striate.weights.libraries import LIBRARIES

NET = "squeezenet1_1"
PLACES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))


def theirs(net: Net) -> dict[str, torch.Tensor]:
    """The state as torchvision names it."""
    found = {}
    for name, tensor in net.state_dict().items():
        part, _, leaf = name.replace(".conv.", ".").rpartition(".")
        fire, _, inner = part.partition(".")
        if fire.startswith("fire"):
            part = f"features.{PLACES[int(fire[4:])]}.{inner.replace('squeeze1x1', 'squeeze')}"
        else:
            part = {"conv1": "features.0", "conv10": "classifier.1"}[part]
        found[f"{part}.{leaf}"] = tensor
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights, in a folder, as torchvision publishes them: its name ends in the digits of its checksum."""
    torch.manual_seed(0)
    (tmp_path / "server").mkdir()
    torch.save(theirs(create.create(NET).eval()), tmp_path / "server" / "net.pth")
    content = (tmp_path / "server" / "net.pth").read_bytes()
    file = tmp_path / "server" / f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / "server" / "net.pth").rename(file)
    row = PublishedRow(NET, NET, file.name, 224, 256, "bilinear", "imagenet", 58.178, None)
    monkeypatch.setattr(torchvision, "WEIGHTS", (row,))
    return file


@pytest.fixture
def server(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(published.parent)))
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{serving.server_port}"
    mine = dataclasses.replace(LIBRARIES["torchvision"], download=address + "/{file}")
    monkeypatch.setitem(LIBRARIES, "torchvision", mine)
    yield address
    serving.shutdown()
    thread.join()
    serving.server_close()


def answers(net: Net) -> torch.Tensor:
    torch.manual_seed(1)
    return net.eval()(torch.randn(1, 3, 64, 64)).detach()


def original() -> Net:
    torch.manual_seed(0)
    return create.create(NET).eval()


def test_weights_are_downloaded_checked_and_kept(server: str, published: Path, cache: Path, cli) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match="are not here; striate fetch squeezenet1_1 --from torchvision"):
        create.create(NET, weights="torchvision")
    code, out, err = cli("fetch", NET, "--from", "torchvision")
    assert code == 0 and "licence: BSD-3-Clause" in err and "58.18 % top-1" in err
    assert f"--net {NET} --weights torchvision" in out
    net = create.create(NET, weights="torchvision")
    assert torch.allclose(answers(net), answers(original()), atol=1e-5)
    model = read(fetched_path(NET, "torchvision"))
    assert model.training["sha256"] == hashlib.sha256(published.read_bytes()).hexdigest()
    assert model.training["published_top1"] == 58.178
    assert imported_path(NET).is_file()  # there were no others: they are the network's own now
    assert not list((cache / "weights" / ".fetching").glob("*/*"))
    assert [line for line in cli("nets", NET, "--weights")[1].splitlines() if line.endswith("  here")]


@pytest.mark.parametrize("given", ["folder", "file", "mirror"])
def test_a_folder_a_file_or_a_mirror_will_do(given: str, server: str, published: Path) -> None:
    source = {"folder": str(published.parent), "file": str(published), "mirror": server + "/"}[given]
    found = fetch_weights(NET, source=source)
    assert (found.library, found.top1) == ("torchvision", 58.178)
    assert load(found.path).model.pixels.height == 224


def test_a_file_with_another_checksum_is_refused(server: str, published: Path, cache: Path) -> None:
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content)
    with pytest.raises(WorkError, match=r"the checksum is not sha256:[0-9a-f]{8}; the file was removed"):
        fetch_weights(NET, source="torchvision")
    with pytest.raises(RequestError, match="is not the published"):
        fetch_weights(NET, source=published.parent)
    assert not list(cache.rglob("*.safetensors"))


def test_of_several_published_weights_those_fetched_are_listed_as_here(
    server: str, published: Path, monkeypatch: pytest.MonkeyPatch, cli
) -> None:  # type: ignore[no-untyped-def]
    """Not the library's first: two trainings of one network, of which the second was brought."""
    (row,) = torchvision.WEIGHTS
    first = dataclasses.replace(row, file="squeezenet1_1-b8a52dc0.pth")
    other = dataclasses.replace(row, peer=f"{NET}.again", file="squeezenet1_1-00000000.pth")
    monkeypatch.setattr(torchvision, "WEIGHTS", (first, row, other))

    def here() -> list[int]:
        rows = json.loads(cli("nets", NET, "--weights", "--json")[1])["weights"]
        states = [one["state"] for one in rows if one["library"] == "torchvision"]
        assert len(states) == 3 and set(states) <= {"here", "fetch"}
        return [place for place, state in enumerate(states) if state == "here"]

    assert here() == []
    fetch_weights(NET, source=published)
    assert here() == [1]
    fetched_path(NET, "torchvision").write_bytes(b"damaged")
    assert here() == []


def test_an_imported_default_is_not_replaced(server: str) -> None:
    fetch_weights(NET)
    before = imported_path(NET).read_bytes()
    imported_path(NET).write_bytes(before + b"")
    stamp = imported_path(NET).stat().st_mtime_ns
    fetch_weights(NET, source="torchvision")
    assert imported_path(NET).stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("net", "source", "words"),
    [
        ("lenet5", "", "no library whose weights can be read publishes any of lenet5"),
        (NET, "torchvison", "there is no such folder, file or library; did you mean 'torchvision'"),
        (
            NET,
            "no-folder",
            "--from 'no-folder': there is no such folder, file or library; libraries: torchvision, timm",
        ),
        (NET, "no/folder", "--from 'no/folder': there is no such folder, file or library"),
        (NET, "~no-such-user/x", "--from '~no-such-user/x': "),
        (NET, "pytorchcv", "has no address for each file: download"),
        ("resnet50", "torchvision", "import it as resnet50_modern"),
    ],
)
def test_what_cannot_be_fetched_is_answered(net: str, source: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        fetch_weights(net, source=source)
    assert words in str(caught.value)


def test_a_peer_is_looked_for_in_every_library(server: str, published: Path, tmp_path: Path) -> None:
    """Caffe, which comes after others that publish this network, is the only one with weights of that name."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "squeezenet_v1.1.caffemodel").write_bytes(b"no model")
    with pytest.raises(RequestError, match="Caffe's Model Zoo has no address for each file"):
        fetch_weights(NET, peer="squeezenet_v1.1")
    for source in (tmp_path / "mine", tmp_path / "mine" / "squeezenet_v1.1.caffemodel"):
        with pytest.raises(StriateError, match=r"squeezenet_v1\.1\.caffemodel"):
            fetch_weights(NET, source=source, peer="squeezenet_v1.1")
    with pytest.raises(
        RequestError, match=r"no published weights of squeezenet1_1, such as squeezenet_v1\.1\.caffemodel$"
    ):
        fetch_weights(NET, source=published.parent, peer="squeezenet_v1.1")
    assert fetch_weights(NET, source=published.parent, peer=published.name).library == "torchvision"
    with pytest.raises(RequestError, match=r"unknown weights of \w+ 'squeezenet_v1\.2'; did you mean"):
        fetch_weights(NET, source=published.parent, peer="squeezenet_v1.2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nosuch", "'nosuch'; known: mnist, .*'striate nets --weights' lists the networks"),
        ("resnt18", "'resnt18'; did you mean 'resnet18'"),
        ("mnist --peer x", "--peer names a library's weights of a network, and mnist is a data set"),
    ],
)
def test_what_is_no_set_and_no_net_is_answered_before_any_download(  # type: ignore[no-untyped-def]
    words: str, said: str, cli, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.build_opener", None)  # a download would fail otherwise
    code, out, err = cli("fetch", *words.split())
    assert (code, out) == (2, "") and re.search(said, err) and len(err.splitlines()) == 1
    assert not cache.exists()


def test_a_folder_without_the_files_names_them(tmp_path: Path, published: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=f"no published weights of {NET}, such as {published.name}"):
        fetch_weights(NET, source=tmp_path / "empty")


def test_training_starts_from_a_librarys_weights(server: str, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    data = blocks(tmp_path / "data", {"low": 6, "high": 6})
    code, _, err = cli("train", data, "--net", NET, "--weights", "torchvision")
    assert code == 2 and "striate fetch squeezenet1_1 --from torchvision" in err
    code, _, err = cli("train", data, "--weights", "torchvision")
    assert code == 2 and "--weights needs --net" in err
    fetch_weights(NET, source="torchvision")
    code, _, err = cli("train", data, "--net", NET, "--weights", "torchvision", "--quick", "--out", tmp_path / "run")
    assert code == 0, err
    assert read(tmp_path / "run" / "model.safetensors").net == NET
