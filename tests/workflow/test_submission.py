"""What `snakemake --profile profiles/alpine` hands to sbatch, as text; sbatch itself is a script that writes it down and refuses."""

import os
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

from campaign.config import ModelConfig
from campaign.config.site_file import cluster
from campaign.core.paths import CampaignPaths
from campaign.slurm import resources
from campaign.slurm.node_exclusion import exclude_node
from campaign.status.jobs import allocation_of
from support.cluster import place
from support.commands import write_command
from support.runs import Campaign

ANSWERS = {
    "sbatch": """if [[ $1 == --test-only ]]; then
  echo "$(printf '%q ' "$@")" >> {calls}.asked  # in one write: several ask at the same time
  echo "sbatch: Job 7 to start at 2031-03-04T09:20:05 using 2 processors on nodes node[1-2] in partition x" >&2; exit 0
fi
echo "$(printf '%q ' "$@")" >> {calls}; echo "sbatch: error: not today" >&2; exit 1""",
    "sacctmgr": 'case "$*" in *"format=account"*) echo ucb-general;; *) exit 1;; esac',
    "sacct": "exit 0",
    "squeue": "exit 0",
    "sinfo": "printf 'aa100\\nacpu\\n'",
    "scontrol": "exit 1",
    "sshare": "exit 1",
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sbatch of this test writes its arguments."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    for name, script in ANSWERS.items():
        write_command(folder / name, script.format(calls=calls))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return calls


def decisive(line: str) -> list[str]:
    """What Slurm decides by: a line of sbatch without its job's name, log and command, and a group's label without its id."""
    words = [word for word in shlex.split(line) if word not in ("--test-only", "--parsable") and not word.startswith("--wrap=")]
    for option in ("--job-name", "--output"):
        del words[words.index(option) : words.index(option) + 2]
    return [re.sub(r"(rule_allocation)_[\w-]+?(_wildcards_)", r"\1\2", word) for word in words]


def submitted(campaign: Campaign, calls: Path) -> list[list[str]]:
    """The sbatch lines of the campaign's allocations."""
    prepared = campaign.run("--until", "enqueue")
    assert prepared.returncode == 0, prepared.stdout
    campaign.profile = "alpine"
    result = campaign.run(timeout=100)  # with the profile's retries: a refusal is told once, at once, and not tried again
    assert result.returncode != 0
    assert result.stdout.count("not today") == result.stdout.count("Slurm refuses allocation ") == 2, result.stdout
    return [shlex.split(line) for line in calls.read_text().splitlines()]


@pytest.mark.timeout(200)
def test_two_nodes(tmp_path: Path, calls: Path) -> None:
    campaign = Campaign(tmp_path, account="ucb-general")
    stub = campaign.raw["models"]["stub"]
    stub |= {"pipeline_parallel": 2, "placement": place(nodes=2, walltime="30h", cpus_per_gpu=8, qos="gpu-long", allocations=2)}
    campaign.write_config()
    lines = submitted(campaign, calls)
    assert len(lines) == 2  # one job per allocation
    comments = sorted(words[words.index("--comment") + 1] for words in lines)
    assert [allocation_of(comment) for comment in comments] == [("stub", 0), ("stub", 1)], comments
    words = lines[0]
    line = " ".join(word for word in words if not word.startswith("--wrap"))
    for wanted in (
        "-A ucb-general -p aa100 -t 1800 --qos=gpu-long --mem 30720 --nodes=2 --requeue --ntasks=2 --cpus-per-task=8",
        "--open-mode=append --gpus-per-node=a100-40gb:1",
        f"-D {tmp_path}",
    ):
        assert wanted in line, line
    wrapped = next(word for word in words if word.startswith("--wrap"))
    for phase in ("bring_up", "ready", "infer", "benchmark", "tear_down"):
        assert re.search(rf"{phase}:model=stub,allocation=[01]", wrapped)


@pytest.mark.timeout(400)
def test_slurm_is_asked_beforehand_for_the_very_jobs(tmp_path: Path, calls: Path) -> None:
    """With what a profile and the command line change, and without the nodes that could not serve."""
    campaign = Campaign(tmp_path, account="ucb-general")
    campaign.raw["models"]["stub"] |= {"placement": place(walltime="8h", cpus_per_gpu=8)}
    campaign.write_config()
    changes = [
        "--set-resources",
        "bring_up:mem_mb=20000",
        "bring_up:cpus_per_task=16",
        "infer:runtime=99",
        "stage_model:mem_mb=5000",
    ]
    settings = ["--slurm-reservation", "class", "--set-threads", "prepare_requests=3", "--retries", "0"]
    campaign.profile = "alpine"
    campaign.run(*changes, *settings, timeout=180)
    campaign.profile = "local"
    assert campaign.run("--until", "enqueue").returncode == 0
    campaign.profile = "alpine"
    campaign.run(*changes, *settings, timeout=180)
    asked = {tuple(decisive(line)) for line in Path(f"{calls}.asked").read_text().splitlines()}
    really = {tuple(decisive(line)) for line in calls.read_text().splitlines()}
    assert len(really) == 3
    assert asked == really
    assert any("--reservation=class" in words and "99" in words and "20000" in words for words in asked)


@pytest.mark.timeout(200)
def test_nodes_that_are_left_out_are_left_out_of_the_question(tmp_path: Path, calls: Path) -> None:
    campaign = Campaign(tmp_path, account="ucb-general")
    campaign.raw["models"]["stub"] |= {"placement": place()}
    campaign.write_config()
    assert campaign.run("--until", "enqueue").returncode == 0
    exclude_node(CampaignPaths("trial", tmp_path / "results"), "node3", "ECC", "7")
    campaign.profile = "alpine"
    campaign.run("--retries", "0", timeout=100)
    (really,) = {tuple(decisive(line)) for line in calls.read_text().splitlines()}
    assert "--exclude=node3" in really
    assert really in {tuple(decisive(line)) for line in Path(f"{calls}.asked").read_text().splitlines()}


@pytest.mark.timeout(100)
def test_snakemakes_plan_shows_when_slurm_would_start_it(tmp_path: Path, calls: Path) -> None:
    campaign = Campaign(tmp_path, account="ucb-general")
    campaign.raw["models"]["stub"] |= {"placement": place()}
    campaign.write_config()
    campaign.profile = "alpine"
    result = campaign.run("plan", timeout=100)
    assert result.returncode == 0, result.stdout
    assert "stub: Slurm would start it Tue 04 Mar 09:20 on node[1-2]." in result.stdout
    assert not calls.exists()


SHAPES: list[dict[str, Any]] = [
    {},
    {"nodes": 2, "gpus_per_node": 2},
    {"gpu": "a100_80gb", "gpus_per_node": 3},
    {"gpu": "rtx_pro_6000_2g.48gb"},
    {"gpu": "h200", "gpus_per_node": 4, "mem_per_node": 500},
    {"gpu": None, "gpus_per_node": 2},
    {"gpus_per_node": 0, "gpu": None, "partition": "acpu"},
]


@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_the_plugins_own_checks_pass(changes: dict[str, Any]) -> None:
    """What the plugin would refuse while it submits a group, it swallows, and Snakemake waits for ever: nothing may get there."""
    model = ModelConfig.model_validate({"source": "m", "placement": place(**changes)})
    shape = resources.shape(model, cluster("alpine").job_defaults)
    job = SimpleNamespace(resources=_Resources(slurm_extra=shape.slurm_extra, mpi=resources.MPI, tasks=shape.tasks))
    validate_slurm_extra(job)
    assert set_gres_string(job) == ""
    assert shape.tasks > 1
    assert isinstance(shape.nodes, int)


class _Resources(SimpleNamespace):
    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)
