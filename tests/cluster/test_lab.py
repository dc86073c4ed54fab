"""The lab itself: what the other tests of this folder rely on holds."""

from support import lab as cluster


def accounted(job: str, state: str) -> list[dict[str, str]]:
    """The rows of a job once sacct, which lags behind squeue, has it in `state`."""
    columns = "JobID,State,AllocTRES"
    cluster.wait(lambda: cluster.sacct(job, columns)[-1]["State"] == state, 15, f"sacct having job {job} as {state}")
    return cluster.sacct(job, columns, "--duplicates")


def test_every_node_is_idle_with_its_gpus(lab: None) -> None:
    rows = {tuple(line.split()) for line in cluster.sinfo("--Node", "--format=%N %P %T %G")}
    assert rows == {(name, "aa100", "idle", "gpu:a100-40gb:3") for name in cluster.GPU_NODES} | {
        (name, "acpu*", "idle", "(null)") for name in cluster.CPU_NODES
    }
