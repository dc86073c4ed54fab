"""Makespan of several allocations over the ideal one, with answers of widely different lengths and staggered starts.

The real queue and the real infer of each allocation, in one process; in place of servers, each request waits for as long as its
answer takes (lognormal: one in a hundred takes ten times the median; the longest ten times the mean). Ideal: no place in flight
of an allocation that has begun is empty before all is answered. Prints both, and exits with 1 when a median is above 1.1.

    python benchmarks/tail.py [--allocations 2 4 8] [--seeds 3] [--seconds 15] [--concurrency 16]
"""

import argparse
import asyncio
import math
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from stub_campaign import make_campaign

from campaign.config import CampaignConfig
from campaign.core.processes import ProcessId
from campaign.inference.client import Client
from campaign.inference.loop import Inference
from campaign.inference.outcomes import Sent
from campaign.inference.progress import Meter
from campaign.queue.claimed_shard import PendingRequest
from campaign.queue.shard_queue import ShardQueue
from campaign.requests.replies.reply import Reply
from campaign.server.server_state import ServerState, write_server_state

MOST = 1.1
SIGMA = 1.0  # of the logarithm of an answer's seconds
MEAN_S = 0.1


class Waiting(Client):
    """Answers each request after its time. `worked_s`: the sum of all that; `last`: when the last one was answered."""

    worked_s = last = 0.0

    async def send(self, request: PendingRequest) -> Sent:
        started_at, clock = time.time(), time.perf_counter()
        await asyncio.sleep(seconds_of(request))
        taken = time.perf_counter() - clock
        Waiting.worked_s += taken
        Waiting.last = max(Waiting.last, clock + taken)
        return Sent(Reply("an answer", "stop", 8, 4, None), started_at, taken)


def seconds_of(request: PendingRequest) -> float:
    """What a request's answer takes; it follows from its key."""
    drawn = random.Random(request.key).lognormvariate(math.log(MEAN_S) - SIGMA**2 / 2, SIGMA)
    return min(drawn, 10 * MEAN_S)


async def allocation(config: CampaignConfig, number: int, wait_s: float) -> None:
    """One allocation, which begins after `wait_s` and ends when nothing is left for it."""
    await asyncio.sleep(wait_s)
    paths = config.paths.allocation("stub", number)
    paths.api_key.parent.mkdir(parents=True, exist_ok=True)
    paths.api_key.write_text("key")
    here = {"run": f"r{number}", "job_id": str(number), "host": os.uname().nodename, "model": "stub", "generation": 1}
    endpoint = ServerState(state="up", url="http://127.0.0.1:1", supervisor=ProcessId.current().to_json(), **here)
    write_server_state(paths.server_state, endpoint)
    queue = await asyncio.to_thread(ShardQueue, config, "stub", ProcessId.current(), str(number))
    inference = Inference(config, "stub", number, queue, Meter(1, 0), lambda: endpoint)
    inference.server.client.__class__ = Waiting
    await inference.run()


async def run_all(config: CampaignConfig, starts: list[float]) -> float:
    """Seconds from the first start to the last answer."""
    began = time.perf_counter()
    await asyncio.gather(*(allocation(config, number, wait) for number, wait in enumerate(starts)))
    return Waiting.last - began


def ideal_s(work_s: float, starts: list[float], concurrency: int) -> float:
    """When so much work ends if every place of every allocation is taken from its start on."""
    begun = sorted(starts)
    for count in range(len(begun), 0, -1):
        end = (work_s / concurrency + sum(begun[:count])) / count
        if end >= begun[count - 1]:
            return end
    raise AssertionError("no allocation")


def measure(name: str, allocations: int, arguments: argparse.Namespace, seed: int) -> float:
    """Makespan over the ideal one of one campaign, whose allocations begin within its first half."""
    rows = int(allocations * arguments.concurrency * arguments.seconds / MEAN_S)
    config = make_campaign(name, rows, arguments.concurrency, allocations=allocations)
    draw = random.Random(seed)
    starts = [0.0, *(draw.uniform(0, arguments.seconds / 2) for _ in range(allocations - 1))]
    Waiting.worked_s = 0.0
    makespan = uvloop.run(run_all(config, starts))
    ideal = ideal_s(Waiting.worked_s, starts, arguments.concurrency)
    print(f"{allocations} allocations, {rows} rows: {makespan:.1f} s, ideal {ideal:.1f} s, {makespan / ideal:.2f}", flush=True)
    return makespan / ideal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allocations", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    os.environ.setdefault("CAMPAIGN_TEST_PYTHON", sys.executable)
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("results").mkdir()
        for count in arguments.allocations:
            ratios = [measure(f"a{count}-{seed}", count, arguments, seed) for seed in range(arguments.seeds)]
            medians.append(statistics.median(ratios))
    told = ", ".join(f"{count}: {ratio:.2f}" for count, ratio in zip(arguments.allocations, medians, strict=True))
    print(f"makespan / ideal, median by allocations: {told} (<= {MOST})")
    return 0 if max(medians) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
