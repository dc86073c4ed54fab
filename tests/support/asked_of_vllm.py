"""What vLLM answers by itself, without this workflow."""

import json
import os
import subprocess
from typing import Any

from support import engine


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    """The ended Python of the engine's environment. Its exit code does not tell: vLLM 0.32 sometimes dies of its own threads after
    the last answer ("terminate called without an active exception", exit -6)."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = (
        "0"  # the engine in the process itself: one import of vLLM less, 8 s of a processor
    )
    if engine.RESOURCES is not None:
        environment["VLLM_CACHE_ROOT"] = str(engine.RESOURCES / "compile-cache")
    command = [str(engine.ENGINE / "bin" / "python"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def asked(script: str, *words: str) -> Any:
    """The JSON of the one line that a script prints behind TOLD."""
    done = ran("-c", script, *words)
    told = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert len(told) == 1, done.stderr[-3000:]
    return json.loads(told[0].removeprefix("TOLD "))
