"""What a tuning chooses against the best point of a sweep made by hand, on the same engine and prompts.

    python benchmarks/tuning.py [--engine DIR] [--model DIR] [--rows 6000] [--tokens 32] [--window 10] [--requests 96]

A campaign is tuned as `--config tune=true` does it: concurrency and max-num-batched-tokens, with answers that are kept. Then
every point of that grid is measured as a benchmark point is, in two rounds, forward and backward. The tuned point is looked up
in that sweep, so that both are judged by the same measurement.

Prints the sweep, the chosen point, what the search took of the sweep's time, and the ratio. Exits with 1 when it is below 0.95.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from campaign.allocation.ready import ensure_ready
from campaign.allocation.stop import stop_server
from campaign.allocation.tune import tune
from campaign.benchmark.point import measure
from campaign.benchmark.prompts import campaign_prompts
from campaign.config import CampaignConfig, keep, validate
from campaign.core import records, state_files
from campaign.core.files import write_json
from campaign.core.paths import TUNING
from campaign.models.stage import stage_model
from campaign.queue.enqueue import enqueue
from campaign.requests.prepare import prepare

NAME, LIMIT, FLAG = "served", 0.95, "max-num-batched-tokens"
CONCURRENCY = (4, 8, 16, 32, 64, 128)
TOPICS = ("rivers", "steel", "bees", "violins", "glaciers", "bread", "lenses", "tides", "maps", "salt", "kites", "clocks")

Point = tuple[int, int | None]  # in flight, tokens of a step


def config(arguments: argparse.Namespace, engine: Path, model: Path) -> CampaignConfig:
    """A campaign of many short answers, in the working directory."""
    rows = ({"text": f"{row}: tell me about {TOPICS[row % len(TOPICS)]} and {row}"} for row in range(arguments.rows))
    Path("prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sampling = {"temperature": 0, "max_tokens": arguments.tokens, "min_tokens": arguments.tokens, "ignore_eos": True}
    dataset = {"files": ["prompts.jsonl"], "prompt": "{{ text }}", "models": [NAME], "sampling": sampling, "shard_rows": 100}
    served = {
        "source": str(model),
        "max_model_len": 512,
        "dtype": "bfloat16",
        "vllm": {"enforce-eager": True},
        "env": {"VLLM_CPU_KVCACHE_SPACE": 2},
    }
    tuning = {"window": arguments.window, "time": "1h", "concurrency": list(CONCURRENCY), "flags": {FLAG: [256, 1024]}}
    return validate(
        {
            **{"campaign": "tuned", "engine": str(engine), "models": {NAME: served}, "datasets": {"rows": dataset}},
            **{"tuning": tuning, "inference": {"concurrency": 8}, "ask_vllm": False},
        }
    )


def swept(whole: CampaignConfig, requests: int) -> dict[Point, float]:
    """Output tokens/s of every point, the better of two rounds."""
    found: dict[Point, float] = {}
    prompts = campaign_prompts(whole, NAME, requests)
    for tokens in (256, None, 1024):
        flags = {"enforce_eager": True, **({"max_num_batched_tokens": tokens} if tokens else {})}
        served = whole.models[NAME].model_copy(update={"vllm": flags})
        current = whole.model_copy(update={"models": {NAME: served}})
        keep(current)
        endpoint = ensure_ready(current, NAME, TUNING)
        key = whole.paths.allocation(NAME, TUNING).api_key.read_text().strip()
        for number, concurrency in enumerate((*CONCURRENCY, *reversed(CONCURRENCY))):
            salt = f"{tokens}-{number}"
            made = asyncio.run(measure(endpoint.url or "", key, NAME, prompts, concurrency, 600, salt))
            rate = float(made["output_tokens_per_s"])
            found[concurrency, tokens] = max(rate, found.get((concurrency, tokens), 0.0))
    return found


def main() -> int:
    """Tune, sweep, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, default=Path(".venv-engine"))
    parser.add_argument("--model", type=Path, default=Path("resources/models/smollm2-135m"))
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--tokens", type=int, default=32, help="of each answer")
    parser.add_argument("--window", type=float, default=10, help="seconds a point of the search is measured")
    parser.add_argument("--requests", type=int, default=96, help="of each point of the sweep")
    arguments = parser.parse_args()
    engine, model = arguments.engine.absolute(), arguments.model.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        whole = config(arguments, engine, model)
        write_json(whole.paths.config, whole.model_dump(mode="json"))  # what the supervisor reads
        stage_model(whole, NAME)
        prepare(whole, "rows")
        enqueue(whole, NAME)
        try:
            return compare(whole, arguments.requests)
        finally:
            stop_server(whole, NAME, TUNING)
            os.chdir("/")


def compare(whole: CampaignConfig, requests: int) -> int:
    """The tuned point among those of the sweep."""
    tune(whole, NAME)
    found = records.require(state_files.TUNED, whole.paths.tuned(NAME), "the search is made again")
    began = time.monotonic()
    sweep = swept(whole, requests)
    sweep_s = time.monotonic() - began
    for concurrency, tokens in product(CONCURRENCY, (256, None, 1024)):
        print(f"sweep, {concurrency:3} in flight, {FLAG} {tokens}: {sweep[concurrency, tokens]:.1f} tokens/s")
    assert found["best"] is not None
    chosen: Point = (found["best"]["concurrency"], found["best"][FLAG])
    ratio = sweep[chosen] / max(sweep.values())
    print(f"tuned: {found['best']}, {found['rate']:.1f} tokens/s; as configured: {found['start_rate']:.1f}")
    print(f"search: {len(found['points'])} of {len(sweep)} points, {found['seconds']:.0f} s; sweep: {sweep_s:.0f} s")
    print(f"tuned / best of the sweep: {ratio:.3f} (wanted: at least {LIMIT})")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
