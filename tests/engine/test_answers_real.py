"""Answers of forms by a real vLLM: a schema of six fields, several to each prompt, with the likelihood of each token."""

import json
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pandas as pd
import polars
import pytest

from support.engine import PROMPTS, real_campaign
from support.runs import Campaign

pytestmark = pytest.mark.engine

# What is to be read from each text. Bounded, as a model of 135 million parameters writes a text or digits for ever.
FIELDS: dict[str, Any] = {
    "country": {"type": "string", "maxLength": 24},
    "capital": {"type": "string", "maxLength": 24},
    "continent": {"enum": ["Africa", "America", "Asia", "Europe", "Oceania"]},
    "rank": {"type": "integer", "minimum": 1, "maximum": 200},
    "on_an_island": {"type": "boolean"},
    "letters": {"type": "array", "items": {"enum": ["a", "e", "i", "o", "u"]}, "minItems": 1, "maxItems": 3},
}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS), "additionalProperties": False}
TYPES = {"rank": "BIGINT", "on_an_island": "BOOLEAN", "letters": "VARCHAR[]"}


def add_answers_of_forms(campaign: Campaign) -> None:
    """60 texts to extract from, 20 prompts with five answers each, and the likelihood of each token of the capitals."""
    countries = [json.loads(line) for line in PROMPTS.read_text().splitlines()]
    texts = [{"text": "{capital} is the capital of {country} in {continent}.".format(**countries[n % 48])} for n in range(60)]
    (campaign.root / "texts.jsonl").write_text(
        "".join(json.dumps({"id": f"t{n}", **row}) + "\n" for n, row in enumerate(texts))
    )
    (campaign.root / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in countries[:20]))
    datasets, shared = campaign.raw["datasets"], {"id": "id", "models": ["smol"]}
    asked = {
        "prompt": "Extract as JSON: {{ text }}",
        "answer": {"schema": SCHEMA},
        "sampling": {"temperature": 0, "max_tokens": 120},
    }
    datasets["facts"] = {**shared, "files": "texts.jsonl", **asked}
    several = {
        "prompt": "A word about {{ country }}:",
        "samples": 5,
        "sampling": {"temperature": 1, "seed": 7, "max_tokens": 12},
    }
    datasets["several"] = {**shared, "files": "few.jsonl", **several}
    datasets["capitals"]["sampling"] |= {"logprobs": True, "top_logprobs": 2}


def check_answers_of_forms(campaign: Campaign, rows: pd.DataFrame) -> None:
    facts = rows[rows.dataset == "facts"]
    assert len(facts) == 60
    assert set(facts.status) == {"ok"}
    for text, answer in zip(facts.text, facts.answer, strict=True):
        jsonschema.validate(json.loads(text), SCHEMA)
        assert {**answer, "letters": list(answer["letters"])} == json.loads(text)
    check_types(campaign, facts)

    several = rows[rows.dataset == "several"].groupby("row_id")
    assert len(several) == 20
    assert all(sorted(one["sample"]) == list(range(5)) for _, one in several)
    assert all(one.text.nunique() >= 4 for _, one in several)
    extra = rows[rows.dataset == "capitals"].response_extra.map(json.loads)
    tokens = [extra_of_row["logprobs"]["content"] for extra_of_row in extra]
    assert list(map(len, tokens)) == list(rows[rows.dataset == "capitals"].completion_tokens)
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for of_row in tokens for token in of_row)


def check_types(campaign: Campaign, facts: pd.DataFrame) -> None:
    """The same typed columns in DuckDB and polars as in pandas."""
    files = str(campaign.results / "responses" / "*" / "*" / "*.parquet")
    names = ", ".join(f"answer.{name} AS {name}" for name in FIELDS)
    query = f"SELECT row_id, {names} FROM read_parquet('{files}', hive_partitioning = true) WHERE dataset = 'facts'"
    in_duckdb = duckdb.sql(query)
    kinds = dict(zip(in_duckdb.columns, map(str, in_duckdb.types), strict=True))
    assert kinds == {**dict.fromkeys(("row_id", *FIELDS), "VARCHAR"), **TYPES}
    in_polars = polars.scan_parquet(files, hive_partitioning=True).filter(polars.col("dataset") == "facts").collect()
    inner = in_polars.select("row_id", "answer").unnest("answer")
    assert inner.schema["rank"] == polars.Int64
    assert inner.schema["letters"] == polars.List(polars.String)
    expected = {row.row_id: {**row.answer, "letters": list(row.answer["letters"])} for row in facts.itertuples()}
    for read in (in_duckdb.pl(), inner):
        assert {row["row_id"]: {name: row[name] for name in FIELDS} for row in read.to_dicts()} == expected


@pytest.mark.timeout(900)
def test_answers_of_a_schema_samples_and_likelihoods(tmp_path: Path) -> None:
    """One server answers all of them; the same command asks nothing again, so samples stay what they are."""
    # Whatever the number in flight, a step of the engine costs about the same: with 8, this takes 60 s of a processor more.
    campaign = real_campaign(tmp_path, benchmark={"enabled": False}, inference={"concurrency": 64, "request_timeout": "5m"})
    # A small model fills the places where JSON allows blanks with line breaks, up to max_tokens.
    campaign.raw["models"]["smol"].setdefault("vllm", {})["structured-outputs-config"] = {
        "backend": "xgrammar",
        "disable_any_whitespace": True,
    }
    add_answers_of_forms(campaign)
    campaign.write_config()
    result = campaign.run(timeout=700)
    assert result.returncode == 0, result.stdout[-4000:]
    first = campaign.responses()
    again = campaign.run(timeout=150)
    assert again.returncode == 0, again.stdout[-4000:]
    rows = campaign.responses()
    assert list(rows.request_key) == list(first.request_key)
    assert list(rows.text) == list(first.text)
    check_answers_of_forms(campaign, rows)
