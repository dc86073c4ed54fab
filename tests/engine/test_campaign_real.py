"""Campaigns on a real vLLM server on this machine's CPU, with processes killed with -9 in the middle.

What was sent is counted in the server's own access log: one line per answer it finished.
"""

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from campaign.files import read_json
from campaign.server.names import load_names
from support.runs import REPOSITORY, Campaign, wait_for

ENGINE = Path(os.environ.get("CAMPAIGN_TEST_ENGINE", REPOSITORY / ".venv-engine"))
MODEL = Path(os.environ.get("CAMPAIGN_TEST_MODEL", REPOSITORY / "resources/models/smollm2-135m"))
IN_FLIGHT = 8

pytestmark = pytest.mark.engine

NAMES = """
import json
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
flags = {option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")}
print(json.dumps([sorted({*ChatCompletionRequest.model_fields, *CompletionRequest.model_fields}), sorted(flags)]))
"""


@pytest.mark.timeout(200)
def test_the_names_are_this_vllms() -> None:
    done = subprocess.run([ENGINE / "bin" / "python", "-c", NAMES], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    fields, flags = json.loads(done.stdout.splitlines()[-1])
    names = load_names()
    assert names.fields == set(fields)
    assert names.flags == {flag for flag in flags if not flag.startswith("no-") and flag != "help"}


def real_campaign(root: Path, **overrides: object) -> Campaign:
    """The demo's capitals (48 prompts) on the real engine."""
    model = {
        "source": str(MODEL),
        "max_model_len": 1024,
        "dtype": "bfloat16",
        "vllm": {"enforce-eager": True},
        "env": {"VLLM_CPU_KVCACHE_SPACE": "1"},
    }
    dataset = {
        "files": [str(REPOSITORY / "config/prompts/capitals.jsonl")],
        "id": "id",
        "system": "You answer in one short sentence.",
        "prompt": "What is the capital of {{ country }}?",
        "models": ["smol"],
        "sampling": {"temperature": 0, "max_tokens": 24},
        "shard_rows": 10,
    }
    settings = {"concurrency": IN_FLIGHT, "request_timeout": "5m"}
    fixed = {"engine": str(ENGINE), "models": {"smol": model}, "datasets": {"capitals": dataset}, "inference": settings}
    return Campaign(root, **{**fixed, **overrides})


def answers_sent(campaign: Campaign) -> int:
    """Chat answers that all servers of the campaign finished, from their access logs."""
    logs = (campaign.root / "logs").rglob("*-engine-*.log")
    return sum(len(re.findall(r'"POST /v1/chat/completions HTTP/1\.1" 200', log.read_text(errors="replace"))) for log in logs)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("victim", "after"), [("snakemake", 15), ("infer", 25), ("engine", 9)])
def test_killed_in_the_middle_and_run_again(victim: str, after: int, tmp_path: Path) -> None:
    campaign = real_campaign(tmp_path)
    status = campaign.results / "allocations" / "smol" / "0" / "status.json"
    with campaign.started("results/trial/collected.json") as snakemake:
        wait_for(lambda: (read_json(status) or {}).get("answered", 0) >= after or snakemake.poll() is not None, 300, "answers")
        for pid in [snakemake.pid] if victim == "snakemake" else campaign.find(victim):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim != "snakemake":
            snakemake.wait(timeout=400)
    wait_for(lambda: victim != "snakemake" or not campaign.processes(), 60, "nothing outlives its Snakemake")
    result = campaign.run("results/trial/collected.json", timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]

    rows = campaign.responses()
    prompts = pd.read_json(REPOSITORY / "config/prompts/capitals.jsonl", lines=True)
    assert sorted(rows.row_id) == sorted(prompts.id)
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    assert "Paris" in rows.set_index("row_id").text["capital-001"]
    assert len(rows) - IN_FLIGHT <= answers_sent(campaign) <= len(rows) + IN_FLIGHT
    wait_for(lambda: not campaign.processes(), 30, "no process of the campaign is left")


@pytest.mark.timeout(600)
def test_the_whole_workflow(tmp_path: Path) -> None:
    campaign = real_campaign(tmp_path, benchmark={"requests": 8, "concurrency": [1, 4]})
    long = tmp_path / "long.jsonl"
    long.write_text('{"id": "long", "word": "' + "very " * 2000 + '"}\n{"id": "short", "word": "hello"}\n')
    campaign.raw["datasets"]["lengths"] = {**campaign.dataset("long.jsonl"), "models": ["smol"]}
    campaign.raw["inference"]["max_failed_fraction"] = 0.5
    campaign.write_config()
    result = campaign.run(timeout=500)
    assert result.returncode == 0, result.stdout[-4000:]

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
