"""A model tried in Chromium with a camera, and the pages of a finished run in a phone's width and by axe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from studio_app import LIGHT, Running, encoded
from test_studio_browser import Page, browser  # noqa: F401  (a fixture)

GIVEN = """([bytes, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "new.png", { type: "image/png" }));
  const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
    : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
  document.getElementById("drop").dispatchEvent(event);
}"""


def test_what_the_camera_sees_is_answered_and_put_into_the_data(
    browser: Any,  # noqa: F811
    finished: Running,
    tmp_path: Path,
) -> None:
    from playwright.sync_api import expect

    number = finished.api("GET", "/api/home")["data"][0]["number"]
    before = finished.api("GET", f"/api/data/{number}")["images"]
    mine = Page(browser, finished)
    page = mine.go("/try/first")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#answers meter")).to_have_count(2)
    expect(page.locator("#times")).to_contain_text("ms in the net (openvino, float32)")
    assert page.locator("#seen").get_attribute("src").startswith("data:image/")
    first = page.locator("#seen").get_attribute("src")
    expect(page.locator("#seen")).not_to_have_attribute("src", first)  # the next picture
    page.locator("h1").click()
    page.keyboard.press(" ")
    expect(page.locator("#video")).to_be_hidden()
    expect(page.locator("#picture")).to_be_visible()
    page.get_by_label("Class").fill("dark")
    page.keyboard.press("Enter")
    expect(page.locator("#added")).to_contain_text("Added to dark.")
    assert finished.api("GET", f"/api/data/{number}")["images"] == before + 1
    (tmp_path / "new.png").write_bytes(encoded(3))
    page.set_input_files("#file", str(tmp_path / "new.png"))
    expect(page.locator("#label")).to_have_text("dark")
    for kind, shade, label in (("drop", 130, LIGHT), ("paste", 0, "dark")):
        page.evaluate(GIVEN, [list(encoded(5, shade=shade)), kind])
        expect(page.locator("#label")).to_have_text(label)
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.set_input_files("#file", str(tmp_path / "broken.png"))
    expect(page.locator("#status")).to_contain_text("not-an-image")
    page.get_by_role("link", name="Train again").last.click()
    page.wait_for_url(f"**/train?data={number}")
    assert [line for line in mine.wrong if "422" not in line] == []  # the browser tells of the refusal, too
    mine.context.close()


FIRST = ("try/second", "compare?r=first,second")
REST = (
    "try/labels",
    "runs/second/ship",
    "runs/second/inside",
    "compare",
    "nets?q=resnet",
    "docs",
    "about",
    "runs/second",
)


@pytest.mark.parametrize(
    ("width", "scheme", "paths"),
    [
        (360, "light", FIRST),
        pytest.param(360, "dark", REST, marks=pytest.mark.slow),
        pytest.param(1280, "dark", FIRST, marks=pytest.mark.slow),
        pytest.param(1280, "light", REST, marks=pytest.mark.slow),
    ],
)
def test_pages_of_a_finished_run_fit_a_phone_and_have_no_accessibility_violation(
    browser: Any,  # noqa: F811
    finished: Running,
    width: int,
    scheme: str,
    paths: Sequence[str],
) -> None:
    mine = Page(browser, finished, width, scheme)
    for path in paths:
        mine.require_fitting(f"/{path}")
    assert mine.wrong == []
    mine.context.close()
