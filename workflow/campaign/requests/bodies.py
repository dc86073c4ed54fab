"""From a row to a request: row id, endpoint, canonical body, own columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from campaign.config import DatasetConfig
from campaign.requests.keys import canonical_json
from campaign.requests.readers import Row
from campaign.requests.template import RowTemplate, missing_column

BATCH_ENDPOINTS = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}


class RowProblem(Exception):
    """A row that makes no request; the text says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request before its key."""

    row_id: str | None  # None where the dataset has no `id`
    endpoint: str
    body: bytes
    columns: dict[str, Any]


def renderer(dataset: DatasetConfig) -> Callable[[Row], Rendered]:
    """The function that renders a dataset's rows (it raises RowProblem and TemplateProblem). Raises TemplateProblem."""
    if dataset.messages is not None:
        return _Messages(dataset)
    if dataset.prompt is not None:
        return _Templates(dataset)
    return _Batch(dataset)


def is_batch(dataset: DatasetConfig) -> bool:
    """Whether the dataset's files are OpenAI Batch request files."""
    return dataset.prompt is None and dataset.messages is None


def _row_id(dataset: DatasetConfig, row: Row) -> str | None:
    if dataset.id is None:
        return None
    if dataset.id not in row.values:
        raise RowProblem(f"id: {missing_column(dataset.id, row.values)}")
    value = row.values[dataset.id]
    if value is None or value == "" or isinstance(value, (dict, list)):
        raise RowProblem(f"the id column {dataset.id!r} holds {value!r}; give every row an id")
    return value if isinstance(value, str) else str(value)


class _Templates:
    def __init__(self, dataset: DatasetConfig) -> None:
        self.dataset = dataset
        self.prompt = RowTemplate(dataset.prompt or "")
        self.system = None if dataset.system is None else RowTemplate(dataset.system)

    def __call__(self, row: Row) -> Rendered:
        text = self.prompt.render(row.values)
        if self.dataset.endpoint == "completions":
            body: dict[str, Any] = {"prompt": text}
        else:
            messages = [{"role": "user", "content": text}]
            if self.system is not None:
                messages.insert(0, {"role": "system", "content": self.system.render(row.values)})
            body = {"messages": messages}
        body.update(self.dataset.sampling)
        return Rendered(_row_id(self.dataset, row), self.dataset.endpoint, canonical_json(body), row.values)


class _Messages:
    def __init__(self, dataset: DatasetConfig) -> None:
        self.dataset = dataset
        self.column = dataset.messages or ""

    def __call__(self, row: Row) -> Rendered:
        if self.column not in row.values:
            raise RowProblem(f"messages: {missing_column(self.column, row.values)}")
        messages = check_messages(row.values[self.column], self.column)
        own = {name: value for name, value in row.values.items() if name != self.column}
        return Rendered(
            _row_id(self.dataset, row), "chat", canonical_json({"messages": messages, **self.dataset.sampling}), own
        )


class _Batch:
    def __init__(self, dataset: DatasetConfig) -> None:
        self.dataset = dataset

    def __call__(self, row: Row) -> Rendered:
        values = row.values
        missing = [name for name in ("custom_id", "url", "body") if name not in values]
        if missing:
            raise RowProblem(
                f"is no OpenAI Batch request (no {', '.join(missing)}); "
                "for other files give the dataset a `prompt` template or a `messages` column"
            )
        endpoint = BATCH_ENDPOINTS.get(str(values["url"]))
        if endpoint is None:
            raise RowProblem(f"url {values['url']!r} is not answered here; use {' or '.join(BATCH_ENDPOINTS)}")
        body = values["body"]
        if not isinstance(body, dict):
            raise RowProblem("body is not a JSON object")
        body = {
            **self.dataset.sampling,
            **{k: v for k, v in body.items() if k not in ("model", "stream", "stream_options") and v is not None},
        }
        if endpoint == "chat":
            body["messages"] = check_messages(body.get("messages"), "body.messages")
        elif "prompt" not in body:
            raise RowProblem("body has no prompt")
        return Rendered(str(values["custom_id"]), endpoint, canonical_json(body), {})


def check_messages(messages: Any, where: str) -> list[dict[str, Any]]:
    """A list of chat messages, from a list or its JSON text. Raises RowProblem naming what is wrong."""
    if isinstance(messages, str):
        try:
            messages = orjson.loads(messages)
        except orjson.JSONDecodeError as error:
            raise RowProblem(f"{where} is not JSON ({error})") from None
    if not isinstance(messages, list) or not messages:
        raise RowProblem(f'{where} must be a list like [{{"role": "user", "content": "..."}}]')
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RowProblem(f"{where}[{number}] has no role")
        if message.get("content") is None and "tool_calls" not in message:
            raise RowProblem(f"{where}[{number}] has no content")
    # Parquet gives every message every field of the struct: null ones were not there.
    return [{name: value for name, value in message.items() if value is not None} for message in messages]
