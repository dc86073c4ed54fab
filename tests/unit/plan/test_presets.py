"""Every preset fits Alpine, and asks sbatch for what it says."""

from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_executor_plugin_slurm.submit_string import get_submit_command

from campaign.plan.placement.feasibility import diagnose_model
from campaign.plan.variants import sweep
from campaign.site.price import su_per_hour
from campaign.site.table import load_table
from campaign.slurm import resources
from support.architectures import metadata
from support.presets import ARCHITECTURES, names, preset

SITE = load_table("alpine")

LINES = {
    "demo": (
        "-A ucb-general -p aa100 -t 30 --qos=gpu-testing --mem 30720 --nodes=1 --ntasks=2 --cpus-per-task=4",
        "a100_3g.20gb:1",
    ),
    "llama-3.1-8b": (
        "-A ucb-general -p aa100 -t 480 --qos=gpu-normal --mem 30720 --nodes=1 --ntasks=2 --cpus-per-task=4",
        "a100-40gb:1",
    ),
    "llama-3.1-70b": (
        "-A ucb-general -p ah200 -t 720 --qos=gpu-normal --mem 122880 --nodes=1 --ntasks=2 --cpus-per-task=16",
        "h200:2",
    ),
    "llama-3.1-70b-fp8": (
        "-A ucb-general -p aa100 -t 720 --qos=gpu-normal --mem 61440 --nodes=1 --ntasks=2 --cpus-per-task=8",
        "a100_80gb:2",
    ),
    "llama-3.1-70b-awq": (
        "-A ucb-general -p aa100 -t 720 --qos=gpu-normal --mem 61440 --nodes=1 --ntasks=2 --cpus-per-task=8",
        "a100-40gb:2",
    ),
    "llama-3.1-405b-fp8": (
        "-A ucb-general -p ah200 -t 1440 --qos=gpu-normal --mem 245760 --nodes=1 --ntasks=2 --cpus-per-task=32",
        "h200:4",
    ),
    "mixtral-8x22b": (
        "-A ucb-general -p ah200 -t 720 --qos=gpu-normal --mem 245760 --nodes=1 --ntasks=2 --cpus-per-task=32",
        "h200:4",
    ),
}


class Resources(SimpleNamespace):
    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def test_all_presets_are_known() -> None:
    assert names() == sorted(ARCHITECTURES) == sorted(LINES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_fits(name: str) -> None:
    config = preset(name)
    ((key, model),) = config.used_models.items()
    assert diagnose_model(key, model, metadata(ARCHITECTURES[name]), SITE) == []
    assert su_per_hour(model, SITE) > 0


def test_so_do_the_variants_of_a_sweep() -> None:
    presets = {name: preset(name) for name in names()}
    swept = {name: sweep(config) for name, config in presets.items() if any(m.variants for m in config.models.values())}
    assert list(swept) == ["llama-3.1-70b"]
    for name, config in swept.items():
        assert [
            diagnose_model(key, model, metadata(ARCHITECTURES[name]), SITE) for key, model in config.used_models.items()
        ] == [[], []]


@pytest.mark.parametrize("name", LINES)
def test_what_sbatch_is_asked(name: str) -> None:
    config = preset(name)
    (model,) = config.used_models.values()
    shape = resources.shape(model, SITE.job_defaults)
    job = SimpleNamespace(
        resources=Resources(
            nodes=shape.nodes,
            tasks=shape.tasks,
            cpus_per_task=shape.cpus_per_task,
            mem_mb=shape.mem_mb,
            qos=resources.qos(model, SITE.job_defaults),
            runtime=sum(resources.runtime(model, phase) for phase in ("bring_up", "ready", "infer", "benchmark", "tear_down")),
            mpi=resources.MPI,
        ),
        threads=1,
        is_group=lambda: True,
    )
    params = {
        "run_uuid": "run",
        "slurm_logfile": "log",
        "comment_str": "comment",
        "account": f"-A {resources.account(config)}",
        "partition": f"-p {resources.partition(model)}",
        "workdir": ".",
    }
    line, gpus = LINES[name]
    assert line in get_submit_command(job, params)
    assert resources.gpus_per_node(model) == gpus
    assert resources.slurm_extra(model).endswith(f"--gpus-per-node={gpus}")
