"""A whole campaign on a real vLLM server on the CPU, in a container that is in use; and vLLM's own names."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from campaign.requests.row_fields.kinds import KINDS
from campaign.server.check.vllm_arguments import load_names
from support.engine import ENGINE, container, real_campaign
from support.files import read_json

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


@pytest.mark.timeout(600)
def test_the_whole_workflow_where_memory_is_short(tmp_path: Path) -> None:
    """Nothing is said of memory in the config, and of 7 GiB 60 % are in use: vLLM alone would not start."""
    campaign = real_campaign(tmp_path, benchmark={"requests": 8, "concurrency": [1, 4]})
    long = tmp_path / "long.jsonl"
    long.write_text('{"id": "long", "word": "' + "very " * 2000 + '"}\n{"id": "short", "word": "hello"}\n')
    campaign.raw["datasets"]["lengths"] = {**campaign.dataset("long.jsonl"), "models": ["smol"]}
    campaign.raw["inference"]["max_failed_fraction"] = 0.5
    campaign.write_config()
    with container(7 * GIB, used=0.6) as inside:
        result = campaign.run(timeout=500, inside=inside)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "KV cache" in result.stdout

    rows = campaign.responses().set_index("row_id")
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
    assert runs.answered[0] == 49
    assert (campaign.results / "report.html").stat().st_size > 10_000
    started = read_json(campaign.results / "allocations/smol/0/ready.json")
    assert started is not None
    assert started["kv_cache_tokens_planned"] == pytest.approx(started["kv_cache_tokens"], rel=0.1)
