"""The studio's Try page with a camera: python benchmarks/studio_camera.py

A classifier of hymenoptera (test data) on EfficientNet-Lite0 answers what Chromium's fake camera shows for 20 seconds,
after 3 that are not counted. `answers_per_second` are the pictures that were answered; `ms` is the median time from a
request to its answer, as the browser says. The browser shares the machine with the studio.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from recording import DATA, write_record
from studio import studio

SECONDS, BEFORE = 20, 3
CAMERA = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def measured(folder: Path) -> dict[str, Any]:
    """The row of one model."""
    from playwright.sync_api import sync_playwright

    from striate import train

    train(DATA / "hymenoptera", out=folder / "runs" / "insects")
    with studio(folder) as (_, client), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CAMERA)
        context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=["camera"])
        name, value = client.cookie.split("=", 1)
        url = f"http://127.0.0.1:{client.port}"
        context.add_cookies([{"name": name, "value": value, "url": url}])
        page = context.new_page()
        took: list[float] = []
        page.on(
            "requestfinished", lambda one: took.append(one.timing["responseEnd"]) if "/predict" in one.url else None
        )
        page.goto(f"{url}/try/insects")
        page.get_by_role("button", name="Start the camera").click()
        page.wait_for_timeout(1000 * BEFORE)
        took.clear()
        page.wait_for_timeout(1000 * SECONDS)
        answers = list(took)
        browser.close()
    return {
        "what": "camera on Try, EfficientNet-Lite0",
        "command": "python benchmarks/studio_camera.py",
        "n": len(answers),
        "answers_per_second": round(len(answers) / SECONDS, 1),
        "ms": round(statistics.median(answers)),
    }


def main() -> None:
    """Measure, print and record."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        row = measured(Path(folder)) | {"load_before": load}
    print(json.dumps(row))
    write_record("studio-camera", [row], ("striate", "fastapi", "openvino"))


if __name__ == "__main__":
    main()
