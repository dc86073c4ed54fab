"""Campaigns on the lab: `snakemake --profile profiles/alpine` as a user runs it, and what Slurm says of it afterwards."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from support import lab
from support.commands import write_command
from support.runs import NAME, REPOSITORY, Campaign

# Real vLLM and Ray, in an environment of their own.
ENGINE = Path(os.environ.get("CAMPAIGN_TEST_ENGINE", REPOSITORY / ".venv-engine")).absolute()
MODEL = Path(os.environ.get("CAMPAIGN_TEST_MODEL", REPOSITORY / "resources" / "models" / "smollm2-135m")).absolute()


class SlurmCampaign(Campaign):
    """A campaign of the stub engine under Slurm. `placement` changes that of its model `stub`."""

    profile = "alpine"

    def __init__(
        self,
        root: Path,
        rows: int = 40,
        shard_rows: int = 7,
        env: dict[str, Any] | None = None,
        placement: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> None:
        super().__init__(root, rows, shard_rows, env, **{"account": "ucb-general", **overrides})
        stub = self.raw["models"].get("stub")
        if stub is not None:
            stub["placement"] = place(**(placement or {}))
            stub["pipeline_parallel"] = stub["placement"]["nodes"]
            stub["ray"] = {"num_cpus": 2, "object_store_memory": 100_000_000}
            stub["env"].setdefault("CAMPAIGN_TEST_RAY_PYTHON", str(ENGINE / "bin" / "python"))
        self.write_config()

    def command(self, *arguments: str) -> list[str]:
        targets = [] if {"all", "plan", "session", "--until"} & set(arguments) else self.targets
        return [
            *(sys.executable, str(REPOSITORY / "tests" / "support" / "snakemake_often.py")),
            *super().command(*targets, *arguments)[1:],
            *("--slurm-init-seconds-before-status-checks", "3"),
            *("--latency-wait", "10"),
        ]

    @property
    def targets(self) -> list[str]:
        """All but the report and the benchmarks' table, which no test here looks at: 4 s of a processor in each run."""
        made = ("plan.json", "collected.json", "accounting.parquet")
        return [f"results/{self.raw['campaign']}/{name}" for name in made]

    def endpoint(self, allocation: int = 0, model: str = "stub") -> dict[str, Any]:
        path = self.results / "allocations" / model / str(allocation) / "endpoint.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def is_up(self, allocation: int = 0, model: str = "stub") -> bool:
        return self.endpoint(allocation, model).get("state") == "up"

    def find_on(self, node: lab.Node, text: str) -> list[int]:
        """This campaign's processes on a node with `text` in their command line; others' may run beside them."""
        wanted = f"CAMPAIGN_ROOT={self.results}".encode()
        return [pid for pid in node.find(text) if wanted in _environment(pid)]

    def accounting(self) -> pd.DataFrame:
        return pd.read_parquet(self.results / "accounting.parquet")

    def slurm_runs(self) -> list[str]:
        """Names of all jobs of this campaign: one per run of Snakemake."""
        lines = (self.results / "sessions.jsonl").read_text().splitlines()
        return [json.loads(line)["slurm_run"] for line in lines]

    def billed(self) -> list[dict[str, Any]]:
        """Every run of every job of this campaign as sacct has it, with its SUs by the billing rate."""
        columns = "JobIDRaw,State,ElapsedRaw,AllocTRES,QOS"
        names = ",".join(self.slurm_runs())
        command = ("sacct", "-X", "-D", "-n", "-P", f"--name={names}", f"--format={columns}", "--starttime=now-1days")
        rows = [dict(zip(columns.split(","), line.split("|"), strict=True)) for line in lab.run(*command).splitlines()]
        for row in rows:
            rates = dict(item.split("=") for item in row["AllocTRES"].split(",") if "=" in item)
            row["su"] = float(rates.get("billing", 0)) * int(row["ElapsedRaw"]) / 3600
        return rows

    def check_rows(self, rows: int = 40, failed: int = 0) -> None:
        """Exactly one row per prompt."""
        table = self.responses()
        assert sorted(table.row_id) == sorted(f"p{number}" for number in range(rows))
        assert table.request_key.is_unique
        assert (table.status == "failed").sum() == failed

    def check_accounting(self) -> pd.DataFrame:
        """accounting.parquet has every run of every job, and their SUs add up to sacct's."""
        time.sleep(2)  # sacct lags behind
        table, billed = self.accounting(), self.billed()
        assert len(billed) >= 1
        assert abs(table.su.sum() - sum(row["su"] for row in billed)) < 0.51
        assert sorted(table.job_id[table.su.notna()]) == sorted(row["JobIDRaw"] for row in billed)
        return table

    def output(self) -> str:
        """What Snakemake printed, in all runs that were `started`."""
        path = self.root / "snakemake.log"
        return path.read_text() if path.exists() else ""


class BlancaCampaign(SlurmCampaign):
    """On the lab's GPU nodes as an owner's, whose idle ones others may use."""

    profile = "blanca"

    def __init__(self, root: Path, placement: dict[str, Any] | None = None, **settings: Any) -> None:
        where = {"partition": "blanca-curc-gpu", "constraint": "A100&rh8", **(placement or {})}
        super().__init__(root, placement=where, account="blanca-curc", **settings)


class UserCampaign(SlurmCampaign):
    """The campaign of an ordinary user, in a folder of theirs that everybody may look into."""

    def __init__(self, root: Path, user: str, **settings: Any) -> None:
        self.user = user
        root.mkdir()
        super().__init__(root, **settings)
        for path in (root, *root.rglob("*")):
            shutil.chown(path, user, user)

    def command(self, *arguments: str) -> list[str]:
        return lab.as_user(self.user, *super().command(*arguments))


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def place(**changes: Any) -> dict[str, Any]:
    """A placement that fits the lab."""
    usual = {"partition": "aa100", "gpu": lab.GPU_TYPE, "nodes": 1, "gpus_per_node": 1, "walltime": "15m", "cpus_per_gpu": 4}
    # The lab plays the site's rules in folders with the file `site-rules` only.
    granted = {"granted": ["nodes"]} if changes.get("nodes", 1) > 1 else {}
    return {**usual, **granted, **changes}


def check_nothing_left(campaign: Campaign) -> None:
    """No process of the campaign on any node, within a few seconds of its jobs' ends."""
    here, wanted = str(campaign.root), f"CAMPAIGN_ROOT={campaign.results}".encode()

    def strays() -> list[str]:
        return [
            f"{name}: {line}"
            for name in lab.NODES
            for pid, line in lab.node(name).command_lines().items()
            if wanted in _environment(pid) or here in line
        ]

    lab.wait(lambda: not strays(), 120, f"nothing left on the nodes, there is {strays()}")


def shim(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of Slurm that is a script, for Snakemake alone: jobs have the folder in their PATH too, the nodes' daemons not.

    What only asks beforehand, for the plan, is answered by Slurm itself.
    """
    plain = f'[[ "$*" == *--test-only* ]] && exec /usr/bin/{name} "$@"'
    write_command(folder / name, f"{plain}\n{script}")
    if not os.environ["PATH"].startswith(f"{folder}{os.pathsep}"):
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def prepared(campaign: SlurmCampaign) -> SlurmCampaign:
    """A campaign whose allocations are next: what comes before them is done here, without Slurm's jobs."""
    campaign.profile = "local"
    done = campaign.run("--until", "enqueue")
    assert done.returncode == 0, done.stdout[-4000:]
    campaign.profile = "alpine"
    return campaign


__all__ = [
    "ENGINE",
    "MODEL",
    "NAME",
    "BlancaCampaign",
    "SlurmCampaign",
    "UserCampaign",
    "check_nothing_left",
    "place",
    "prepared",
    "shim",
]
