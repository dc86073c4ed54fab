"""Output tokens/s of a campaign against the engine's own saturated peak, on the same requests and the same running server.

    python benchmarks/campaign_vs_engine_peak.py [--engine DIR] [--model DIR] [--requests 384] [--tokens 48]

Starts one real vLLM server as a campaign does. Then, in turns: `infer` answers a dataset (journal, shards, automatic
concurrency, its own ramp and tail included), and a bare aiohttp loop sends the same requests, salted so that no prefix is
cached, at several concurrencies; the best of these is the peak. Every request makes the same number of tokens.

Prints tokens/s of each and the ratio. Exits with 1 when it is below 0.95.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
import pyarrow.parquet as pq

from campaign.allocation.bring_up import bring_up
from campaign.allocation.infer import infer
from campaign.allocation.ready import ready
from campaign.allocation.stop import stop_server
from campaign.config import CampaignConfig, validate
from campaign.core.files import write_json
from campaign.models.stage import stage_model
from campaign.queue.enqueue import enqueue
from campaign.requests.prepare import prepare
from campaign.server.server_state import ServerState, read_server_state

NAME, TURNS = "served", 2
CONCURRENCIES = (64, 128, 256)
LIMIT = 0.95
TOPICS = ("rivers", "steel", "bees", "violins", "glaciers", "bread", "lenses", "tides", "maps", "salt", "kites", "clocks")


def config(engine: Path, model: Path, requests: int, tokens: int) -> CampaignConfig:
    """A campaign with one dataset per turn, in the working directory."""
    datasets = {}
    for turn in range(TURNS):
        path = Path(f"prompts-{turn}.jsonl")
        rows = (
            {"text": f"{turn} {row}: tell me about {TOPICS[row % len(TOPICS)]} and the number {row}"} for row in range(requests)
        )
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        datasets[f"turn{turn}"] = {
            "files": [str(path)],
            "prompt": "{{ text }}",
            "models": [NAME],
            "sampling": {"temperature": 0, "max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True},
            "shard_rows": 100,
        }
    served = {
        "source": str(model),
        "max_model_len": 512,
        "dtype": "bfloat16",
        "vllm": {"enforce-eager": True},
        "env": {"VLLM_CPU_KVCACHE_SPACE": 2},
    }
    return validate({"campaign": "peak", "engine": str(engine), "models": {NAME: served}, "datasets": datasets})


def only(whole: CampaignConfig, turn: int) -> CampaignConfig:
    """The same campaign with the datasets up to a turn."""
    names = [f"turn{number}" for number in range(turn + 1)]
    return whole.model_copy(update={"datasets": {name: whole.datasets[name] for name in names}})


def by_campaign(whole: CampaignConfig, turn: int) -> float:
    """Tokens/s of infer over one dataset, from its first request to its end."""
    current = only(whole, turn)
    prepare(current, f"turn{turn}")
    enqueue(current, NAME)
    started = time.perf_counter()
    infer(current, NAME, 0)
    duration = time.perf_counter() - started
    tokens = pq.read_table(current.paths.parts(NAME, f"turn{turn}")).column("completion_tokens").to_pylist()
    wanted = current.datasets[f"turn{turn}"].sampling["max_tokens"]
    assert all(count == wanted for count in tokens)
    return float(sum(tokens)) / duration


async def by_bare_loop(whole: CampaignConfig, turn: int, endpoint: ServerState, concurrency: int) -> float:
    """Tokens/s of a loop that sends the same bodies and keeps nothing."""
    table = pq.read_table(whole.paths.request_shards(f"turn{turn}"), columns=["body"])
    bodies = [json.loads(body) for body in table.column("body").to_pylist()]
    salted = iter([json.dumps({**body, "model": NAME, "cache_salt": f"{concurrency}-{turn}"}).encode() for body in bodies])
    key = whole.paths.allocation(NAME, 0).api_key.read_text()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    done = 0
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            nonlocal done
            for body in salted:
                async with session.post(f"{endpoint.url}/v1/chat/completions", data=body) as answer:
                    answer.raise_for_status()
                    done += (await answer.json())["usage"]["completion_tokens"]

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return done / (time.perf_counter() - started)


def main() -> int:
    """Measure in turns and compare the best of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, default=Path(".venv-engine"))
    parser.add_argument("--model", type=Path, default=Path("resources/models/smollm2-135m"))
    parser.add_argument("--requests", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    arguments = parser.parse_args()
    engine, model = arguments.engine.absolute(), arguments.model.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        whole = config(engine, model, arguments.requests, arguments.tokens)
        write_json(whole.paths.config, whole.model_dump(mode="json"))  # what the supervisor reads
        stage_model(whole, NAME)
        prepare(whole, "turn0")
        enqueue(only(whole, 0), NAME)
        try:
            return compare(whole)
        finally:
            stop_server(whole, NAME, 0)
            os.chdir("/")


def compare(whole: CampaignConfig) -> int:
    """Bring the server up, warm it, measure, print."""
    bring_up(whole, NAME, 0, force=True)
    ready(whole, NAME, 0)
    endpoint = read_server_state(whole.paths.allocation(NAME, 0).server_state)
    assert endpoint is not None
    asyncio.run(by_bare_loop(whole, 0, endpoint, 16))
    campaign, bare = [], {concurrency: [] for concurrency in CONCURRENCIES}
    for turn in range(TURNS):
        campaign.append(by_campaign(whole, turn))
        for concurrency in CONCURRENCIES:
            bare[concurrency].append(asyncio.run(by_bare_loop(whole, turn, endpoint, concurrency)))
    status = orjson.loads(whole.paths.allocation(NAME, 0).status.read_bytes())
    peak = max(max(rates) for rates in bare.values())
    print(f"campaign, {status['concurrency']} in flight: " + ", ".join(f"{rate:.1f}" for rate in campaign) + " tokens/s")
    for concurrency, rates in bare.items():
        print(f"bare loop, {concurrency} in flight: " + ", ".join(f"{rate:.1f}" for rate in rates) + " tokens/s")
    ratio = max(campaign) / peak
    print(f"campaign / engine's peak: {ratio:.3f} (wanted: at least {LIMIT})")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
