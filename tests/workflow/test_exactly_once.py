"""Processes killed with -9 at random moments, then the same command again: one row per prompt, nothing asked twice in vain.

25 seeded runs. The seed draws the victim (Snakemake, infer, supervisor, engine), the moment (requests received so far) and the
server's pace. What was sent is counted at the server: a prompt is received again only if it was in flight at the kill.
"""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from support.runs import Campaign, wait_for

ROWS = 40
IN_FLIGHT = 4
VICTIMS = ("snakemake", "infer", "supervisor", "engine")


def kill(campaign: Campaign, victim: str, snakemake_pid: int) -> None:
    pids = [snakemake_pid] if victim == "snakemake" else campaign.find(victim)
    for pid in pids:
        with suppress(ProcessLookupError):  # it had just finished by itself
            os.kill(pid, signal.SIGKILL)


def run_until_finished(campaign: Campaign) -> None:
    """The same command again, as the message of a failed run says; once is enough unless the kill broke that one too."""
    for _ in range(3):
        result = campaign.run("results/trial/collected.json")
        if result.returncode == 0:
            return
    raise AssertionError(result.stdout[-4000:])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(25))
def test_kill_and_run_again(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    victim = VICTIMS[seed % len(VICTIMS)]
    after = draw.randrange(0, ROWS)
    campaign = Campaign(tmp_path, ROWS, shard_rows=draw.choice([1, 7, 100]), env={"STUB_LATENCY_S": draw.choice([0.02, 0.1])})

    with campaign.started("results/trial/collected.json") as snakemake:
        wait_for(
            lambda: (sum(campaign.received().values()) >= after and campaign.find("engine")) or snakemake.poll() is not None,
            60,
            f"{after} requests received",
        )
        kill(campaign, victim, snakemake.pid)
        if victim != "snakemake":
            snakemake.wait(timeout=120)
    run_until_finished(campaign)

    rows = campaign.responses()
    assert sorted(rows.row_id) == sorted(f"p{number}" for number in range(ROWS))
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    received = campaign.received()
    assert set(received) == set(rows.row_id)
    assert sum(received.values()) - ROWS <= IN_FLIGHT
    wait_for(lambda: not campaign.processes(), 20, "no process of the campaign is left")

    before = campaign.received()
    again = campaign.run("results/trial/collected.json")
    assert "Nothing to be done" in again.stdout
    assert campaign.received() == before
