"""From a row to a request: row id, endpoint, body, passthrough columns."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import orjson

from campaign.config import DatasetConfig
from campaign.config.datasets import ANSWER_FIELDS
from campaign.core import exact_json
from campaign.requests.answer.request import asked_for
from campaign.requests.columns.column_types import to_json
from campaign.requests.endpoints import APIS, APIS_BY_ROUTE, CHAT, Api
from campaign.requests.files.row import Row
from campaign.requests.keys.key import canonical_json, has_no_order, key_json
from campaign.requests.media.columns import MediaColumns, with_media
from campaign.requests.media.finding import Media
from campaign.requests.problems import RowProblem, from_json, shown
from campaign.requests.row_fields.fields import Fields
from campaign.requests.rows import sharegpt
from campaign.requests.rows.other_batches import instead_of_batch
from campaign.requests.templates.columns import as_expression
from campaign.requests.templates.template import RowTemplate, TemplateProblem, missing_column

T = TypeVar("T")

# Fields of a batch body the workflow fills or does not use: see config.datasets.OWN_FIELDS.
_DROPPED = {"model", "stream", "stream_options"}
# Of the two limits of an answer, the second one counts for vLLM.
_LIMIT, _STRONGER = "max_tokens", "max_completion_tokens"
# Fields of a batch line that say what is asked; its others are its columns.
OF_THE_LINE = {"custom_id", "method", "url", "body"}


@dataclass(slots=True)
class Rendered:
    """A request before its key."""

    row_id: str | None  # None where the dataset has no `id`
    endpoint: str  # its name in requests.endpoints
    content: dict[str, Any]  # what is asked, keys in the order of the prompt file and the config
    columns: bytes  # JSON object of the passthrough columns
    key_json: bytes  # what of it is in its key (see requests.keys.key)
    media: Sequence[Media] = ()  # images and sounds that it refers to

    @property
    def body(self) -> bytes:
        """The content as it is sent."""
        return exact_json.dumps(self.content)


class Renderer(Protocol):
    """Renders a dataset's rows into requests."""

    @property
    def id_name(self) -> str | None:
        """The name of row ids in the prompt files."""

    @property
    def named_columns(self) -> Mapping[str, str]:
        """Columns the config names, by config key."""

    @property
    def templates(self) -> Mapping[str, RowTemplate]:
        """The dataset's templates by config key."""

    def passthrough(self, columns: dict[str, T]) -> dict[str, T]:
        """The columns of a file that are kept beside the answers."""

    def __call__(self, row: Row) -> Rendered:
        """The row's request. Raises RowProblem."""


def renderer(dataset: DatasetConfig, *, order_in_keys: bool = True) -> Renderer:
    """The renderer of a dataset. Raises RowProblem when its templates or sampling cannot be used on any row.

    `order_in_keys`: the order of keys is in a request's key, where the engine sees it; else the key is one of earlier versions.
    """
    try:
        sampling = exact_json.loads(exact_json.dumps(dataset.sampling, option=orjson.OPT_NON_STR_KEYS))
        if dataset.answer is not None:
            sampling |= asked_for(dataset.answer)
        bodies = _Bodies(sampling, APIS[dataset.endpoint], order_in_keys)
    except TypeError as error:
        raise RowProblem("sampling", f"cannot be sent as JSON ({error})") from None
    if dataset.prompt is not None:
        return _Templates(dataset, dataset.prompt, bodies)
    if dataset.messages is not None:
        return _Messages(dataset, dataset.messages, bodies)
    return _Batch(bodies, dataset.answer is not None)


def usable(dataset: DatasetConfig) -> tuple[list[RowProblem], DatasetConfig]:
    """All for which `renderer` refuses a dataset, and the dataset without it: its files can be checked all the same."""
    problems: list[RowProblem] = []
    for key in ("prompt", "system", "document"):
        source = getattr(dataset, key)
        try:
            _template(key, source or "")
        except RowProblem as error:
            problems.append(error)
            dataset = dataset.model_copy(update={key: ""})
    without: tuple[dict[str, Any], ...] = ({}, {"sampling": {}}, {"answer": None}, {"sampling": {}, "answer": None})
    for keys in without:
        try:
            renderer(dataset.model_copy(update=keys))
        except RowProblem as error:
            problems += [error] if all(str(error) != str(known) for known in problems) else []
            continue
        return problems, dataset.model_copy(update=keys)
    raise AssertionError("a dataset without sampling and answer makes requests")


class _Bodies:
    """Makes the requests of a dataset from what each row brings and `sampling`."""

    def __init__(self, sampling: dict[str, Any], api: Api, order_in_keys: bool) -> None:
        self._sampling, self._order_in_keys = sampling, order_in_keys
        self._of_others: dict[str, Fields] = {}  # of endpoints that only batch lines name
        self._name, self.fields = api.name, self._used_by(api)
        self._same = self.fields.same  # looked up once: most datasets have no others

    def request(
        self,
        row: Row,
        row_id: str | None,
        endpoint: str,
        own: dict[str, Any],
        key: str,
        columns: dict[str, Any],
        *,
        in_key: dict[str, Any] | None = None,
        media: Sequence[Media] = (),
        of_texts: bool = False,
    ) -> Rendered:
        """The request of a row that brings the fields `own`. Raises RowProblem, for a body about the config key `key`.

        `in_key`: `own` as the key has it, where that differs. `media`: what `own` refers to.
        `of_texts`: `own` holds texts that templates made, in our own order, which keys.has_no_order need not look at.
        """
        fields, is_plain = (self._same if endpoint == self._name else None) or self._fields_of(endpoint).of(row, own)
        body = {**own, **fields, **own}  # its own fields in front, in their order; they win
        if _LIMIT in own and _STRONGER in fields and _STRONGER not in own:
            del body[_STRONGER]  # vLLM would go by the config's
        sort_all = not self._order_in_keys or (is_plain and (of_texts or has_no_order(own)))
        hashed = body if in_key is None else {**body, **in_key}
        try:
            written = canonical_json(hashed) if sort_all else key_json(hashed)
        except TypeError as error:  # a template made half a character, a parquet column holds bytes
            raise RowProblem(key, f"the request cannot be written as JSON ({error})") from None
        return Rendered(row_id, endpoint, body, _columns(columns), written, media)

    def _fields_of(self, endpoint: str) -> Fields:
        if endpoint == self._name:
            return self.fields
        if endpoint not in self._of_others:
            self._of_others[endpoint] = self._used_by(APIS[endpoint])
        return self._of_others[endpoint]

    def _used_by(self, api: Api) -> Fields:
        return Fields({name: value for name, value in self._sampling.items() if name not in api.unused})


def _columns(columns: dict[str, Any]) -> bytes:
    if not columns:
        return b"{}"
    try:
        return to_json(columns)
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
        kind = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
        made = f"jq -c '.[{json.dumps(column)}] |= .[{json.dumps(kind)}]' takes what is in it"
        remedy = made if kind.startswith("$") else "give every row an id"  # of MongoDB: {"$oid": "5f..."}
        raise RowProblem("id", f"the column {column!r} holds {shown(value)}, which is no id; {remedy}")
    return str(value)


class _Templates:
    """Rows made into prompts by templates."""

    def __init__(self, dataset: DatasetConfig, prompt: str, bodies: _Bodies) -> None:
        self.id_name, self._api, self._bodies = dataset.id, APIS[dataset.endpoint], bodies
        if taken := [name for name in (self._api.prompt_field, self._api.second_field) if name in bodies.fields.sampling]:
            raise RowProblem("sampling", f"`{taken[0]}` is made from the dataset's `prompt`; remove it here")
        self._documents, self._media = dataset.documents, MediaColumns(dataset) if dataset.has_media else None
        named = {"id": dataset.id, "documents": dataset.documents, **(self._media.named if self._media else {})}
        self.named_columns = {key: column for key, column in named.items() if column is not None}
        sources = {"prompt": prompt, "system": dataset.system, "document": dataset.document}
        self.templates = {key: _template(key, source) for key, source in sources.items() if source is not None}

    def passthrough(self, columns: dict[str, T]) -> dict[str, T]:
        return columns

    def __call__(self, row: Row) -> Rendered:
        found = self._media.take(row) if self._media else []
        values = row.values
        texts = {key: _fill(key, template, values) for key, template in self.templates.items()}
        own = {self._api.prompt_field: self._api.make_prompt(texts["prompt"], texts.get("system"))}
        if self._api.second_field is not None:
            own[self._api.second_field] = self._second(texts, values)
        row_id = _row_id(self.id_name, values)
        if not found:
            return self._bodies.request(row, row_id, self._api.name, own, "prompt", row.own, of_texts=True)
        sent, in_key = (
            {self._api.prompt_field: with_media(own[self._api.prompt_field], found, in_key=which)} for which in (False, True)
        )
        media = [each for _, each in found]
        return self._bodies.request(row, row_id, self._api.name, sent, "prompt", row.own, in_key=in_key, media=media)

    def _second(self, texts: dict[str, str], values: dict[str, Any]) -> Any:
        """What the prompt is held against: one text, or the texts of a column."""
        return texts["document"] if self._documents is None else _texts(self._documents, values)


def _texts(column: str, values: dict[str, Any]) -> list[str]:
    """The texts of a column, from a list or its JSON text."""
    if column not in values:
        raise RowProblem("documents", missing_column(column, values))
    texts = values[column]
    with suppress(RowProblem):
        texts = from_json(texts, "documents", column) if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        wanted = 'a list of texts, or its JSON text like ["one", "two"]'
        objects = isinstance(texts, list) and texts and all(isinstance(text, dict) and text for text in texts)
        made = f"; jq -c '.{column} |= map(.{next(iter(texts[0]))})' takes a field of each" if objects else ""
        raise RowProblem("documents", f"the column {column!r} must hold {wanted}, and holds {shown(texts)}{made}")
    return texts


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

    def __init__(self, dataset: DatasetConfig, column: str, bodies: _Bodies) -> None:
        self.id_name, self._column, self._bodies, self._endpoint = dataset.id, column, bodies, dataset.endpoint
        self.named_columns = {"messages": column} | ({} if dataset.id is None else {"id": dataset.id})

    def passthrough(self, columns: dict[str, T]) -> dict[str, T]:
        return {name: value for name, value in columns.items() if name != self._column}

    def __call__(self, row: Row) -> Rendered:
        if self._column not in row.values:
            raise RowProblem("messages", missing_column(self._column, row.values))
        messages = CHAT.check_prompt(self._messages(row), "messages", f"the column {self._column!r}")
        row_id, columns = _row_id(self.id_name, row.values), self.passthrough(row.own)
        return self._bodies.request(row, row_id, self._endpoint, {CHAT.prompt_field: messages}, "messages", columns)

    def _messages(self, row: Row) -> Any:
        """What the column holds, conversations in ShareGPT's form as chat messages."""
        where, value = f"the column {self._column!r}", row.values[self._column]
        if isinstance(value, str):
            if not value.lstrip().startswith(("[", "{")):
                instead = f'for texts say `prompt: "{{{{ {as_expression(self._column)} }}}}"`'
                raise RowProblem("messages", f"{where} holds {shown(value)} and not a list of messages; {instead}")
            value = from_json(value, "messages", where)
        value = row.as_written(value)
        if not sharegpt.is_sharegpt(value):
            return value
        keep = bool(self._bodies.fields.of(row)[0].get("continue_final_message"))
        return sharegpt.as_messages(value, "messages", where, keep_answer=keep)


class _Batch:
    """OpenAI Batch request files: every row is a request already; its own fields win over the config's sampling."""

    id_name = "custom_id"
    named_columns: Mapping[str, str] = {}
    templates: Mapping[str, RowTemplate] = {}

    def __init__(self, bodies: _Bodies, has_answer: bool) -> None:
        self._bodies, self._has_answer = bodies, has_answer

    def passthrough(self, columns: dict[str, T]) -> dict[str, T]:
        if columns.keys() <= OF_THE_LINE:
            return {}
        return {name: value for name, value in columns.items() if name not in OF_THE_LINE}

    def __call__(self, row: Row) -> Rendered:
        values = row.values
        if missing := [name for name in ("custom_id", "url", "body") if name not in values]:
            why = f"is no OpenAI Batch request (there is no {' and no '.join(missing)})"
            raise RowProblem("files", f"{why}; {instead_of_batch(values)}")
        api = _batch_api(values)
        content = _batch_body(row.as_written(values["body"]))
        if self._has_answer and (taken := [name for name in ANSWER_FIELDS if name in content]):
            raise RowProblem("answer", f"body has its own {taken[0]}, and the dataset's `answer` says it for all: keep one")
        own = api.checked({name: value for name, value in content.items() if name not in _DROPPED}, "files", "body")
        row_id = _row_id("custom_id", values)
        return self._bodies.request(row, row_id, api.name, own, "files", self.passthrough(values))


@lru_cache(maxsize=64)
def _api_of(url: str) -> Api | None:
    """Azure's files name a route without its /v1, others a whole address."""
    path = urlsplit(url).path.rstrip("/")
    return APIS_BY_ROUTE.get(path) or APIS_BY_ROUTE.get(f"/v1{path}")


def _batch_api(values: dict[str, Any]) -> Api:
    api = _api_of(str(values["url"]))
    if api is None:
        raise RowProblem(
            "files", f"url {shown(values['url'])} is not answered here; use {', '.join(api.route for api in APIS.values())}"
        )
    if str(values.get("method") or "POST").upper() != "POST":
        raise RowProblem("files", f"method {shown(values['method'])} is not answered here; use POST")
    return api


def _batch_body(body: Any) -> dict[str, Any]:
    if isinstance(body, str):
        body = from_json(body, "files", "body")
    if not isinstance(body, dict):
        raise RowProblem("files", 'body must be a JSON object like {"messages": [...]}')
    return body
