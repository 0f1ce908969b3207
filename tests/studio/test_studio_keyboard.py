"""The whole way by keyboard alone: from a dropped folder and the camera to a model file that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studio_app import encoded, make_folder, running
from test_studio_browser import Page, browser  # noqa: F401  (a fixture)

from striate.model import read

MOST_TABS = 80


def reach(page: Any, wanted: Any) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(MOST_TABS):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no key leads to {wanted}")


@pytest.mark.slow
def test_from_a_folder_to_a_shipped_model_by_keyboard_alone(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    from playwright.sync_api import expect

    folder = make_folder(tmp_path / "shades", 10)
    (folder / "light" / "wrong.png").write_bytes(encoded(3))  # a dark one
    with running(tmp_path / "home") as app:
        mine = Page(browser, app)
        page, keys = mine.go("/"), 0

        def press(wanted: Any, key: str = "Enter") -> None:
            reach(page, wanted)
            page.keyboard.press(key)

        with page.expect_file_chooser() as chooser:  # what a person drops, or chooses with this key
            press(page.locator("#drop"))
        chooser.value.set_files(str(folder))
        page.wait_for_url("**/data/1?tab=audit")
        expect(page.locator(".finding").first).to_contain_text("label", timeout=60_000)
        press(page.get_by_role("link", name="Fix", exact=True))
        expect(page.locator("#place")).to_have_text("1 of 2")
        page.keyboard.press("d")
        expect(page.locator("#place")).to_have_text("2 of 2")
        page.keyboard.press("k")
        expect(page.locator("#strip [data-decided]").nth(1)).to_have_text("keep")
        press(page.get_by_role("link", name="Home"))
        press(page.get_by_role("link", name="Train"))
        reach(page, page.get_by_role("radio").first)
        scratch = page.get_by_label("From scratch")
        while not scratch.is_checked() and keys < MOST_TABS:
            page.keyboard.press("ArrowDown")
            keys += 1
        for field, text in (("Net", "lenet5_plain"), ("Name of the run", "first"), ("Epochs", "3")):
            role = "combobox" if field == "Net" else "textbox"
            reach(page, page.get_by_role(role, name=field, exact=True))
            page.keyboard.type(text)
        press(page.get_by_role("button", name="Train"))
        page.wait_for_url("**/runs/first")
        expect(page.locator("#result")).to_contain_text("accuracy", timeout=120_000)
        press(page.get_by_role("link", name="Try", exact=True))
        press(page.get_by_role("button", name="Start the camera"))
        expect(page.locator("#answers meter")).to_have_count(2)
        press(page.locator("#freeze"))
        reach(page, page.locator("#class"))
        page.keyboard.type("dark")
        page.keyboard.press("Enter")
        expect(page.locator("#added")).to_contain_text("Added to dark.")
        press(page.get_by_role("link", name="Ship", exact=True))
        with page.expect_download() as download:
            press(page.get_by_role("link", name="Download first.safetensors"))
        download.value.save_as(tmp_path / "shipped.safetensors")
        assert mine.wrong == []
        mine.context.close()
    assert read(tmp_path / "shipped.safetensors").classes == ("dark", "light")
    made = tmp_path / "home" / "runs" / "first" / "model.safetensors"
    assert (tmp_path / "shipped.safetensors").read_bytes() == made.read_bytes()
