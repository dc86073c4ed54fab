"""How fast a server would be, where nothing was measured yet: a roofline of one decoding step. Pure.

A step makes one token of each running sequence. It lasts as long as reading the weights and the KV cache from memory, or as
the multiplications (2 operations per parameter and token: Kaplan et al. 2020, arXiv:2001.08361, section 2.1), the longer,
plus what tensor parallelism sends: two all-reduces a layer of 2(n-1)/n hidden vectors (Shoeybi et al. 2019, arXiv:1909.08053).
Real servers reach a part of that: the shares below are assumptions. The whole is taken to be good to a factor of two (`SPREAD`;
Llama 70B on four A100 of vllm issue 12315 lies within, as do four models on an H100, tests/data/measured), and says so:
the first campaign's own numbers take its place.
"""

from campaign.config import ModelConfig
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata
from campaign.site.model import Gpu, Partition

SPREAD = 2.0  # the truth is within rate / SPREAD and rate x SPREAD
_MEMORY_SHARE, _COMPUTE_SHARE = 0.6, 0.4
_IN_NODE = 20e9  # bytes/s of an all-reduce inside a node: PCIe 4.0 x16, as no site file tells of NVLink
_LATENCY_S = (20e-6, 100e-6)  # of a collective inside a node, and over Ethernet
_STEP_S = 2e-3  # sampling and launches of one step
# The host's part of a step, for each sequence: it runs while the GPU computes, and bounds small models. Qwen2.5-0.5B on an H100
# (vLLM 0.25.1, 2026-11, tests/data/measured): 256 sequences took 8.5 ms a step, of which the GPU needed less than 1.5.
_SEQUENCE_S = 22e-6
_MOST_SEQUENCES = 256  # vLLM's max_num_seqs
_PREFILL_SHARE = 0.5


def modelled_requests_per_s(
    metadata: ModelMetadata,
    memory: MemoryEstimate,
    model: ModelConfig,
    gpu: Gpu,
    partition: Partition,
    prompt_tokens: float,
    output_tokens: float,
) -> float:
    """Requests per second of one allocation, all of its replicas together, at requests of these mean lengths."""
    tensor, stages = model.tensor_parallel, model.pipeline_parallel
    architecture = metadata.architecture
    length = prompt_tokens + output_tokens / 2
    sequences = max(1, int(min(_MOST_SEQUENCES, memory.kv_tokens / max(1.0, prompt_tokens + output_tokens))))
    micro = max(1, sequences // stages)  # the stages work on different sequences at the same time
    touched = min(1.0, micro * architecture.active_parameters / architecture.parameters)  # experts some sequence needs
    read = (memory.weights_per_gpu * max(touched, architecture.active_parameters / architecture.parameters)
            + micro * length * memory.kv_per_token)  # fmt: skip
    multiply = 2 * architecture.active_parameters / stages / tensor * micro
    compute = max(read / (gpu.bandwidth * _MEMORY_SHARE), multiply / (gpu.flops * _COMPUTE_SHARE))
    step = max(compute + _sending(metadata, model, partition, micro), micro * _SEQUENCE_S) + _STEP_S
    prefill = 2 * architecture.active_parameters * prompt_tokens / (tensor * stages * gpu.flops * _PREFILL_SHARE)
    # In the time in which `micro` sequences leave the last stage, each made its output tokens, and as many were prefilled.
    return model.data_parallel * micro / (max(1.0, output_tokens) * step + micro * prefill)


def _sending(metadata: ModelMetadata, model: ModelConfig, partition: Partition, micro: int) -> float:
    """Seconds of a step in which a stage exchanges activations."""
    tensor, architecture = model.tensor_parallel, metadata.architecture
    vector = micro * architecture.hidden * 2  # bytes, 16 bit
    across = tensor > max(1, model.placement.gpus_per_node)
    handed_on = 0.0 if model.pipeline_parallel == 1 else vector / partition.link + _LATENCY_S[1]
    if tensor == 1:
        return handed_on
    link, latency = (partition.link, _LATENCY_S[1]) if across else (_IN_NODE, _LATENCY_S[0])
    layers = architecture.layers / model.pipeline_parallel
    return handed_on + 2 * layers * (2 * (tensor - 1) / tensor * vector / link + latency)


def load_seconds(weight_bytes: int, nodes: int) -> float:
    """Seconds from a job's start to the first answer, where none was measured.

    A minute and a half for processes, Ray and compiled graphs, and the weights at 0.5 GB/s a node from the shared file system:
    671 GB in 30 to 40 minutes on Lustre (a published figure) are 0.3 GB/s for one reader.
    """
    return 90.0 + weight_bytes / (0.5e9 * nodes)
