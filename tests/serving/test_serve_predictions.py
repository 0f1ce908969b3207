"""`striate serve`: the same predictions by every protocol and client, and what the server tells of itself."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serve_clients import Running, encoded, model_of, probabilities, running

from striate import predict
from striate.inference.predictor import Predictor
from striate.model import write

IMAGES = [encoded(number, ("JPEG", "PNG")[number % 2]) for number in range(10)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "insects.safetensors"
    write(path, model_of())
    return path


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Running]:
    with running({"insects": Predictor(model_of()), "other": Predictor(model_of(1))}) as found:
        yield found


def infer_body(images: list[bytes], **more: object) -> tuple[bytes, dict[str, str]]:
    """A request of version 2 with binary data, and its headers."""
    data = b"".join(len(one).to_bytes(4, "little") + one for one in images)
    described = {
        "name": "image", "datatype": "BYTES", "shape": [len(images)], "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    header = json.dumps({"inputs": [described], **more}).encode()
    return header + data, {"Inference-Header-Content-Length": str(len(header))}


def test_predict_and_the_protocol_and_the_command_line_agree(server: Running, model: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        path.write_bytes(image)
    expected = predict(model, paths).predictions
    alone = [server.predict(image).json for image in IMAGES]
    assert [one["label"] for one in alone] == [one.label for one in expected]
    found = np.stack([probabilities(one["probabilities"]) for one in alone])
    wanted = np.stack([one.probabilities for one in expected])
    assert np.abs(found - wanted).max() <= 1e-5
    # With one image in a batch, as here, the predictor gives the same bits.
    predictor = Predictor(model_of())
    exact = np.stack([predictor.predict([path])[0].probabilities for path in paths])
    assert np.array_equal(found, exact)
    body, headers = infer_body(IMAGES)
    together = server.ask("POST", "/v2/models/insects/infer", body, headers).json["outputs"]
    assert together[0]["name"] == "probabilities" and together[0]["shape"] == [10, 3]
    assert np.abs(np.array(together[0]["data"]).reshape(10, 3) - wanted).max() <= 1e-5
    assert together[1]["data"] == [one.label for one in expected]


def test_top_and_model_are_chosen_in_the_query(server: Running) -> None:
    first = server.predict(IMAGES[0], "?top=1").json
    assert first["model"] == "insects" and list(first["probabilities"]) == [first["label"]]
    other = server.predict(IMAGES[0], "?model=other").json
    assert other["model"] == "other" and other["probabilities"] != server.predict(IMAGES[0]).json["probabilities"]
    assert server.predict(IMAGES[0], "?model=third").status == 404
    assert server.predict(IMAGES[0], "?top=0").status == server.predict(IMAGES[0], "?top=x").status == 400
    long = f"{1:020}{0:05000}"  # more digits than Python reads
    assert server.predict(IMAGES[0], f"?top={long}").error.startswith("top is from 1 to 100,000")
    many = server.predict(IMAGES[0], "?model=other" + 200 * "&x=1")
    assert many.status == 200 and many.json["model"] == "other"


@pytest.mark.filterwarnings("ignore")  # of the client's own dependencies
def test_tritons_client(server: Running) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("insects")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    described = client.get_model_metadata("insects")
    assert described["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    given = InferInput("image", [len(IMAGES)], "BYTES")
    given.set_data_from_numpy(np.array(IMAGES, object))
    found = client.infer("insects", [given], request_id="7")
    alone = np.stack([probabilities(server.predict(one).json["probabilities"]) for one in IMAGES])
    assert np.abs(found.as_numpy("probabilities") - alone).max() <= 1e-5
    assert found.get_response()["id"] == "7" and found.as_numpy("label").shape == (10,)
    as_json = client.infer("insects", [given], outputs=[InferRequestedOutput("label", binary_data=False)])
    assert as_json.get_output("label")["data"] == [one.decode() for one in found.as_numpy("label").tolist()]
    client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server: Running, tmp_path: Path) -> None:
    (tmp_path / "new.jpg").write_bytes(IMAGES[0])
    address = f"http://127.0.0.1:{server.port}/predict?top=1"
    command = ["curl", "-s", "--data-binary", f"@{tmp_path / 'new.jpg'}", address]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20)
    assert json.loads(done.stdout) == server.predict(IMAGES[0], "?top=1").json
    form = subprocess.run(
        ["curl", "-s", "-F", f"file=@{tmp_path / 'new.jpg'}", address], capture_output=True, timeout=20
    )
    assert "curl --data-binary" in json.loads(form.stdout)["error"]


def test_json_alone_carries_images_in_base64(server: Running) -> None:
    data = [base64.b64encode(one).decode() for one in IMAGES[:2]]
    body = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2, 1], "data": data}]})
    found = server.ask("POST", "/v2/models/insects/infer", body)
    assert found.json["outputs"][1]["data"] == [server.predict(one).json["label"] for one in IMAGES[:2]]


WRONG = [
    (b"", None, "the request is not JSON"),
    (b"[1]", None, "not a JSON object"),
    (b"[" * 9999, None, "not JSON"),
    (b"{}", None, "inputs has one entry"),
    (b"{}", "3", "the body has 2 bytes"),
    (b"{}", "-1", "the body has 2 bytes"),
    (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}', None, "of datatype BYTES"),
    (b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}]}', None, "the shape of the input"),
    (
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [5]}]}',
        None,
        "data is a list of texts",
    ),
    (b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}', None, "not base64"),
    (
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": [""]}]}',
        None,
        "says 2 images; 1 were",
    ),
    (b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [0], "data": []}]}', None, "says 0 images"),
    (b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": 3}]}', None, "is an object"),
    (b"{}", f"{1:020}{0:05000}", "the body has 2 bytes"),
]


def test_wrong_requests_are_refused_in_one_line(server: Running) -> None:
    for body, length, why in WRONG:
        headers = {} if length is None else {"Inference-Header-Content-Length": length}
        found = server.ask("POST", "/v2/models/insects/infer", body, headers)
        assert found.status == 400 and why in found.error and "\n" not in found.error, body
    good, headers = infer_body(IMAGES[:1])
    found = server.ask("POST", "/v2/models/insects/infer", good[:-1], headers)
    assert found.status == 400 and "binary_data_size is" in found.error
    torn = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1],
                                   "parameters": {"binary_data_size": 5}}]}).encode()  # fmt: skip
    for rest, why in ((b"\x09\0\0\0a", "an element of 9 bytes ends after"), (b"\0\0\0\0a", "within the length")):
        found = server.ask(
            "POST", "/v2/models/insects/infer", torn + rest, {"Inference-Header-Content-Length": str(len(torn))}
        )
        assert found.status == 400 and why in found.error
    found = server.ask("POST", "/v2/models/insects/infer", *infer_body(IMAGES[:1], outputs=[{"name": "zzz"}]))
    assert found.status == 400 and "there are probabilities, label" in found.error
    for path, status in (("/v2/models/no/infer", 404), ("/nothing", 404)):
        assert server.ask("POST", path, good, headers).status == status
    assert server.ask("DELETE", "/predict").status == 405
    assert server.ask("POST", "/v2/models/insects/infer", b" " * (2**24 + 1)).status == 413
    assert server.predict(IMAGES[0]).status == 200 and server.said == []


def test_the_api_has_a_page_of_its_own_that_loads_nothing(server: Running) -> None:
    page = server.ask("GET", "/docs")
    text = page.body.decode()
    described = server.ask("GET", "/openapi.json").json
    assert all(path in text for path in described["paths"]) and "/predict" in described["paths"]
    assert not re.search(r"https?://|<script|src=", text)
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    for path, operations in described["paths"].items():
        if "get" in operations:
            found = server.ask("GET", path.replace("{model}", "insects"))
            assert found.status == 200 and found.headers["x-content-type-options"] == "nosniff", path


def test_metrics_count_what_happened(server: Running) -> None:
    def number(name: str) -> float:
        text = server.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    good, bad = (f'striate_requests_total{{code="{code}",path="/predict"}}' for code in (200, 400))
    images = 'striate_images_total{model="insects"}'
    before = [number(name) for name in (good, bad, images)]
    server.predict(IMAGES[0])
    server.predict(b"not an image")
    assert [number(name) for name in (good, bad, images)] == [before[0] + 1, before[1] + 1, before[2] + 1]
    assert number('striate_queue_images{model="insects"}') == 0 and number("striate_memory_bytes") > 10**7
    assert number('striate_step_seconds_count{model="insects",step="infer"}') > 0
