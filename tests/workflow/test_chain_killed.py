"""Three stages under kill -9, then the same command again: the exact rows at each stage, and nothing asked twice in vain.

Drafts, judgements of each, and rewritten what is good. The seed draws the victims and the moments, by the requests that the server
has received. The size is this of a test; the one of the issue takes minutes, and is run by hand:
CAMPAIGN_CHAIN_ROWS=100000 CAMPAIGN_CHAIN_KILLS=40 pytest tests/workflow/test_chain_killed.py -k one_model
"""

import os
import random
import signal
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.runs import Campaign, wait_for

ROWS = int(os.environ.get("CAMPAIGN_CHAIN_ROWS", "60"))
KILLS = int(os.environ.get("CAMPAIGN_CHAIN_KILLS", "5"))
IN_FLIGHT = 4 if ROWS < 1000 else 64
PATIENCE_S = 180 + ROWS / 50  # a slow machine answers hundreds of requests a second
VICTIMS = ("snakemake", "infer", "supervisor", "engine")


def is_good(number: int) -> bool:
    """What the stub says of a draft: its prompt draws one of the answers."""
    return random.Random(f"answer to j:p{number}").choice(["yes", "no"]) == "yes"


class Chain(Campaign):
    """`judge`: the model that judges; the others are asked of `stub`."""

    def __init__(self, root: Path, rows: int = ROWS, judge: str = "stub", latency_s: float = 0.02) -> None:
        env = {"STUB_ECHO": "1", "STUB_ANSWER": "yes|no", "STUB_LATENCY_S": str(latency_s)}
        sending = {"concurrency": IN_FLIGHT, "request_timeout": "20s", "drain": "20s"}
        super().__init__(root, rows, env=env, inference=sending)
        size = 7 if rows < 1000 else 1000
        drafts = {**self.dataset("prompts.jsonl", size), "prompt": "Say <d:{{ id }}> {{ word }}"}
        self.raw["models"] |= {judge: dict(self.raw["models"]["stub"])}
        self.raw["datasets"] = {"drafts": drafts, "judged": judged(judge), "rewritten": rewritten()}
        self.write_config()

    def check_rows(self, good: Iterable[int]) -> None:
        """Exactly one row for each prompt of each stage."""
        rows = self.responses()
        assert rows.request_key.is_unique
        assert set(rows.status) == {"ok"}
        everybody = [f"p{number}" for number in range(ROWS)]
        wanted = {"drafts": everybody, "judged": everybody, "rewritten": [f"p{number}" for number in good]}
        for dataset, ids in wanted.items():
            assert sorted(rows[rows.dataset == dataset].row_id) == sorted(ids), dataset


def judged(model: str) -> dict[str, Any]:
    return {
        "from": {"dataset": "drafts", "model": "stub"},
        "prompt": "Is <j:{{ id }}> good? {{ text }}",
        "answer": {"choice": ["yes", "no"]},
        "models": [model],
    }


def rewritten() -> dict[str, Any]:
    wanted = {"from": "judged", "where": "answer == 'yes'", "models": ["stub"]}
    return {**wanted, "prompt": "Rewrite <r:{{ id }}>: {{ drafts.text }}"}


def kill(campaign: Campaign, victim: str, snakemake_pid: int) -> None:
    for pid in [snakemake_pid] if victim == "snakemake" else campaign.find(victim):
        with suppress(ProcessLookupError):  # it had just finished by itself
            os.kill(pid, signal.SIGKILL)


def is_due(campaign: Campaign, moment: int, snakemake: Any) -> bool:
    return snakemake.poll() is not None or (campaign.received().total() >= moment and bool(campaign.find("engine")))


def run_through(campaign: Campaign, kills: list[tuple[str, int]]) -> None:
    """The same command until it has finished, with each victim killed at its moment."""
    for _ in range(3 * KILLS):
        with campaign.started("results/trial/collected.json") as snakemake:
            while kills and snakemake.poll() is None:
                victim, moment = kills[0]
                wait_for(partial(is_due, campaign, moment, snakemake), PATIENCE_S, f"{moment} requests received")
                if snakemake.poll() is None:
                    kill(campaign, victim, snakemake.pid)
                    kills.pop(0)
            if snakemake.wait(timeout=4 * PATIENCE_S) == 0:
                return
    raise AssertionError((campaign.root / "snakemake.log").read_text()[-4000:])


@pytest.mark.timeout(400 + 30 * KILLS + ROWS / 20)
@pytest.mark.parametrize("judge", ["stub", "other"], ids=["one_model", "models_take_turns"])
def test_kill_and_run_again(judge: str, tmp_path: Path) -> None:
    draw = random.Random(f"{judge} {ROWS}")
    campaign = Chain(tmp_path, judge=judge, latency_s=draw.choice([0.02, 0.05]) if ROWS < 1000 else 0.0)
    good = [number for number in range(ROWS) if is_good(number)]
    asked = 2 * ROWS + len(good)
    # Suspects of a kill go alone: a second kill meanwhile would rightly be taken for their doing.
    gap = max(3 * IN_FLIGHT, int(0.9 * asked / KILLS))
    moments = [number * gap + draw.randrange(gap // 3) for number in range(KILLS)]
    run_through(campaign, [(draw.choice(VICTIMS), moment) for moment in moments])

    campaign.check_rows(good)
    received = campaign.received()
    assert set(received) == {f"{kind}:p{n}" for kind in "dj" for n in range(ROWS)} | {f"r:p{n}" for n in good}
    assert received.total() - asked <= IN_FLIGHT * KILLS
    order = "".join(name[0] for name in campaign.log.read_text().split())
    # One server goes on with whatever can be asked; models that share a machine take turns.
    assert (order.index("j") < order.rindex("d")) is (judge == "stub")
    wait_for(lambda: not campaign.processes(), 20, "no process of the campaign is left")

    # One edited prompt asks what is made of its answer, and nothing else.
    edited = good[len(good) // 2]
    words = [{"id": f"p{number}", "word": f"w{number}{'!' * (number == edited)}"} for number in range(ROWS)]
    campaign.write_prompts(words)
    assert campaign.run("results/trial/collected.json", timeout=4 * PATIENCE_S).returncode == 0
    campaign.check_rows(good)
    assert campaign.received() - received == {f"{kind}:p{edited}": 1 for kind in "djr"}
    again = campaign.run("results/trial/collected.json")
    assert "Nothing to be done" in again.stdout
