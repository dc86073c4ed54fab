"""Rows set aside (`on_bad_row: set_aside`): requests that nobody sends, which become failed rows with their reason.

They stand in the shards as requests of an endpoint that no server has, so that every row of the files has its place; the answer
to each is written by queue.answers.set_aside.
"""

from typing import Any

import orjson

from campaign.requests.columns.column_types import to_json

ENDPOINT = "bad_row"
ERROR_CLASS = "bad_row"


def content_of(file: str, number: int, reason: str) -> dict[str, Any]:
    """What stands for the request. With its place: two broken rows are never the same question."""
    return {"file": file, "row": number, "reason": reason}


def reason_of(body: bytes) -> str:
    return str(orjson.loads(body)["reason"])


def columns_of(values: dict[str, Any]) -> bytes:
    """The passthrough columns, as far as they can be kept."""
    try:
        return to_json(values)
    except TypeError:
        return b"{}"


def id_of(column: str | None, values: dict[str, Any]) -> str | None:
    """The row's id where it can be read."""
    value = values.get(column) if column is not None else None
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None
