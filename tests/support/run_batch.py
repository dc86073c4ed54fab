"""Batch files, and what vLLM's own `run-batch` answers to them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from support.engine import ENGINE, MODEL

# 32 bits, so that an answer does not depend on what it was batched with, as it does in 16.
MODEL_KEYS = {"source": str(MODEL), "max_model_len": 512, "dtype": "float32", "vllm": {"enforce-eager": True}}


def line(custom_id: str, url: str, **body: Any) -> str:
    """A line of a batch file that asks the model `smol`."""
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "smol", **body}}) + "\n"


def run_batch(file: Path, *flags: str) -> dict[str, Any]:
    """vLLM's own answers to a batch file, by custom_id, with the settings of MODEL_KEYS."""
    answered = file.with_suffix(".out")
    words = ["-m", "vllm.entrypoints.launchers.run_batch", "-i", str(file), "-o", str(answered), "--model", str(MODEL)]
    settings = ["--served-model-name", "smol", "--max-model-len", "512", "--dtype", "float32", "--enforce-eager", *flags]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    command = [str(ENGINE / "bin" / "python"), *words, *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return by_id(answered)


def by_id(file: Path) -> dict[str, Any]:
    """The bodies of a batch's answers, by custom_id."""
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    return {one["custom_id"]: one["response"]["body"] for one in lines}
