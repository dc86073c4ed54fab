"""Prompts that were rendered by a chat template already."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from campaign.config import validate
from campaign.plan.checks.requests.written import as_written
from campaign.requests.rows.sampled_rows import sample_requests

CHATML = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def told(*texts: Any, **keys: Any) -> list[str]:
    Path("in.jsonl").write_bytes(b"".join(orjson.dumps({"t": text}) + b"\n" for text in texts))
    dataset = {"files": "in.jsonl", "models": ["m"], **({} if "messages" in keys else {"prompt": "{{ t }}"}), **keys}
    config = validate({"campaign": "c", "models": {"m": {"source": "model"}}, "datasets": {"d": dataset}})
    return [str(each) for each in as_written(config, {"d": sample_requests(config.datasets["d"])})]


@pytest.mark.parametrize("text", [CHATML, "<s>[INST] Hi [/INST]", "<start_of_turn>user\nHi<end_of_turn>"])
def test_a_rendered_prompt_in_a_chat_is_told(in_tmp: Path, text: str) -> None:
    (said,) = told(text, text)
    assert said.endswith("send a prompt that has its marks as it stands: endpoint: completions; or leave the marks out")
    assert told(text, "plain") == []  # data about templates


def test_a_first_token_that_would_stand_twice_is_told(in_tmp: Path) -> None:
    (said,) = told("<|begin_of_text|>Once", "<|begin_of_text|>Twice", endpoint="completions")
    assert said.endswith("sampling: {add_special_tokens: false}")
    assert told("<|begin_of_text|>Once", endpoint="completions", sampling={"add_special_tokens": False}) == []
    assert told(CHATML, endpoint="completions") == []


def test_a_picture_that_is_only_named_is_told(in_tmp: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cat."}]
    (said,) = told(turns, messages="t")
    assert said == (
        "datasets.d.messages: <image> is sent as text, and nothing is shown with it; "
        "give the message a part {type: image_url, image_url: {url: ...}}"
    )
    (said,) = told("<image>\nWhat is it?")
    assert said.endswith("; or name its column: images: image")
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    shown = [{"role": "user", "content": [{"type": "text", "text": "<image> What?"}, part]}]
    assert told(shown, messages="t") == []
