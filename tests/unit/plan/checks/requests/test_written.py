"""What is written otherwise than meant."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from campaign.config import validate
from campaign.plan.checks.requests.written import as_written
from campaign.requests.rows.sampled_rows import sample_requests


@pytest.fixture
def told(in_tmp) -> Callable[..., dict[str, str]]:
    """What is told of a dataset with these lines, by rule; warnings begin with `Note`."""

    def tell(*lines: Any, model: dict[str, Any] | None = None, **dataset: Any) -> dict[str, str]:
        written = [line if isinstance(line, str) else orjson.dumps(line).decode() for line in lines]
        (in_tmp / "d.jsonl").write_text("\n".join(written) + "\n")
        source = {} if dataset.pop("batch", False) else {"prompt": "{{ text }}"}
        raw = {"files": ["d.jsonl"], "models": ["m"], **source, **dataset}
        config = validate({"campaign": "c", "models": {"m": {"source": "org/name", **(model or {})}}, "datasets": {"d": raw}})
        found = as_written(config, {"d": sample_requests(config.datasets["d"])})
        return {each.rule: f"Note: {each}" if each.warning else str(each) for each in found}

    return tell


ROW = {"text": "hello", "max_tokens": 4}


@pytest.mark.parametrize(
    ("sampling", "key"),
    [
        ({"max_tokens": "{{ max_tokens }}"}, "max_tokens"),
        ({"stop": ["{{text}}"]}, "stop"),
        ({"structured_outputs": {"regex": "{{ row['text'] }}+"}}, "structured_outputs.regex"),
    ],
)
def test_a_template_in_sampling_is_refused_with_the_way_that_works(sampling: dict[str, Any], key: str, told) -> None:
    found = told(ROW, sampling=sampling)
    assert list(found) == ["template"]
    assert found["template"].startswith(f"datasets.d.sampling.{key}: ")
    assert "`max_tokens: {column: limit}`" in found["template"]
    assert "OpenAI Batch file" in found["template"]


def test_a_column_within_a_field_is_refused(told) -> None:
    found = told(ROW, sampling={"structured_outputs": {"json": {"column": "text"}}})
    assert list(found) == ["column_within"]
    assert found["column_within"].startswith("datasets.d.sampling.structured_outputs.json: {column: text} is sent as it stands")
    assert "the column 'text' holds the whole field, as in {\"json\":" in found["column_within"]
    for meant in ({"max_tokens": {"column": "max_tokens"}}, {"metadata": {"a": {"column": "text"}}}, {"x": {"column": "none"}}):
        assert told(ROW, sampling=meant) == {}


@pytest.mark.parametrize(
    "sampling",
    [
        {"stop": ["}}", "{{"]},
        {"structured_outputs": {"regex": r"\{\{ name \}\}"}},
        {"stop": ["{{ name }}"]},  # no column: text that the model is to write
        {"chat_template": "{{ text }}"},
    ],
)
def test_braces_that_are_no_template_of_ours(sampling: dict[str, Any], told) -> None:
    assert told(ROW, sampling=sampling) == {}


def schema(**of: Any) -> dict[str, Any]:
    return {"structured_outputs": {"json": {"type": "object", "properties": {"answer": of}}}}


def test_truth_values_where_texts_belong(told) -> None:
    for of in ({"enum": [True, False]}, {"type": "string", "enum": [True, False]}):
        said = told(ROW, sampling=schema(**of))["truth_value"]
        assert "Note: datasets.d.sampling.structured_outputs.json.properties.answer.enum: its values are true, false" in said
        assert "put texts into quotes" in said


@pytest.mark.parametrize(
    "of", [{"type": "boolean", "enum": [True]}, {"type": ["boolean", "null"], "enum": [True, None]}, {"enum": ["yes", "no"]}]
)
def test_truth_values_that_are_meant(of: dict[str, Any], told) -> None:
    assert told(ROW, sampling=schema(**of)) == {}


def line(number: int, model: str | None, **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "hi"}], **({"model": model} if model else {}), **more}
    return {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_models_that_lines_name_and_that_are_not_asked(told) -> None:
    found = told(line(1, "gpt-4o-mini"), line(2, "gpt-4o-mini"), line(3, "m"), line(4, "gpt-4o"), batch=True)
    assert list(found) == ["other_model"]
    assert "its lines name 'gpt-4o-mini', 'gpt-4o', and m answers them" in found["other_model"]


@pytest.mark.parametrize("named", ["m", "org/name", "name", None])
def test_a_line_that_names_the_model_itself(named: str | None, told) -> None:
    assert told(line(1, named), batch=True) == {}


def test_an_id_that_stands_twice(told) -> None:
    found = told(line(1, None), line(2, None), line(1, None), batch=True)
    assert found == {
        "repeated_id": "datasets.d.files: d.jsonl:3: the custom_id '1' stands already at d.jsonl:1; give every row its own"
    }
    assert "the text 'a' stands already at d.jsonl:1" in told({"text": "a"}, {"text": "a"}, id="text")["repeated_id"]
    assert told({"text": "a"}, {"text": "a"}) == {}


def test_an_id_that_stands_twice_is_no_bad_row(told) -> None:
    found = told(line(1, None), line(1, None), batch=True, on_bad_row="set_aside")
    assert "'1' stands already at" in found["repeated_id"]


def test_reasoning_without_a_parser(told) -> None:
    asked = {"sampling": {"reasoning_effort": "low"}}
    assert "models.m.vllm: {reasoning-parser: ...}" in told(ROW, **asked)["reasoning"]
    assert told(ROW, **asked, model={"vllm": {"reasoning-parser": "qwen3"}}) == {}
    assert told(ROW, **asked, model={"source": "openai/gpt-oss-20b"}) == {}
    assert told(ROW, sampling={"reasoning_effort": "none"}) == {}


@pytest.mark.parametrize(
    ("sampling", "key"),
    [
        ({"structured_outputs": {"json": {"name": "a", "schema": {"type": "object"}}}}, "structured_outputs.json"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"year": "integer"}}}}, "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_a_schema_that_lets_everything_pass_is_told(sampling: dict[str, Any], key: str, told) -> None:
    found = told(ROW, sampling=sampling)
    assert list(found) == ["schema"]
    assert found["schema"].startswith(f"Note: datasets.d.sampling.{key}: ")
    assert "everything would be valid" in found["schema"]


@pytest.mark.parametrize("stop", ["\\n", ["END", "\\n\\n"], {"column": "mark"}])
def test_a_stop_at_a_backslash_is_told(stop: Any, told) -> None:
    found = told({**ROW, "mark": "\\nQ:"}, sampling={"stop": stop})
    assert list(found) == ["stop"]
    assert "holds a backslash and a letter, where a line break or a tab is meant" in found["stop"]
    assert told(ROW, sampling={"stop": ["\n", r"\nabla", "\\"]}) == {}
