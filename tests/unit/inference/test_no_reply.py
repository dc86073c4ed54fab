"""What answers with a 200 or a redirect and is no vLLM, as a proxy's page: waited for as any server that answers nobody."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from campaign.core import patience
from campaign.core.errors import ServerError

from .conftest import Served, good

Serve = Callable[..., Served]

NO_REPLIES = {
    "page": lambda: web.Response(text="<html><title>Sign in</title></html>", content_type="text/html"),
    "nothing": lambda: web.Response(body=b""),
    "compressed": lambda: web.Response(body=b"\x1f\x8b\x08\x00garbage"),
    "redirect": lambda: web.Response(status=302, headers={"Location": "/login"}, text="Found"),
    "no content": lambda: web.Response(status=204),
}


@pytest.mark.parametrize("kind", NO_REPLIES)
def test_no_row_fails_where_nobody_is_answered(kind: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SHEDDING", replace(patience.SHEDDING, seconds=0.2))
    served = serve(lambda *_: NO_REPLIES[kind](), rows=6)
    with pytest.raises(ServerError, match=r"was not reached for .* No request failed for it"):
        served.infer()
    served._answer = lambda *_: good()
    served.infer()
    assert list(served.rows.status) == ["ok"] * 6


@pytest.mark.parametrize("kind", NO_REPLIES)
def test_a_page_now_and_then_costs_no_row(kind: str, serve: Serve) -> None:
    served = serve(lambda marker, it: NO_REPLIES[kind]() if it.received[marker] < 3 else good(), rows=12)
    served.infer()
    assert list(served.rows.status) == ["ok"] * 12


@pytest.mark.parametrize("kind", NO_REPLIES)
def test_a_request_that_alone_gets_none_fails(kind: str, serve: Serve) -> None:
    limits: dict[str, Any] = {"concurrency": 4, "max_attempts": 2, "max_failed_fraction": 1}
    served = serve(lambda marker, _: NO_REPLIES[kind]() if marker == "p3" else good(), rows=12, inference=limits)
    served.infer()
    rows = served.rows
    assert list(rows.index[rows.status == "failed"]) == ["p3"]
    assert rows.error_class["p3"] == "bad_response"


def test_an_error_with_status_200_is_told_in_its_words(serve: Serve) -> None:
    error = {"error": {"message": "the moon is full", "code": 500}}
    served = serve(lambda *_: web.json_response(error), rows=3, inference={"max_attempts": 2, "max_failed_fraction": 1})
    served.infer()
    assert all("the moon is full" in message for message in served.rows.error_message)
