"""Every benchmark still runs: a small run of each, whose numbers say nothing. Those of the lab are tried there."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.runs import REPOSITORY

# Arguments, and what it prints at its end, whether its claim holds on this machine or not.
SMALL = {
    "client_throughput.py": ("--requests 200 --concurrency 8 --rounds 1", "median: bare loop"),
    "campaign_memory.py": ("--few 100 --many 100", "largest ratio 1.00"),
    "campaign_vs_engine_peak.py": ("--engine {stub} --model {model} --requests 64 --tokens 4", "campaign / engine's peak"),
    "explain_speed.py": ("--megabytes 1", "only errors"),
    "plan_speed.py": ("--rows 20000", "longest"),
    "prefix_order.py": (
        "--engine {stub} --model {model} --prefixes 3 --questions 2 --rows 3000",
        "ordering: memory grows by",
    ),
    "prepare_memory.py": ("--rows 2000", "peak memory:"),
    "tail.py": ("--allocations 2 --seeds 1 --seconds 2 --concurrency 4", "makespan / ideal"),
    "restart_after_million.py": ("--rows 10000", "memory ratio 1.00"),
    "tuning.py": ("--engine {stub} --model {model} --rows 30000 --window 0.1 --requests 8", "tuned / best of the sweep"),
}
ON_THE_LAB = {"allocation_overhead.py", "forecast_error.py", "plan_slurm.py"}


def test_none_is_left_out() -> None:
    scripts = {path.name for path in (REPOSITORY / "benchmarks").glob("*.py")} - {"stub_campaign.py"}
    assert scripts == set(SMALL) | ON_THE_LAB


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", SMALL)
def test_a_benchmark_runs(script: str, tmp_path: Path) -> None:
    options, told = SMALL[script]
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    arguments = options.format(stub=REPOSITORY / "tests" / "stub_engine", model=model).split()
    command = [sys.executable, REPOSITORY / "benchmarks" / script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert told in done.stdout, done.stdout[-3000:]
