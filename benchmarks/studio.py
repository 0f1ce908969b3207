"""`striate studio`: pages painted, Home with 200 runs, a grid of 50,000 images, uploads, curves in time.

    python benchmarks/studio.py [--images 50000] [--uploads 1000]

Needs Chromium (`make browser`). The studio is a process of its own; the browser shares the machine with it. Pages are
loaded three times, warm, and the median is told: `first-contentful-paint`, as the browser says. `bytes` are those of
scripts and styles, compressed by gzip. Uploads are of 100 kB each, four at a time, from Python.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from recording import write_record

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


class Client:
    """A program that is logged in."""

    def __init__(self, port: int, login: str) -> None:
        self.port, self.cookie = port, ""
        _, headers, _ = self.ask("GET", login)
        self.cookie = headers["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Cookie": self.cookie, "Sec-Fetch-Site": "same-origin"}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def api(self, method: str, path: str, body: Any = None) -> Any:
        status, _, content = self.ask(method, path, body)
        assert status == 200, content
        return json.loads(content)


@contextmanager
def studio(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """The studio of a folder in a process."""
    command = [sys.executable, "-m", "striate", "studio", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the address is alone on the next line
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/login\S+)", process.stderr.readline())
        assert found
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield process, Client(int(found[1]), found[2])
        finally:
            process.terminate()


def make_runs(folder: Path, count: int) -> None:
    """Run folders with 30 epochs each."""
    for number in range(count):
        run = folder / "runs" / f"run-{number}"
        run.mkdir(parents=True)
        lines = [{"time": 1.0, "event": "plan", "net": "lenet5", "strategy": "scratch"}]
        lines += [
            {"time": 2.0, "event": "epoch", "epoch": n, "loss": 1 / n, "accuracy": 1 - 1 / n} for n in range(1, 31)
        ]
        lines.append({"time": 3.0, "event": "done", "accuracy": 0.9, "seconds": 1.0})
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (run / "model.safetensors").touch()


def make_images(folder: Path, count: int) -> None:
    """Small images in ten classes: links to one file each, so that they are soon made."""
    for name in range(10):
        (folder / f"class-{name}").mkdir(parents=True)
        first = folder / f"class-{name}" / "0.jpg"
        pixels = np.random.default_rng(name).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(first)
        for number in range(1, count // 10):
            os.link(first, folder / f"class-{name}" / f"{number}.jpg")


def paint(page: Any, url: str) -> float:
    """Milliseconds to the first contentful paint, warm: the median of three."""
    page.goto(url)
    seconds = []
    for _ in range(3):
        page.goto(url)
        page.wait_for_timeout(300)
        seconds.append(float(page.evaluate(PAINT)))
    return statistics.median(seconds)


def resident(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def uploads(client: Client, count: int) -> float:
    """Files a second, of 100 kB each, four at a time."""
    number = client.api("POST", "/api/data", {"name": "uploads"})["number"]
    pixels = np.random.default_rng(0).integers(0, 256, (180, 180, 3), dtype=np.uint8)
    path = Path(tempfile.mkdtemp()) / "one.png"
    Image.fromarray(pixels).save(path)
    base = path.read_bytes()
    left = list(range(count))

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=120)
        headers = {"Cookie": client.cookie, "Sec-Fetch-Site": "same-origin"}
        while left:
            try:
                one = left.pop()
            except IndexError:
                return
            connection.request("PUT", f"/api/data/{number}/files/many?name={one}.png", base + b"%08d" % one, headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content

    start = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - start)


def to_curve(page: Any, client: Client, url: str, folder: Path) -> list[float]:
    """Milliseconds from the line of an epoch in the log to its curve in the page, of a training's epochs."""
    number = client.api("POST", "/api/data", {"path": "digits"})["number"]
    choices = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "6"}
    client.api("POST", f"/api/data/{number}/train", {"name": "curve", "choices": choices})
    page.goto(f"{url}/runs/curve")
    page.evaluate("""() => { window.seen = []; new MutationObserver(() => window.seen.push(Date.now() / 1000)).observe(
        document.getElementById("curves"), {childList: true}); }""")
    log = folder / "runs" / "curve" / "log.jsonl"
    seen: list[float] = []
    while page.locator("#run").get_attribute("data-state") in ("waiting", "running"):
        if page.locator("#live").is_visible():
            seen = page.evaluate("window.seen || []") or []
        page.wait_for_timeout(20)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ends = [line["time"] for line in lines if line["event"] == "epoch"]
    return [1000 * (min(at for at in seen if at >= end) - end) for end in ends if any(at >= end for at in seen)]


def rows(images: int, count: int) -> Iterator[dict[str, object]]:
    from playwright.sync_api import sync_playwright

    from striate.report import blocks, frame
    from striate.studio.rendering import HERE

    static = [one.read_bytes() for one in (HERE / "static").iterdir() if one.suffix in (".js", ".css")]
    packed = sum(len(gzip.compress(one)) for one in [*static, (frame.CSS + blocks.STYLE).encode()])
    yield {"what": "scripts and styles, gzip", "kB": round(packed / 1000, 1)}
    folder = Path(tempfile.mkdtemp(prefix="studio-"))
    try:
        make_images(folder / "many", images)
        with studio(folder) as (process, client), sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            name, value = client.cookie.split("=", 1)
            url = f"http://127.0.0.1:{client.port}"
            context.add_cookies([{"name": name, "value": value, "url": url}])
            foreign: list[str] = []
            context.on("request", lambda one: None if one.url.startswith(url) else foreign.append(one.url))
            page = context.new_page()
            client.api("POST", "/api/data", {"path": "digits"})
            for path in ("/", "/data/new", "/data/1", "/data/1?tab=audit", "/data/1/fix", "/train?data=1"):
                yield {"what": f"first paint of {path}", "ms": round(paint(page, url + path))}
            client.api("POST", "/api/data", {"path": "many"})
            yield {"what": f"first paint of a grid of {images:,} images", "ms": round(paint(page, f"{url}/data/2"))}
            nodes = page.evaluate("document.querySelectorAll('*').length")
            yield {"what": "nodes of that page", "nodes": nodes, "MiB": round(resident(process.pid))}
            make_runs(folder, 200)
            yield {"what": "first paint of Home with 200 runs", "ms": round(paint(page, f"{url}/"))}
            rate = uploads(client, count)
            yield {"what": f"uploads of {count:,} files of 100 kB", "per_second": round(rate),
                   "MiB": round(resident(process.pid))}  # fmt: skip
            found = to_curve(page, client, url, folder)
            yield {"what": "from an epoch's end to its curve, median", "ms": round(statistics.median(found)),
                   "most": round(max(found)), "epochs": len(found)}  # fmt: skip
            tabs = [context.new_page() for _ in range(8)]
            for tab in tabs:
                tab.goto(f"{url}/runs/curve")
            start = time.perf_counter()
            for tab in tabs:
                tab.goto(f"{url}/")
            yield {"what": "8 tabs, each loads Home", "seconds": round(time.perf_counter() - start, 2)}
            yield {"what": "requests to other hosts", "count": len(foreign)}
            browser.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--uploads", type=int, default=1000)
    chosen = parser.parse_args()
    found: list[dict[str, object]] = [{"what": "load average before", "load": os.getloadavg()[0]}]
    for row in rows(chosen.images, chosen.uploads):
        print(json.dumps(row), flush=True)
        found.append(row)
    recorded = [{"what": row["what"], "command": "python benchmarks/studio.py", "n": 1, **row} for row in found]
    write_record("studio", recorded, ("striate", "fastapi", "uvicorn", "httptools", "uvloop", "jinja2"))


if __name__ == "__main__":
    main()
