"""Looking inside a run: the table of its net, and why it answers so for an image; both by the command line, as jobs."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

from striate.data.sources.base import Item
from striate.decoding.budget import at_most
from striate.errors import RequestError
from striate.learning.run_folder import MODEL
from striate.model.file import description
from striate.nets.catalog import entry
from striate.pixels import UnreadableImage
from striate.storage import write_bytes
from striate.studio import results
from striate.studio.datasets import DataSet, require_apart_from_links
from striate.studio.jobs import Job
from striate.studio.studio import Studio
from striate.web.refusals import Refused

PAGE = "page.html"  # that the job writes into its folder
SHOW, INSPECT = "show", "inspect"


def net_command(studio: Studio, name: str) -> list[str]:
    """`striate show` for the net of a run. Raises RequestError for a net that is not of the catalogue."""
    said = description(studio.runs.file(name, MODEL))
    try:
        net, own, pixels = str(said["net"]), dict(said["options"].get("options", {})), dict(said["pixels"])
        size, classes = [str(int(pixels["height"])), str(int(pixels["width"]))], len(said["classes"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RequestError("the model file does not say what its net is") from None
    entry(net)  # a name in a file of a stranger must not become an option, nor a path
    if not all(isinstance(value, (int, float, str)) and "\n" not in str(value) for value in own.values()):
        raise RequestError(f"the options of {net} do not fit into a command line")
    words = ["show", net, "--input-size", *size, "--classes", str(classes)]
    return words + [f"--option={key}={_written(value)}" for key, value in own.items()]


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def start_net(studio: Studio, name: str) -> Job:
    """Draw the net of a run; the job that does, or did."""
    words = net_command(studio, name)
    shown = f"striate {shlex.join(words)} --html net.html"
    found = results.begun(studio, results.last(studio, SHOW, shown))
    return found or studio.jobs.add(SHOW, [*words, "--html", "{job}/" + PAGE], shown)


def start_inspection(studio: Studio, name: str, data: DataSet, item: Item, explained: str) -> Job:
    """Explain a run's answer for an image; the job that does, or did. explained: a class; "" for the answer.

    Raises Refused for an image that cannot be read, RequestError for another class.
    """
    if explained and explained not in (known := description(studio.runs.file(name, MODEL)).get("classes", [])):
        raise RequestError(f"{explained[:60]!r} is no class of this model; there are {', '.join(map(str, known[:20]))}")
    model, image = studio.runs.place(name), str(_file(studio, data, item))
    words = ["inspect", model, image, "--method", "cam", *([f"--class={explained}"] if explained else [])]
    shown = f"striate {shlex.join(words)}"
    found = results.begun(studio, results.last(studio, INSPECT, shown))
    return found or studio.jobs.add(INSPECT, [*words, "--out", "{job}/" + PAGE], shown, data=data.number)


def _file(studio: Studio, data: DataSet, item: Item) -> Path:
    """The file of an image; of a set that has none, one is written."""
    source = data.listed().source
    root = getattr(source, "root", None)
    if isinstance(root, Path) and (root / item.key).is_file():
        require_apart_from_links(source, item, studio.root, studio.home)
        return (root / item.key).resolve()
    number = data.listed().numbers[item.key]
    path = studio.home / ".studio" / "looked" / f"{data.number}-{number}.png"
    try:
        with at_most(studio.limits.pixels):
            picture = source.decode(source.read(item), 0).image
    except UnreadableImage as error:
        raise Refused(422, f"{error.kind}: {error}") from None
    except OSError as error:
        raise Refused(404, f"the picture cannot be read: {error.strerror or error}") from None
    content = io.BytesIO()
    picture.save(content, "PNG")
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, content.getvalue())
    return path


def page_of(job: Job) -> Path:
    """The page that a job wrote. Raises Refused if it has none."""
    path = job.folder / PAGE
    if job.kind not in (SHOW, INSPECT) or not path.is_file() or path.is_symlink():
        raise Refused(404, f"the job {job.number} wrote no page")
    return path
