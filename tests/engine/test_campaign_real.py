"""A whole campaign on a real vLLM server on the CPU, in a container that is in use; and vLLM's own names."""

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pandas as pd
import polars
import pytest

from campaign.requests.row_fields.kinds import KINDS
from campaign.server.check.vllm_arguments import load_names
from support.engine import ENGINE, PROMPTS, container, real_campaign
from support.files import read_json
from support.runs import Campaign

GIB = 1 << 30

pytestmark = pytest.mark.engine

NAMES = """
import json
from typing import Annotated, get_args, get_origin
from pydantic import TypeAdapter
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.pooling.classify.protocol import ClassificationRequest
from vllm.entrypoints.pooling.embed.protocol import EmbeddingRequest
from vllm.entrypoints.pooling.scoring.protocol import RerankRequest, ScoreRequest
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
flags = {option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")}
def fields(*kinds):
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
    return [field for kind in kinds for model in get_args(kind) or (kind,) for field in model.model_fields.items()]
def json_types(schema, named):
    if "$ref" in schema:
        return json_types(named[schema["$ref"].split("/")[-1]], named)
    if inner := schema.get("anyOf") or schema.get("oneOf"):
        return set().union(*(json_types(each, named) for each in inner))
    return {schema["type"]} - {"null"}
types = {}
def note(name, field):
    schema = TypeAdapter(field.annotation).json_schema()
    types[name] = sorted({*types.get(name, ()), *json_types(schema, schema.get("$defs", {}))})
text = fields(ChatCompletionRequest, CompletionRequest)
pooling = fields(EmbeddingRequest, ScoreRequest, RerankRequest, ClassificationRequest)
filled = {"model", "messages", "prompt", "stream", "stream_options"}
for name, field in [*text, *pooling]:
    if name not in filled:
        note(name, field)
print(json.dumps([[name for name, _ in text], [name for name, _ in pooling], sorted(flags), types]))
"""


@pytest.mark.timeout(200)
def test_the_names_are_this_vllms() -> None:
    done = subprocess.run([ENGINE / "bin" / "python", "-c", NAMES], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    fields, pooling_fields, flags, types = json.loads(done.stdout.splitlines()[-1])
    names = load_names()
    assert names.fields == set(fields)
    assert names.pooling_fields == set(pooling_fields)
    assert names.flags == {flag for flag in flags if not flag.startswith("no-") and flag != "help"}
    assert {name: set(kinds) for name, kinds in KINDS.items()} == {name: set(kinds) for name, kinds in types.items()}


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
    inner = in_polars.unnest("answer")
    assert inner.schema["rank"] == polars.Int64
    assert inner.schema["letters"] == polars.List(polars.String)
    expected = {row.row_id: {**row.answer, "letters": list(row.answer["letters"])} for row in facts.itertuples()}
    for read in (in_duckdb.pl(), inner):
        assert {row["row_id"]: {name: row[name] for name in FIELDS} for row in read.to_dicts()} == expected


@pytest.mark.timeout(900)
def test_the_whole_workflow_where_memory_is_short(tmp_path: Path) -> None:
    """Nothing is said of memory in the config, and of 7 GiB 60 % are in use: vLLM alone would not start.

    One server answers all: plain prompts, a schema, samples.
    """
    campaign = real_campaign(tmp_path, benchmark={"requests": 8, "concurrency": [1, 4]})
    add_answers_of_forms(campaign)
    long = tmp_path / "long.jsonl"
    long.write_text('{"id": "long", "word": "' + "very " * 2000 + '"}\n{"id": "short", "word": "hello"}\n')
    campaign.raw["datasets"]["lengths"] = {**campaign.dataset("long.jsonl"), "models": ["smol"]}
    campaign.raw["inference"]["max_failed_fraction"] = 0.5
    campaign.write_config()
    with container(7 * GIB, used=0.6) as inside:
        result = campaign.run(timeout=700, inside=inside)
        assert result.returncode == 0, result.stdout[-4000:]
        assert "KV cache" in result.stdout
        first = campaign.responses()
        again = campaign.run(timeout=100, inside=inside)
    assert again.returncode == 0, again.stdout[-4000:]
    rows = campaign.responses()
    assert list(rows.request_key) == list(first.request_key)
    assert list(rows.text) == list(first.text)  # nothing was asked again: samples stay what they are
    check_answers_of_forms(campaign, rows)

    rows = rows[rows.dataset.isin(["capitals", "lengths"])].set_index("row_id")
    assert len(rows) == 50
    assert rows.error_class["long"] == "context_length"
    assert rows.status["short"] == "ok"
    assert (rows.completion_tokens[rows.status == "ok"] > 0).all()
    points = pd.read_parquet(campaign.results / "benchmarks.parquet")
    assert list(points.concurrency) == [1, 4]
    assert (points.output_tokens_per_s > 0).all()
    assert list(points.failed) == [1, 1]  # the prompt that is too long
    runs = pd.read_parquet(campaign.results / "accounting.parquet")
    assert list(runs.state) == ["COMPLETED"]
    assert runs.answered[0] == 49 + 60 + 100
    assert (campaign.results / "report.html").stat().st_size > 10_000
    started = read_json(campaign.results / "allocations/smol/0/ready.json")
    assert started is not None
    assert started["kv_cache_tokens_planned"] == pytest.approx(started["kv_cache_tokens"], rel=0.1)
