"""`answer:` of a dataset is refused where no answer could be what it says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from campaign.config import CampaignConfig, validate
from campaign.core.errors import ConfigError

DATASET = {"files": ["a.jsonl"], "prompt": "{{ x }}", "models": ["m"]}


def load(answer: Any, **keys: Any) -> CampaignConfig:
    dataset = {**DATASET, "answer": answer, **keys}
    return validate({"campaign": "c", "models": {"m": {"source": "m"}}, "datasets": {"d": dataset}})


@pytest.mark.parametrize(
    ("text", "keys", "told"),
    [
        ("{}", {}, "datasets.d.answer: does not say what an answer must be; give it one of schema, choice, regex, number"),
        ("{retries: 3}", {}, "give it one of"),
        ("{choice: [a], regex: a}", {}, "has `choice` and `regex`: keep one of them"),
        (
            "{choice: [yes, no]}",
            {},
            'these as something else: yes, true or on, no, false or off; write them in quotes: ["yes", "no"]',
        ),
        ("{choice: [1.10, a]}", {}, "something else: 1.1"),
        ("{choice: [null]}", {}, "something else: null"),
        ("{choice: []}", {}, "datasets.d.answer.choice"),
        ("{choice: a}", {}, "datasets.d.answer.choice"),
        ("{regex: '('}", {}, "is no regular expression that answers can be checked with"),
        ("{number: {min: 2, max: 1}}", {}, "exchange `min` and `max`"),
        ("{number: false}", {}, "datasets.d.answer.number"),
        ("{number: {minimum: 2}}", {}, "datasets.d.answer.number.minimum: unknown key; did you mean `min`?"),
        ("{schem: {}}", {}, "datasets.d.answer.schem: unknown key; did you mean `schema`?"),
        ("{schema: [1]}", {}, "datasets.d.answer.schema"),
        ("{schema: missing.json}", {}, "'missing.json' is not there; paths count from the working directory"),
        ("{schema: '{\"type\": 1}'}", {}, "is neither a JSON schema nor the path of a .json file"),
        ("{schema: {const: 2024-05-01}}", {}, "is no JSON: const is 2024-05-01, a date; write it in quotes"),
        ("{schema: {properties: {yes: {}}}}", {}, "the key yes, true or on at properties is no text"),
        ("{number: true, retries: -1}", {}, "datasets.d.answer.retries"),
        ("{number: true}", {"sampling": {"response_format": {}}}, "has `response_format` in `sampling` beside `answer`"),
        ("{number: true}", {"sampling": {"guided_json": {}}}, "`guided_json`"),
        ("{number: true}", {"sampling": {"n": 3}}, "only the first would be checked"),
        ("{number: true, tell_model: true}", {"endpoint": "completions"}, "which needs chat messages"),
    ],
)
def test_what_is_refused(text: str, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(yaml.safe_load(text), **keys)
    (problem,) = caught.value.problems
    assert told in problem


def test_the_four_kinds_and_their_defaults() -> None:
    assert load({"number": True}).datasets["d"].answer.retries == 2  # type: ignore[union-attr]
    for text in ("{number: true}", "{number: {min: 0}}", "{choice: [1, b, b]}", "{regex: ' a+ '}", "{schema: {type: object}}"):
        config = load(yaml.safe_load(text))
        again = validate(config.model_dump(mode="json"))
        assert again == config
        assert again.has_answer
    assert load({"choice": [1, "b", "b"]}).datasets["d"].answer.choice == ["1", "b"]  # type: ignore[union-attr]
    assert load({"regex": " a+ "}).datasets["d"].answer.regex == " a+ "  # type: ignore[union-attr]


def test_a_schema_of_a_file_is_kept_with_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that waits for days uses the schema it was submitted with, in the order of its fields."""
    monkeypatch.chdir(tmp_path)
    Path("person.json").write_text('{"type": "object", "properties": {"why": {}, "age": {}}}')
    kept = load({"schema": "person.json"}).model_dump(mode="json")
    Path("person.json").unlink()
    answer = validate(kept).datasets["d"].answer
    assert answer is not None
    assert list((answer.json_schema or {})["properties"]) == ["why", "age"]
