"""A cluster of owners: QoS by a pattern of names, jobs that are preempted, nothing that is billed."""

from collections.abc import Callable

import pytest

from campaign.accounting import jobs
from campaign.config import CampaignConfig, ModelConfig
from campaign.plan.placement.feasibility import diagnose_model
from campaign.site import live, price
from campaign.site.table import load_table
from campaign.slurm import resources, sacct

TABLE = load_table("blanca")
QOS = "preemptable|1.0|1-00:00:00||||\nblanca-shirts|1.0|7-00:00:00|||00:00:00|\nshort|1.0|||||\npreemptable|1.0|1-00:00:00|||00:01:30|"
PARTITION = "PartitionName=blanca-curc-gpu AllowQos=ALL MaxTime=7-00:00:00 State=UP\n"


def model(**placement: object) -> ModelConfig:
    where = {"partition": "blanca-curc-gpu", "gpu": "a100", "nodes": 2, "gpus_per_node": 3, "walltime": "8h"}
    return ModelConfig.model_validate(
        {"source": "m", "pipeline_parallel": 2, "tensor_parallel": 3, "placement": where | placement}
    )


def read() -> live.Site:
    partitions, nodes = live.parse_partitions(PARTITION), live.parse_nodes(2 * "blanca-curc-gpu|64|245760|gpu:a100:3\n")
    return live.merge(TABLE, partitions, nodes, live.parse_qos(QOS), frozenset(), (), "Slurm, today")


def rules(settings: ModelConfig, site: live.Site) -> set[str]:
    return {problem.rule for problem in diagnose_model("m", settings, None, site) if not problem.warning}


def test_a_group_has_a_qos_of_its_name() -> None:
    assert rules(model(qos="blanca-shirts", walltime="7d"), TABLE) == set()
    assert rules(model(qos="blanka-shirts"), TABLE) == {"qos"}
    assert rules(model(qos="preemptable", walltime="7d"), TABLE) == {"walltime"}


def test_what_slurm_tells_goes_before_the_pattern() -> None:
    known = read()
    assert rules(model(qos="blanca-shirts"), known) == set()
    assert rules(model(qos="blanca-nobody"), known) == {"qos"}  # there is none of that name


def test_only_jobs_that_the_file_says_so_of_are_preempted() -> None:
    """A grace is told of every QoS, 0 s of most; Slurm's own number goes before the file's."""
    known = read()
    assert [known.qos[name].grace_s for name in ("preemptable", "blanca-shirts", "short")] == [90.0, None, None]
    warned = [problem for problem in diagnose_model("m", model(), None, TABLE) if problem.rule == "preemption"]
    assert [problem.warning for problem in warned] == [True]
    assert "2m" in warned[0].reason
    assert not [
        problem for problem in diagnose_model("m", model(qos="blanca-curc"), None, TABLE) if problem.rule == "preemption"
    ]


def test_hours_stand_in_for_the_bill(stub_config: Callable[..., CampaignConfig]) -> None:
    """Slurm bills a core each where nobody gave weights; that is nobody's price."""
    assert price.su_per_hour(model(), TABLE) == 6.0
    run = sacct.JobRun("1", "n", "preemptable", "REQUEUED", 0.0, 0.0, 1800.0, 1800, 3600, 64.0, 6, 2, None, None, "m", 0)
    row = jobs.billed_row(run, [], 1.0, None, sacct.GPU_HOURS)
    assert (row["su"], row["unit"], row["billing"]) == (3.0, "GPU-hours", 64.0)
    assert jobs.billed_row(run, [], 1.0, None, sacct.NODE_HOURS)["su"] == 1.0
    on_cpus, on_gpus = (
        stub_config(site="blanca", models={"stub": {"source": "m", "placement": {"gpus_per_node": count}}}) for count in (0, 1)
    )
    assert [resources.unit_of_bill(config) for config in (on_cpus, on_gpus)] == ["node-hours", "GPU-hours"]
    assert resources.unit_of_bill(stub_config(site="alpine")) == "SU"


@pytest.mark.parametrize("phase", ["bring_up", "hold"])
def test_features_are_asked_for(stub_config: Callable[..., CampaignConfig], phase: str) -> None:
    one, other = ({"source": "m", "placement": {"constraint": features}} for features in ("A100&rh8", None))
    config = stub_config(site="blanca", models={"stub": one, "other": other})
    assert [resources.of_phase(config, name, phase)["constraint"] for name in ("stub", "other")] == ["A100&rh8", ""]
    assert "constraint" not in resources.of_phase(stub_config(site="blanca", models={"stub": other}), "stub", phase)
