"""What vLLM keeps in the memory of a GPU node, by its flags: weights and parts of the KV cache that left the GPUs. Pure."""

import math
from collections.abc import Iterator

from campaign.plan.diagnostic import Diagnostic
from campaign.plan.placement.cluster_limits import PlacedModel
from campaign.slurm import resources

_BESIDE_GIB = 8  # for the engine's processes, in the remedy


def offloaded(placed: PlacedModel) -> Iterator[Diagnostic]:
    """More of it than the job has memory: Slurm ends the server while it loads.

    vLLM 0.32, config/offload.py and config/cache.py: cpu-offload-gb is of each GPU, kv-offloading-size of all; both GiB.
    """
    placement, flags = placed.placement, placed.model.vllm
    if not placement.gpus_per_node:
        return
    weights, cache = (_number(flags.get(name)) for name in ("cpu_offload_gb", "kv_offloading_size"))
    needed = weights * placement.gpus_per_node + cache / placement.nodes
    mib = resources.mib_per_node(placed.model, placed.site.job_defaults)
    if needed * 1024 < mib:
        return
    named = "cpu-offload-gb" if weights else "kv-offloading-size"
    reason = f"{mib / 1024:g} GiB of each node, and vllm.{named} keeps {needed:g} GiB there"
    most = placed.partition.cores * placed.partition.mib_per_core / 1024
    enough = math.ceil(needed) + _BESIDE_GIB
    remedy = f"use {enough} or more" if enough <= most else f"offload less: a node of {placed.partition.name} has {most:g}"
    yield Diagnostic(f"{placed.key}.mem_per_node", "offload", reason, remedy)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
