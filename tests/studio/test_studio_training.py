"""From images to a model in the studio, by its API: made, audited, decided, trained; the command line does the same."""

from __future__ import annotations

import shlex
from pathlib import Path

from studio_app import encoded, running


def test_uploaded_audited_decided_trained(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        data = app.api("POST", "/api/data", {"name": "shades of grey"})
        number = data["number"]
        assert "no images" in app.get(f"/data/{number}").text or "error" in data
        for place, name in enumerate(("dark", "light")):
            for image in range(10):
                assert app.upload(number, name, encoded(100 * place + image, shade=130 * place)).status == 200
        assert app.api("GET", f"/api/data/{number}")["images"] == 20
        assert app.get(f"/data/{number}").status == 200
        app.api("POST", f"/api/data/{number}/audit", {"labels": False})
        app.until(lambda: app.api("GET", f"/api/data/{number}/audit")["state"] == "done")
        assert app.get(f"/data/{number}?tab=audit").status == 200
        assert app.get(f"/data/{number}/fix").status == 200
        choices = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "2", "seed": "3"}
        page = app.get(f"/train?data={number}")
        assert page.status == 200 and "lenet5_plain" in page.text
        job = app.api("POST", f"/api/data/{number}/train", {"name": "first", "choices": choices})
        done = app.ended(job["run"])
        assert done["state"] == "done" and "accuracy" in done["result"], done
        assert shlex.split(job["shown"])[:3] == ["striate", "train", str(tmp_path / "data" / "shades-of-grey")]
        assert "<svg" in app.get("/runs/first/curves").text
        assert app.get("/runs/first/report.html").headers["content-security-policy"].startswith("sandbox")
        assert "first" in app.get("/").text
