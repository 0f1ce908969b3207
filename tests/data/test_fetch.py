"""Fetching: whole, resumed, refused. A server on this machine plays the publisher; nothing else is ever asked."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import ssl
import struct
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.opening import open_source
from striate.data.sources import fetching, unpacking
from striate.data.sources.named import FETCHED, NAMED
from striate.data.sources.originals import ORIGINALS, Original, Originals
from striate.errors import RequestError, WorkError
from striate.jobs.fetch import fetch
from striate.progress import Progress

Cli = Callable[..., tuple[int, str, str]]


@dataclass
class Publisher:
    """What the server does. at_most: bytes of one answer, before the connection is cut. asked: (path, Range) so far."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    at_most: int = 10**9
    ranges: bool = True
    status: int = 0
    redirect: str = ""
    declared: int = 0
    length: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    server: ThreadingHTTPServer | None = None


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    plan = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            plan.asked.append((self.path, asked))
            content = plan.files.get(self.path.lstrip("/"))
            if plan.redirect:
                self.send_response(302)
                self.send_header("Location", plan.redirect)
                self.end_headers()
                return
            if plan.status or content is None:
                self.send_error(plan.status or 404)
                return
            begins = 0
            if plan.ranges and asked and self.headers.get("If-Range") == plan.etag:
                begins = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begins > len(content):
                self.send_error(416)
                return
            self.send_response(206 if begins else 200)
            if begins:
                self.send_header("Content-Range", f"bytes {begins}-{len(content) - 1}/{len(content)}")
            if plan.length:
                self.send_header("Content-Length", str(plan.declared or len(content) - begins))
            if plan.etag:
                self.send_header("ETag", plan.etag)
            self.end_headers()
            self.wfile.write(content[begins : begins + plan.at_most])

        def log_message(self, *arguments: object) -> None:
            pass

    server = plan.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]  # clients that hang up are meant to
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    plan.address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(fetching, "PAUSE", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield plan
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def publish(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes], **more: str
) -> tuple[Original, ...]:
    """Make these the originals of a set, and put them on the server."""
    publisher.files |= files
    originals = tuple(
        Original(file, (publisher.address + file,), len(content), sha256(content), **more)
        for file, content in files.items()
    )
    monkeypatch.setitem(ORIGINALS, name, replace(ORIGINALS[name], files=originals))
    return originals


RANDOM = np.random.default_rng(0)
PIXELS = {
    "train": RANDOM.integers(0, 256, (40, 28, 28), np.uint8),
    "t10k": RANDOM.integers(0, 256, (9, 28, 28), np.uint8),
}
DIGITS = {
    f"{part}-{what}-ubyte.gz": gzip.compress(
        idx(pixels if "images" in what else np.arange(len(pixels)).astype(np.uint8) % 10)
    )
    for part, pixels in PIXELS.items()
    for what in ("images-idx3", "labels-idx1")
}
BATCH = bytes([3]) + RANDOM.integers(0, 256, 3072, np.uint8).tobytes()
CIFAR = {"data_batch_1.bin": BATCH * 5, "test_batch.bin": BATCH, "batches.meta.txt": b"a\nb\nc\nd\n"}


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.mkdir("hymenoptera_data")
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


PHOTOS = {
    f"hymenoptera_data/{part}/{kind}/{number}.png": png(number)
    for number, (part, kind) in enumerate([("train", "ants"), ("train", "bees"), ("val", "ants"), ("val", "bees")])
}


@pytest.fixture
def mnist(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    publish(publisher, monkeypatch, "mnist", DIGITS)
    return publisher


@pytest.fixture
def one(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A set of a single file."""
    publish(publisher, monkeypatch, "cifar10", {"cifar.tar.gz": tar(CIFAR)})
    return publisher


def left(cache: Path) -> list[str]:
    """Files in the cache, but for locks, which stay and are empty."""
    return [path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def ranges(publisher: Publisher) -> list[str]:
    return [asked for _, asked in publisher.asked]


# Fetched whole


def test_a_set_of_files(mnist: Publisher, cache: Path, cli: Cli) -> None:
    with pytest.raises(RequestError, match="'striate fetch mnist' downloads it"):
        open_source("mnist")
    assert mnist.asked == []
    code, out, err = cli("fetch", "mnist", "--json")
    size = sum(map(len, DIGITS.values()))
    assert code == 0 and json.loads(out) == {
        "name": "mnist", "folder": str(cache / "sets" / "mnist"), "bytes": size, "files": 4, "images": 49,
    }  # fmt: skip
    assert "Fetching mnist" in err and ranges(mnist) == [""] * 4
    source = open_source("mnist")
    assert source.name == "mnist" and source.task.names == tuple("0123456789")
    assert [sum(item.part == part for item in source.items) for part in ("train", "test")] == [40, 9]
    assert sorted(left(cache)) == sorted(DIGITS)
    assert fetch("mnist").images == 49 and len(mnist.asked) == 4  # here already


def test_a_set_that_stays_packed(one: Publisher) -> None:
    found = fetch("cifar10")
    assert (found.images, found.files) == (6, 1)
    assert open_source("cifar10").task.names == ("a", "b", "c", "d")


@pytest.mark.parametrize("name", ["hymenoptera", "imagenette"])
def test_photographs_are_unpacked(
    name: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    if name == "imagenette":
        files = {
            key.replace("hymenoptera_data", "imagenette2-160").replace("ants", "n01440764"): content
            for key, content in PHOTOS.items()
        }
        publish(publisher, monkeypatch, name, {"i.tgz": tar(files)})
        names: tuple[str, ...] = ("bees", "tench")
    else:
        publish(publisher, monkeypatch, name, {"h.zip": zipped(PHOTOS)})
        names = ("ants", "bees")
    assert fetch(name).images == 4
    source = open_source(name)
    assert sorted(source.task.names) == sorted(names) and source.name == name
    assert {item.part for item in source.items} == {"train", "val"}
    assert sorted(left(cache)) == ["0.png", "1.png", "2.png", "3.png"]


def test_the_bar_ends_where_it_should(one: Publisher) -> None:
    total, told = [], []

    class Watching(Progress):
        def bar(self, what: str, total_: int):  # type: ignore[no-untyped-def]
            total.append(total_)
            return contextlib.nullcontext(self)

        def advance(self, amount: int = 1) -> None:
            told.append(amount)

        def note(self, text: str) -> None:
            pass

    one.at_most, one.etag = 3000, ""
    with pytest.raises(WorkError):
        fetch("cifar10", progress=Watching())
    assert 0 < sum(told) < total[0]
    one.at_most, one.etag = 3000, '"one"'
    told.clear()
    fetch("cifar10", progress=Watching())
    assert sum(told) == total[1] == len(one.files["cifar.tar.gz"])


# Resumed


def test_a_cut_connection_goes_on_where_it_was(one: Publisher) -> None:
    size = len(one.files["cifar.tar.gz"])
    one.at_most = size // 3 + 1
    assert fetch("cifar10").images == 6
    assert ranges(one) == ["", f"bytes={size // 3 + 1}-", f"bytes={2 * (size // 3 + 1)}-"]


def test_a_server_that_sends_next_to_nothing_is_given_up(one: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "GRACE", -1)
    monkeypatch.setattr(fetching, "SLOWEST", 10**15)
    with pytest.raises(WorkError, match=r"it sent .* bytes in 0 seconds.*use --from FOLDER"):
        fetch("cifar10")
    assert len(one.asked) == 1


@pytest.mark.parametrize("length", ["\u00b2", "-5", "9" * 40, "1e3", "0x10"])
def test_a_length_of_odd_digits_is_not_believed(length: str, one: Publisher) -> None:
    one.declared = length  # type: ignore[assignment]
    assert fetch("cifar10").images == 6


def test_a_file_of_another_size_is_not_hashed(one: Publisher, tmp_path: Path) -> None:
    with open(tmp_path / "cifar.tar.gz", "wb") as file:
        file.truncate(2 * 10**11)  # a hole: hashing it would take minutes
    with pytest.raises(RequestError, match="is not the published"):
        fetch("cifar10", source=tmp_path)


def test_a_later_run_goes_on_where_the_first_was(one: Publisher, cache: Path) -> None:
    one.at_most = 1000

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching.time, "sleep", fail)
        with pytest.raises(KeyboardInterrupt):
            fetch("cifar10")
    part = cache / "sets" / ".fetching" / "cifar10" / "cifar.tar.gz.part"
    assert part.stat().st_size == 1000
    one.at_most = 10**9
    one.asked.clear()
    assert fetch("cifar10").images == 6 and ranges(one) == ["bytes=1000-"]
    assert not part.exists()


def test_a_run_that_ended_before_the_check_asks_nothing(one: Publisher, cache: Path) -> None:
    waiting = cache / "sets" / ".fetching" / "cifar10"
    waiting.mkdir(parents=True)
    (waiting / "cifar.tar.gz.part").write_bytes(one.files["cifar.tar.gz"])
    assert fetch("cifar10").images == 6 and one.asked == []


def test_a_server_without_ranges_begins_anew(one: Publisher, cache: Path) -> None:
    waiting = cache / "sets" / ".fetching" / "cifar10"
    waiting.mkdir(parents=True)
    (waiting / "cifar.tar.gz.part").write_bytes(one.files["cifar.tar.gz"][:500])
    address = one.address + "cifar.tar.gz"
    (waiting / "cifar.tar.gz.part.json").write_text(json.dumps({"address": address, "validator": one.etag}))
    one.ranges = False
    assert fetch("cifar10").images == 6 and ranges(one) == ["bytes=500-"]


@pytest.mark.parametrize(
    "kept", ['{"address": "ADDRESS", "validator": "\\"old\\""}', "{", "[]", '{"address": "http://other/"}', ""]
)
def test_a_file_that_changed_begins_anew(kept: str, one: Publisher, cache: Path) -> None:
    waiting = cache / "sets" / ".fetching" / "cifar10"
    waiting.mkdir(parents=True)
    (waiting / "cifar.tar.gz.part").write_bytes(b"of another version")
    (waiting / "cifar.tar.gz.part.json").write_text(kept.replace("ADDRESS", one.address + "cifar.tar.gz"))
    assert fetch("cifar10").images == 6 and len(one.asked) == 1


def test_a_partial_file_beyond_the_end_begins_anew(one: Publisher, cache: Path) -> None:
    waiting = cache / "sets" / ".fetching" / "cifar10"
    waiting.mkdir(parents=True)
    (waiting / "cifar.tar.gz.part").write_bytes(bytes(10**6))
    address = one.address + "cifar.tar.gz"
    (waiting / "cifar.tar.gz.part.json").write_text(json.dumps({"address": address, "validator": one.etag}))
    assert fetch("cifar10").images == 6 and ranges(one) == ["bytes=1000000-", ""]


@pytest.mark.parametrize("how", ["no validator", "no ranges"])
def test_attempts_are_bounded(how: str, one: Publisher) -> None:
    one.at_most = 1000
    one.etag, one.ranges = ("", True) if how == "no validator" else ('"one"', False)
    with pytest.raises(
        WorkError, match=r"the connection was cut at 1,000 of [\d,]+ bytes, 3 times; if you have it, use"
    ):
        fetch("cifar10")
    assert 3 <= len(one.asked) <= 4


# Refused


def test_a_wrong_checksum_is_removed_and_refused(one: Publisher, cache: Path, cli: Cli) -> None:
    right = one.files["cifar.tar.gz"]
    one.files["cifar.tar.gz"] = right[:-1] + bytes([right[-1] ^ 1])
    code, _, err = cli("fetch", "cifar10")
    assert code == 1 and "the checksum is not sha256:" in err and "the file was removed" in err
    assert len(err.strip().splitlines()) == 2  # what is fetched, and the error
    assert left(cache) == []
    one.files["cifar.tar.gz"] = right
    assert fetch("cifar10").images == 6


def test_an_error_of_the_server_names_the_address(one: Publisher) -> None:
    one.files.clear()
    with pytest.raises(WorkError, match=rf"{one.address}cifar\.tar\.gz: 404 Not Found; if you have it, use --from"):
        fetch("cifar10")
    assert len(one.asked) == 1
    one.status = 503
    with pytest.raises(WorkError, match="503 Service Unavailable, 3 times"):
        fetch("cifar10")


def test_the_next_address_is_tried(one: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    [original] = ORIGINALS["cifar10"].files
    two = replace(original, addresses=(one.address + "gone.tar.gz", *original.addresses))
    monkeypatch.setitem(ORIGINALS, "cifar10", Originals((two,)))
    assert fetch("cifar10").images == 6
    assert [path for path, _ in one.asked] == ["/gone.tar.gz", "/cifar.tar.gz"]


@pytest.mark.parametrize(
    ("declared", "why"), [(10**12, "1,000,000,000,000 bytes, the published one"), (5, "5 bytes, the")]
)
def test_another_size_is_not_downloaded(declared: int, why: str, one: Publisher, cache: Path) -> None:
    one.declared = declared
    with pytest.raises(WorkError, match=why):
        fetch("cifar10")
    assert not list(cache.rglob("*.part"))


def test_more_than_published_is_not_taken(one: Publisher, cache: Path) -> None:
    size = len(one.files["cifar.tar.gz"])
    one.files["cifar.tar.gz"] += bytes(10**6)
    one.length = False
    with pytest.raises(WorkError, match=f"has more than the published {size:,} bytes"):
        fetch("cifar10")
    assert max((path.stat().st_size for path in cache.rglob("*.part")), default=0) <= size


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_elsewhere_are_not_followed(address: str, one: Publisher) -> None:
    one.redirect = address
    with pytest.raises(WorkError, match=r"which is not followed|is not allowed"):
        fetch("cifar10")


def test_redirects_to_http_are_followed_and_never_for_ever(one: Publisher) -> None:
    one.redirect = one.address + "again"
    with pytest.raises(WorkError, match="redirect"):
        fetch("cifar10")
    assert len(one.asked) < 40


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine's own making, with its key: of nobody known."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    path = tmp_path / "own.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1 -out own.pem -keyout key.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "key.pem").read_bytes())
    return path


def test_certificates_are_checked(
    one: Publisher, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    assert one.server is not None
    one.server.socket = context.wrap_socket(one.server.socket, server_side=True)
    plain, secret = one.address, one.address.replace("http://", "https://")
    with pytest.raises(WorkError, match=r"CERTIFICATE_VERIFY_FAILED.*self-signed certificate[^,]*; if you have it"):
        fetch("cifar10", source=secret)
    assert one.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # now it is somebody known
    one.redirect = plain
    with pytest.raises(WorkError, match=r"redirected to 'http://.*', which is not followed"):
        fetch("cifar10", source=secret)
    one.redirect = ""
    assert fetch("cifar10", source=secret).images == 6


def test_the_proxy_of_the_environment_is_asked(one: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", one.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    one.files["http://publisher.invalid/cifar.tar.gz"] = one.files.pop("cifar.tar.gz")
    assert fetch("cifar10", source="http://publisher.invalid").images == 6


def test_no_address_at_all(one: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("http://", "http://[", "http://127.0.0.1:99999999", "http://127.0.0.1:1/\n"):
        with pytest.raises(WorkError, match="could not fetch"):
            fetch("cifar10", source=source)
    [original] = ORIGINALS["cifar10"].files
    monkeypatch.setitem(ORIGINALS, "cifar10", Originals((replace(original, addresses=("file:///etc/passwd",)),)))
    with pytest.raises(WorkError, match="not an http or https address"):
        fetch("cifar10")


def test_unknown_sets(cli: Cli) -> None:
    for name, why in (("mnsit", "did you mean 'mnist'"), ("digits", "is part of a package"), ("zzz", "known: mnist")):
        code, out, err = cli("fetch", name)
        assert code == 2 and out == "" and why in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../out.png": b"x"}, "a path outside the target folder"),
        ({"/out.png": b"x"}, "a path outside the target folder"),
        ({"c:/out.png": b"x"}, "a path outside the target folder"),
        ({"hymenoptera_data/train/ants/1.txt": b"x"}, "cannot be opened: no images in"),
        ({"other/train/ants/1.png": png(1)}, "cannot be opened"),
    ],
)
def test_archives_are_not_trusted(
    files: dict[str, bytes], why: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    publish(publisher, monkeypatch, "hymenoptera", {"h.zip": zipped(files)})
    with pytest.raises((RequestError, WorkError), match=why):
        fetch("hymenoptera")
    assert not (cache / "sets" / "hymenoptera").exists()
    assert not [path for path in cache.parent.rglob("*") if path.name == "out.png"]


def test_links_and_bombs_in_a_zip(publisher: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo("hymenoptera_data/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    publish(publisher, monkeypatch, "hymenoptera", {"h.zip": stream.getvalue()})
    with pytest.raises(RequestError, match="a link or device"):
        fetch("hymenoptera")
    for pack in (zipped, tar):
        file = tmp_path / ("big.zip" if pack is zipped else "big.tar.gz")
        file.write_bytes(pack({"a": bytes(10**6), "b": bytes(10**6)}))
        (tmp_path / file.suffix).mkdir()
        with pytest.raises(RequestError, match=r"unpacks to more than any|bytes unpacked, of .* at most 1,500,000"):
            unpacking.unpack(file, tmp_path / file.suffix, limit=1_500_000)


NAMES = st.lists(st.sampled_from(["..", ".", "", "a", "b.png", "c:", "x\\y", "~", " "]), min_size=1, max_size=4)


@given(st.lists(NAMES, min_size=1, max_size=4), st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_names_an_archive_holds_nothing_lands_outside(names: list[list[str]], as_zip: bool) -> None:
    files = {"/".join(parts) or "x": b"x" for parts in names}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "set.zip" if as_zip else root / "set.tgz").write_bytes(zipped(files) if as_zip else tar(files))
        archive = next(root.iterdir())
        (root / "inner").mkdir()
        with contextlib.suppress(RequestError, OSError):
            unpacking.unpack(archive, root / "inner")
        assert {path.name for path in root.iterdir()} == {archive.name, "inner"}


def test_damage_inside_a_zip_is_found_by_its_crc(tmp_path: Path) -> None:
    content = bytearray(zipped(PHOTOS))
    content[content.index(b"IDAT") + 20] ^= 1
    (tmp_path / "h.zip").write_bytes(content)
    with pytest.raises(RequestError, match="Bad CRC-32"):
        unpacking.unpack(tmp_path / "h.zip", tmp_path / "new")


# From elsewhere


def test_from_a_mirror(one: Publisher) -> None:
    one.files["mirror/cifar.tar.gz"] = one.files.pop("cifar.tar.gz")
    with pytest.raises(WorkError):
        fetch("cifar10")
    one.asked.clear()
    assert fetch("cifar10", source=one.address + "mirror/").images == 6
    assert [path for path, _ in one.asked] == ["/mirror/cifar.tar.gz"]


def test_from_a_folder_asks_nobody(mnist: Publisher, tmp_path: Path) -> None:
    (tmp_path / "have").mkdir()
    for name, content in DIGITS.items():
        (tmp_path / "have" / name).write_bytes(content)
    assert fetch("mnist", source=tmp_path / "have").images == 49 and mnist.asked == []


def test_from_a_folder_of_the_same_content_packed_anew(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    originals = []
    for number, (name, content) in enumerate(DIGITS.items()):
        [original] = publish(publisher, monkeypatch, "mnist", {name: content})
        plain = gzip.decompress(content)
        originals.append(replace(original, inside=hashlib.sha256(plain).hexdigest()))
        anew = number % 2 == 0
        (tmp_path / (name if anew else name.removesuffix(".gz"))).write_bytes(
            gzip.compress(plain, 1) if anew else plain
        )
    monkeypatch.setitem(ORIGINALS, "mnist", Originals(tuple(originals)))
    assert fetch("mnist", source=tmp_path).images == 49
    assert len(open_source("mnist").items) == 49


@pytest.mark.parametrize("wrong", ["other", "missing", "nowhere"])
def test_a_folder_without_the_originals(wrong: str, one: Publisher, tmp_path: Path, cache: Path, cli: Cli) -> None:
    place = tmp_path / "have"
    if wrong != "nowhere":
        place.mkdir()
    if wrong == "other":
        (place / "cifar.tar.gz").write_bytes(tar(CIFAR | {"x": b"x"}))
    code, _, err = cli("fetch", "cifar10", "--from", place)
    why = {
        "other": "is not the published cifar.tar.gz",
        "missing": "contains no cifar.tar.gz",
        "nowhere": "no such folder",
    }
    assert code == 2 and why[wrong] in err and one.asked == []
    assert left(cache) == []


def test_what_is_here_and_broken_is_fetched_anew(one: Publisher, cache: Path, cli: Cli) -> None:
    fetch("cifar10")
    path = cache / "sets" / "cifar10" / "cifar.tar.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RequestError, match="cannot read the archive"):
        open_source("cifar10")
    code, out, err = cli("fetch", "cifar10")
    assert code == 0 and "fetching them again" in err and "6 images of cifar10" in out


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(one: Publisher, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(WorkError, match="could not write"):
        fetch("cifar10")


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_two_at_once_do_not_write_to_one_file(one: Publisher, cache: Path) -> None:
    import fcntl

    (cache / "sets" / ".fetching").mkdir(parents=True)
    with open(cache / "sets" / ".fetching" / "cifar10.lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(WorkError, match="another 'striate fetch cifar10' is running"):
            fetch("cifar10")
    assert fetch("cifar10").images == 6


# The table


def test_the_table_of_originals_is_whole() -> None:
    assert set(ORIGINALS) == set(FETCHED) <= set(NAMED)
    for name, originals in ORIGINALS.items():
        assert bool(originals.top) == originals.archive, name
        for original in originals.files:
            kind, _, digest = original.checksum.partition(":")
            assert len(digest) == {"sha256": 64, "md5": 32}[kind] and set(digest) <= set("0123456789abcdef")
            assert original.inside == "" or len(original.inside) == 64
            assert original.size > 1000 and original.addresses
            for address in original.addresses:
                assert address.startswith(("https://", "http://")) and address.endswith("/" + original.file)


def test_mnist_as_we_have_it_is_what_the_table_says(test_data: Path) -> None:
    arrays = np.load(test_data / "mnist.npz")
    inside = [original.inside for original in ORIGINALS["mnist"].files]
    content = [
        idx(arrays[key].astype(np.uint8).reshape((-1, 28, 28) if key[0] == "x" else -1))
        for key in ("xtr", "ytr", "xte", "yte")
    ]
    assert inside == [hashlib.sha256(one).hexdigest() for one in content]
