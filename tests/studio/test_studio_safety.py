"""The studio under attack: each rule of docs/studio.md, by a client that breaks it."""

from __future__ import annotations

import hmac
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from studio_app import PATIENCE, Running, encoded, make_folder, running
from web_clients import png

from striate.studio import uploads

SECRET = b"the secret of this machine"
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with data in it, a link that leads out, and a secret beside it."""
    base = tmp_path_factory.mktemp("safety")
    (base / "secret").mkdir()
    (base / "secret" / "secret.txt").write_bytes(SECRET)
    (base / "secret" / "hidden.png").write_bytes(encoded(7))
    folder = make_folder(base / "root" / "shades", 3)
    (folder / "dark" / "linked.png").symlink_to(base / "secret" / "hidden.png")
    (base / "root" / "out").symlink_to(base / "secret")
    return base


@pytest.fixture(scope="module")
def app(place: Path) -> Iterator[Running]:
    with running(place / "home", place / "root") as found:
        found.api("POST", "/api/data", {"path": "shades"})
        found.api("POST", "/api/data", {"name": "uploads"})
        yield found


@pytest.fixture(autouse=True)
def it_still_answers(app: Running, place: Path) -> Iterator[None]:
    """After every attack the studio answers, has nothing to report, and left no part of an upload."""
    yield
    assert app.get("/").status == 200 and all("another browser" in line for line in app.said)
    app.until(lambda: not list((place / "home").rglob(".*.part")))


# Who asks


def test_rebound_pages_and_other_sites_are_refused_before_anything_else(app: Running) -> None:
    for host in ("evil.example", f"127.0.0.1.evil.example:{app.port}", "10.0.0.1", "[", "a@localhost"):
        for path in ("/", "/login", "/static/page.js", "/api/home"):
            found = app.ask("GET", path, headers={"Host": host})
            assert found.status == 421 and found.headers["connection"] == "close", (host, path)
    own = f"http://127.0.0.1:{app.port}"
    for origin in ("null", "http://evil.example", own + "0", own.replace("http", "https"), own + "/"):
        for method, path in (("POST", "/api/data"), ("GET", "/"), ("POST", "/login")):
            assert app.ask(method, path, {"name": "stolen"}, {"Origin": origin}).status == 403, origin
    for site in ("cross-site", "same-site"):
        refused = app.ask("POST", "/api/data", {"name": "stolen"}, {"Origin": "", "Sec-Fetch-Site": site})
        assert refused.status == 403
    silent = app.ask("POST", "/api/data", {"name": "stolen"}, {"Origin": "", "Sec-Fetch-Site": ""})
    assert silent.status == 403, "a cookie alone, without a word on where it comes from"
    assert not any(one["name"] == "stolen" for one in app.api("GET", "/api/home")["data"])
    answer = app.ask("OPTIONS", "/api/data", headers={"Access-Control-Request-Method": "POST"})
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_token_opens_once_and_guessing_tells_nothing(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    token = app.studio.logins.token
    assert len(token) >= 43
    compared: list[bytes] = []
    same = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(a), same(a, b))[1])
    for guess in ("", "x", token[:-1], token + "x", token.swapcase(), "../" + token):
        assert app.ask("GET", f"/login?token={quote(guess)}").status in (200, 401)
        assert app.ask("POST", "/login", f"token={quote(guess)}".encode()).status == 401
    assert token[:-1].encode() in compared
    entered = app.ask("POST", "/login", f"token={token}".encode(), {"Cookie": ""})
    cookie = entered.headers["set-cookie"]
    assert entered.status == 303 and cookie.startswith(f"striate-{app.port}=")
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and token not in cookie
    assert app.ask("POST", "/login", f"token={token}".encode()).status == 401, "the same token again"
    assert app.said[-1].endswith(app.studio.logins.token) and app.studio.logins.token != token
    for wrong in ("", "striate-1=x", f"striate-{app.port}=x", f"striate-{app.port}={token}"):
        for path in ("/", "/api/home", "/data/1", "/api/events", "/runs/x/report.html", "/data/1/decisions.csv"):
            assert app.ask("GET", path, headers={"Cookie": wrong}).status == 401, (wrong, path)
    logged_out = app.ask("GET", "/", headers={"Cookie": "", "Accept": "text/html"})
    assert logged_out.status == 401 and "Log in" in logged_out.text


def test_programs_send_a_token_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_TOKEN", "t" * 32)
    with running(tmp_path) as own:
        sent = {"Cookie": "", "Origin": "", "Sec-Fetch-Site": ""}
        for given, status in (("Bearer " + "t" * 32, 200), ("Bearer " + "t" * 31, 401), ("t" * 32, 401)):
            assert own.ask("POST", "/api/data", {"name": "x"}, sent | {"Authorization": given}).status == status


# What a browser is told


def test_every_page_has_a_policy_without_inline_scripts(app: Running) -> None:
    for path in (
        "/",
        "/login",
        "/data/new",
        "/data/1",
        "/data/1?tab=audit",
        "/data/1/fix",
        "/train?data=1",
        "/nowhere",
    ):
        found = app.get(path)
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert (
            "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "") and "unsafe-eval" not in policy
        )
        assert found.headers["x-content-type-options"] == "nosniff" and found.headers["cache-control"] == "no-store"
        assert "<script>" not in found.text and " onclick" not in found.text and "http://" not in found.text, path


def test_names_from_anywhere_are_text(app: Running, place: Path) -> None:
    folder = place / "root" / EVIL.replace("/", "")
    for name in ("a", EVIL):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{EVIL}.png").write_bytes(encoded(1))
    number = app.api("POST", "/api/data", {"path": folder.name})["number"]
    shown = [app.get(path).text for path in
             ("/", f"/data/{number}", f"/data/{number}/fix", f"/train?data={number}", "/data/new")]  # fmt: skip
    run = place / "home" / "runs" / EVIL
    run.mkdir(parents=True)
    line = {"time": 1.0, "event": "plan", "net": EVIL, "strategy": EVIL, "why": EVIL}
    (run / "log.jsonl").write_text(json.dumps(line) + "\n")
    (run / "model.safetensors").write_bytes(b"")
    (run / "report.html").write_text("<script>alert(document.cookie)</script>")
    shown += [app.get("/").text, app.get(f"/runs/{quote(EVIL)}").text]
    for text in shown:
        assert "<img src=x" not in text
    assert "&lt;img src=x" in shown[1] and "&lt;img src=x" in shown[-1]
    report = app.get(f"/runs/{quote(EVIL)}/report.html")
    policy = report.headers["content-security-policy"]
    assert report.status == 200 and "sandbox;" in policy and "default-src 'none'" in policy and "script" not in policy


# Paths

CLIMBING = [
    "..", ".", "../..", "/etc", "/etc/passwd", "..\\..", "a/../../b", "a/b", "\\\\host\\x", "C:\\x", "~", "~root",
    "%2e%2e", "..%2f", "....//", "\0", "a\0b", "nul\0.png", ".hidden", ".striate", ".studio", "a\nb", "a\rb",
    "\u202egnp", " a", "a ", "a.", "", "*", "?", "a:b", "<a>", 'a"b', "a|b", "__MACOSX", "x" * 201, "é" * 101,
    "\x1b[2J", "\x7f", "lost+found",
]  # fmt: skip
NESTED = [f"{before}{after}" for before in ("../", "..\\", "%2e%2e/", "..%5c", "/", "//", "file:///", "./../", "\0/")
          for after in ("secret", "secret/secret.txt", "etc/passwd", "home/.studio", "root", "..", "proc/self/environ",
                        "dev/zero", "tmp", "../secret", "secret\0", "secret/", "%00", "a/b/c")]  # fmt: skip
NAMES = [*CLIMBING, *NESTED, *(f"{'../' * depth}etc/passwd" for depth in range(2, 40))]


def test_no_name_leads_out_of_the_folders(app: Running, place: Path) -> None:
    assert len(NAMES) >= 200
    before = sorted(str(path) for path in place.rglob("*") if ".studio" not in path.parts)
    image = encoded(3)
    for number, name in enumerate(NAMES):
        coded = quote(name, safe="")
        others = (
            ("PUT", f"/api/data/2/files/ok?part={coded or '..'}", image),
            ("GET", f"/static/{coded}", None),
            ("GET", f"/runs/{coded}/report.html", None),
            ("GET", f"/data/1/pictures/{coded}/0", None),
            ("POST", "/api/data/2/known", {"class": name, "sha256": ["0" * 64]}),
        )
        asked = [("PUT", f"/api/data/2/files/{coded}", image), others[number % len(others)]]
        if name != ".":  # the root itself
            asked.append(("POST", "/api/data", {"path": name}))
        for request in asked:
            answer = app.ask(*request)
            assert answer.status in (400, 404, 405, 409, 422, 307), (request[:2], answer)
            assert SECRET not in answer.body
    assert sorted(str(path) for path in place.rglob("*") if ".studio" not in path.parts) == before
    assert app.ask("POST", "/api/data", {"path": "out"}).status == 400, "a link that leads out of the root"


def test_pictures_are_numbers_of_this_process_and_links_out_are_refused(app: Running) -> None:
    page = app.get("/data/1").text
    word = page.partition('data-word="')[2].partition('"')[0]
    listed = app.studio.data.get(1).listed()
    linked = listed.numbers["dark/linked.png"]
    assert app.get(f"/data/1/pictures/{word}/{listed.numbers['dark/0.png']}").headers["content-type"] == "image/png"
    assert app.ask("GET", f"/data/1/pictures/{word}/{linked}").status == 403
    assert app.ask("GET", f"/data/1/pictures/{word}/9999").status == 404
    assert app.ask("GET", f"/data/1/pictures/00000000/{linked}").status == 409
    assert app.ask("GET", f"/data/1/pictures/{word}/0?side=100000").status == 400
    stale = {"word": "00000000", "images": [0], "decision": "drop"}
    assert app.ask("POST", "/api/data/1/decisions", stale).status == 409


def test_a_name_cannot_become_an_option(app: Running) -> None:
    for choices in ({"net.name": "--out=/"}, {"net.name": "/etc/passwd"}, {"data.path": "/etc"}, {"x": "1"},
                    {"train.epochs": "--out"}, {"data.ood": "/etc"}, {"net.name": "evil.py:Net"}):  # fmt: skip
        assert app.ask("POST", "/api/data/1/command", {"choices": choices}).status == 400, choices
    told = app.api("POST", "/api/data/1/command", {"name": "--out=/ ; rm -rf /", "choices": {"seed": "1"}})
    assert "--out runs/out-rm--rf" in told["command"]


# What is sent


def test_image_bombs_are_refused_before_they_are_decoded(app: Running) -> None:
    assert app.upload(2, "bombs", png(13_000, 13_000)).status == 200  # 25 kB on the disk, which the audit reports
    word, number = app.studio.data.get(2).listed().word, app.studio.data.get(2).listed().numbers
    (bomb,) = [place for key, place in number.items() if key.startswith("bombs/")]
    found = app.ask("GET", f"/data/2/pictures/{word}/{bomb}")
    assert found.status == 422 and "at most 50,000,000 pixels are taken here" in found.json["error"]


def test_what_is_no_image_is_not_kept(app: Running, place: Path) -> None:
    for content in (
        b"",
        b"x",
        b"%PDF-1.4 ...",
        b"<svg onload=alert(1)>",
        b"#!/bin/sh\n" * 9,
        b"PK\x03\x04" + bytes(99),
    ):
        assert app.upload(2, "odd", content, "odd.png").status == 415, content
    kept = app.upload(2, "odd", encoded(5), "../../x/‮evil.exe").json
    assert kept["name"].startswith("evil-") and kept["name"].endswith(".png")
    again = app.upload(2, "odd", encoded(5), "other.jpg").json
    assert again["known"] and again["name"] == kept["name"]
    assert app.api("POST", "/api/data/2/known", {"class": "odd", "sha256": [kept["sha256"], "0" * 64]}) == {
        "known": [kept["sha256"]]
    }
    assert [path.name for path in (place / "home" / "data" / "uploads" / "odd").iterdir()] == [kept["name"]]


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


def test_oversized_broken_and_slow_uploads_leave_nothing(
    app: Running, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 100_000)
    monkeypatch.setattr(uploads, "IDLE_SECONDS", 0.3)
    head = (
        f"PUT /api/data/2/files/big HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nCookie: {app.cookie}\r\n"
        f"Origin: http://127.0.0.1:{app.port}\r\nContent-Length: %d\r\n\r\n"
    )
    raw = []
    for length, sent in ((10**12, b""), (90_000, bytes(500)), (90_000, b"")):
        connection = socket.create_connection(("127.0.0.1", app.port), PATIENCE)
        connection.sendall((head % length).encode() + sent)
        raw.append(connection)
    cut = socket.create_connection(("127.0.0.1", app.port), PATIENCE)
    cut.sendall((head % 90_000).encode() + bytes(70_000))
    cut.close()
    assert rest_of(raw[0]).startswith(b"HTTP/1.1 413 ")
    assert rest_of(raw[1]).startswith(b"HTTP/1.1 408 ") and rest_of(raw[2]).startswith(b"HTTP/1.1 408 ")
    unknown = http.client.HTTPConnection("127.0.0.1", app.port, timeout=PATIENCE)
    chunks = (b"x" * 10_000 for _ in range(11))  # without a length
    unknown.request("PUT", "/api/data/2/files/big", chunks, {"Cookie": app.cookie, "Sec-Fetch-Site": "same-origin"})
    assert unknown.getresponse().status == 413
    unknown.close()
    monkeypatch.setattr(uploads, "LEAST_FREE", 2**80)
    assert app.upload(2, "big", encoded(6)).status == 507
    big = place / "home" / "data" / "uploads" / "big"
    app.until(lambda: not big.exists() or not list(big.iterdir()))


def test_json_has_a_limit_and_must_be_what_is_asked_for(app: Running) -> None:
    assert app.ask("POST", "/api/data", {"name": "x" * 2**21}).status == 413
    assert app.ask("PUT", "/api/queue", {"jobs": [1] * 2**20}).status == 413
    for body in (b"", b"[", b"[]", b'{"name": 1}', b'{"name": ""}', b'{"name": "---"}', b"\xff" * 100):
        assert app.ask("POST", "/api/data", body, {"Content-Type": "application/json"}).status == 400, body
    assert app.ask("POST", "/api/data", b'{"name": "x"}', {"Content-Type": "text/plain"}).status == 400
    for path in ("/api/data/99", "/api/jobs/99", "/api/runs/none", "/data/99"):
        assert app.ask("GET", path).status == 404


def test_streams_are_bounded(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.studio import hub

    monkeypatch.setattr(hub, "MOST", 1)
    head = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: {app.cookie}\r\n\r\n".encode()
    first = socket.create_connection(("127.0.0.1", app.port), PATIENCE)
    first.sendall(head)
    assert b"200 OK" in first.recv(1000)
    app.until(lambda: app.studio.hub.streams == 1)
    assert app.ask("GET", "/api/events").status == 503
    first.close()
    app.until(lambda: app.studio.hub.streams == 0)


def test_one_studio_a_folder_and_strangers_addresses_need_a_token(place: Path, cli, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("STRIATE_TOKEN", raising=False)
    for words, why in (
        ((place / "home",), "another studio has"),
        ((place / "home2", "--host", "0.0.0.0"), "which takes a token (--token-file) and a certificate (--certfile)"),
        ((place / "secret" / "secret.txt",), "is a file; the studio takes a folder"),
        ((place / "home2", "--root", place / "none"), "is no folder"),
        ((place / "home2", "--keyfile", "k.pem"), "--keyfile is the key of a certificate"),
    ):
        code, out, err = cli("studio", *words, "--port", 0)
        assert code == 2 and out == "" and err.count("striate: ") == 1 and why in err, (words, err)
    assert not (place / "home2" / "data").exists()
