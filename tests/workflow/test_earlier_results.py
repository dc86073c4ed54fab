"""Folders that version 0.1 left behind (tests/data/results-0.1) are planned with, reported on and continued.

`local` was killed in the middle of its second run; `slurm` holds the records that are made under Slurm alone.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from support.commands import write_command
from support.runs import REPOSITORY, Campaign

EARLIER = REPOSITORY / "tests" / "data" / "results-0.1"
HOST_THEN = b"earlier-host"
# What the product says of files it cannot use, or only in part.
COMPLAINTS = ("damaged", "taken as not there", "unknown and left out", "newer version", "Traceback")
SAME_ANSWER = ("request_key", "prompt", "text", "latency_s", "started_at", "job_id")
JOB, SNAKEMAKE_RUN = "4711", "0f0e5a3c-9a30-4c1b-8f8e-0d6f2f0e9a01"


class EarlierCampaign(Campaign):
    """A copy of a folder of `EARLIER`, with the times and the place its files had: the same machine goes on."""

    def __init__(self, root: Path, kind: str) -> None:
        # Not Campaign's own: config and prompts are those of then.
        shutil.copytree(EARLIER / kind, root, dirs_exist_ok=True)
        self.root, self.log = root, root / "received.log"
        self.raw = yaml.safe_load((root / "campaign.yaml").read_text())
        (root / "stub_engine").symlink_to(REPOSITORY / "tests" / "stub_engine")
        # A lease and a lock of another host would be watched for a minute and a half before they count as left.
        for path in (path for path in root.rglob("*") if path.is_file()):
            name_host(path)
        an_hour_ago = time.time() - 3600  # never later than what is made now, whatever clock they were made by
        for name, age in json.loads((root / "times.json").read_text()).items():
            os.utime(root / name, (an_hour_ago + age, an_hour_ago + age))
        if (root / "snakemake").exists():
            (root / "snakemake").rename(root / ".snakemake")

    def tool(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The command line `campaign`, in the campaign's folder."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "campaign"), *arguments],
            cwd=self.root,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def told(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """What it prints, without a complaint about a file."""
        result = self.tool(*arguments, env=env)
        assert result.returncode == 0, result.stderr
        check_no_complaint(result.stdout + result.stderr)
        return result.stdout


def name_host(path: Path) -> None:
    """Put this host in the place of the one of then; a lease keeps its size, as it is overwritten in place."""
    data = path.read_bytes()
    if HOST_THEN not in data or path.suffix == ".parquet":
        return
    changed = data.replace(HOST_THEN, socket.gethostname().encode())
    path.write_bytes(changed.rstrip().ljust(len(data) - 1) + b"\n" if "claims" in path.parts else changed)


def check_no_complaint(text: str) -> None:
    assert not [complaint for complaint in COMPLAINTS if complaint in text], text


def answers_of_then(campaign: Campaign) -> pd.DataFrame:
    """Rows of the published parts, by request key."""
    return pd.read_parquet(campaign.results / "responses").set_index("request_key")


def journalled(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Answers that were only in journals when Snakemake was killed, by request key."""
    paths = campaign.results.glob("journals/*/*/*/*.jsonl")
    answers = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return {answer["key"]: answer for answer in answers}


@pytest.fixture
def killed(tmp_path: Path) -> EarlierCampaign:
    """20 requests: 12 answered and 2 failed in the first run; 1 + 3 more answered in the second, before it was killed."""
    return EarlierCampaign(tmp_path, "local")


def test_a_plan_rests_on_what_was_measured(killed: EarlierCampaign) -> None:
    plan = json.loads(killed.told("plan", "campaign.yaml", "--site", "local", "--json"))
    assert plan["refused"] == []
    model = plan["models"]["stub"]
    assert model["requests"] == {"left": 3, "done": 17}
    assert "1 run of earlier" in model["forecast"]["rests_on"]
    assert "7 answers of earlier" in model["forecast"]["rests_on"]
    (run,) = pd.read_parquet(killed.results / "accounting.parquet").to_dict("records")
    assert run["wall_s"] - run["infer_s"] < 3600 * model["forecast"]["hours"]["expected"] < run["wall_s"]


def test_it_is_shown_and_reported(killed: EarlierCampaign) -> None:
    status = json.loads(killed.told("status", "--json"))
    assert (status["campaign"], status["state"], status["running"]) == ("earlier", "stopped", False)
    assert status["collected"] == {"rows": 14, "ok": 12, "failed": 2}
    model = status["models"]["stub"]
    assert (model["rows"], model["done"], model["failed"]) == (20, 17, 2)
    (allocation,) = model["allocations"]
    assert (allocation["state"], allocation["answered"], allocation["failed"]) == ("gone", 12, 2)
    assert "14 prompts, 2 failed" in killed.told("summary", "earlier")
    killed.told("phase", "account", "results/earlier/config.json")
    killed.told("phase", "report", "results/earlier/config.json")
    runs = pd.read_parquet(killed.results / "accounting.parquet")
    assert list(runs.state) == ["COMPLETED", "KILLED"]
    assert list(runs.answered) == [12, 1]  # as far as rows are published
    assert "engine_killed" in (killed.results / "report.html").read_text()


@pytest.mark.timeout(200)
def test_it_goes_on_where_it_was_killed(killed: EarlierCampaign) -> None:
    published, loose = answers_of_then(killed), journalled(killed)
    kept = {path: path.read_bytes() for path in killed.results.glob("benchmarks/*/*.json")}
    assert len(published) == 14
    assert len(loose) == 3
    assert len(kept) == 2
    result = killed.run()
    assert result.returncode == 0, result.stdout[-4000:]
    check_no_complaint(result.stdout)

    rows = killed.responses().set_index("request_key")
    assert sorted(rows.row_id) == sorted([*(f"w{number}" for number in range(14)), *(f"n{number}" for number in range(6))])
    assert rows.index.is_unique
    # Benchmark requests carry prompts of the campaign: that none was sent shows that the points of then count.
    new = rows[~rows.index.isin([*published.index, *loose])]
    assert killed.received() == dict.fromkeys(new.row_id, 1)
    assert len(new) == 3
    assert {path: path.read_bytes() for path in killed.results.glob("benchmarks/*/*.json")} == kept
    pd.testing.assert_frame_equal(rows.loc[published.index, published.columns], published)
    for key, answer in loose.items():
        row = rows.loc[key]
        assert (row.text, row.status, row.job_id) == (answer["text"], answer["status"], answer["job_id"])
        assert (row.latency_s, row.started_at.timestamp()) == (
            answer["latency_s"],
            pytest.approx(answer["started_at"], abs=1e-5),
        )
    assert list(pd.read_parquet(killed.results / "accounting.parquet").answered) == [12, 4, 3]
    assert (killed.results / "report.html").exists()
    assert "Nothing to be done" in killed.run().stdout


@pytest.mark.timeout(200)
def test_an_answer_put_aside_then_is_used_again(killed: EarlierCampaign) -> None:
    (aside,) = pd.read_parquet(killed.results / "superseded").to_dict("records")
    edited, original = '"word": "edited"', '"word": "word 2"'
    prompts = killed.root / "words.jsonl"
    prompts.write_text(prompts.read_text().replace(edited, original))
    assert killed.run().returncode == 0
    assert aside["row_id"] == "w2"
    assert "w2" not in killed.received()
    row = killed.responses().set_index("row_id").loc["w2"]
    assert [row[name] for name in SAME_ANSWER] == [aside[name] for name in SAME_ANSWER]


# --- under Slurm --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EarlierCampaign:
    """Job 4711 ran twice and ended for good, allocation 1 was refused. Slurm answers, and knows no job any more."""
    campaign = EarlierCampaign(tmp_path / "work", "slurm")
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    for name in ("sacct", "squeue", "sacctmgr", "sinfo", "scontrol"):
        slurm_says(campaign, name, "true")
    return campaign


def slurm_says(campaign: EarlierCampaign, command: str, script: str) -> None:
    """What a command of Slurm does; its arguments go to `<command>.asked`."""
    path = campaign.root.parent / "commands" / command
    write_command(path, f'echo "$*" >> {path}.asked\n{script}')


def asked(campaign: EarlierCampaign, command: str) -> str:
    return (campaign.root.parent / "commands" / f"{command}.asked").read_text()


def slurm_runs_a_job(campaign: EarlierCampaign, name: str, others: str = "") -> dict[str, str]:
    """Environment of job 4799 of a run of Snakemake; squeue shows `others` beside it."""
    fields = f"JobId=4799 JobName={name} StartTime=1795700000 EndTime=1795703600 NodeList=gpu-node-1 BatchHost=gpu-node-1"
    slurm_says(campaign, "scontrol", f'case "$*" in *hostnames*) echo gpu-node-1;; *) echo "{fields}";; esac')
    slurm_says(campaign, "squeue", f"echo '4799|RUNNING|{name}'\necho '{others}'")
    return {"SLURM_JOB_ID": "4799", "SLURM_CLUSTER_NAME": "alpine"}


def brought_up(campaign: EarlierCampaign, env: dict[str, str]) -> str:
    """Why allocation 0 was not brought up."""
    words = ("phase", "bring-up", "results/earlier-slurm/config.json", "--model", "stub", "--allocation", "0")
    result = campaign.tool(*words, env=env)
    assert result.returncode == 1
    check_no_complaint(result.stderr)
    return result.stderr


def test_status_and_plan_count_what_was_billed(slurm: EarlierCampaign) -> None:
    su = 110 * (3600 + 425) / 3600 + 4 * 30 / 3600
    status = json.loads(slurm.told("status", "--json"))
    assert status["su"]["so_far"] == pytest.approx(su)
    first, second = status["models"]["stub"]["allocations"]
    assert (first["state"], first["job_id"], first["answered"], first["failed"]) == ("failed", JOB, 8, 1)
    assert first["su"]["so_far"] == pytest.approx(110 * (3600 + 425) / 3600)
    assert second["state"] == "refused"
    assert "Invalid account" in second["error"]
    for silent in ("scontrol", "sinfo"):  # else a cluster without partitions
        slurm_says(slurm, silent, "false")
    plan = json.loads(slurm.told("plan", "campaign.yaml", "--site", "alpine", "--json"))
    assert plan["spent_su"] == pytest.approx(su)
    assert plan["beside_su"] == pytest.approx(4 * 30 / 3600)
    assert "1 run of earlier-slurm" in plan["models"]["stub"]["forecast"]["rests_on"]


def test_the_account_is_the_same_again(slurm: EarlierCampaign) -> None:
    path = slurm.results / "accounting.parquet"
    then = pd.read_parquet(path)
    path.unlink()
    slurm.told("phase", "account", "results/earlier-slurm/config.json")
    now = pd.read_parquet(path)
    assert set(now.pop("unit").dropna()) == {"SU"}  # a column since then; a refused job has no bill
    pd.testing.assert_frame_equal(now, then)
    assert list(then.state) == ["REFUSED", "REQUEUED", "FAILED", "COMPLETED"]
    sessions = [json.loads(line) for line in (slurm.results / "sessions.jsonl").read_text().splitlines()]
    assert f"--name={','.join(session['slurm_run'] for session in sessions)}" in asked(slurm, "sacct")


def test_a_lease_of_then_holds_while_its_job_lives(slurm: EarlierCampaign) -> None:
    env = slurm_runs_a_job(slurm, "another", others=f"{JOB}|RUNNING|{SNAKEMAKE_RUN}")
    assert f"Job {JOB} already works on this allocation" in brought_up(slurm, env)
    assert [path.name for path in slurm.results.glob("allocations/stub/0/lease.*")] == ["lease.g1"]


def test_an_allocation_given_up_then_is_not_tried_again(slurm: EarlierCampaign) -> None:
    told = brought_up(slurm, slurm_runs_a_job(slurm, SNAKEMAKE_RUN))
    assert f"job {JOB} ended with: The server died 3 times" in told
    assert [path.name for path in slurm.results.glob("allocations/stub/0/lease.*")] == ["lease.g2"]


def test_a_node_excluded_then_is_left_out_for_a_day(slurm: EarlierCampaign) -> None:
    path = slurm.results / "excluded-nodes.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"t": time.time() - 3600}) + "\n")
    told = brought_up(slurm, slurm_runs_a_job(slurm, "another"))
    assert "gpu-node-1, which could not serve (its GPU fell off the bus)" in told
