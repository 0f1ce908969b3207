"""`striate serve`: its start, latency, throughput, overload and soak, beside the predictor and OpenVINO in one process.

    python benchmarks/serve.py [--seconds 4] [--soak 10000] [--only throughput,overload]

A model of `faces` (EfficientNet-Lite0, features) and images as crops (PNG), 500 x 375 JPEG and 12-megapixel JPEG. The
server and its clients share the machine: the clients' share is in the server's figures, and in no other's.
- in process: `predictor.predict` on the same files, read from memory, by the decoding threads and engine of `predict`.
- openvino: crops that are decoded already, in batches of 4 on OpenVINO's own queue: what no server can exceed.
The overload is of clients on one event loop in a process of its own, which read no more than they need: threads would
wait for each other, and that would be told as the server's. A client that is refused comes again after about 1 s, as
it is told by Retry-After, and, in another row, after about 50 ms: half to three halves of that, by chance.
`--only` takes rows whose name begins so, and writes no record.
The soak sends 1 % broken images and cuts 1 % of the uploads off; it is of a LeNet-5, so that HTTP is most of the work.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import io
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from recording import write_record

KINDS = {
    "crops as PNG": (224, 224, "PNG"),
    "500 x 375 JPEG": (500, 375, "JPEG"),
    "12-megapixel JPEG": (4000, 3000, "JPEG"),
}
CLIENTS = 8


def image_of(kind: str, seed: int) -> bytes:
    """A made-up photograph: smooth colours with grain."""
    width, height, form = KINDS[kind]
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height), 3)
    grain = generator.integers(-6, 7, (height, width, 1), dtype=np.int16)
    file = io.BytesIO()
    Image.fromarray((np.asarray(small, np.int16) + grain).clip(0, 255).astype(np.uint8)).save(file, form, quality=90)
    return file.getvalue()


@contextmanager
def served(model: Path, *words: str) -> Iterator[tuple[int, int, float]]:
    """A server's process: its id, its port, and the seconds until it was ready."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "striate", "serve", str(model), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"at http://127\.0\.0\.1:(\d+);", line)
        assert found, line
        seconds = time.perf_counter() - start
        try:
            yield process.pid, int(found[1]), seconds
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def resident(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, image: bytes) -> tuple[int, float]:
        """The status of one prediction, and its seconds."""
        start = time.perf_counter()
        self.connection.request("POST", "/predict", image)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - start


def together(port: int, images: list[bytes], clients: int, seconds: float) -> list[tuple[int, float]]:
    """What clients that ask one after another are answered in a time."""
    found: list[tuple[int, float]] = []
    end = time.perf_counter() + seconds

    def run(number: int) -> None:
        client, mine = Client(port), []
        while time.perf_counter() < end:
            mine.append(client.ask(images[(number + len(mine)) % len(images)]))
            if mine[-1][0] == 503:
                time.sleep(0.05)  # a client that was sent away; it was told to wait a second
        found.extend(mine)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def overload(port: int, image: bytes, clients: int, seconds: float, again: float) -> list[tuple[int, float]]:
    """Status and seconds of what clients are answered, in a process of its own. again: seconds after a refusal."""
    request = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_overload, (port, request, clients, seconds, again))


def _overload(port: int, request: bytes, clients: int, seconds: float, again: float) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    end = time.perf_counter() + seconds

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length, head
            await reader.readexactly(int(length[1]))
            found.append((int(head[9:12]), time.perf_counter() - start))
            await writer.drain()
            if found[-1][0] == 503:
                await asyncio.sleep(again * random.uniform(0.5, 1.5))
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(run() for _ in range(clients)))

    asyncio.run(all_of_them())
    return found


def at_rate(port: int, image: bytes, rate: float, seconds: float) -> list[float]:
    """Latencies, from when each request was due, at a rate of requests a second."""
    count = int(rate * seconds)
    start = time.perf_counter() + 0.1
    found: list[float] = []

    def run(number: int) -> None:
        client = Client(port)
        for place in range(number, count, CLIENTS):
            due = start + place / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            client.ask(image)
            found.append(time.perf_counter() - due)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def percentile(values: Iterable[float], share: float) -> float:
    """In milliseconds."""
    return round(1000 * float(np.quantile(list(values), share)), 2)


def in_process(model: Path, images: list[bytes], seconds: float) -> tuple[float, float]:
    """Images a second with decoding, and of OpenVINO alone on decoded crops."""
    from striate.data.threads import in_order
    from striate.jobs.load import load_calibrated
    from striate.pixels import decode

    predictor = load_calibrated(model, engine="openvino", precision="auto", calibrate=None, progress=None, many=True)
    view = predictor.view

    def crop(content: bytes) -> tuple[str, np.ndarray]:
        return "", view.apply(decode(content, at_least=view.at_least).image)

    def rate(crops: Iterable[tuple[str, np.ndarray]]) -> float:
        start, done = time.perf_counter(), 0
        for _ in predictor.predict_crops(crops):
            done += 1
        return done / (time.perf_counter() - start)

    list(predictor.predict_crops(in_order(crop, images)))
    rough = rate(in_order(crop, images * 2))
    many = (images[place % len(images)] for place in range(max(32, int(rough * seconds))))
    decoded = rate(in_order(crop, many))
    ready = crop(images[0])
    return decoded, rate(ready for _ in range(int(decoded * seconds) + 64))


def lone(model: Path, image: bytes, count: int = 100) -> float:
    """The median seconds of one image in process: decoded, predicted."""
    from striate import load
    from striate.pixels import decode

    predictor, found = load(model, engine="openvino"), []
    view = predictor.view
    for _ in range(count):
        start = time.perf_counter()
        list(predictor.predict_crops([("", view.apply(decode(image, at_least=view.at_least).image))]))
        found.append(time.perf_counter() - start)
    return statistics.median(found[10:])


def soak(port: int, pid: int, image: bytes, count: int) -> dict[str, object]:
    """`count` requests, of which 1 % are broken and 1 % cut off; memory after a fifth of them and at the end."""
    random.seed(0)
    kinds = [random.choices(("good", "broken", "cut"), (98, 1, 1))[0] for _ in range(count)]
    statuses: Counter[str] = Counter()
    memory: list[float] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        client = Client(port)
        for place in range(number, count, CLIENTS):
            if place == count // 5 // CLIENTS * CLIENTS:
                memory.append(resident(pid))
            if kinds[place] == "cut":
                with socket.create_connection(("127.0.0.1", port)) as cut:
                    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n"
                    cut.sendall(head.encode() + image[: len(image) // 2])
                told = "cut off"
            else:
                broken = kinds[place] == "broken"
                told = f"{kinds[place]}: {client.ask(image[: len(image) // 2] if broken else image)[0]}"
            with lock:
                statuses[told] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.append(resident(pid))
    return {"answers": dict(statuses), "MiB after a fifth": round(memory[0], 1), "MiB at the end": round(memory[1], 1),
            "growth in MiB": round(memory[1] - memory[0], 1)}  # fmt: skip


Row = dict[str, object]


def rows(model: Path, small: Path, seconds: float, count: int, only: Sequence[str]) -> Iterator[Row]:
    """The figures that are wanted, each as a row of the record."""

    def wanted(*names: str) -> bool:
        return not only or any(name.startswith(one) for name in names for one in only)

    images = {kind: [image_of(kind, seed) for seed in range(8)] for kind in KINDS}
    photo = images["500 x 375 JPEG"][0]
    with served(model) as (_, port, _):
        together(port, images["crops as PNG"], CLIENTS, 0.5)  # both graphs are compiled and cached now
    with served(model) as (pid, port, ready):
        if wanted("start"):
            yield {"what": "start", "seconds to ready": round(ready, 2), "MiB": round(resident(pid), 1)}
        if wanted("one lone request"):
            yield lone_request(model, port, photo)
        for kind, files in images.items():
            load = kind.startswith("500") and wanted("80 % load")
            if not (load or wanted(f"throughput, {CLIENTS} clients, {kind}")):
                continue
            rate, row = throughput(model, port, kind, files, seconds)
            yield row
            if load:
                at = at_rate(port, photo, 0.8 * rate, seconds)
                yield {"what": "80 % load", "requests/s": round(0.8 * rate, 1), "median ms": percentile(at, 0.5),
                       "p99 ms": percentile(at, 0.99)}  # fmt: skip
        if wanted("overload"):
            yield from overloaded(port, photo, seconds)
        yield {"what": "memory after these", "MiB": round(resident(pid), 1)}
    if wanted("LeNet", "soak"):
        yield from soaked(small, images["crops as PNG"][0], seconds, count)


def overloaded(port: int, photo: bytes, seconds: float) -> Iterator[Row]:
    """More clients than the queue has room for."""
    for named, again in (("", 0.05), (" that heed Retry-After", 1.0)):
        found = overload(port, photo, 200, seconds, again)
        good, refused = ([spent for status, spent in found if status == code] for code in (200, 503))
        yield {"what": f"overload, 200 clients{named}", "statuses": dict(Counter(status for status, _ in found)),
               "p99 of the answered, ms": percentile(good, 0.99),
               "median of 503, ms": percentile(refused or [0], 0.5),
               "p99 of 503, ms": percentile(refused or [0], 0.99)}  # fmt: skip


def lone_request(model: Path, port: int, photo: bytes) -> Row:
    """One client that asks one after another, and the same in process."""
    alone, client = lone(model, photo), Client(port)
    latencies = [client.ask(photo)[1] for _ in range(100)][10:]
    return {"what": "one lone request", "server, median ms": percentile(latencies, 0.5),
            "in process, median ms": round(1000 * alone, 2),
            "more, ms": round(1000 * (statistics.median(latencies) - alone), 2)}  # fmt: skip


def throughput(model: Path, port: int, kind: str, files: list[bytes], seconds: float) -> tuple[float, Row]:
    """Images a second of clients that ask one after another, and the row with what there is without a server."""
    together(port, files, CLIENTS, 0.5)
    found = together(port, files, CLIENTS, seconds)
    assert {status for status, _ in found} == {200}
    rate = len(found) / seconds
    ours, bare = in_process(model, files, seconds)
    return rate, {"what": f"throughput, {CLIENTS} clients, {kind}", "server, images/s": round(rate, 1),
                  "in process, images/s": round(ours, 1), "openvino alone, images/s": round(bare, 1),
                  "share of in process": round(rate / ours, 3)}  # fmt: skip


def soaked(small: Path, image: bytes, seconds: float, count: int) -> Iterator[Row]:
    """A small net, of which HTTP is most of the work."""
    with served(small) as (pid, port, _):
        together(port, [image], CLIENTS, 0.5)
        found = together(port, [image], CLIENTS, seconds)
        yield {"what": f"LeNet-5, {CLIENTS} clients", "requests/s": round(len(found) / seconds)}
        yield {"what": f"soak, {count:,} requests", **soak(port, pid, image, count)}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--soak", type=int, default=10_000, help="requests")
    parser.add_argument("--only", default="", help="rows whose names begin so, separated by commas; no record")
    chosen = parser.parse_args()
    only = [one.strip() for one in chosen.only.split(",") if one.strip()]
    from striate import train

    with tempfile.TemporaryDirectory() as folder:
        run = train("faces", out=Path(folder) / "run", strategy="features")
        small = train("digits", out=Path(folder) / "small", net="lenet5_plain", strategy="scratch", epochs=1)
        found: list[dict[str, object]] = [{"what": "load average before", "load": os.getloadavg()[0]}]
        for row in rows(run.folder, small.folder, chosen.seconds, chosen.soak, only):
            print(json.dumps(row), flush=True)
            found.append(row)
        if only:
            return
        recorded = [{"what": row["what"], "command": "python benchmarks/serve.py", "n": 1, **row} for row in found]
        write_record("serve", recorded, ("striate", "openvino", "fastapi", "uvicorn", "httptools", "uvloop"))


if __name__ == "__main__":
    main()
