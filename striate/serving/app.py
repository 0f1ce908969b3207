"""The routes: `/predict`, version 2 of the open inference protocol, health, metrics, and the page of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from striate.serving import protocol, schemas
from striate.serving.answers import Seen
from striate.serving.asked import Asked, asked_of
from striate.serving.batching import Batcher
from striate.serving.metrics import Metrics
from striate.serving.page import POLICY, page
from striate.storage import json_text
from striate.web.bodies import Bodies, Gone
from striate.web.refusals import REFUSED, Refused

_FORMS = ("multipart/form-data",)


class Service:
    """The models of a server, the first of which answers where none is named. version: of this program.

    ready: whether requests should be sent here.
    """

    def __init__(self, batchers: Sequence[Batcher], bodies: Bodies, metrics: Metrics, version: str) -> None:
        self.batchers, self.bodies, self.metrics, self.version = list(batchers), bodies, metrics, version
        self.ready = True
        self._by_name = {one.name: one for one in batchers}

    def batcher(self, name: str | None) -> Batcher:
        """The model of a name. Raises Refused for one that is not served."""
        found = self.batchers[0] if name is None else self._by_name.get(name)
        if found is None:
            raise Refused(404, f"there is no model of that name; there are {', '.join(self._by_name)}")
        return found

    async def rows(self, request: Request, batcher: Batcher, images: Sequence[bytes], asked: Asked) -> list[Seen]:
        """The batcher's rows, unless the client leaves before: its images are then dropped."""
        work = asyncio.ensure_future(batcher.rows(images, asked))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Gone
            return work.result()
        finally:
            work.cancel()
            gone.cancel()


async def _gone(request: Request) -> None:
    """Ends when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(service: Service) -> FastAPI:
    """The application of a service, without its guard."""
    app = FastAPI(
        title="Striate", version=service.version, docs_url=None, redoc_url=None, description=schemas.DESCRIPTION,
        responses=REFUSED, redirect_slashes=False,
    )  # fmt: skip
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Gone, _nobody)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_prediction(app, service)
    _add_protocol(app, service)
    _add_operation(app, service)
    return app


def _add_prediction(app: FastAPI, service: Service) -> None:
    # Its parameters are read by hand: FastAPI's way takes a fifth of all that is done for a request.
    @app.post("/predict", openapi_extra=schemas.PREDICT, responses=schemas.PREDICTED, tags=["prediction"])
    async def predict(request: Request) -> Response:
        """Predict one image: the body is the image file, such as a JPEG or PNG."""
        asked = asked_of(request.query_params)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _FORMS:
            raise Refused(415, "the body is the image itself, no form: curl --data-binary @FILE", close=True)
        batcher = service.batcher(asked.model)
        batcher.answers.require(asked)
        async with service.bodies.body(request.headers, request.receive) as content:
            (seen,) = await service.rows(request, batcher, [content], asked)
        found = batcher.answers.answer(seen, asked)
        if isinstance(found, bytes):
            return Response(found, media_type="image/png")
        return _json({"model": batcher.name, **found})


def _add_protocol(app: FastAPI, service: Service) -> None:
    @app.get("/v2", tags=["protocol"])
    async def server() -> Response:
        """The server's name, version and extensions."""
        return _json({"name": "striate", "version": service.version, "extensions": ["binary_tensor_data"]})

    @app.get("/v2/models/{model}", tags=["protocol"])
    async def metadata(model: str) -> Response:
        """A model's input and outputs, and what it is: its task, network and classes."""
        return _json(_metadata(service.batcher(model)))

    @app.get("/v2/models/{model}/ready", tags=["protocol"])
    async def model_ready(model: str) -> Response:
        """Whether a model answers."""
        service.batcher(model)
        return _ready(service)

    @app.post(
        "/v2/models/{model}/infer", openapi_extra=schemas.INFER_BODY, responses=schemas.INFERRED, tags=["protocol"]
    )
    async def infer(model: str, request: Request) -> Response:
        """Predict images: JSON, and with the binary extension bytes behind it."""
        batcher = service.batcher(model)
        async with service.bodies.body(request.headers, request.receive) as content:
            asked = protocol.parse(content, request.headers.get(protocol.LENGTH_HEADER))
            seen = await service.rows(request, batcher, asked.images, Asked())
        answers = batcher.answers
        body, length = protocol.answer(asked, batcher.name, answers.outputs(), answers.values(seen), len(seen))
        if length is None:
            return Response(body, media_type="application/json")
        headers = {protocol.LENGTH_HEADER: str(length)}
        return Response(body, media_type="application/octet-stream", headers=headers)


def _add_operation(app: FastAPI, service: Service) -> None:
    @app.get("/v2/health/live", tags=["operation"])
    async def live() -> Response:
        """Whether the process answers."""
        return _json({"live": True})

    @app.get("/v2/health/ready", tags=["operation"])
    async def ready() -> Response:
        """Whether requests should be sent here."""
        return _ready(service)

    @app.get("/metrics", tags=["operation"])
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page(app.openapi()), headers={"content-security-policy": POLICY})

    @app.get("/", include_in_schema=False)
    async def models() -> Response:
        return _json({"models": [one.name for one in service.batchers], "docs": "docs", "openapi": "openapi.json"})


def _metadata(batcher: Batcher) -> Mapping[str, Any]:
    answers = batcher.answers
    return {
        "name": batcher.name,
        "versions": ["1"],
        "platform": f"striate_{answers.engine_name}",
        "inputs": [{"name": protocol.INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]} for one in answers.outputs()
        ],
        "parameters": {"task": answers.kind, "precision": answers.precision, **answers.parameters()},
    }


def _ready(service: Service) -> Response:
    return _json({"ready": service.ready}, 200 if service.ready else 503)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json_text(value), status, media_type="application/json")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()


def _nobody(request: Request, error: Exception) -> Response:
    """For the metrics: nobody reads it. 499 is nginx's status for a client that has left."""
    return Response(status_code=499)


def _unforeseen(request: Request, error: Exception) -> Response:
    """The client is told that it failed; the error goes on to the guard, which tells the operator why."""
    return Refused(500, "the prediction failed; the server's log says why").answer()


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    """The first wrong parameter, on one line."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 400)
