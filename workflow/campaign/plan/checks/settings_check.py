"""Settings that start a server, and then make its answers worthless, or keep its GPUs from talking to each other."""

from collections.abc import Iterator
from pathlib import Path

from campaign.config import ModelConfig
from campaign.plan.diagnostic import Diagnostic

# What names GPUs of a node: Slurm does for every job, and a job sees no others.
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def odd_settings(name: str, model: ModelConfig, *, on_slurm: bool) -> Iterator[Diagnostic]:
    """Warn of a model's flags and variables that seldom do what they are meant for."""
    key = f"models.{name}"
    if model.vllm.get("load_format") == "dummy":
        reason = "dummy: the server has random weights, and its answers mean nothing"
        yield Diagnostic(f"{key}.vllm.load_format", "dummy", reason, "remove it, unless speed alone is measured", warning=True)
    if model.revision is not None and Path(model.source).is_dir():
        reason = f"{model.revision!r}: {model.source} is a folder, which has no other revisions"
        yield Diagnostic(f"{key}.revision", "revision", reason, "remove it, or name the model of the hub", warning=True)
    if not on_slurm or not model.placement.gpus_per_node:
        return
    for variable in _DEVICES:
        if variable in model.env:
            reason = f"{model.env[variable]!r}: Slurm says which GPUs a job has, and numbers them from 0"
            remedy = "remove it: vLLM takes the GPUs of its placement"
            yield Diagnostic(f"{key}.env.{variable}", "devices", reason, remedy, warning=True)
    together = model.replica_gpus * model.data_parallel > 1
    for variable in _INTERFACES if together else ():
        if variable in model.env:
            reason = f"{model.env[variable]!r}: the server does not start on a node that has no network interface of that name"
            remedy = "remove it: the interface of Slurm's addresses is taken, or ray.interface"
            yield Diagnostic(f"{key}.env.{variable}", "interface", reason, remedy, warning=True)
    if model.placement.nodes > 1 and "VLLM_HOST_IP" in model.env:
        reason = "it would be the same on every node, and each needs its own address"
        yield Diagnostic(f"{key}.env.VLLM_HOST_IP", "host_ip", reason, "remove it: the workflow sets it on each node")
