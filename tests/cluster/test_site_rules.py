"""A site's rules at submission, asked of real Slurm beforehand: each refusal in the site's words, and no good job refused."""

import re
import runpy
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaign.config import CampaignConfig
from campaign.plan import run_checks
from campaign.plan.run_checks import Diagnosis, diagnose
from campaign.site.table import load_table
from campaign.slurm.job_options import Profile
from support import lab
from support.cluster import place
from support.runs import REPOSITORY

STUB = REPOSITORY / "tests" / "stub_engine"

GPU = {
    "account": "ucb-general",
    "partition": "aa100",
    "qos": "gpu-normal",
    "time": "60",
    "nodes": "1",
    "ntasks": "2",
    "cpus-per-task": "4",
    "mem": "30000",
    "gpus-per-node": "a100-40gb:1",
}
CPU = {"account": "ucb-general", "partition": "acpu", "qos": "cpu-normal", "time": "60", "ntasks": "1", "mem": "3800"}

# By its number on the site's page: what is asked for otherwise than in a good GPU job (None: not at all), and the site's words.
REFUSED = {
    1: ({"qos": "cpu-normal"}, "accepts the following QoS values: gpu-normal, gpu-long, gpu-testing"),
    2: ({"nodes": None}, "must specify `--nodes`"),
    3: ({"nodes": "2"}, "limited to 1 node"),
    4: ({"gpus-per-node": None, "gres": "gpu:a100-40gb:1,gpu:a100_80gb:1"}, "list of `gres` options"),
    5: ({"gpus-per-node": None, "gres": "gpus:a100-40gb:1"}, "gres"),
    6: ({"gpus-per-node": None, "gres": "shard:1"}, "gres"),
    7: ({"gpus-per-node": "a100_40gb:1"}, "Valid GRES types for this partition and QoS selection are: a100-40gb, a100_80gb"),
    8: ({"gpus-per-node": "a100-40gb:7"}, "can only request 6 a100-40gb GPU(s)"),
    9: ({"ntasks": None, "mem": None, "cpus-per-task": None}, "must specify `--ntasks` or `--mem`"),
    10: ({"ntasks": "22", "cpus-per-task": "1"}, "22 tasks, which exceeds the maximum allowed of 21"),
    11: ({"ntasks": "4", "cpus-per-task": "8"}, "32 cores, which exceeds the maximum allowed of 21"),
    12: ({"mem": "100000"}, "memory, which exceeds the maximum allowed of 80640 MB"),
    13: ({"partition": None}, "No partition specified"),
    14: ({"partition": "aa100,acpu"}, "both GPU and CPU partitions"),
    15: ({"qos": None}, "Quality of Service (QoS) has not been provided"),
    16: ({"qos": "gpu-normal,gpu-long"}, "QoS"),
    17: ({"time": None}, "`--time`"),
    18: ({"time": "2000"}, "cannot exceed 1440 minutes"),
    19: ({"qos": "gpu-long", "time": "100"}, "must be greater than 1440 minutes"),
    20: ({"gpus-per-node": None}, "must specify `--gres`"),
    21: ({"partition": "aa100,al40", "gpus-per-node": "a100-40gb:1"}, "must be set to `gpu:N`"),
}

GOOD = [
    *({**GPU, "gpus-per-node": f"a100-40gb:{count}", "mem": str(78000 * count)} for count in (1, 2, 3)),
    *({**GPU, "time": minutes} for minutes in ("1", "240", "1440", "1-00:00:00")),
    *({**GPU, "ntasks": str(tasks), "cpus-per-task": str(cores)} for tasks, cores in ((2, 10), (7, 3), (1, 21), (21, 1))),
    {**GPU, "gpus-per-node": None, "gres": "gpu:a100-40gb:2"},
    {**GPU, "gpus-per-node": None, "gres": "gpu:1"},
    {**GPU, "mem": None},
    {**GPU, "mem": None, "mem-per-cpu": "3840"},
    {**GPU, "ntasks": None, "cpus-per-task": None},
    CPU,
    {**CPU, "time": "1440"},
    {**CPU, "nodes": "1", "cpus-per-task": "32"},
    {**CPU, "mem": "200000"},
]


def ask(job: dict[str, str | None]) -> tuple[int, str]:
    """What Slurm says to a job of these options, and the site's script; None leaves one out."""
    return lab.ask(*(f"--{name}={value}" for name, value in job.items() if value is not None))


def test_every_rule_refuses_in_the_sites_words(with_rules: None) -> None:
    assert list(REFUSED) == list(range(1, 22))
    answers = {number: ask({**GPU, **changed}) for number, (changed, _) in REFUSED.items()}
    assert {n: answer for n, answer in answers.items() if answer[0] != 1 or REFUSED[n][1] not in answer[1]} == {}


def test_good_jobs_would_start(with_rules: None) -> None:
    answers = [ask(job) for job in GOOD]
    assert len(answers) == 20
    assert [answer for answer in answers if answer[0] != 0 or "to start at" not in answer[1]] == []
    assert lab.squeue("--name=only-asked") == []


# --- through the plan -------------------------------------------------------------------------------------------------------

USUAL = {"slurm_partition": "acpu", "qos": "cpu-normal", "runtime": "60", "mem_mb": "3800"}
NO_GPUS = "'--open-mode=append'"
ON_GPUS = {"slurm_partition": "aa100", "qos": "gpu-normal"}


def profile(**bring_up: str) -> Profile:
    """A profile that sets resources of allocations otherwise."""
    return Profile(cpu_job().defaults, {"bring_up": tuple(f"{name}={value}" for name, value in bring_up.items())})


def cpu_job(without: str = "", **changes: str) -> Profile:
    """A profile whose jobs without a placement are otherwise."""
    asked = tuple(f"{name}={value}" for name, value in changes.items())
    defaults = tuple(f"{name}={value}" for name, value in USUAL.items() if name != without)
    return Profile(defaults, {"prepare_requests": asked, "stage_model": asked})


# By the rule's number: what the placement, or the profile, says otherwise than in a good campaign.
SHAPES: dict[int, dict[str, Any] | Profile] = {
    1: {"qos": "cpu-normal"},
    2: cpu_job(**ON_GPUS),
    3: {"nodes": 2},
    4: profile(slurm_extra="'--gpus-per-node=a100-40gb:1,a100_80gb:1'"),
    5: profile(gres="gpus:1", slurm_extra=NO_GPUS),
    6: profile(gres="shard:1", slurm_extra=NO_GPUS),
    7: {"gpu": "a100_40gb"},
    8: {"gpus_per_node": 7},
    9: cpu_job(**ON_GPUS, nodes="1", gres="gpu:a100_80gb:1", mem_mb="0"),
    10: profile(tasks="22", cpus_per_task="1"),
    11: {"cpus_per_gpu": 32},
    12: {"mem_per_node": 98},
    13: {"partition": None},
    14: {"partition": "aa100,acpu"},
    15: cpu_job(without="qos"),
    16: {"qos": "gpu-normal,gpu-long"},
    17: cpu_job(without="runtime"),
    18: {"walltime": "2000m"},
    19: {"qos": "gpu-long", "walltime": "100m"},
    20: {"gpu": None, "gpus_per_node": 0, "qos": "gpu-normal"},
    21: {"partition": "aa100,al40"},
}

GOOD_SHAPES: list[dict[str, Any] | Profile] = [
    *({"gpus_per_node": count, "mem_per_node": 76 * count} for count in (1, 2, 3)),
    *({"walltime": walltime} for walltime in ("1m", "4h", "1440m", "24h")),
    {"cpus_per_gpu": 20},
    *(profile(tasks=str(tasks), cpus_per_task=str(cores)) for tasks, cores in ((7, 3), (21, 1))),
    cpu_job(**ON_GPUS, nodes="1", cpus_per_task="21", slurm_extra="'--gpus-per-node=a100-40gb:1'"),
    {"gpus_per_node": 2},
    {"gpu": None},
    profile(mem_mb="0"),
    profile(mem_mb_per_cpu="3840"),
    profile(tasks="2", cpus_per_task="1"),
    cpu_job(),
    cpu_job(runtime="1440"),
    cpu_job(nodes="1", cpus_per_task="32"),
    cpu_job(mem_mb="200000"),
]


def raw(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """A campaign as its file has it, with a placement that is otherwise."""
    placement = place(cpus_per_gpu=8, mem_per_node=30, walltime="1h") | changes
    gpus = max(1, placement["gpus_per_node"])
    model = {"source": str(folder / "model"), "tensor_parallel": gpus, "pipeline_parallel": placement["nodes"]}
    dataset = {"files": [str(folder / "p.jsonl")], "prompt": "{{ prompt }}", "models": ["m"]}
    models = {"m": {**model, "placement": placement}}
    return {"campaign": "x", "account": "ucb-general", "models": models, "datasets": {"d": dataset}}


@pytest.fixture
def plan(with_rules: None, shared: Path) -> Callable[[dict[str, Any] | Profile], Diagnosis]:
    """Plans a campaign with a placement or a profile that is otherwise."""
    model = shared / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (model / "model.safetensors").write_bytes(b"weights")
    (shared / "p.jsonl").write_text('{"prompt": "hello"}\n')

    def make(shape: dict[str, Any] | Profile) -> Diagnosis:
        changes, given = ({}, shape) if isinstance(shape, Profile) else (shape, profile())
        placement = place(cpus_per_gpu=8, mem_per_node=30, walltime="1h") | changes
        gpus = max(1, placement["gpus_per_node"])
        settings = {
            "source": str(model),
            "tensor_parallel": gpus,
            "pipeline_parallel": placement["nodes"],
            "placement": placement,
        }
        datasets = {"d": {"files": [str(shared / "p.jsonl")], "prompt": "{{ prompt }}", "models": ["m"]}}
        raw = {"campaign": "x", "site": "alpine", "account": "ucb-general", "models": {"m": settings}, "datasets": datasets}
        return diagnose(CampaignConfig.model_validate(raw), profile=given)

    return make


def key_of(shape: dict[str, Any] | Profile) -> str:
    """What a refusal of this shape begins with."""
    in_profile = isinstance(shape, Profile) and "bring_up" not in shape.overrides
    return (
        "default-resources of the profile, for prepare_requests: " if in_profile else "models.m.placement"
    )  # and the key that the table knows


def test_the_plan_refuses_all_rules_in_the_sites_words(plan: Callable[[dict[str, Any] | Profile], Diagnosis]) -> None:
    assert list(SHAPES) == list(REFUSED)
    refusals = {number: plan(shape).refusals for number, shape in SHAPES.items()}
    silent = {
        number: lines
        for number, lines in refusals.items()
        if not any(line.startswith(key_of(SHAPES[number])) and REFUSED[number][1] in line for line in lines)
    }
    assert silent == {}


def test_the_plan_passes_good_jobs_and_says_when_they_start(plan: Callable[[dict[str, Any] | Profile], Diagnosis]) -> None:
    assert len(GOOD_SHAPES) == len(GOOD)
    plans = [plan(shape) for shape in GOOD_SHAPES]
    assert [found.refusals for found in plans if found.refusals] == []
    assert all(found.slurm.trials["m"].starts_at for found in plans)


def test_a_client_that_finds_no_controller(
    plan: Callable[[dict[str, Any] | Profile], Diagnosis], shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan goes on in seconds, by the dated table, and says so once. (sbatch alone looks for a controller for 63 s.)"""
    conf = (lab.ROOT / "etc" / "slurm.conf").read_text()
    (shared / "slurm.conf").write_text(re.sub(r"^SlurmctldPort=.*$", "", conf, flags=re.MULTILINE) + "\nSlurmctldPort=9\n")
    monkeypatch.setenv("SLURM_CONF", str(shared / "slurm.conf"))
    run_checks.this_site.cache_clear()
    began = time.monotonic()
    found = plan({"nodes": 2})
    took = time.monotonic() - began
    run_checks.this_site.cache_clear()
    assert took < 5
    assert [warning for warning in found.warnings if "Slurm did not say" in warning] == [
        "site: Slurm did not say whether it takes an allocation of m, prepare_requests, stage_model (sbatch said nothing for 3 s); "
        f"the plan rests on {load_table('alpine').source}"
    ]
    assert any("at most 1 node" in line for line in found.refusals)  # the table's own rule


def test_the_command_quotes_the_site(plan: Callable[[dict[str, Any] | Profile], Diagnosis], shared: Path) -> None:
    """As people run it: words, key, remedy and exit status; then a campaign that passes, with its estimate."""
    shutil.copytree(REPOSITORY / "profiles", shared / "profiles")
    (shared / "c.yaml").write_text(yaml.safe_dump(raw(shared, {"qos": "gpu-long"}) | {"engine": str(STUB)}))
    done = subprocess.run(["campaign", "plan", "c.yaml"], capture_output=True, text=True, timeout=60, check=False)
    told = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert (
        'models.m.placement: Slurm refuses an allocation of m: "The requested runtime of the gpu-long QoS must be greater than '
        '1440 minutes."; a longer placement.walltime'
    ) in told
    (shared / "c.yaml").write_text(yaml.safe_dump(raw(shared, {}) | {"engine": str(STUB)}))
    done = subprocess.run(["campaign", "plan", "c.yaml"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"m: Slurm would start it .+ on c3gpu-a9-u\d+\.", " ".join(done.stdout.split()))
    assert lab.squeue("--name=campaign-plan") == []


def test_the_benchmark_of_asking_finds_what_it_measures(shared: Path) -> None:
    """Its figures say nothing here. It ends by itself where a plan does not tell whether Slurm answered."""
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks" / "plan_slurm.py"))
    benchmark["campaign"](shared)
    taken = benchmark["measure"](shared, 1)
    assert set(taken) == {"Slurm answers", "no sbatch", "nothing listens", "nobody's address", "no word"}
