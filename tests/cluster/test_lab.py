"""The lab itself: what the other tests of this folder rely on holds."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import lab as cluster

FIRST = cluster.GPU_NODES[0]

pytestmark = pytest.mark.whole_lab


def accounted(job: str, *states: str) -> list[dict[str, str]]:
    """All rows of a job once sacct, which lags behind squeue, has them in `states`."""

    def rows() -> list[dict[str, str]]:
        return cluster.sacct(job, "State,AllocTRES", "--duplicates")

    cluster.wait(lambda: [row["State"] for row in rows()] == list(states), 90, f"sacct having job {job} as {states}")
    return rows()


@pytest.fixture
def submit(shared: Path) -> Iterator[Callable[..., str]]:
    """`sbatch` in the shared folder; what is still there afterwards is cancelled."""
    jobs: list[str] = []

    def submit(script: str, *arguments: str) -> str:
        jobs.append(cluster.sbatch(script, *arguments, folder=shared))
        return jobs[-1]

    yield submit
    cluster.run("scancel", "--quiet", *jobs)


def test_every_node_is_idle_with_its_gpus(lab: None) -> None:
    rows = {tuple(line.split()) for line in cluster.sinfo("--Node", "--format=%N %P %T %G")}
    on_gpus, on_cpus = ("aa100", "blanca", "blanca-curc-gpu", "heron"), ("acpu*", "aspare", "blanca", "heron-cpu")
    gpu = {(name, partition, "idle", "gpu:a100-40gb:3") for name in cluster.GPU_NODES for partition in on_gpus}
    cpu = {(name, partition, "idle", "(null)") for name in cluster.CPU_NODES for partition in on_cpus}
    assert rows == gpu | cpu


def test_a_job_gets_typed_gpus_on_two_nodes_and_is_billed_for_them(submit: Callable[..., str], shared: Path) -> None:
    script = "srun --ntasks-per-node=1 bash -c 'echo $(hostname) $CUDA_VISIBLE_DEVICES; touch /tmp/of-$(hostname); ls /tmp | grep -c ^of-'"
    job = submit(script, *cluster.GPU, "--nodes=2", "--gpus-per-node=a100-40gb:2")
    assert cluster.wait_for_state(job, "COMPLETED", "FAILED") == "COMPLETED"
    assert sorted(cluster.output(job, shared).split("\n")) == sorted(
        ["", *(line for name in cluster.GPU_NODES[:2] for line in (f"{name} 0,1", "1"))]
    )
    [row] = accounted(job, "COMPLETED")
    tres = dict(part.split("=") for part in row["AllocTRES"].split(","))
    assert (tres["gres/gpu"], tres["gres/gpu:a100-40gb"], tres["node"]) == ("4", "4", "2")
    assert int(tres["billing"]) == int(4 * 108.6 + 2 * 0.5)


def test_more_gpus_than_the_qos_allows_wait(submit: Callable[..., str]) -> None:
    job = submit("true", *cluster.GPU, "--nodes=3", "--gpus-per-node=a100-40gb:3")
    cluster.wait(lambda: "QOSMaxGRESPerUser" in cluster.squeue(f"--jobs={job}", "--format=%r"), 90, "the QoS as the reason")


def test_a_process_that_a_step_leaves_is_killed_at_the_steps_end(submit: Callable[..., str], shared: Path) -> None:
    leave = "setsid sleep 98765 < /dev/null > /dev/null 2>&1 & sleep 1; touch left"
    job = submit(f"srun bash -c '{leave}'\ntouch after\nsleep 600", *cluster.GPU, f"--nodelist={FIRST}", "--gpus=a100-40gb:1")
    cluster.wait((shared / "left").exists, 90, "the step")
    cluster.wait((shared / "after").exists, 90, "the step's end")
    assert cluster.state(job) == "RUNNING"
    assert not cluster.node(FIRST).find("sleep 98765")


def test_a_requeued_job_runs_again_under_its_id_and_has_two_rows(submit: Callable[..., str], shared: Path) -> None:
    job = submit("date >> starts; sleep 600", *cluster.CPU)
    starts = shared / "starts"
    cluster.wait(starts.exists, 90, "the first start")
    cluster.scontrol("requeue", job)
    cluster.wait(lambda: len(starts.read_text().splitlines()) == 2, 90, "the second start")
    cluster.run("scancel", job)
    accounted(job, "REQUEUED", "CANCELLED by 0")


def test_a_node_without_power_is_down_and_comes_back(submit: Callable[..., str], shared: Path) -> None:
    node = cluster.node(FIRST)
    job = submit("hostname >> starts; sleep 600", *cluster.GPU, f"--nodelist={FIRST}", "--gpus=a100-40gb:1")
    cluster.wait((shared / "starts").exists, 90, "the job's start")
    node.kill_everything()
    assert node.processes() == []
    cluster.wait(lambda: node.state() == "down*", 300, "the node down")
    assert cluster.state(job) == "PENDING"  # requeued, since its node failed
    node.restart()
    assert node.processes()
    assert 6818 in node.listeners()


def start_and_kill(when: Callable[[], bool], what: str) -> None:
    """Kill up.sh, and only this one process, as soon as `when` holds: what it had running goes on."""
    half = subprocess.Popen([str(cluster.SCRIPTS / "up.sh")], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        cluster.wait(when, 90, what)
        assert half.poll() is None
    finally:
        half.kill()
        half.wait()


def test_up_survives_a_start_that_was_killed_and_down_leaves_nothing(lab: None) -> None:
    start_and_kill(lambda: not cluster.is_up(), "the end of the lab that is up")
    cluster.down()
    start_and_kill((cluster.ROOT / "database/mysql").exists, "the first files of the database")
    cluster.up(second_network=True)
    try:
        node = cluster.node(FIRST)
        first, second = re.findall(r"inet (10\.\S+)/24", node.run("ip", "-4", "addr"))
        assert (first, second) == ("10.99.0.11", "10.77.0.11")
        assert node.run("ip", "route", "show", "default").startswith("default via 10.99.0.1 ")
        cluster.down()
        assert "campaign-" not in cluster.run("ip", "netns", "list")
        assert "brcampaign" not in cluster.run("ip", "-o", "link")
        assert "campaign-lab" not in Path("/etc/hosts").read_text() + Path("/proc/mounts").read_text()
        assert not list(Path("/sys/fs/cgroup").glob("*/campaign-lab"))
    finally:
        cluster.up()
