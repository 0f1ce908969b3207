"""`striate serve` asked what its own description allows, and more: no error of the server's, answers as described."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_requests import calls, require_described
from serve_clients import encoded, model_of, running

from striate.inference.predictor import Predictor

KNOWN = {"model": ["insects"], "top": [1, 2], "shape": [[1]], "data": [["AAAA"]]}


@pytest.mark.parametrize("count", [60, pytest.param(900, marks=pytest.mark.slow)])
def test_any_request_is_answered_as_it_is_described(count: int) -> None:
    with running({"insects": Predictor(model_of(), engine="torch")}) as server:
        described = server.ask("GET", "/openapi.json").json

        @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            call = data.draw(calls(described, KNOWN, [encoded(1), b"\x89PNG\r\n\x1a\n"]))
            found = server.ask(call.method, call.path, call.body, call.headers)
            require_described(call, found.status, found.headers, found.body)

        ask()
        assert server.said == [] and server.predict(encoded(1)).status == 200
