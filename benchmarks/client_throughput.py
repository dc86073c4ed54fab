"""Requests per second of infer, journal on, against a bare aiohttp loop on the same stub server.

The client must never be what limits a small model. Both send the same requests at the same concurrency to a server that answers
at once, in alternating rounds of one run, each in a process of its own; the server has the other core. Prints the medians and
their ratio, and exits with 1 when the ratio is below 0.9.

    python benchmarks/client_throughput.py [--requests 20000] [--concurrency 256] [--rounds 3]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
from stub_campaign import make_campaign

from campaign.allocation.bring_up import bring_up
from campaign.allocation.infer import infer
from campaign.allocation.ready import ready
from campaign.allocation.stop import tear_down
from campaign.config import CampaignConfig, load_resolved
from campaign.requests.shards import read_shard
from campaign.server.server_state import read_server_state

LEAST_RATIO = 0.9


async def bare_loop(url: str, headers: dict[str, str], bodies: list[bytes], concurrency: int) -> None:
    """The loop every campaign's client is measured against: workers, post, read, parse; nothing kept."""
    waiting = iter(bodies)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def work() -> None:
            for body in waiting:
                async with session.post(url, data=body) as response:
                    json.loads(await response.read())

        await asyncio.gather(*(work() for _ in range(concurrency)))


def measure_bare(config: CampaignConfig, concurrency: int) -> float:
    """Requests per second of the bare loop."""
    paths = config.paths.allocation("stub", 0)
    endpoint = read_server_state(paths.server_state)
    shards = sorted(config.paths.request_shards("d").glob("*.parquet"))
    bodies = [b'{"model":"stub",' + body[1:] for path in shards for body in read_shard(path).column("body").to_pylist()]
    headers = {"Authorization": f"Bearer {paths.api_key.read_text()}", "Content-Type": "application/json"}
    started = time.perf_counter()
    asyncio.run(bare_loop(f"{endpoint.url}/v1/chat/completions", headers, bodies, concurrency))
    return len(bodies) / (time.perf_counter() - started)


def measure_infer(config: CampaignConfig) -> float:
    """Requests per second of infer, from its first request to its last journalled answer."""
    infer(config, "stub", 0)
    return float(orjson.loads(config.paths.allocation("stub", 0).status.read_bytes())["mean_requests_per_s"])


def child(kind: str, name: str, concurrency: int) -> float:
    """Run one round in a fresh process and return its requests per second."""
    command = [sys.executable, __file__, "--child", kind, "--name", name, "--concurrency", str(concurrency)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=["bare", "infer"], help=argparse.SUPPRESS)
    parser.add_argument("--name", default="round-0", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("CAMPAIGN_TEST_PYTHON", sys.executable)
    if arguments.child:
        config = load_resolved(Path("results") / arguments.name / "config.json")
        print(measure_infer(config) if arguments.child == "infer" else measure_bare(config, arguments.concurrency))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rates: dict[str, list[float]] = {"bare": [], "infer": []}
        for number in range(arguments.rounds):
            config = make_campaign(f"round-{number}", arguments.requests, arguments.concurrency)
            bring_up(config, "stub", 0)
            ready(config, "stub", 0)
            try:
                for kind in ("bare", "infer") if number % 2 == 0 else ("infer", "bare"):
                    rates[kind].append(child(kind, f"round-{number}", arguments.concurrency))
                    print(f"round {number}: {kind} {rates[kind][-1]:,.0f} requests/s", flush=True)
            finally:
                tear_down(config, "stub", 0)
    bare, ours = (statistics.median(rates[kind]) for kind in ("bare", "infer"))
    print(
        f"median: bare loop {bare:,.0f}, infer with journal {ours:,.0f} requests/s, ratio {ours / bare:.2f} (>= {LEAST_RATIO})"
    )
    return 0 if ours / bare >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
