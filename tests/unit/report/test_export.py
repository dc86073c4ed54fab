"""Answers as OpenAI Batch output, and the snippets of the documentation that read the parquet."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.config import CampaignConfig, validate
from campaign.core.errors import CampaignError
from campaign.core.tables import RESPONSES
from campaign.report.export import export_batch
from support.runs import REPOSITORY

MESSAGES = '[{"role":"user","content":"hello"}]'


def row(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        **{
            "request_key": f"{number:032x}",
            "row_id": f"p{number}",
            "prompt": MESSAGES,
            "text": f"answer {number}",
            "status": "ok",
        },
        **{
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "started_at": 1_790_000_000_000_000,
            "attempts": 1,
        },
    }
    return {**base, **changes}


@pytest.fixture
def answered(stub_campaign: Callable[..., dict[str, Any]]) -> Callable[..., CampaignConfig]:
    def make(rows: list[dict[str, Any]], models: tuple[str, ...] = ("stub",)) -> CampaignConfig:
        raw = stub_campaign()
        raw["models"] = dict.fromkeys(models, raw["models"]["stub"])
        raw["datasets"]["words"]["models"] = list(models)
        config = validate(raw)
        for name in models:
            folder = config.paths.parts(name, "words")
            folder.mkdir(parents=True)
            half = len(rows) // 2
            for index, part in enumerate((rows[:half], rows[half:])):
                pq.write_table(pa.Table.from_pylist(part, schema=RESPONSES.schema()), folder / f"part-{index:05d}.parquet")
        return config

    return make


def exported(config: CampaignConfig, tmp_path: Path, **which: str) -> list[dict[str, Any]]:
    target = tmp_path / "out.jsonl"
    lines = export_batch(config, target, **which)
    found = [orjson.loads(line) for line in target.read_bytes().splitlines()]
    assert lines == len(found)
    return found


def test_chat_answers(answered, tmp_path: Path) -> None:
    first, second = exported(answered([row(1), row(2)]), tmp_path)
    assert first["custom_id"] == "p1"
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    body = second["response"]["body"]
    assert body["object"] == "chat.completion"
    assert body["model"] == "stub"
    assert body["choices"] == [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answer 2"}}]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_failures_and_bare_completions(answered, tmp_path: Path) -> None:
    failed = row(1, status="failed", text=None, error_class="context_length", error_message="too long")
    bare = row(2, prompt="Once upon a time")
    one, two = exported(answered([failed, bare]), tmp_path)
    assert one["response"] is None
    assert one["error"] == {"code": "context_length", "message": "too long"}
    assert two["response"]["body"]["object"] == "text_completion"
    assert two["response"]["body"]["choices"][0]["text"] == "answer 2"


def test_what_an_answer_holds_beyond_its_text(answered, tmp_path: Path) -> None:
    further = [{"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "or so"}}]
    extra = {"tool_calls": [{"id": "t"}], "logprobs": {"content": []}, "choices": further}
    (_, line) = exported(answered([row(1), row(2, response_extra=orjson.dumps(extra).decode())]), tmp_path)
    first, second = line["response"]["body"]["choices"]
    assert first["message"]["tool_calls"] == [{"id": "t"}]
    assert first["logprobs"] == {"content": []}
    assert second == further[0]


def test_one_model_at_a_time(answered, tmp_path: Path) -> None:
    config = answered([row(1), row(2)], models=("large", "small"))
    with pytest.raises(CampaignError, match=r"name one model with --model \(large, small\)"):
        exported(config, tmp_path)
    assert exported(config, tmp_path, model="small")[0]["response"]["body"]["model"] == "small"
    with pytest.raises(CampaignError, match="no dataset 'nothing'"):
        exported(config, tmp_path, model="small", dataset="nothing")


@pytest.mark.parametrize("engine", ["pandas", "duckdb", "datasets"])
def test_snippets_of_the_documentation_run(engine: str, answered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each snippet of docs/reading.md, as it stands there, counts the rows of a campaign called demo."""
    page = (REPOSITORY / "docs" / "reading.md").read_text()
    (snippet,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if f"import {engine}" in code or f"from {engine}" in code
    ]
    config = answered([row(1), row(2), row(3, status="failed", text=None)])
    Path("results/demo").symlink_to(config.paths.root.absolute())
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/reading.md", "exec"), names)
    found = names["answers"]
    assert (found.shape[0] if hasattr(found, "shape") else len(found)) == 3
    assert duckdb.sql("SELECT count(*) FROM read_parquet('results/demo/responses/*/*/*.parquet')").fetchall() == [(3,)]
