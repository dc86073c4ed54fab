"""What the plan tells of templates that do otherwise than meant."""

import os
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config import CampaignConfig, validate
from campaign.core import records, state_files
from campaign.core.errors import ConfigError
from campaign.plan import refused_config
from campaign.plan.checks import template_check
from campaign.plan.checks.template_check import template_notes
from campaign.plan.plan import preview_plan
from campaign.plan.run_checks import Diagnosis
from campaign.requests.prepare import prepare
from campaign.requests.shards import shard_path

ROWS = [{"id": n, "text": f"document {n}", "Q1": "ab", "Q1.2": "x", "n": [n, True]} for n in range(1, 4)]


def config_of(rows: list[dict[str, Any]] = ROWS, **keys: Any) -> CampaignConfig:
    Path("a.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    dataset = {"files": "a.jsonl", "models": ["m"], **keys}
    return validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})


def told(rows: list[dict[str, Any]] = ROWS, **keys: Any) -> list[str]:
    found = list(template_notes(config_of(rows, **keys)))
    assert all(diagnostic.warning for diagnostic in found)
    return [str(diagnostic) for diagnostic in found]


def test_empty_prompts_are_told(in_tmp: Path) -> None:
    rows = [{"text": "a"}, {"text": " "}, {"text": ""}]
    expected = "datasets.d.prompt: 2 of the first 3 rows make an empty prompt, such as a.jsonl:2; leave them out of the files"
    assert told(rows, prompt="{{ text }}") == [expected]
    assert told(rows, prompt="{{ text }}", endpoint="completions") == [expected]
    assert told(rows, prompt="Say {{ text }}") == []


def test_a_map_is_told_with_how_to_reach_its_values(in_tmp: Path) -> None:
    pq.write_table(pa.table({"m": pa.array([[("k", "v")], [("k", "w")]], pa.map_(pa.string(), pa.string()))}), "a.parquet")
    (said,) = told(files="a.parquet", prompt="{{ m }}")
    assert "the column 'm' is a map" in said
    assert "{{ dict(m)['a key'] }}" in said
    assert told(files="a.parquet", prompt="{{ dict(m)['k'] }}") == []
    assert told(files="a.parquet", prompt="{% for key, value in m %}{{ value }}{% endfor %}") == []


@pytest.mark.parametrize(
    "written", ["{text}", "{ text }", "$text", "${text}", "{text}}", "{text[0]}", "{text.title}", "{text:.2f}", "%(text)s"]
)
def test_what_is_no_jinja_is_told(in_tmp: Path, written: str) -> None:
    assert told(prompt=f"Summarize: {written}") == [
        f"datasets.d.prompt: `{written}` is no Jinja: it is sent as it stands, and the same to every row; "
        "for the column write {{ text }}"
    ]


def test_a_column_that_is_no_plain_word_is_told_with_row(in_tmp: Path) -> None:
    (note,) = told(prompt="Say {{ text }}", system="Of {Q1.2}.")
    assert note.startswith("datasets.d.system: `{Q1.2}` is no Jinja")
    assert note.endswith('write {{ row["Q1.2"] }}')


@pytest.mark.parametrize(
    "prompt",
    [
        '{{ text }} Answer as {"text": "..."}',
        '{{ id }} Answer as {"id": 1, "text": ["a"]}',
        "{{ text }} Answer as {text}",
        "{{ id }} Answer as {text: a short text}",
        "{{ id }} costs $5, {other}, $other, {}, { }",
        "{{ id }} <text>",
        "{{ row['Q1.2'] }}{{ id }}",
        "{% for x in n %}{{ x }}{% endfor %}",
    ],
)
def test_what_is_meant_so_is_not_told(in_tmp: Path, prompt: str) -> None:
    assert told(prompt=prompt) == []


def test_the_same_prompt_for_every_row_is_told(in_tmp: Path) -> None:
    expected = [
        "datasets.d.prompt: the first 3 rows differ, and all make the same prompt; "
        "if it is to hold a column of the files, write it in braces: {{ text }}"
    ]
    assert told(prompt="Name a colour.") == expected
    (said,) = told(prompt="Name a {{ Q1 }}.")
    assert said.endswith("what it holds of them (Q1) is the same in each; another column is {{ text }}")
    assert told(ROWS[:1], prompt="Name a colour.") == []
    assert told([{"text": "a"}, {"text": "a"}], prompt="Say {{ text }}") == []


def test_a_column_that_takes_row_is_told_where_its_name_means_something_else(in_tmp: Path) -> None:
    assert told(prompt="{{ Q1.1 }}{{ id }}") == []
    assert told(prompt="{{ Q1[0] }}{{ Q1.2 | default('') }}{{ id }}") == [
        "datasets.d.prompt: the name of the column 'Q1.2' means something else in a template; for the column write row[\"Q1.2\"]"
    ]
    assert len(told([{"true": "a", "id": 1}], prompt="{{ true }}{{ id }}")) == 1


def test_prompts_that_an_earlier_version_printed_otherwise_are_told(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(prompt="{{ text }}: {{ n }}")
    prepare(config, "d")
    records.write(state_files.CONFIG, config.paths.config, config.model_dump(mode="json"))
    assert list(template_notes(config)) == []
    before = {
        place: [{**message, "content": message["content"].replace("true", "True")} for message in messages]
        for place, messages in template_check._asked_before(config, "d").items()
    }
    monkeypatch.setattr(template_check, "_asked_before", lambda config, name: before)
    (note,) = map(str, template_notes(config))
    assert "3 of the first 3 prompts are not what an earlier version made of these rows" in note


def test_prompts_are_compared_only_where_template_and_files_are_the_same(in_tmp: Path) -> None:
    config = config_of(prompt="{{ text }}")
    assert template_check._asked_before(config, "d") == {}
    prepare(config, "d")
    records.write(state_files.CONFIG, config.paths.config, config.model_dump(mode="json"))
    assert len(template_check._asked_before(config, "d")) == 3
    assert template_check._asked_before(config_of(prompt="{{ id }}"), "d") == {}
    os.utime("a.jsonl", (2e9, 2e9))
    assert template_check._asked_before(config, "d") == {}


def test_a_damaged_shard_and_rows_set_aside_are_passed_over(in_tmp: Path) -> None:
    config = config_of([*ROWS, {"id": 4}], prompt="{{ text }}", on_bad_row="set_aside")
    prepare(config, "d")
    records.write(state_files.CONFIG, config.paths.config, config.model_dump(mode="json"))
    assert list(template_notes(config)) == []
    assert len(template_check._asked_before(config, "d")) == 3
    shard_path(config.paths.request_shards("d"), 0).write_bytes(b"PAR1")
    assert list(template_notes(config)) == []


def test_one_query_for_documents_that_differ_is_meant(in_tmp: Path) -> None:
    assert told(endpoint="score", prompt="Which is best?", document="{{ text }}") == []
    assert "all make the same prompt" in str(told(endpoint="score", prompt="Which is best?", document="{{ Q1 }}"))


@pytest.mark.parametrize(
    "prompt", ["{{ text }}", "{text}", "{{ text }} and more", "Say {{ text }}: go", "{% if a %}x{% endif %}"]
)
def test_a_template_without_quotes_is_told_as_that(in_tmp: Path, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused_config, "diagnose", lambda config: Diagnosis(None, {}, ()))
    monkeypatch.setattr(refused_config, "problems", lambda config, diagnosis, here: [])
    models = "models: {m: {source: model}}"
    Path("c.yaml").write_text(
        f"campaign: c\n{models}\ndatasets:\n  d:\n    files: a.jsonl\n    prompt: {prompt}\n    models: [m]\n"
    )
    with pytest.raises(ConfigError) as caught:
        preview_plan(Path("c.yaml"), "alpine")
    problem = caught.value.problems[0]
    assert 'in quotes, as in prompt: "Say {{ text }}"' in problem
