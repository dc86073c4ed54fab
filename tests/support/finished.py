"""Fixtures: a finished campaign as its files show it: two models, two datasets, some failures, a killed run and a whole one."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.accounting.account import account
from campaign.benchmark.points import gather
from campaign.config import CampaignConfig, validate
from campaign.core import events
from campaign.core.files import append_json, write_json
from campaign.core.tables import ACCOUNTING, RESPONSES
from campaign.queue.shard import part_digest

BEGAN = 1_790_000_000.0
NASTY = '<script>alert("1")</script> & {{ 7 * 7 }}'
ROWS = {"capitals": 30, "notes": 23}

Finished = Callable[..., CampaignConfig]


def _row(model: str, dataset: str, number: int, failed: bool, dice: random.Random) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": f"{dataset} {number} {NASTY}"}]
    tokens = dice.randint(1, 60)
    row = {
        "request_key": f"{hash((model, dataset, number)) & (2**128 - 1):032x}",
        "row_id": f"{dataset}-{number}",
        "source_file": "prompts.jsonl",
        "source_row": number + 1,
        "prompt": json.dumps(messages),
        "attempts": 1,
        "latency_s": dice.lognormvariate(0, 1),
        "started_at": int((BEGAN + 20 + number) * 1e6),
        "job_id": "run-2",
        "allocation": 0,
        "model_revision": "abc",
        "engine_version": "0.32.0",
        "status": "failed" if failed else "ok",
    }
    if failed:
        return {**row, "error_class": "context_length", "error_message": f"too long {NASTY}"}
    reason = dice.choice(["stop", "length"])
    return {**row, "text": f"answer {NASTY}", "finish_reason": reason, "prompt_tokens": 11, "completion_tokens": tokens}


@pytest.fixture
def finished(stub_campaign: Callable[..., dict[str, Any]], in_tmp: Path) -> Finished:
    """Writes the files. `fails(model, dataset, number)`: which rows failed; `missing`: so many rows of each
    dataset, and the rest of their shard, have no part."""

    def make(
        fails: Callable[[str, str, int], bool] = lambda model, dataset, number: dataset == "notes" and number % 5 == 0,
        points: bool = True,
        runs: bool = True,
        missing: int = 0,
    ) -> CampaignConfig:
        raw = stub_campaign()
        words = raw["datasets"].pop("words")
        raw["models"] = {name: {**raw["models"]["stub"], "env": {"HF_TOKEN": "hf_hidden"}} for name in ("small", "large")}
        raw["datasets"] = {name: {**words, "models": ["small", "large"]} for name in ROWS}
        config = validate(raw)
        for dataset, rows in ROWS.items():
            write_json(config.paths.manifest(dataset), _manifest(dataset, rows))
        for model in config.models:
            write_json(
                config.paths.model_identity(model), {"model": model, "path": "model", "identity": "id", "revision": "abc"}
            )
            for dataset, rows in ROWS.items():
                _write_parts(config, model, dataset, rows - missing, fails)
            if runs:
                _write_events(config, model)
            if points:
                for concurrency in (1, 8):
                    path = config.paths.benchmark_points(model) / f"run-2-{concurrency}.json"
                    write_json(path, _point(model, concurrency))
        gather(config)
        account(config)
        write_json(config.paths.config, config.model_dump(mode="json"))
        return config

    return make


@pytest.fixture
def billed(finished: Finished) -> CampaignConfig:
    """The finished campaign as Slurm would bill it: 180 SU an hour, a job beside the allocations, a plan made before."""
    config = finished()
    rows = pq.read_table(config.paths.accounting).to_pylist()
    for row in rows:
        row |= {"su": row["wall_s"] * 0.05, "billing": 180.0, "queue_s": 12.0}
    beside = {
        **dict.fromkeys(ACCOUNTING.names),
        **{"rule": "prepare_requests", "job_id": "9", "state": "COMPLETED", "wall_s": 20.0},
    }
    rows.append({**beside, "su": 0.4, "started_at": rows[0]["started_at"], "ended_at": rows[0]["ended_at"]})
    pq.write_table(pa.Table.from_pylist(rows, schema=ACCOUNTING.schema()), config.paths.accounting)
    told = {
        name: {"low": 0.5 * value, "expected": value, "high": 2 * value}
        for name, value in (("billed_hours", 0.02), ("su", 3.0), ("tokens", 1400.0))
    }
    forecast = {"requests": 53, "rests_on": "a model of the GPUs", **told}
    append_json(config.paths.forecasts, {"t": BEGAN - 5, "models": {"small": forecast, "large": None}})
    append_json(config.paths.forecasts, {"t": BEGAN + 900, "models": {"small": {**forecast, "requests": 0}, "large": None}})
    return config


def _manifest(dataset: str, rows: int) -> dict[str, Any]:
    shards = [{"index": n, "rows": min(10, rows - 10 * n), "digest": f"{dataset}{n}"} for n in range((rows + 9) // 10)]
    return {"dataset": dataset, "rows": rows, "shards": shards, "columns": [], "files": []}


def _write_parts(config: CampaignConfig, model: str, dataset: str, rows: int, fails: Callable[[str, str, int], bool]) -> None:
    dice = random.Random(f"{model}{dataset}")
    for shard in _manifest(dataset, ROWS[dataset])["shards"]:
        index = shard["index"]
        numbers = range(10 * index, 10 * index + shard["rows"])
        if numbers.stop > rows:
            return
        made = [_row(model, dataset, number, fails(model, dataset, number), dice) for number in numbers]
        failed = sum(row["status"] == "failed" for row in made)
        metadata = {b"shard_digest": part_digest(f"{dataset}{index}", "id").encode(), b"failed": str(failed).encode()}
        path = config.paths.parts(model, dataset) / f"part-{index:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(made, schema=RESPONSES.schema().with_metadata(metadata)), path)


def _write_events(config: CampaignConfig, model: str) -> None:
    path = config.paths.allocation(model, 0).events
    killed = [
        ("phase_start", "bring_up", 0),
        ("phase_end", "bring_up", 1),
        ("phase_start", "ready", 1),
        ("phase_end", "ready", 6),
    ]
    whole = [
        (kind, phase, 15 + start + (length if kind == "phase_end" else 0))
        for phase, start, length in (
            ("bring_up", 0, 1),
            ("ready", 1, 4),
            ("infer", 5, 40),
            ("benchmark", 45, 5),
            ("tear_down", 50, 1),
        )
        for kind in ("phase_start", "phase_end")
    ]
    for run, found in (("run-1", killed), ("run-2", whole)):
        for kind, phase, at in found:
            append_json(
                path, {"t": BEGAN + at, "run": run, "event": kind, "phase": phase, "ok": True, "job_id": run, "host": "here"}
            )
    span = {
        "start": BEGAN + 20,
        "end": BEGAN + 58,
        "answered": 48,
        "failed": 5,
        "prompt_tokens": 500,
        "completion_tokens": 1500,
    }
    append_json(path, {"t": BEGAN + 58, "run": "run-2", "event": "busy", **span})
    assert list(events.read(path))


def _point(model: str, concurrency: int) -> dict[str, Any]:
    times = {
        f"{metric}_{name}_s": 0.1 * concurrency
        for metric in ("ttft", "itl", "latency")
        for name in ("mean", "p50", "p90", "p99")
    }
    return {
        **{
            "model": model,
            "base_model": model,
            "allocation": 0,
            "job_id": "run-2",
            "measured_at": BEGAN + 60,
            "concurrency": concurrency,
        },
        **{"requests": 16, "failed": 0, "duration_s": 2.0, "requests_per_s": 8.0, "output_tokens_per_s": 123.25 * concurrency},
        **{"total_tokens_per_s": 300.0, "prompt_tokens": 90, "completion_tokens": 247, **times},
    }
