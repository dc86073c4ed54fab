"""Batch files, and what vLLM's own `run-batch` answers to them."""

import json
from pathlib import Path
from typing import Any

from support.asked_of_vllm import ran
from support.engine import MODEL

# 32 bits, so that an answer does not depend on what it was batched with, as it does in 16.
MODEL_KEYS = {"source": str(MODEL), "max_model_len": 512, "dtype": "float32", "vllm": {"enforce-eager": True}}


def line(custom_id: str, url: str, **body: Any) -> str:
    """A line of a batch file that asks the model `smol`."""
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "smol", **body}}) + "\n"


def run_batch(file: Path, *flags: str) -> dict[str, Any]:
    """vLLM's own answers to a batch file, by custom_id, with the settings of MODEL_KEYS."""
    answered = file.with_suffix(".out")
    words = ["-m", "vllm.entrypoints.launchers.run_batch", "-i", str(file), "-o", str(answered), "--model", str(MODEL)]
    done = ran(*words, "--served-model-name", "smol", "--max-model-len", "512", "--dtype", "float32", "--enforce-eager", *flags)
    assert answered.is_file(), done.stderr[-3000:]
    return by_id(answered)


def by_id(file: Path) -> dict[str, Any]:
    """The bodies of a batch's answers, by custom_id."""
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    return {one["custom_id"]: one["response"]["body"] for one in lines}
