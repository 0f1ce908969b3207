"""Data: the images, the audit, the decisions; and Fix, one doubtful image after another by keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from striate.errors import RequestError, printable
from striate.reading import TABLE, read_file
from striate.studio import audits
from striate.studio.datasets import DataSet, require_apart_from_links
from striate.studio.decisions import MOST, Made
from striate.studio.describing import job_facts
from striate.studio.studio import Studio

A_PAGE = 200  # images of the grid
LONGEST = 200  # letters of a new label
TABS = ("images", "audit", "decisions")


class Wanted(BaseModel):
    """labels: also search for label errors, which takes a pretrained network, and longer."""

    labels: bool = False


class Deciding(BaseModel):
    """word: of the list that the page shows. images: their numbers. decision, to: as in a decisions file."""

    word: str
    images: list[int] = Field(min_length=1, max_length=MOST)
    decision: str
    to: str = ""


def add(app: FastAPI, studio: Studio) -> None:
    """Add /data/N, its pictures, audit and decisions."""
    _add_pages(app, studio)
    _add_decisions(app, studio)

    @app.get("/api/data/{number}", tags=["data"])
    def facts(number: int) -> dict[str, Any]:
        """What a data set holds."""
        return studio.data.get(number).facts()

    @app.get("/data/{number}/pictures/{word}/{image}", tags=["data"])
    def picture(number: int, word: str, image: int, side: int = 192) -> Response:
        """An image, upright, at most `side` pixels."""
        listed = studio.data.get(number).listed()
        item = listed.item(word, image)
        require_apart_from_links(listed.source, item, studio.root, studio.home)
        content, kind = studio.pictures.of(listed.source, item, side)
        return Response(content, media_type=kind, headers={"cache-control": "private, max-age=86400"})

    @app.post("/api/data/{number}/audit", tags=["data"])
    def audit(number: int, wanted: Wanted) -> dict[str, Any]:
        """Audit the data: a job."""
        return job_facts(studio, audits.start(studio.jobs, studio.data.get(number), labels=wanted.labels))

    @app.get("/api/data/{number}/audit", tags=["data"])
    def audited(number: int) -> dict[str, Any]:
        """The last audit: its state, and the findings."""
        data = studio.data.get(number)
        found = audits.last(studio.jobs, data)
        told = job_facts(studio, found.job) if found.job else {}
        return {**told, "state": found.state, "findings": audits.findings(found, data) if found.facts else []}


def _add_pages(app: FastAPI, studio: Studio) -> None:
    @app.get("/data/{number}", include_in_schema=False)
    def data(
        request: Request,
        number: int,
        tab: str = "images",
        class_: Annotated[str, Query(alias="class")] = "",
        part: str = "",
        page: Annotated[int, Query(ge=1)] = 1,
    ) -> Response:
        found = studio.data.get(number)
        values: dict[str, Any] = {"title": found.name, "data": found, "tab": tab if tab in TABS else TABS[0],
                                  "event": studio.hub.last, "error": ""}  # fmt: skip
        try:
            values |= _images(found, class_, part, page) | _audit(studio, found)
        except RequestError as error:
            values |= {"error": str(error), "classes": [], "images": [], "total": 0}
        values["made"] = found.journal.made()[:A_PAGE]
        return studio.pages.page(request, "data.html", values)

    @app.get("/data/{number}/fix", include_in_schema=False)
    def fix(request: Request, number: int) -> Response:
        found = studio.data.get(number)
        listed, audited = found.listed(), audits.last(studio.jobs, found)
        doubtful = audits.doubtful(audited, found)
        decided = found.journal.current()
        for one in doubtful:
            one["decided"] = _written(decided[one["path"]]) if one["path"] in decided else ""
        classes = list(listed.source.task.names)
        values = {"title": f"Fix {found.name}", "data": found, "word": listed.word, "doubtful": doubtful,
                  "classes": classes, "examples": audits.examples(found, classes), "state": audited.state,
                  "event": studio.hub.last, "last": found.journal.last}  # fmt: skip
        return studio.pages.page(request, "fix.html", values)


def _add_decisions(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/data/{number}/decisions", tags=["decisions"])
    def decisions(number: int) -> dict[str, Any]:
        """Every decision, the last one first; `last` is the number of the journal's last line."""
        data = studio.data.get(number)
        return {"last": data.journal.last, "decisions": [_facts(one) for one in data.journal.made()]}

    @app.post("/api/data/{number}/decisions", tags=["decisions"])
    def decide(number: int, wanted: Deciding) -> dict[str, Any]:
        """Decide on images: keep, drop, relabel or move them. It is on the disk when this answers."""
        data = studio.data.get(number)
        listed = data.listed()
        keys = [listed.item(wanted.word, image).key for image in wanted.images]
        known = wanted.to.startswith("+") or wanted.to in listed.source.task.names
        if wanted.decision == "relabel" and not known:
            to = printable(wanted.to[:60])
            raise RequestError(f"{to!r} is no class of {data.name!r}; a new one is written +{to}")
        if len(wanted.to) > LONGEST or not wanted.to.isprintable():
            raise RequestError(f"a label has at most {LONGEST} letters, all of which can be shown")
        return _told(studio, data, data.journal.decide(keys, wanted.decision, wanted.to))

    @app.post("/api/data/{number}/undo", tags=["decisions"])
    def undo(number: int) -> dict[str, Any]:
        """Take back the last decision."""
        data = studio.data.get(number)
        return _told(studio, data, data.journal.undo())

    @app.get("/data/{number}/decisions.csv", tags=["decisions"])
    def compacted(number: int) -> Response:
        """The decisions that count, for `striate train --decisions`."""
        data = studio.data.get(number)
        data.journal.compact(data.decisions_file)
        headers = {"content-disposition": 'attachment; filename="decisions.csv"'}
        return Response(read_file(data.decisions_file, TABLE), media_type="text/csv; charset=utf-8", headers=headers)


def _told(studio: Studio, data: DataSet, made: Made | None) -> dict[str, Any]:
    if made is None:
        return {"last": data.journal.last, "decision": None}
    numbers = data.listed().numbers
    facts = _facts(made) | {
        "numbers": [numbers[key] for key in made.images if key in numbers],
        "written": _written(made),
    }
    studio.hub.publish({"data": data.number, "journal": data.journal.last, "made": facts})
    return {"last": data.journal.last, "decision": facts}


def _facts(made: Made) -> dict[str, Any]:
    return {"n": made.n, "time": made.time, "images": list(made.images[:A_PAGE]), "count": len(made.images),
            "decision": made.decision, "to": made.to, "undone": made.undone}  # fmt: skip


def _written(made: Made) -> str:
    return "" if made.undone else f"{made.decision} {made.to}".strip()


def _images(data: DataSet, class_: str, part: str, page: int) -> dict[str, Any]:
    """A page of the grid, of a class and part if they are given."""
    listed = data.listed()
    task, decided = listed.source.task, data.journal.current()
    counts = dict.fromkeys(task.names, 0)
    wanted = []
    for number, item in listed.items.items():
        label = task.text(item.target)
        counts[label] = counts.get(label, 0) + 1
        if class_ in ("", label) and part in ("", item.part):
            wanted.append((number, item, label))
    shown = [
        {"number": number, "label": label, "part": item.part, "path": item.key,
         "decided": _written(decided[item.key]) if item.key in decided else ""}
        for number, item, label in wanted[(page - 1) * A_PAGE : page * A_PAGE]
    ]  # fmt: skip
    parts = sorted({item.part for item in listed.items.values()} - {""})
    return {"word": listed.word, "classes": list(task.names), "counts": counts, "parts": parts, "images": shown,
            "total": len(wanted), "page": page, "pages": max(1, -(-len(wanted) // A_PAGE)), "class_": class_,
            "part": part, "aside": len(listed.source.oddities)}  # fmt: skip


def _audit(studio: Studio, data: DataSet) -> dict[str, Any]:
    found = audits.last(studio.jobs, data)
    return {"audit_state": found.state, "job": job_facts(studio, found.job) if found.job else None,
            "findings": audits.findings(found, data) if found.facts else [],
            "doubtful": len(audits.doubtful(found, data)) if found.facts else 0}  # fmt: skip
