"""From a row to a request: row id, endpoint, canonical body, own columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson

from campaign.config import DatasetConfig
from campaign.requests.columns import to_json
from campaign.requests.keys import canonical_json
from campaign.requests.problems import RowProblem
from campaign.requests.readers import Row
from campaign.requests.template import RowTemplate, TemplateProblem, missing_column

T = TypeVar("T")

BATCH_ENDPOINTS = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}
# Fields of a batch body the workflow fills or does not use: see config.datasets.OWN_FIELDS.
_DROPPED = {"model", "stream", "stream_options"}


@dataclass(slots=True)
class Rendered:
    """A request before its key."""

    row_id: str | None  # None where the dataset has no `id`
    endpoint: str  # chat | completions
    body: bytes  # canonical JSON
    columns: bytes  # JSON object of the own columns


class Renderer(Protocol):
    """Renders a dataset's rows."""

    @property
    def id_name(self) -> str | None:
        """What row ids are called in the prompt files."""

    @property
    def named_columns(self) -> Mapping[str, str]:
        """Columns the config names, by config key."""

    @property
    def templates(self) -> Mapping[str, RowTemplate]:
        """Templates by config key."""

    def own(self, columns: dict[str, T]) -> dict[str, T]:
        """Those of a file's columns that are kept beside the answers."""

    def __call__(self, row: Row) -> Rendered:
        """The row's request. Raises RowProblem."""


def renderer(dataset: DatasetConfig) -> Renderer:
    """The renderer of a dataset. Raises RowProblem when its templates or sampling cannot be used on any row."""
    try:
        sampling = orjson.loads(orjson.dumps(dataset.sampling, option=orjson.OPT_NON_STR_KEYS))
    except TypeError as error:
        raise RowProblem("sampling", f"cannot be sent as JSON ({error})") from None
    if dataset.prompt is not None:
        return _Templates(dataset, dataset.prompt, sampling)
    if dataset.messages is not None:
        return _Messages(dataset, dataset.messages, sampling)
    return _Batch(sampling)


def _canonical(body: dict[str, Any], key: str) -> bytes:
    try:
        return canonical_json(body)
    except TypeError as error:  # a template made half a character, a parquet column holds bytes
        raise RowProblem(key, f"the request cannot be written as JSON ({error})") from None


def _columns(own: dict[str, Any]) -> bytes:
    try:
        return to_json(own)
    except TypeError as error:
        raise RowProblem("files", f"the columns cannot be written as JSON ({error})") from None


def _row_id(column: str | None, values: dict[str, Any]) -> str | None:
    if column is None:
        return None
    if column not in values:
        raise RowProblem("id", missing_column(column, values))
    value = values[column]
    if isinstance(value, str) and value:
        return value
    if value in (None, "") or value != value or isinstance(value, (dict, list, bytes)):
        raise RowProblem("id", f"the column {column!r} holds {_short(value)}, which is no id; give every row an id")
    return str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


class _Templates:
    """Rows made into prompts by templates."""

    def __init__(self, dataset: DatasetConfig, prompt: str, sampling: dict[str, Any]) -> None:
        self.id_name, self._endpoint, self._sampling = dataset.id, dataset.endpoint, sampling
        self.named_columns = {} if dataset.id is None else {"id": dataset.id}
        self._prompt = _template("prompt", prompt)
        self._system = None if dataset.system is None else _template("system", dataset.system)
        self.templates = {"prompt": self._prompt} | ({} if self._system is None else {"system": self._system})

    def own(self, columns: dict[str, T]) -> dict[str, T]:
        return columns

    def __call__(self, row: Row) -> Rendered:
        values = row.values
        text = _fill("prompt", self._prompt, values)
        if self._endpoint == "completions":
            body: dict[str, Any] = {"prompt": text, **self._sampling}
        else:
            messages = [{"role": "user", "content": text}]
            if self._system is not None:
                messages.insert(0, {"role": "system", "content": _fill("system", self._system, values)})
            body = {"messages": messages, **self._sampling}
        return Rendered(_row_id(self.id_name, values), self._endpoint, _canonical(body, "prompt"), _columns(values))


def _template(key: str, source: str) -> RowTemplate:
    try:
        return RowTemplate(source)
    except TemplateProblem as error:
        raise RowProblem(key, str(error)) from None


def _fill(key: str, template: RowTemplate, values: dict[str, Any]) -> str:
    try:
        return template.render(values)
    except TemplateProblem as error:
        raise RowProblem(key, str(error)) from None


class _Messages:
    """Rows that hold whole chat messages in a column."""

    templates: Mapping[str, RowTemplate] = {}

    def __init__(self, dataset: DatasetConfig, column: str, sampling: dict[str, Any]) -> None:
        self.id_name, self._column, self._sampling = dataset.id, column, sampling
        self.named_columns = {"messages": column} | ({} if dataset.id is None else {"id": dataset.id})

    def own(self, columns: dict[str, T]) -> dict[str, T]:
        return {name: value for name, value in columns.items() if name != self._column}

    def __call__(self, row: Row) -> Rendered:
        if self._column not in row.values:
            raise RowProblem("messages", missing_column(self._column, row.values))
        messages = check_messages(_plain(row, row.values[self._column]), "messages", f"the column {self._column!r}")
        body = _canonical({"messages": messages, **self._sampling}, "messages")
        return Rendered(_row_id(self.id_name, row.values), "chat", body, _columns(self.own(row.values)))


class _Batch:
    """OpenAI Batch request files: every row is a request already; its own fields win over the config's sampling."""

    id_name = "custom_id"
    named_columns: Mapping[str, str] = {}
    templates: Mapping[str, RowTemplate] = {}

    def __init__(self, sampling: dict[str, Any]) -> None:
        self._sampling = sampling

    def own(self, columns: dict[str, T]) -> dict[str, T]:
        return {}

    def __call__(self, row: Row) -> Rendered:
        values = row.values
        if missing := [name for name in ("custom_id", "url", "body") if name not in values]:
            raise RowProblem(
                "files",
                f"is no OpenAI Batch request (there is no {' and no '.join(missing)}); "
                "for other files give the dataset a `prompt` template or a `messages` column",
            )
        endpoint = _batch_endpoint(values)
        content = _batch_body(_plain(row, values["body"]))
        body = {**self._sampling, **{name: value for name, value in content.items() if name not in _DROPPED}}
        if endpoint == "chat":
            body["messages"] = check_messages(body.get("messages"), "files", "body.messages")
        elif not _is_prompt(body.get("prompt")):
            raise RowProblem("files", 'body.prompt must be one text, or one list of token ids: {"prompt": "..."}')
        return Rendered(_row_id("custom_id", values), endpoint, _canonical(body, "files"), b"{}")


def _batch_endpoint(values: dict[str, Any]) -> str:
    endpoint = BATCH_ENDPOINTS.get(str(values["url"]))
    if endpoint is None:
        raise RowProblem("files", f"url {_short(values['url'])} is not answered here; use {' or '.join(BATCH_ENDPOINTS)}")
    if values.get("method") not in (None, "POST"):
        raise RowProblem("files", f"method {_short(values['method'])} is not answered here; use POST")
    return endpoint


def _batch_body(body: Any) -> dict[str, Any]:
    if isinstance(body, str):
        body = _loads(body, "files", "body")
    if not isinstance(body, dict):
        raise RowProblem("files", 'body must be a JSON object like {"messages": [...]}')
    return body


def _is_prompt(prompt: Any) -> bool:
    # A list of texts would be several requests in one: an answer could not be told from the others.
    return isinstance(prompt, str) or (isinstance(prompt, list) and bool(prompt) and all(type(t) is int for t in prompt))


def _plain(row: Row, value: Any) -> Any:
    """A nested value as the user wrote it: parquet gives every struct every field, null where it was not there."""
    return value if row.line is not None else _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _loads(text: str, key: str, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RowProblem(key, f"{where} is not JSON ({error.msg}, character {error.pos + 1})") from None


def check_messages(messages: Any, key: str, where: str) -> list[Any]:
    """A list of chat messages, from a list or its JSON text. Raises RowProblem for the config key `key`, naming `where`."""
    if isinstance(messages, str):
        messages = _loads(messages, key, where)
    if not isinstance(messages, list) or not messages:
        raise RowProblem(key, f'{where} must hold a list of messages like [{{"role": "user", "content": "..."}}]')
    for number, message in enumerate(messages):
        if problem := _message_problem(message):
            raise RowProblem(key, f"{where}: message {number + 1} {problem}")
    return messages


def _message_problem(message: Any) -> str | None:
    if not isinstance(message, dict):
        return f'is {_short(message)}; write {{"role": "user", "content": "..."}}'
    if not isinstance(message.get("role"), str) or not message["role"]:
        return 'has no role; add "role": "user", "system" or "assistant"'
    content = message.get("content")
    if content is None:
        return None if message.get("tool_calls") else 'has no content; add "content": "..."'
    return None if isinstance(content, (str, list)) else f"has the content {_short(content)}; it must be a text or a list"
