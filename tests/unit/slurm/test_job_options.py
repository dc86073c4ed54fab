"""The options a job will be submitted with. That they are the plugin's: tests/workflow/test_submission.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.resources import Resources
from snakemake_executor_plugin_slurm import ExecutorSettings

from campaign.config import CampaignConfig
from campaign.controller.context import Context
from campaign.core.errors import ClusterError
from campaign.slurm import job_options
from campaign.slurm.job_options import Profile, allocation, cpu_job, handed_down, read_profile
from support.slurm_plugin import command

PROFILE = """
executor: slurm
default-resources:
  site: alpine
  slurm_partition: acpu
  qos: cpu-normal
  runtime: 2h
  mem_mb: 3800
set-resources: {stage_model: {mem_mb: 9000, qos: cpu-long}}
set-threads: {prepare_requests: 4}
slurm-requeue: REQUEUE
slurm-reservation: class
"""


@pytest.fixture
def profile(in_tmp: Path) -> Callable[[str], Profile]:
    def make(requeue: str = "true") -> Profile:
        (in_tmp / "config.yaml").write_text(PROFILE.replace("REQUEUE", requeue))
        read = read_profile(in_tmp)
        assert read is not None
        return read

    return make


@pytest.fixture
def campaign(stub_config: Callable[..., CampaignConfig], model_folder: Path) -> CampaignConfig:
    placement = {"partition": "aa100", "gpu": "a100-40gb", "gpus_per_node": 2, "cpus_per_gpu": 4, "walltime": "8h"}
    return stub_config(
        site="alpine",
        account="ucb",
        models={"stub": {"source": str(model_folder), "tensor_parallel": 2, "placement": placement}},
    )


def given(options: tuple[str, ...], name: str) -> str | None:
    """An option's value, which is a word of its own or stands behind an equals sign."""
    for word, following in zip(options, (*options[1:], ""), strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def test_jobs_of_a_profile(campaign: CampaignConfig, profile: Callable[..., Profile], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {
        "allocation": allocation(campaign, "stub", profile()),
        "prepare": cpu_job(campaign, "prepare_requests", "d", profile()),
        "stage": cpu_job(campaign, "stage_model", "stub", profile()),
    }
    table = {
        name: [
            given(job.options, option) for option in ("-A", "-p", "-t", "--qos", "--mem", "--cpus-per-task", "--reservation")
        ]
        for name, job in jobs.items()
    }
    assert table == {
        "allocation": ["ucb", "aa100", "480", "gpu-normal", "30720", "4", "class"],
        "prepare": ["ucb", "acpu", "120", "cpu-normal", "3800", "4", "class"],
        "stage": ["ucb", "acpu", "120", "cpu-long", "9000", "1", "class"],
    }
    assert given(jobs["allocation"].options, "--gpus-per-node") == "a100-40gb:2"
    assert all("--requeue" in job.options for job in jobs.values())


def test_a_setting_that_is_off(campaign: CampaignConfig, profile: Callable[..., Profile]) -> None:
    assert "--requeue" not in allocation(campaign, "stub", profile("false")).options


def test_what_the_plugin_would_not_submit(campaign: CampaignConfig, profile: Callable[..., Profile]) -> None:
    for assigned, said in {"slurm_extra='--mem=5'": "slurm_extra", "tasks=1": "greater than 1", "nodes=-1": "positive"}.items():
        wrong = Profile(profile().defaults, {"bring_up": (assigned,)})
        with pytest.raises(ClusterError, match=said):
            allocation(campaign, "stub", wrong)


@pytest.mark.processes
def test_no_command_of_slurm_is_run(campaign: CampaignConfig, in_tmp: Path) -> None:
    """Imported as a whole, the plugin asks scontrol, and waits 10 s for a controller that does not answer."""
    for name in ("scontrol", "sinfo", "squeue", "sacct", "sacctmgr"):
        command(in_tmp, name, "echo $0 >> called")
    (in_tmp / "c.json").write_text(campaign.model_dump_json())
    ask = (
        "from pathlib import Path; from campaign.config import load_resolved; from campaign.slurm.job_options import *; "
        "print(allocation(load_resolved(Path('c.json')), 'stub', Profile()).options)"
    )
    environment = {**os.environ, "PATH": f"{in_tmp}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=environment, check=False)
    assert "--gpus-per-node=a100-40gb:2" in done.stdout, done.stderr
    assert not (in_tmp / "called").exists()


@pytest.mark.processes
def test_what_only_the_job_can_tell_is_no_refusal(campaign: CampaignConfig, profile: Callable[..., Profile]) -> None:
    known_later = Profile((*profile().defaults, "tasks=len(input.files)"))
    with pytest.raises(ValueError, match=r"tasks=len\(input.files\) is known only with the job"):
        cpu_job(campaign, "prepare_requests", "d", known_later)
    grows = Profile(tuple(word for word in profile().defaults if not word.startswith("mem_mb")))
    assert given(cpu_job(campaign, "prepare_requests", "d", grows).options, "--mem") == "1000"  # Snakemake's own default


def test_a_folder_without_a_profile(in_tmp: Path) -> None:
    assert read_profile(in_tmp / "profiles" / "none") is None
    (in_tmp / "config.yaml").write_text("a: [")
    with pytest.raises(ClusterError, match=r"config\.yaml"):
        read_profile(in_tmp)


@pytest.mark.processes  # the plugin's settings look for sacct
def test_snakemake_tells_the_same_as_its_profile(profile: Callable[..., Profile], monkeypatch: pytest.MonkeyPatch) -> None:
    """What Snakemake has parsed, asked of its internals, and handed down to a phase."""
    read = profile()
    parse: Any = lambda args: Resources.parse(list(args), allow_expressions=True)  # noqa: E731
    known = SimpleNamespace(
        default_resources=parse(read.defaults),
        _parsed_default_resources=parse(read.defaults),
        _parsed_overwrite_resources={rule: parse(args) for rule, args in read.overrides.items()},
        _parsed_overwrite_threads={rule: SimpleNamespace(value=count) for rule, count in read.threads.items()},
    )
    settings = ExecutorSettings(requeue=True, reservation="class")
    context = Context(SimpleNamespace(modifier=None, resource_settings=known, executor_settings=settings)).profile
    assert context is not None
    assert set(context.defaults) == {word.replace("2h", "120") for word in read.defaults}
    assert {rule: set(args) for rule, args in context.overrides.items()} == {"stage_model": set(read.overrides["stage_model"])}
    assert context.threads == read.threads
    assert {name: context.settings[name] for name in read.settings} == dict(read.settings)
    monkeypatch.setenv(job_options._VARIABLE, "")
    assert handed_down() is None
    context.hand_down()
    told = handed_down()
    assert told is not None
    assert (tuple(told.defaults), told.settings) == (context.defaults, context.settings)
