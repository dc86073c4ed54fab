"""What Slurm prints about a cluster, read; and what the table adds to it."""

from pathlib import Path

import pytest

from campaign.site import live
from campaign.site.cluster_records import PartitionRules, QosRules
from campaign.site.table import load_table

PARTITIONS = """\
PartitionName=aa100 AllowGroups=ALL AllowAccounts=ALL AllowQos=gpu-normal,gpu-long MaxTime=7-00:00:00 DefMemPerCPU=3840 \
MaxMemPerCPU=3840 MaxNodes=2 MaxCPUsPerNode=32 TRESBillingWeights=CPU=0.5,Mem=0.141G,GRES/gpu:a100-40gb=108.6,GRES/gpu:a100_80gb=130.396 State=UP
PartitionName=acpu AllowGroups=ALL AllowQos=ALL MaxTime=UNLIMITED MaxNodes=4 MaxCPUsPerNode=UNLIMITED DefMemPerCPU=3840 \
TRESBillingWeights=CPU=0.5 State=UP
"""
NODES = """\
aa100|64|245760|gpu:a100-40gb:3(S:0-1)
aa100|64|245760|gpu:a100_80gb:3(S:0,1)
aa100|64|240000+|gpu:a100-40gb:1,gpu:a100_3g.20gb:4
acpu|128|491520|(null)
"""
QOS = """\
gpu-normal|1.000000|1-00:00:00|gres/gpu:a100-40gb=6,gres/gpu:a100_80gb=3|1000
gpu-testing|0.100000|01:00:00|cpu=64,gres/gpu=1|5
normal|1.000000|||
"""
CONFIG = "PriorityDecayHalfLife   = 7-00:00:00\nPriorityFlags           = MAX_TRES,CALCULATE_RUNNING\n"
RESERVATIONS = """\
ReservationName=maint_dec StartTime=1796000000 EndTime=1796040000 Duration=11:06:40 Nodes=ALL Flags=MAINT,IGNORE_JOBS,ALL_NODES
ReservationName=course StartTime=1796000000 EndTime=1796040000 Nodes=c3gpu-c2-u13 Flags=SPEC_NODES
"""


@pytest.fixture
def site() -> live.Site:
    return live.merge(
        load_table("alpine"),
        live.parse_partitions(PARTITIONS),
        live.parse_nodes(NODES),
        live.parse_qos(QOS),
        live.parse_priority_flags(CONFIG),
        live.parse_reservations(RESERVATIONS),
        "Slurm, today",
    )


def test_partitions(site: live.Site) -> None:
    gpus, cpus = site.partitions["aa100"], site.partitions["acpu"]
    assert (gpus.nodes, gpus.cores, gpus.mib_per_core, gpus.max_seconds) == (3, 64, 3840.0, 7 * 86400.0)
    assert gpus.gpus == {"a100-40gb": 3, "a100_80gb": 3, "a100_3g.20gb": 4}
    assert gpus.weights == {"cpu": 0.5, "mem": 0.141, "gres/gpu:a100-40gb": 108.6, "gres/gpu:a100_80gb": 130.396}
    assert gpus.qos == ("gpu-normal", "gpu-long")
    assert gpus.source == "Slurm, today"
    assert (cpus.max_seconds, cpus.qos, dict(cpus.gpus)) == (None, None, {})
    assert cpus.nodes_of(None) == 0


def test_qos(site: live.Site) -> None:
    assert site.qos["gpu-normal"].max_seconds == 86400.0
    assert site.gpu_limit("gpu-normal", "a100-40gb") == 6
    assert site.gpu_limit("gpu-normal", "h200") is None
    assert site.gpu_limit("gpu-testing", "h200") == 1  # all types together
    assert site.qos["gpu-testing"].usage_factor == 0.1
    assert site.qos["normal"].jobs_per_user is None
    assert site.allows("aa100", "gpu-normal")
    assert not site.allows("aa100", "gpu-testing")  # the partition says so, whatever the table has
    assert site.allows("acpu", "normal")


def test_rules_that_slurm_does_not_report_are_the_tables(site: live.Site) -> None:
    """And Slurm's own limits of a job go before them where they are lower."""
    assert site.partitions["aa100"].rules == PartitionRules(nodes=1, cores=32, gpus_only=True)
    assert site.partitions["acpu"].rules == PartitionRules(nodes=4)
    assert site.qos["gpu-normal"].rules == QosRules(over_limit=True)
    assert site.qos["normal"].rules == QosRules()  # the table has no such QoS


def test_maintenance_and_flags(site: live.Site) -> None:
    (window,) = site.maintenance
    assert (window.name, window.start) == ("maint_dec", 1796000000.0)
    assert "MAX_TRES" in site.priority_flags


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:00", 1800),
        ("24:00:00", 86400),
        ("1-00:00:00", 86400),
        ("2-12", 216000),
        ("UNLIMITED", None),
        ("", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert live.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("CPU=1.0,Mem=0.25G", {"cpu": 1.0, "mem": 0.25}),
        ("Mem=0.0001M", {"mem": pytest.approx(0.1024)}),
        ("Mem=1", {"mem": 1024.0}),
        ("GRES/gpu=10,Node=x", {"gres/gpu": 10.0}),
        ("", {}),
    ],
)
def test_weights(text: str, weights: dict[str, float]) -> None:
    assert live.parse_weights(text) == weights


def test_gpus_of_a_node() -> None:
    assert live.parse_gres("gpu:h200:2(S:0-3),gpu:h200_3g.71gb:4,tmpdisk:9") == {"h200": 2, "h200_3g.71gb": 4}
    assert live.parse_gres("gpu:4") == {"gpu": 4}
    assert live.parse_gres("(null)") == {}


@pytest.mark.processes
def test_without_slurm_the_table_serves(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(in_tmp))
    table = load_table("alpine")
    assert live.current_site(table, patience=0.0) is table
    assert "The plan rests on the table of 2026" in caplog.text


@pytest.mark.processes
def test_a_slurm_that_is_not_installed_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    table = load_table("alpine")
    assert live.current_site(table, patience=60.0) is table
    assert "`scontrol show partition --oneliner` failed: " in caplog.text
