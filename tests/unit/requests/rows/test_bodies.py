"""Requests made of rows: templates, message columns, batch files; and rows that make none."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest

from campaign.config import DatasetConfig
from campaign.requests.files.row import Row
from campaign.requests.problems import RowProblem
from campaign.requests.rows.bodies import Rendered, renderer

USER = {"role": "user", "content": "hi"}


def render(values: dict[str, Any], line: int | None = 1, **keys: Any) -> Rendered:
    return renderer(DatasetConfig(files=["f"], models=["m"], **keys))(Row("f", 1, line, values))


def body(values: dict[str, Any], line: int | None = 1, **keys: Any) -> Any:
    return orjson.loads(render(values, line, **keys).body)


def problem(values: dict[str, Any], **keys: Any) -> tuple[str, str]:
    with pytest.raises(RowProblem) as caught:
        render(values, **keys)
    return caught.value.config_key, str(caught.value)


def test_a_prompt_with_system_message_and_sampling() -> None:
    sampling = {"temperature": 0, "logit_bias": {5: 1}}
    request = render({"id": 7, "word": "a"}, id="id", prompt="Say {{ word }}", system="In {{ word }}.", sampling=sampling)
    assert request.row_id == "7"
    assert request.endpoint == "chat"
    assert orjson.loads(request.columns) == {"id": 7, "word": "a"}
    assert orjson.loads(request.body) == {
        "messages": [{"role": "system", "content": "In a."}, {"role": "user", "content": "Say a"}],
        "temperature": 0,
        "logit_bias": {"5": 1},
    }


SAMPLING = {
    "temperature": 0,
    "max_tokens": 9,
    "response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": {"z": 1, "reasoning": 2, "answer": 3}}},
    "tools": [{"type": "function", "function": {"name": "pick", "parameters": {"why": {}, "colour": {}}}}],
}


def written(value: Any) -> str:
    return orjson.dumps(value).decode()[1:-1]


def test_sampling_is_sent_in_its_order() -> None:
    assert written(SAMPLING) in render({}, prompt="x", sampling=SAMPLING).body.decode()


@pytest.mark.parametrize("as_text", [False, True])
def test_messages_are_sent_in_the_order_of_their_column(as_text: bool) -> None:
    call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": "{}"}}
    chat = [{"role": "user", "content": "hi"}, {"tool_calls": [call], "role": "assistant", "content": None}]
    sent = render({"chat": orjson.dumps(chat).decode() if as_text else chat}, messages="chat", sampling=SAMPLING).body.decode()
    assert sent == orjson.dumps({"messages": chat, **SAMPLING}).decode()


def test_a_batch_line_is_sent_in_its_order(batch_row: Callable[..., dict[str, Any]]) -> None:
    own = {"tools": SAMPLING["tools"], "messages": [USER], "max_tokens": 1}
    sent = render(batch_row(body={"model": "gpt-4o", **own}), sampling=SAMPLING).body
    rest = {name: value for name, value in SAMPLING.items() if name not in own}
    assert sent == orjson.dumps({**own, **rest})


def test_numbers_are_sent_as_they_were_written(batch_row: Callable[..., dict[str, Any]]) -> None:
    large, body_text = (
        2**70 + 1,
        '{"messages": [{"role": "user", "content": "hi"}], "top_p": 0.10, "x": 1180591620717411303425}',
    )
    assert f'"x":{large}'.encode() in render(batch_row(body=body_text)).body
    assert b'"top_p":0.1,' in render(batch_row(body=body_text)).body
    assert f'"maximum":{large}'.encode() in render({}, prompt="x", sampling={"maximum": large}).body


def test_a_bare_completion_is_sent_as_written() -> None:
    assert body({"word": "a"}, prompt="Q: {{ word }}\nA: ", endpoint="completions") == {"prompt": "Q: a\nA: "}


@pytest.mark.parametrize("value", [None, "", float("nan"), [], {}, b"x"])
def test_what_is_no_id_is_refused(value: Any) -> None:
    key, text = problem({"id": value}, id="id", prompt="x")
    assert key == "id"
    assert "is no id; give every row an id" in text


def test_a_row_without_the_id_column_is_refused() -> None:
    assert problem({"ident": 1}, id="id", prompt="x") == ("id", "there is no column 'id'; known: ident")


def test_problems_name_the_template() -> None:
    assert problem({"word": 1}, prompt="{{ word }}", system="{{ wrod }}") == (
        "system",
        "there is no column 'wrod'; did you mean 'word'?",
    )


def test_templates_and_sampling_are_checked_before_any_row() -> None:
    for keys, expected in (
        ({"prompt": "x", "system": "{{"}, "system"),
        ({"prompt": "{{"}, "prompt"),
        ({"prompt": "x", "sampling": {"a": "\ud800"}}, "sampling"),
    ):
        with pytest.raises(RowProblem) as caught:
            renderer(DatasetConfig(files=["f"], models=["m"], **keys))  # type: ignore[arg-type]
        assert caught.value.config_key == expected


def test_half_a_character_from_a_template_is_refused() -> None:
    assert "cannot be written as JSON" in problem({}, prompt="{{ '\\ud800' }}")[1]


def test_columns_nested_too_deeply_are_refused() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert "cannot be written as JSON" in problem({"a": deep}, prompt="x")[1]


def test_messages_as_a_list_and_as_json_text() -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {**USER, "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
    ]
    for value in (conversation, orjson.dumps(conversation).decode()):
        request = render({"chat": value, "gold": 1}, messages="chat", sampling={"seed": 1})
        assert orjson.loads(request.body) == {"messages": conversation, "seed": 1}
        assert orjson.loads(request.columns) == {"gold": 1}


def test_fields_parquet_filled_with_null_were_not_there() -> None:
    part = {"type": "text", "text": "hi", "image_url": None}
    row = {"chat": [{"role": "user", "content": [part], "name": None}]}
    assert body(row, line=None, messages="chat") == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    }
    assert body(row, line=1, messages="chat") == {"messages": row["chat"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "must hold a list of messages"),
        (None, "must hold a list of messages"),
        ({"role": "user"}, "must hold a list of messages"),
        ("[{", "is not JSON"),
        (["hi"], "message 1 is 'hi'"),
        ([USER, {"content": "x"}], "message 2 has no role"),
        ([{"role": "", "content": "x"}], "message 1 has no role"),
        ([{"role": "user"}], "message 1 has no content"),
        ([{"role": "user", "content": 5}], "message 1 has the content 5; it must be a text or a list"),
        ([{"role": "user", "content": [Decimal(1)]}], "cannot be written as JSON"),
    ],
)
def test_wrong_messages_are_refused(value: Any, expected: str) -> None:
    key, text = problem({"chat": value}, messages="chat")
    assert key == "messages"
    assert expected in text


def test_a_missing_messages_column_is_named() -> None:
    assert problem({"chats": []}, messages="chat") == ("messages", "there is no column 'chat'; did you mean 'chats'?")


def test_a_batch_row(batch_row: Callable[..., dict[str, Any]]) -> None:
    request = render(batch_row(), sampling={"max_tokens": 99, "temperature": 0})
    assert (request.row_id, request.endpoint, request.columns) == ("r1", "chat", b"{}")
    assert orjson.loads(request.body) == {"messages": [USER], "max_tokens": 5, "temperature": 0}


def test_a_batch_body_says_null_and_means_it(batch_row: Callable[..., dict[str, Any]]) -> None:
    row = batch_row(body={"messages": [USER], "temperature": None, "stream": True})
    assert body(row, sampling={"temperature": 0}) == {"messages": [USER], "temperature": None}
    assert body(row, line=None, sampling={"temperature": 0}) == {"messages": [USER], "temperature": 0}


@pytest.mark.parametrize("prompt", ["Once", [1, 2, 3]])
def test_a_batch_row_of_completions(batch_row: Callable[..., dict[str, Any]], prompt: Any) -> None:
    request = render(batch_row(url="/v1/completions", body={"model": "x", "prompt": prompt}))
    assert (request.endpoint, orjson.loads(request.body)) == ("completions", {"prompt": prompt})


def test_a_lines_own_limit_goes_before_the_configs_whatever_it_is_called(batch_row: Callable[..., dict[str, Any]]) -> None:
    for own in ("max_tokens", "max_completion_tokens"):
        for said in ("max_tokens", "max_completion_tokens"):
            sent = body(batch_row(body={"messages": [USER], own: 5}), sampling={said: 9, "seed": 1})
            assert (sent.get("max_completion_tokens") or sent["max_tokens"], sent["seed"]) == (5, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "/chat/completions"},  # learn.microsoft.com/azure/ai-services/openai/how-to/batch
        {"url": "https://api.openai.com/v1/chat/completions"},
        {"url": "/v1/chat/completions/", "method": "post"},
    ],
)
def test_other_ways_to_name_a_route(changes: dict[str, str], batch_row: Callable[..., dict[str, Any]]) -> None:
    assert render(batch_row(**changes)).endpoint == "chat"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"custom_id": "1", "params": {"messages": [], "max_tokens": 5}}, "it is one of Anthropic's; jq -c '{custom_id: .custom_id, url: \"/v1/chat/completions\", body: (.params | "),
        ({"recordId": "1", "modelInput": {"messages": []}}, "it is one of Anthropic's; jq -c '{custom_id: .recordId, url: \"/v1/chat/completions\", body: (.modelInput | "),
        ({"custom_id": "1", "body": {"messages": []}}, "jq -c '. + {url: \"/v1/chat/completions\"}' makes one of it"),
        ({"custom_id": "1", "body": {"input": "a"}}, "jq -c '. + {url: \"/v1/embeddings\"}' makes one of it"),
        ({"key": "1", "request": {"contents": [{"parts": [{"text": "a"}]}]}}, 'it is one of Gemini\'s; give the dataset prompt: "{{ request.contents[0].parts[0].text }}"'),
        ({"id": "b1", "custom_id": "1", "response": {"body": {}}}, "it is the output of a batch; name the file of its requests"),
    ],
)  # fmt: skip
def test_batches_of_other_providers_are_told_as_such(row: dict[str, Any], words: str) -> None:
    _, told = problem(row)
    assert words in told


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("hi there", "holds 'hi there' and not a list of messages; for texts say `prompt: \"{{ messages }}\"`"),
        ("[{'role': 'user', 'content': 'hi'}]", "Python's own notation: write it with json.dumps"),
    ],
)
def test_texts_where_messages_belong(held: str, words: str) -> None:
    assert problem({"messages": held}, messages="messages")[1].endswith(words)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"url": "/v1/images"}, "url '/v1/images' is not answered here; use /v1/chat/completions, /v1/completions"),
        ({"method": "GET"}, "method 'GET' is not answered here; use POST"),
        ({"body": [1]}, "body must be a JSON object"),
        ({"body": "{"}, "body is not JSON"),
        ({"body": {}}, "body.messages must hold a list of messages"),
        ({"url": "/v1/completions"}, "body.prompt must be one text"),
        ({"url": "/v1/completions", "body": {"prompt": ["a", "b"]}}, "body.prompt must be one text"),
        ({"custom_id": None}, "holds null, which is no id"),
    ],
)
def test_wrong_batch_rows_are_refused(batch_row: Callable[..., dict[str, Any]], changes: dict[str, Any], expected: str) -> None:
    assert expected in problem(batch_row(**changes))[1]


def test_a_file_that_is_no_batch_file_is_told_what_to_give() -> None:
    assert problem({"word": "a", "url": "x"}) == (
        "files",
        "is no OpenAI Batch request (there is no custom_id and no body); "
        "for other files give the dataset a `prompt` template or a `messages` column",
    )


FIELDS = {"type": "object", "properties": {"why": {"type": "string"}, "age": {"type": "integer"}}, "required": ["age"]}


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_what_an_answer_must_be_is_asked_of_the_engine(endpoint: str) -> None:
    made = body({}, prompt="x", endpoint=endpoint, answer={"schema": FIELDS}, sampling={"temperature": 0})
    assert made["structured_outputs"] == {"json": FIELDS}
    assert body({"m": [USER]}, messages="m", answer={"choice": ["a"]})["structured_outputs"] == {"choice": ["a"]}


def test_how_often_an_answer_is_asked_again_makes_no_other_request() -> None:
    first = render({}, prompt="x", answer={"number": True})
    assert render({}, prompt="x", answer={"number": True, "retries": 9, "tell_model": True}).body == first.body
    assert render({}, prompt="x", answer={"number": {"min": 0}}).body != first.body


def test_a_schema_that_is_none_is_refused_with_its_key() -> None:
    key, text = problem({}, prompt="x", answer={"schema": {"type": "strin"}})
    assert (key, text.startswith("is no JSON schema")) == ("answer.schema", True)
    assert b"1180591620717411303424" in render({}, prompt="x", answer={"schema": {"const": 2**70}}).body


def test_a_batch_line_cannot_say_otherwise_what_its_answer_is() -> None:
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": {"messages": [USER]}}
    assert body(line, answer={"regex": "a"})["structured_outputs"] == {"regex": "a"}
    own = {**line, "body": {"messages": [USER], "response_format": {"type": "json_object"}}}
    assert problem(own, answer={"regex": "a"}) == (
        "answer",
        "body has its own response_format, and the dataset's `answer` says it for all: keep one",
    )
    assert body(own)["response_format"] == {"type": "json_object"}
