"""Request fields that take their values from columns."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest

from campaign.config import DatasetConfig
from campaign.requests.files.row import Row
from campaign.requests.problems import RowProblem
from campaign.requests.row_fields.kinds import KINDS
from campaign.requests.rows.bodies import Rendered, renderer
from campaign.server.check.vllm_arguments import load_names

USER = {"role": "user", "content": "x"}
OBJECT = {"type": "json_schema", "json_schema": {"name": "v", "schema": {"z": 1, "a": 2}}}
TOOLS = [{"type": "function", "function": {"name": "pick", "parameters": {"why": {}, "colour": {}}}}]


def render(sampling: dict[str, Any], line: int | None = 1, source: dict[str, Any] | None = None, **values: Any) -> Rendered:
    dataset = DatasetConfig(files=["f"], models=["m"], sampling=sampling, **(source or {"prompt": "x"}))
    return renderer(dataset)(Row("f", 1, line, values))


def fields(sampling: dict[str, Any], line: int | None = 1, **values: Any) -> dict[str, Any]:
    """What stands beside the messages."""
    sent = orjson.loads(render(sampling, line, **values).body)
    assert sent.pop("messages") == [USER]
    return sent


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("max_tokens", 12, 12),
        ("max_tokens", "12", 12),  # CSV
        ("max_tokens", 12.0, 12),  # pandas, where other rows have none
        ("max_tokens", Decimal("12"), 12),
        ("seed", 2**62 + 1, 2**62 + 1),
        ("seed", str(2**62 + 1), 2**62 + 1),
        ("temperature", "0.5", 0.5),
        ("temperature", ".5", 0.5),  # Stata, SAS
        ("temperature", "+0.5", 0.5),
        ("max_tokens", "050", 50),
        ("seed", f"+{2**62 + 1}", 2**62 + 1),
        ("temperature", 0, 0),
        ("temperature", Decimal("0.25"), 0.25),
        ("ignore_eos", "True", True),
        ("ignore_eos", "no", False),
        ("ignore_eos", "1", 1),
        ("logprobs", "true", True),
        ("logprobs", "5", 5),
        ("stop", "END", "END"),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("stop", ["a"], ["a"]),
        ("stop", "[", "["),
        ("stop", "[1]", "[1]"),
        ("stop", "7", "7"),
        ("tools", TOOLS, TOOLS),
        ("tools", orjson.dumps(TOOLS).decode(), TOOLS),
        ("response_format", OBJECT, OBJECT),
        ("response_format", orjson.dumps(OBJECT).decode(), OBJECT),
        ("tool_choice", "auto", "auto"),
        (
            "tool_choice",
            '{"type": "function", "function": {"name": "pick"}}',
            {"type": "function", "function": {"name": "pick"}},
        ),
        ("user", "007", "007"),
        ("user", "{half", "{half"),
        ("user", 7, "7"),
        ("structured_outputs", {"choice": ["a", "b"]}, {"choice": ["a", "b"]}),
        ("of_a_later_vllm", "7", "7"),
        ("of_a_later_vllm", '{"a": 1}', {"a": 1}),
        ("of_a_later_vllm", True, True),
    ],
)
def test_a_field_is_the_value_of_its_column(field: str, value: Any, sent: Any) -> None:
    found = fields({field: {"column": "c"}}, c=value)
    assert found == {field: sent}
    assert type(found[field]) is type(sent)


@pytest.mark.parametrize("values", [{}, {"c": None}, {"c": ""}, {"c": math.nan}])
def test_a_row_without_a_value_leaves_the_field_out_or_has_the_default(values: dict[str, Any]) -> None:
    assert fields({"max_tokens": {"column": "c"}, "top_p": 0.5}, **values) == {"top_p": 0.5}
    assert fields({"max_tokens": {"column": "c", "default": 9}}, **values) == {"max_tokens": 9}
    assert fields({"max_tokens": {"column": "c", "default": None}}, **values) == {}
    assert fields({"max_tokens": {"column": "c", "default": 9}}, c=0) == {"max_tokens": 0}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("max_tokens", "many", "holds 'many', and `max_tokens` is a whole number"),
        ("max_tokens", 1.5, "holds 1.5, and `max_tokens` is a whole number"),
        ("max_tokens", [3], "holds [3], and `max_tokens` is a whole number"),
        ("temperature", "warm", "holds 'warm', and `temperature` is a number"),
        ("tools", "pick", "holds 'pick', and `tools` is a list"),
        ("tools", "[{", "holds '[{', and `tools` is a list"),
        ("response_format", "json", "holds 'json', and `response_format` is an object"),
        ("stop", 7, "holds 7, and `stop` is a list or a text"),
        ("ignore_eos", "perhaps", "holds 'perhaps', and `ignore_eos` is true or false"),
    ],
)
def test_a_value_that_the_field_cannot_have(field: str, value: Any, told: str) -> None:
    with pytest.raises(RowProblem) as caught:
        render({field: {"column": "c"}}, c=value)
    assert (caught.value.config_key, str(caught.value)) == (f"sampling.{field}", f"the column 'c' {told}")


def test_a_default_is_checked_before_any_row() -> None:
    with pytest.raises(RowProblem, match="`default` holds 'many', and `max_tokens` is a whole number"):
        renderer(
            DatasetConfig(files=["f"], models=["m"], prompt="x", sampling={"max_tokens": {"column": "c", "default": "many"}})
        )


@pytest.mark.parametrize(
    "value",
    [
        {"column": "c", "row": 1},
        {"column": 5},
        {"column": {"type": "string"}},
        {"default": 5},
        {"metadata": {"column": "c"}},
    ],
)
def test_an_object_of_other_keys_is_sent_as_it_stands(value: dict[str, Any]) -> None:
    assert fields({"vllm_xargs": value}, c="seen") == {"vllm_xargs": value}


def test_fields_keep_the_order_of_the_config() -> None:
    sampling = {"temperature": 0, "tools": {"column": "t"}, "max_tokens": {"column": "c"}, "top_p": 1}
    sent = render(sampling, c=3, t=TOOLS).body
    assert sent.endswith(orjson.dumps({"temperature": 0, "tools": TOOLS, "max_tokens": 3, "top_p": 1})[1:])


@pytest.mark.parametrize(
    ("field", "value"), [("max_tokens", 12), ("tools", TOOLS), ("response_format", OBJECT), ("stop", ["a"])]
)
def test_the_key_is_that_of_the_same_request_written_otherwise(field: str, value: Any) -> None:
    from_column, same = render({"top_p": 1, field: {"column": "c"}}, c=value), render({"top_p": 1, field: value})
    assert (from_column.key_json, from_column.body) == (same.key_json, same.body)
    assert render({"top_p": 1, field: {"column": "c"}}).key_json == render({"top_p": 1}).key_json


def test_a_struct_of_parquet_is_sent_without_the_fields_it_does_not_have() -> None:
    rows = {"choice": ["a"], "regex": None}
    assert fields({"structured_outputs": {"column": "c"}}, None, c=rows) == {"structured_outputs": {"choice": ["a"]}}


def test_a_batch_line_takes_columns_and_its_own_fields_win(batch_row: Callable[..., dict[str, Any]]) -> None:
    line = batch_row(limit=7, seed="none")
    dataset = DatasetConfig(files=["f"], models=["m"], sampling={"max_tokens": {"column": "seed"}, "n": {"column": "limit"}})
    sent = orjson.loads(renderer(dataset)(Row("f", 1, 1, line)).body)
    assert (sent["max_tokens"], sent["n"]) == (5, 7)


def test_a_conversation_ends_with_its_answer_where_the_row_says_so() -> None:
    chat = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "well"}]
    sampling = {"continue_final_message": {"column": "keep"}}
    for keep, messages in (("yes", 2), ("no", 1), (None, 1)):
        sent = orjson.loads(render(sampling, source={"messages": "chat"}, chat=chat, keep=keep).body)
        assert len(sent["messages"]) == messages


def test_every_field_of_vllm_has_its_kind() -> None:
    names = load_names()
    filled = {"model", "messages", "prompt", "stream", "stream_options"}
    assert KINDS.keys() == (names.fields | names.pooling_fields) - filled
