"""Chat and completions of a batch file, on a real vLLM: the answers that it gives itself, without this workflow."""

import json
from pathlib import Path
from typing import Any

import pytest

from campaign.config import validate
from campaign.report.export import export
from support.asked_of_vllm import asked
from support.engine import MODEL, PROMPTS, real_campaign
from support.run_batch import MODEL_KEYS, by_id, line, run_batch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

COUNTRIES = [row["country"] for row in map(json.loads, PROMPTS.read_text().splitlines())][:12]
QUESTIONS = [f"What is the capital of {name}?" for name in COUNTRIES]
BEGINNINGS = [f"The capital of {name} is" for name in COUNTRIES]
GREEDY = {"temperature": 0, "max_tokens": 16}
# `run-batch` of vLLM 0.32 takes chat, and no completions.
COMPLETED = """
import json, sys
from vllm import LLM, SamplingParams
engine = LLM(sys.argv[1], max_model_len=512, dtype="float32", enforce_eager=True)
answers = engine.generate(json.loads(sys.argv[2]), SamplingParams(temperature=0, max_tokens=16))
firsts = [(one, one.outputs[0]) for one in answers]
said = [(a.text, a.finish_reason, len(one.prompt_token_ids), len(a.token_ids)) for one, a in firsts]
print("TOLD", json.dumps(said))
"""


def chat_lines() -> list[str]:
    turns = [[{"role": "user", "content": text}] for text in QUESTIONS]
    return [line(f"c{n}", "/v1/chat/completions", messages=messages, **GREEDY) for n, messages in enumerate(turns)]


def completed_by_vllm() -> list[tuple[str, str, int, int]]:
    """What vLLM makes of BEGINNINGS."""
    return [tuple(one) for one in asked(COMPLETED, str(MODEL), json.dumps(BEGINNINGS))]


def said(body: dict[str, Any]) -> tuple[str, str, int, int]:
    """An answer's text, why it ended, tokens read and written."""
    (choice,), usage = body["choices"], body["usage"]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    return text, choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"]


def test_the_texts_are_those_of_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = real_campaign(tmp_path, benchmark={"enabled": False})
    (tmp_path / "chat.jsonl").write_text("".join(chat_lines()))
    bare = [line(f"b{n}", "/v1/completions", prompt=text, **GREEDY) for n, text in enumerate(BEGINNINGS)]
    (tmp_path / "bare.jsonl").write_text("".join(bare))
    campaign.raw["models"]["smol"] = MODEL_KEYS
    campaign.raw["datasets"] = {name: {"files": [f"{name}.jsonl"], "models": ["smol"]} for name in ("chat", "bare")}
    campaign.write_config()
    result = campaign.run(timeout=400)
    assert result.returncode == 0, result.stdout[-4000:]

    monkeypatch.chdir(tmp_path)
    for name in ("chat", "bare"):
        export(validate(campaign.raw), f"{name}-ours.jsonl", dataset=name)
    ours = {custom_id: said(body) for custom_id, body in by_id(tmp_path / "chat-ours.jsonl").items()}
    assert ours == {custom_id: said(body) for custom_id, body in run_batch(tmp_path / "chat.jsonl").items()}
    assert len(ours) == len(COUNTRIES)
    assert [said(body) for body in by_id(tmp_path / "bare-ours.jsonl").values()] == completed_by_vllm()
