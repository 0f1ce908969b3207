"""Ship: the model file, an ONNX graph whose parity was measured, lines of code that run them, and the server's line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from striate.errors import RequestError
from striate.learning.run_folder import MODEL
from striate.studio import results
from striate.studio.held_out import data_of
from striate.studio.jobs import Job
from striate.studio.names import file_stem
from striate.studio.runs import task_of
from striate.studio.studio import Studio
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.web.refusals import Refused

ONNX = "model.onnx"
WITH_STRIATE = """import striate

model = striate.load("{file}.safetensors")
for found in model.predict(["photo.jpg"]):
    print({said})
"""
# As in the README. What follows `run` is of the task.
WITH_ONNX = """import json
import os

import numpy as np
from PIL import Image, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

session = onnxruntime.InferenceSession("{file}.onnx", providers=["CPUExecutionProvider"])
names = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
"""
WITH_OUTPUT = """output = session.run(["{output}"], {{"images": np.asarray(image)[None]}})[0][0]
print({said})
"""
IMAGES = '{"images": np.asarray(image)[None]}'
WITH_BOXES = f"""boxes, scores, labels = session.run(["boxes", "scores", "labels"], {IMAGES})
for box, score, label in zip(boxes[0], scores[0], labels[0]):
    if score >= {SHOWN_SCORE}:  # best first; x1, y1, x2, y2 in pixels
        print(names[label], score, box)
"""


def add(app: FastAPI, studio: Studio) -> None:
    """Add /runs/R/ship and downloads."""

    @app.get("/runs/{name}/ship", include_in_schema=False)
    def page(request: Request, name: str) -> Response:
        run = studio.runs.get(name)
        data = data_of(studio, name)
        values: dict[str, Any] = {"title": f"Ship {name}", "name": name, "state": run.state, "event": studio.hub.last,
                                  "data": data.number if data else 0, "shown": _command(studio, name)}  # fmt: skip
        if run.state == "done":
            values |= _told(studio, name)
        return studio.pages.page(request, "ship.html", values)

    @app.get("/api/runs/{name}/export", tags=["runs"])
    def exported(name: str) -> dict[str, Any]:
        """The last export to ONNX: its state, and when it is done, its parity with striate predict."""
        return _exported(studio, name)

    @app.post("/api/runs/{name}/export", tags=["runs"])
    def export(name: str) -> dict[str, Any]:
        """Export to ONNX: a job. The graph is written only if its predictions agree with those of striate predict."""
        studio.runs.file(name, MODEL)
        last = results.last(studio, "export", _command(studio, name))
        if last is None or studio.jobs.known_state(last) not in ("waiting", "running"):
            place = studio.runs.place(name)
            arguments = ["export", place, "--to", "onnx", "--out", f"{place}/{ONNX}"]
            studio.jobs.add("export", arguments, _command(studio, name))
        return _exported(studio, name)

    @app.get("/runs/{name}/model.safetensors", tags=["runs"])
    def model(name: str) -> Response:
        """The model file."""
        return _download(studio.runs.file(name, MODEL), name)

    @app.get("/runs/{name}/model.onnx", tags=["runs"])
    def onnx(name: str) -> Response:
        """The exported graph."""
        path = studio.runs.get(name).path / ONNX
        if not path.is_file() or path.is_symlink():
            raise Refused(404, f"the run {name!r} was not exported yet")
        return _download(path, name)


def _download(path: Path, name: str) -> Response:
    """A file to save, under the run's name, of which plain letters are kept."""
    return FileResponse(path, media_type="application/octet-stream", filename=f"{_stem(name)}{path.suffix}")


def _stem(name: str) -> str:
    return file_stem(f"{name}.")


def _command(studio: Studio, name: str) -> str:
    return f"striate export {shlex.quote(studio.runs.place(name))} --to onnx"


def _exported(studio: Studio, name: str) -> dict[str, Any]:
    path = studio.runs.get(name).path / ONNX
    job: Job | None = results.last(studio, "export", _command(studio, name))
    told = results.facts(studio, job) | {"parity": "", "size": path.stat().st_size if path.is_file() else 0}
    found = results.answer(job) if job is not None and told["state"] == "done" else {}
    if told["size"] and isinstance(found.get("agreement"), (int, float)):
        told["parity"] = (
            f"On {found['images']:,} images {100 * found['agreement']:.1f} % of its predictions are those of striate "
            f"predict; they differ by at most {found['difference']:.4f}."
        )
    return told


def _told(studio: Studio, name: str) -> dict[str, Any]:
    path, place, file = studio.runs.file(name, MODEL), shlex.quote(studio.runs.place(name)), _stem(name)
    try:
        task = task_of(path)
    except (RequestError, KeyError, TypeError) as error:
        return {"problem": f"The model cannot be opened: {error}"}
    said = "names[output.argmax()], output.max()" if task.one_class else "dict(zip(names, output))"
    said = "output.shape" if task.dense else said
    run = WITH_BOXES if task.boxes else WITH_OUTPUT.format(output=task.output_name, said=said)
    sure = task.activation != "identity" and not task.by_steps
    return {
        "problem": "", "size": path.stat().st_size,
        "exported": not task.searched, "export": _exported(studio, name), "file": file,
        "with_striate": WITH_STRIATE.format(
            file=file, said="found.label, found.confidence" if sure else "found.label"
        ),
        "with_onnx": WITH_ONNX.format(file=file) + run,
        "serve": f"striate serve {file}={place}\ncurl --data-binary @photo.jpg {json.dumps('http://127.0.0.1:8000/predict?top=3')}",
    }  # fmt: skip
