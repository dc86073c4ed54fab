"""What people meet on a real engine, one after the other in one campaign: each test is one more end, and the same command again.

Every test begins with the command that the one before it left, so that it shows whether that one's end is gone on from. What was
sent is counted in the servers' own access logs: one line per answer they finished.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest

from support.engine import IN_FLIGHT, PROMPTS, real_campaign
from support.runs import Campaign, wait_for

TARGET = "results/trial/collected.json"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Each answer has 64 tokens: on a fast machine all 48 short ones were there before an end could be noticed."""
    campaign = real_campaign(tmp_path_factory.mktemp("going-on"))
    campaign.raw["datasets"]["capitals"]["sampling"] = {"temperature": 0, "max_tokens": 64, "ignore_eos": True}
    campaign.write_config()
    return campaign


def with_model(campaign: Campaign, **changes: object) -> None:
    """Change the campaign's model as a user who edits the config; None removes a key."""
    model = {**campaign.raw["models"]["smol"], **changes}
    campaign.raw["models"]["smol"] = {key: value for key, value in model.items() if value is not None}
    campaign.write_config()


def engine_logs(campaign: Campaign) -> set[Path]:
    return set((campaign.root / "logs").rglob("*-engine-*.log"))


def sent(campaign: Campaign) -> int:
    """Chat answers that all servers of the campaign finished."""
    line = re.compile(r'"POST /v1/chat/completions HTTP/1\.1" 200')
    return sum(len(line.findall(log.read_text(errors="replace"))) for log in engine_logs(campaign))


@contextmanager
def loading(campaign: Campaign) -> Iterator[subprocess.Popen[str]]:
    """The command, once it has started a new engine; fails with what the command said when it ends instead."""
    before, told = engine_logs(campaign), (campaign.root / "snakemake.log")
    said = told.stat().st_size if told.exists() else 0
    with campaign.started(TARGET) as snakemake:
        wait_for(lambda: engine_logs(campaign) - before or snakemake.poll() is not None, 180, "an engine starts")
        assert snakemake.poll() is None, f"it does not go on: {told.read_bytes()[said:].decode()[-3000:]}"
        yield snakemake


def told(result: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which a phase failed."""
    return "".join(line for line in result.stdout.splitlines() if line.startswith("campaign: "))


def nothing_left(campaign: Campaign) -> None:
    wait_for(lambda: not campaign.processes(), 60, "nothing outlives its Snakemake")


def kill(campaign: Campaign, role: str) -> None:
    for pid in campaign.find(role):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_flag_that_the_engine_refuses(campaign: Campaign) -> None:
    """At its start: the plan, which would have asked, is told not to."""
    campaign.raw["ask_vllm"] = False
    with_model(campaign, vllm={"enforce-eager": True, "kv-cache-dtype": "int3"})
    result = campaign.run(TARGET, timeout=200)
    assert result.returncode != 0
    assert "kv-cache-dtype: invalid choice: 'int3'" in told(result)
    nothing_left(campaign)


def test_the_flag_is_mended_and_too_much_memory_is_asked(campaign: Campaign) -> None:
    del campaign.raw["ask_vllm"]
    with_model(campaign, vllm={"enforce-eager": True}, gpu_memory_utilization=1.0)  # some is always in use
    result = campaign.run(TARGET, timeout=300)
    assert result.returncode != 0
    assert "gpu_memory_utilization" in told(result)
    assert "int3" not in result.stdout
    nothing_left(campaign)


def test_the_memory_is_mended_and_ctrl_c_while_the_model_loads(campaign: Campaign) -> None:
    with_model(campaign, gpu_memory_utilization=None)
    with loading(campaign) as snakemake:
        newest = max(engine_logs(campaign), key=lambda log: log.stat().st_mtime)
        wait_for(lambda: b"Initializing" in newest.read_bytes(), 240, "the model loads")
        os.killpg(snakemake.pid, signal.SIGINT)
        assert snakemake.wait(timeout=120) != 0
    nothing_left(campaign)


def test_ctrl_c_twice_while_the_model_loads(campaign: Campaign) -> None:
    with loading(campaign) as snakemake:
        os.killpg(snakemake.pid, signal.SIGINT)
        time.sleep(0.5)
        with suppress(ProcessLookupError):
            os.killpg(snakemake.pid, signal.SIGINT)
        assert snakemake.wait(timeout=120) != 0
    nothing_left(campaign)


def test_the_terminal_is_closed_while_the_model_loads(campaign: Campaign) -> None:
    with loading(campaign) as snakemake:
        os.killpg(snakemake.pid, signal.SIGHUP)
        assert snakemake.wait(timeout=120) != 0
    nothing_left(campaign)


def test_snakemake_is_killed_while_the_model_loads(campaign: Campaign) -> None:
    with loading(campaign) as snakemake:
        os.kill(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        nothing_left(campaign)
    # What a crash of the machine leaves of a file that is written every two seconds.
    (campaign.results / "allocations" / "smol" / "0" / "endpoint.json").write_bytes(b"")


def test_an_empty_endpoint_and_the_supervisor_is_killed_while_the_model_loads(campaign: Campaign) -> None:
    with loading(campaign) as snakemake:
        before = engine_logs(campaign)
        kill(campaign, "supervisor")
        wait_for(lambda: snakemake.poll() is not None or engine_logs(campaign) - before, 120, "its end, or a new engine")


def test_snakemake_is_killed_while_it_answers(campaign: Campaign) -> None:
    nothing_left(campaign)
    with loading(campaign) as snakemake:
        wait_for(lambda: sent(campaign) >= 9 or snakemake.poll() is not None, 300, "answers")
        os.kill(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        nothing_left(campaign)


def test_infer_and_the_engine_are_killed_while_it_answers_and_the_campaign_ends_well(campaign: Campaign) -> None:
    with loading(campaign) as snakemake:
        wait_for(lambda: sent(campaign) >= 20 or snakemake.poll() is not None, 300, "answers")
        kill(campaign, "infer")  # Snakemake tries it again, on the server that is up
        wait_for(lambda: sent(campaign) >= 34 or snakemake.poll() is not None, 300, "answers")
        kill(campaign, "engine")
        assert snakemake.wait(timeout=300) == 0, (campaign.root / "snakemake.log").read_text()[-3000:]

    rows = campaign.responses()
    prompts = pd.read_json(PROMPTS, lines=True)
    assert sorted(rows.row_id) == sorted(prompts.id)
    assert rows.request_key.is_unique
    assert set(rows.status) == {"ok"}
    assert "Paris" in rows.set_index("row_id").text["capital-001"]
    # Killed three times: each time at most what was in flight is asked again.
    assert len(rows) - 3 * IN_FLIGHT <= sent(campaign) <= len(rows) + 3 * IN_FLIGHT
    nothing_left(campaign)
