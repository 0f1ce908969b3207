"""The studio in Chromium: the whole way by a person's actions, attacks of other sites, every page's form."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from studio_app import Running, encoded, make_folder, running

from striate.studio.rendering import HERE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MOST_SHIFTED = 0.05  # of a page: columns of a table, while it comes; more than 0.1 is poor
EVIL = "<img src=x onerror=alert(1)>"
# What moved by itself on a page, as a share of the window: https://web.dev/articles/cls.
# Asked at the end, not by a script in every page: that one is blocked, with an error, in a frame that is sandboxed.
# The navigation is an entry that every page has, so the observer always answers.
SHIFTS = """() => new Promise((tell) => { const seen = new PerformanceObserver((list) => tell(list.getEntries()
    .filter((one) => one.entryType === "layout-shift" && !one.hadRecentInput)
    .map((one) => [one.value, ...one.sources.map((each) => each.node?.outerHTML ?? "")])));
  for (const type of ["layout-shift", "navigation"]) seen.observe({ type, buffered: true }); })"""
ATTACK = """<form method=post action=THERE/api/data enctype=text/plain>
<input name='{"name": "stolen", "x": "' value='"}'></form><script>
const given = {method: "POST", credentials: "include", body: '{"name": "stolen"}'};
const tries = [fetch("THERE/api/home", {credentials: "include"}), fetch("THERE/api/data", given),
               fetch("THERE/api/data", {...given, mode: "no-cors"})].map((one) => one.then((answer) => answer.text()));
Promise.allSettled(tries).then((all) => {
  document.title = "read: " + all.map((one) => one.value || "").join("");
  document.forms[0].submit(); });</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: make browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        found = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to drop, and one whose names are attacks."""
    base = tmp_path_factory.mktemp("browser")
    folder = make_folder(base / "root" / "shades", 10)
    (folder / "light" / "wrong.png").write_bytes(encoded(3))  # a dark one
    for number in range(2):
        (base / "root" / EVIL / EVIL).mkdir(parents=True, exist_ok=True)
        (base / "root" / EVIL / EVIL / f"{EVIL}{number}.png").write_bytes(encoded(number))
    return base


@pytest.fixture(scope="module")
def app(place: Path) -> Iterator[Running]:
    with running(place / "home", place / "root") as found:
        yield found


def test_scripts_are_small_and_well_formed() -> None:
    node = shutil.which("node")
    for script in sorted((HERE / "static").glob("*.js")):
        text = script.read_text("utf-8")
        assert len(text.splitlines()) <= 300 and "innerHTML" not in text and "eval(" not in text, script.name
        if node is not None:
            command = [node, "--input-type=module", "--check"]
            checked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, (script.name, checked.stderr)


class Page:
    """A page that is logged in; what goes wrong in it is kept."""

    def __init__(self, browser: Any, app: Running, width: int = 1280, scheme: str = "light") -> None:
        self.app, self.wrong = app, list[str]()
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, permissions=["camera"]
        )
        self.context.set_default_timeout(60_000)
        name, value = app.cookie.split("=", 1)
        self.context.add_cookies([{"name": name, "value": value, "url": f"http://127.0.0.1:{app.port}"}])
        self.page = self.context.new_page()
        self.page.on("console", lambda told: self.wrong.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda box: (self.wrong.append(f"dialog: {box.message}"), box.dismiss()))
        self.page.on("request", lambda asked: None if self._is_ours(asked.url) else self.wrong.append(asked.url))

    def _is_ours(self, url: str) -> bool:
        return url.startswith((f"http://127.0.0.1:{self.app.port}/", "data:", "blob:"))

    def go(self, path: str) -> Any:
        self.page.goto(f"http://127.0.0.1:{self.app.port}{path}")
        return self.page

    def require_fitting(self, path: str) -> None:
        """Fail where a page is wider than its window, moves by itself, or stops a screen reader."""
        from axe_playwright_python.sync_playwright import Axe

        page = self.go(path)
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], path
        shifted = page.evaluate(SHIFTS)
        assert sum(one[0] for one in shifted) < MOST_SHIFTED, (path, shifted)


def test_from_a_dropped_folder_to_a_trained_model(browser: Any, app: Running, place: Path) -> None:
    from playwright.sync_api import expect

    mine = Page(browser, app)
    page = mine.go("/")
    page.set_input_files("#folder", str(place / "root" / "shades"))
    page.wait_for_url("**/data/1?tab=audit")
    expect(page.locator(".finding").first).to_contain_text("label", timeout=60_000)
    page.get_by_role("link", name="Fix", exact=True).click()
    expect(page.locator("#place")).to_have_text("1 of 2")
    page.keyboard.press("d")  # the first of the two copies with contradicting labels
    expect(page.locator("#strip [data-decided]").first).to_have_text("drop")
    expect(page.locator("#place")).to_have_text("2 of 2")
    page.keyboard.press("u")
    expect(page.locator("#strip [data-decided]").first).not_to_have_text("drop")
    page.keyboard.press("d")
    expect(page.locator("#strip [data-decided]").first).to_have_text("drop")
    page.go_back()
    page.get_by_role("link", name="Train").click()
    page.get_by_label("From scratch").check()
    page.get_by_role("combobox", name="Net").fill("lenet5_plain")
    page.get_by_label("Name of the run").fill("first")
    page.get_by_role("textbox", name="Epochs").fill("2")
    expect(page.locator("#command")).to_contain_text("--net lenet5_plain")
    page.get_by_role("button", name="Train").click()
    page.wait_for_url("**/runs/first")
    expect(page.locator("#result")).to_contain_text("accuracy", timeout=60_000)
    expect(page.locator("#curves svg").first).to_be_visible()
    expect(page.frame_locator("iframe").locator("h1")).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("link", name="first")).to_be_visible()
    assert mine.wrong == []
    mine.context.close()


def test_names_are_text_and_other_sites_get_nothing(browser: Any, app: Running, place: Path) -> None:
    number = app.api("POST", "/api/data", {"path": EVIL})["number"]
    run = place / "home" / "runs" / EVIL
    run.mkdir(parents=True)
    (run / "log.jsonl").write_text("")
    (run / "model.safetensors").write_bytes(b"")
    (run / "report.html").write_text(
        "<h1>report</h1><script>alert(document.cookie)</script><img src=x onerror=alert(2)>"
    )
    mine = Page(browser, app)
    for path in ("/", f"/data/{number}", f"/data/{number}/fix", f"/train?data={number}", f"/runs/{quote(EVIL)}"):
        mine.go(path).wait_for_load_state("networkidle") if path != "/" else mine.go(path)
    mine.page.frame_locator("iframe").locator("h1").wait_for()
    assert [line for line in mine.wrong if "dialog" in line or ("127.0.0.1" not in line and "http" in line)] == []
    attack = ATTACK.replace("THERE", f"http://127.0.0.1:{app.port}")

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(attack.encode())

        def log_message(self, *told: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = mine.context.new_page()
        titles: list[str] = []
        page.on("framenavigated", lambda frame: titles.append(frame.url))
        page.goto(f"http://localhost:{server.server_address[1]}/")
        page.wait_for_url(f"http://127.0.0.1:{app.port}/**")
        assert "stolen" not in page.content() or "error" in page.content()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not any(one["name"].startswith("stolen") for one in app.api("GET", "/api/home")["data"])
    mine.context.close()


def test_every_page_fits_a_phone_and_has_no_accessibility_violation(browser: Any, app: Running) -> None:
    app.api("POST", "/api/data", {"path": "shades"})
    number = max(one.number for one in app.studio.data.all())
    of_data = (f"/data/{number}", f"/data/{number}?tab=audit", f"/data/{number}/fix", f"/train?data={number}")
    pages = ("/", "/data/new", *of_data, f"/data/{number}?tab=decisions", "/login")
    for width, scheme, shown in ((360, "light", pages), (1280, "dark", ("/", *of_data))):
        mine = Page(browser, app, width, scheme)
        for path in shown:
            mine.require_fitting(path)
        assert mine.wrong == []
        mine.context.close()


def test_a_class_is_recorded_with_the_camera(browser: Any, app: Running) -> None:
    from playwright.sync_api import expect

    mine = Page(browser, app)
    page = mine.go("/data/new")
    page.get_by_label("Name of the data").fill("desk")
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_label("New class").fill("cup")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Hold to record")).to_be_focused()
    page.keyboard.down(" ")
    expect(page.locator("#classes small")).to_contain_text("3 images")
    page.keyboard.up(" ")
    page.get_by_role("link", name="To the data").click()
    expect(page.locator("#grid figure").first).to_be_visible()
    assert mine.wrong == []
    mine.context.close()
