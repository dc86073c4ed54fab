"""Processes killed with -9 at random moments, then the same command again: one row per prompt, nothing asked twice in vain.

25 kills in five seeded campaigns, each killed five times on its way. The seed draws the victims (Snakemake, infer, supervisor,
engine), the moments (requests received since the last one) and the server's pace. What was sent is counted at the server: a prompt is
received again only if it was in flight at a kill.
"""

import os
import random
import signal
import subprocess
from contextlib import suppress
from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest

from support.runs import Campaign, wait_for

ROWS = 60
IN_FLIGHT = 4
KILLS = 5
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(5))
def test_kill_and_run_again(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    env = {"STUB_LATENCY_S": draw.choice([0.2, 0.4])}
    campaign = Campaign(tmp_path, ROWS, shard_rows=[1, 7, 100][seed % 3], env=env)
    # Suspects of a kill go alone: a second kill meanwhile would rightly be taken for their doing.
    gaps = [draw.randrange(0, 5), *(2 * IN_FLIGHT + draw.randrange(0, 3) for _ in range(KILLS - 1))]
    moments = accumulate(gaps)
    left = [(VICTIMS[(seed + number) % len(VICTIMS)], moment) for number, moment in enumerate(moments)]

    while left:
        with campaign.started("results/trial/collected.json") as snakemake:
            # A killed infer, supervisor or engine is healed by the run itself, which the next kill may meet.
            while left and snakemake.poll() is None:
                victim, moment = left[0]
                wait_for(partial(is_due, campaign, moment, snakemake), 60, f"{moment} requests received")
                if snakemake.poll() is None:
                    kill(campaign, victim, snakemake.pid)
                    left.pop(0)
                if victim == "snakemake":
                    snakemake.wait(timeout=30)
            if left and snakemake.poll() == 0:
                raise AssertionError(f"finished before {left}")
            finished = not left and snakemake.wait(timeout=120) == 0
    if not finished:
        run_until_finished(campaign)

    rows = campaign.responses()
    assert sorted(rows.row_id) == sorted(f"p{number}" for number in range(ROWS))
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    received = campaign.received()
    assert set(received) == set(rows.row_id)
    assert sum(received.values()) - ROWS <= IN_FLIGHT * KILLS
    wait_for(lambda: not campaign.processes(), 20, "no process of the campaign is left")

    before = campaign.received()
    again = campaign.run("results/trial/collected.json")
    assert "Nothing to be done" in again.stdout
    assert campaign.received() == before


def is_due(campaign: Campaign, moment: int, snakemake: "subprocess.Popen[str]") -> bool:
    asked = sum(campaign.received().values())
    return (asked >= moment and bool(campaign.find("engine"))) or snakemake.poll() is not None
