"""`striate serve` for an index of photographs: what `striate search` finds, over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from application_models import photograph
from PIL import Image
from serve_clients import Running, model_of, running

import striate
from striate.jobs.serve_models import opened
from striate.model import write

PHOTOGRAPHS = 9


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of photographs with odd names in two folders, by a model file beside it."""
    root = tmp_path_factory.mktemp("searched")
    for number in range(PHOTOGRAPHS):
        path = root / "photographs" / ("a" if number % 2 else "b & <b>") / f"{number} <i>.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(number)).save(path)
    Image.fromarray(photograph(50)).save(root / "query.png")
    write(root / "model.safetensors", model_of())
    striate.index(root / "photographs", out=root / "photos.index", net=root / "model.safetensors")
    return root / "photos.index"


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[Running]:
    with running({"photos": opened(index)}) as found:
        yield found


def test_neighbours_are_those_of_search(server: Running, index: Path) -> None:
    query = index.parent / "query.png"
    (wanted,) = striate.search(index, query, top=4).found
    told = server.predict(query.read_bytes(), "?top=4").json
    folder = f"{index.parent}/photographs/"
    assert [folder + one["path"] for one in told["neighbours"]] == [near.path for near in wanted.neighbours]
    distances = [near.distance for near in wanted.neighbours]
    assert [one["distance"] for one in told["neighbours"]] == pytest.approx(distances, abs=1e-5)
    assert told["model"] == "photos" and told["label"] == told["neighbours"][0]["path"]
    assert str(index.parent) not in json.dumps(told)  # where the photographs lie is the server's
    itself = index.parent / "photographs" / "a" / "1 <i>.png"
    nearest = server.predict(itself.read_bytes()).json["neighbours"]
    assert nearest[0] == {"path": "a/1 <i>.png", "distance": pytest.approx(0, abs=1e-4), "near_duplicate": True}
    assert len(nearest) == 6 and len(server.predict(itself.read_bytes(), "?top=100").json["neighbours"]) == PHOTOGRAPHS


def test_the_protocol_has_them_too(server: Running, index: Path) -> None:
    files = [index.parent / "query.png", index.parent / "photographs" / "a" / "3 <i>.png"]
    data = [base64.b64encode(path.read_bytes()).decode() for path in files]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [2], "data": data}]
    found = server.ask("POST", "/v2/models/photos/infer", json.dumps({"inputs": inputs})).json["outputs"]
    told = {one["name"]: one for one in found}
    described = server.ask("GET", "/v2/models/photos").json
    assert described["parameters"] == {"task": "search", "precision": "float32", "net": "lenet5_plain",
                                       "photographs": PHOTOGRAPHS}  # fmt: skip
    assert [(one["name"], one["datatype"], [2, *one["shape"][1:]]) for one in described["outputs"]] == [
        (one["name"], one["datatype"], one["shape"]) for one in found
    ]
    for row, path in enumerate(files):
        single = server.predict(path.read_bytes()).json["neighbours"]
        assert told["neighbours"]["data"][6 * row : 6 * row + 6] == [one["path"] for one in single]
        assert told["distances"]["data"][6 * row : 6 * row + 6] == pytest.approx([one["distance"] for one in single])
        assert told["label"]["data"][row] == single[0]["path"]
    binary = json.dumps({"inputs": inputs, "outputs": [{"name": "neighbours", "parameters": {"binary_data": True}}]})
    assert told["neighbours"]["data"][0].encode() in server.ask("POST", "/v2/models/photos/infer", binary).body


def test_what_an_index_has_not_is_refused(server: Running, index: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    query = (index.parent / "query.png").read_bytes()
    for asked, why in (
        ("?top=101", "top is from 1 to 100 of a search, not 101"),
        ("?score=0", "score is of models of boxes; the task of this one is search"),
        ("?mask=1", "mask is of models of masks"),
    ):
        answer = server.predict(query, asked)
        assert answer.status == 400 and why in answer.json["error"]
    own = tmp_path / "model.safetensors"
    write(own, model_of())
    striate.index(index.parent / "photographs", out=tmp_path / "mine.index", net=own)
    write(own, model_of(seed=1))  # the model is another now
    damaged = tmp_path / "damaged.index"
    content = bytearray(index.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    for path, why in ((tmp_path / "mine.index", "put that model back, or index again"), (damaged, "is damaged")):
        code, out, err = cli("serve", path, "--port", 0)
        assert code == 2 and out == "" and err.count("striate: ") == 1 and why in err
    own.unlink()
    code, _, err = cli("serve", tmp_path / "mine.index", "--port", 0)
    assert code == 2 and str(own) in err
