"""`striate serve` under attack and under load: each bound of docs/serving.md, by a client that goes beyond it."""

from __future__ import annotations

import hmac
import http.client
import json
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_clients import LOCAL, PATIENCE, Gated, Running, encoded, later, model_of, running
from web_clients import png

from striate.inference.predictor import Predictor
from striate.jobs.serve import settings_of
from striate.serving.predicted import Predicted
from striate.serving.server import ModelServer
from striate.web.guard import LOOPBACK, Access, Site
from striate.web.limits import Limits
from striate.web.process import listen

IMAGE = encoded(3)
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def gated() -> Gated:
    return Gated()


@pytest.fixture(scope="module")
def server(gated: Gated) -> Iterator[Running]:
    """Small limits, so that going beyond them is cheap."""
    limits = Limits(queue=2, body=200_000, held=400_000, connections=12, header_seconds=0.3, body_seconds=0.3,
                    pixels=1_000_000, header_bytes=8_000)  # fmt: skip
    with running({"gated": gated}, limits) as found:
        yield found


@pytest.fixture(autouse=True)
def it_still_answers(server: Running) -> Iterator[None]:
    """After every attack the server answers, holds no image and no byte, and has nothing to report."""
    yield
    assert server.predict(IMAGE).status == 200
    server.until(lambda: server.server.service.batchers[0].admitted == 0)
    assert server.server.service.bodies.held == 0 and server.said == []


def rest_of(connection: socket.socket) -> bytes:
    """What is received until the connection is closed."""
    with connection:
        found = b""
        try:
            while more := connection.recv(65536):
                found += more
        except ConnectionResetError:
            pass
        return found


# Who asks


def test_a_page_that_was_rebound_to_this_machine_is_not_answered(server: Running) -> None:
    for host in (
        "evil.example",
        "evil.example:80",
        f"127.0.0.1.evil.example:{server.port}",
        "",
        "[",
        "10.0.0.1",
        "a@localhost",
        "localhost#",
    ):
        found = server.predict(IMAGE, headers={"Host": host})
        assert found.status == 421 and found.headers["connection"] == "close", host
    for host in ("localhost", f"LOCALHOST:{server.port}", "127.0.0.1:9", "[::1]:80"):
        assert server.predict(IMAGE, headers={"Host": host}).status == 200, host
    other = Access(Site(frozenset({*LOOPBACK, "models.example"}), any_address=True))
    with running({"one": server.server.service.batchers[0].answers}, access=other) as served:
        assert [served.predict(IMAGE, headers={"Host": host}).status for host in
                ("models.example", "10.0.0.1", "evil.example")] == [200, 200, 421]  # fmt: skip


def test_pages_of_other_sites_are_not_answered(server: Running) -> None:
    own = f"http://127.0.0.1:{server.port}"
    for origin in ("http://evil.example", "null", own + "0", own.replace("http", "https")):
        assert server.predict(IMAGE, headers={"Origin": origin}).status == 403, origin
    assert server.predict(IMAGE, headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    mine = server.predict(IMAGE, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"})
    assert mine.status == 200 and not any(name.startswith("access-control") for name in mine.headers)


def test_a_token_is_compared_in_constant_time(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    same = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(a), same(a, b))[1])
    token = "t" * 32
    with running({"gated": gated}, access=Access(LOCAL.site, token)) as served:
        for given in (None, "Bearer ", "Bearer " + "t" * 31, "Bearer " + "t" * 33, f"Basic {token}", token):
            found = served.predict(IMAGE, headers={} if given is None else {"Authorization": given})
            assert found.status == 401 and found.headers["www-authenticate"] == "Bearer", given
        assert served.ask("GET", "/metrics").status == served.ask("GET", "/docs").status == 401
        assert served.predict(IMAGE, headers={"Authorization": f"Bearer {token}"}).status == 200
        assert served.ask("GET", "/v2/health/ready").status == served.ask("GET", "/v2/health/live").status == 200
    assert b"t" * 31 in compared and token.encode() in compared


# What is sent


def test_image_bombs_are_refused_before_they_are_decoded(server: Running) -> None:
    bomb = png(13_000, 13_000)  # 169 megapixels
    assert len(bomb) < 50_000
    found = server.predict(bomb)
    assert found.status == 413 and "13,000 x 13,000 pixels; at most 1,000,000 pixels are taken here" in found.error
    assert server.predict(png(1000, 1000)).status == 200
    declared = png(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", 2**31 - 1, 2**31 - 1))
    assert server.predict(declared).status in (400, 413)


def test_broken_images_are_told_for_what_they_are(server: Running) -> None:
    for image, why in ((b"", "empty"), (b"%PDF-1.4 ...", "not-read"), (b"x" * 500, "not-an-image"),
                       (IMAGE[:-900], "truncated"), (b"\xff\xd8" + bytes(500), "truncated")):  # fmt: skip
        found = server.predict(image)
        assert found.status == 400 and why in found.error, found.body
    assert server.predict(IMAGE, headers={"Content-Encoding": "gzip"}).status == 415
    assert server.predict(IMAGE, headers={"Content-Type": "multipart/form-data; boundary=x"}).status == 415


def test_oversized_uploads_are_refused_unread(server: Running) -> None:
    declared = rest_of(server.raw(HEAD % 10**15))
    assert declared.startswith(b"HTTP/1.1 413 ") and b"at most 200,000 bytes" in declared
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    chunks = (b"x" * 10_000 for _ in range(21))  # without a length
    connection.request("POST", "/predict", chunks, {"Host": "localhost"}, encode_chunked=False)
    assert connection.getresponse().status == 413
    connection.close()


def test_bodies_together_are_bounded(server: Running) -> None:
    open_uploads = [server.raw(HEAD % 199_000 + bytes(190_000)) for _ in range(2)]
    server.until(lambda: server.server.service.bodies.held >= 380_000)
    third = rest_of(server.raw(HEAD % 199_000 + bytes(190_000)))
    assert third.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in third
    for upload in open_uploads:
        assert rest_of(upload).startswith(b"HTTP/1.1 408 ")


def test_uploads_that_are_cut_off_leave_nothing(server: Running) -> None:
    for _ in range(5):
        server.raw(HEAD % len(IMAGE) + IMAGE[:300]).close()
    server.until(lambda: server.server.service.bodies.held == 0)


def test_slow_clients_are_closed(server: Running) -> None:
    silent = [server.raw(start) for start in (b"", b"POST /pre", HEAD[:30], HEAD % 9 + b"x")]
    found = [rest_of(one) for one in silent]
    assert found[:3] == [b"", b"", b""] and found[3].startswith(b"HTTP/1.1 408 ")
    again = server.raw(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2")  # the second one never ends
    assert rest_of(again).count(b"HTTP/1.1 200") == 1


def test_headers_without_an_end_are_closed(server: Running) -> None:
    connection = server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    try:
        for number in range(1000):
            connection.sendall(b"X-%d: %s\r\n" % (number, b"y" * 1000))
        left = rest_of(connection)
    except (BrokenPipeError, ConnectionResetError):
        left = b""
    finally:
        connection.close()
    assert left == b""
    assert rest_of(server.raw(b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


def test_many_connections_are_bounded(server: Running) -> None:
    connections = [server.raw(b"") for _ in range(40)]
    server.until(lambda: server.server.connections <= 12)
    assert sum(rest_of(one) == b"" for one in connections) == 40  # closed: those above the number at once, others later


# Load


def test_a_full_queue_is_answered_at_once_and_then_goes_on(server: Running, gated: Gated) -> None:
    gated.close()
    running_now, first = later(lambda: server.predict(IMAGE))
    assert gated.entered.wait(PATIENCE)
    waiting, second = later(lambda: server.predict(IMAGE))
    server.until(lambda: server.server.service.batchers[0].admitted == 2)
    refused = server.predict(IMAGE)
    assert refused.status == 503 and refused.headers["retry-after"] == "1" and gated.ran == 0
    assert server.ask("GET", "/v2/health/ready").status == 200
    for path in (b"/predict", b"/predict?model=gated", b"/v2/models/gated/infer"):  # before any of the body is sent
        connection = server.raw((HEAD % len(IMAGE)).replace(b"/predict", path))
        assert connection.recv(65536).startswith(b"HTTP/1.1 503 "), path
        connection.sendall(IMAGE + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert rest_of(connection).startswith(b"HTTP/1.1 200 ")  # the connection goes on behind it
    assert server.predict(IMAGE, "?model=third").status == 404
    counted = server.ask("GET", "/metrics").body.decode()
    assert 'code="503",path="/predict"' in counted and 'code="503",path="/v2/models/{model}/infer"' in counted
    endless = server.raw(HEAD % len(IMAGE) + IMAGE[:9])
    assert rest_of(endless).startswith(b"HTTP/1.1 503 ")  # and is closed, after the seconds that a body has
    gated.open.set()
    running_now.join(PATIENCE)
    waiting.join(PATIENCE)
    assert first[0].status == second[0].status == 200


def test_images_gather_while_the_engine_runs_and_a_client_that_left_is_dropped(gated: Gated) -> None:
    with running({"gated": gated}) as served:
        batcher = served.server.service.batchers[0]
        batcher.size = 4
        gated.close()
        others: list[Any] = [later(lambda: served.predict(IMAGE))]
        assert gated.entered.wait(PATIENCE)
        leaving = served.raw(HEAD % len(IMAGE) + IMAGE)
        served.until(lambda: batcher.admitted == 2)
        others += [later(lambda: served.predict(IMAGE)) for _ in range(2)]
        served.until(lambda: batcher.admitted == 4)
        leaving.close()
        served.until(lambda: batcher.admitted == 3)
        gated.open.set()
        for thread, found in others:
            thread.join(PATIENCE)
            assert found[0].status == 200
        assert gated.ran == 3
        batches = served.ask("GET", "/metrics").body.decode()
        assert 'striate_batch_images_count{model="gated"} 2.0' in batches  # one, then two together


def test_a_stop_answers_the_requests_in_flight(gated: Gated) -> None:
    with running({"gated": gated}) as served:
        gated.close()
        thread, found = later(lambda: served.predict(IMAGE))
        assert gated.entered.wait(PATIENCE)
        served.server.stop()
        served.until(lambda: _refuses(served.port))
        gated.open.set()
        thread.join(PATIENCE)
    assert found[0].status == 200 and found[0].headers["connection"] == "close"


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False


def test_an_error_of_the_server_is_told_to_its_operator_alone(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    with running({"gated": gated}) as served:
        with monkeypatch.context() as patched:
            patched.setattr(gated, "rows", lambda crops: 1 / 0)
            found = served.predict(IMAGE)
        assert found.status == 500 and found.error == "the prediction failed; the server's log says why"
        assert served.said == ["a request failed: ZeroDivisionError: division by zero"]
        assert served.predict(IMAGE).status == 200


# Other addresses


def test_https_with_a_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    token_file = tmp_path / "token"
    token_file.write_text("s" * 40 + "\n")
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    settings = settings_of("127.0.0.1", token_file, (str(certificate), str(key)), ())
    server = ModelServer({"m": Predicted(Predictor(model_of(), engine="torch"))}, listening, settings)
    with server.in_background():
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
        connection.request("POST", "/predict", IMAGE, {"Authorization": f"Bearer {'s' * 40}"})
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["model"] == "m"
        connection.close()
