"""How fast a server would be, where nothing was measured yet: a roofline of one decoding step. Pure.

A step makes one token of each running sequence. It lasts as long as the layers' weights take to be read, or their
multiplications (2 operations per parameter and token: Kaplan et al. 2020, arXiv:2001.08361, section 2.1), the longer; then the
KV cache is read; and tensor parallelism sends two all-reduces a layer of 2(n-1)/n hidden vectors (Shoeybi et al. 2019,
arXiv:1909.08053). Real servers reach a part of what data sheets say: the shares below were fitted to the published
measurements in tests/data/published and our own in tests/data/measured. The whole is good to a factor of two (`SPREAD`), and
says so: the first campaign's own numbers take its place.
"""

from dataclasses import dataclass

from campaign.config import ModelConfig
from campaign.plan.memory.memory_model import MemoryEstimate, ModelMetadata
from campaign.site.cluster_records import GIB, Gpu, Partition

SPREAD = 2.0  # the truth is within rate / SPREAD and rate x SPREAD
_MEMORY_SHARE, _COMPUTE_SHARE = 0.8, 0.55
_EXPERTS_SHARE = 0.4  # of that, where each expert gets a few of the tokens: its matrices are small
_LINK_SHARE = 0.4  # of a link's bandwidth, by collectives of a few MB
_PCIE = 32e9  # bytes/s one way of PCIe 4.0 x16, between GPUs without a link of their own
_LATENCY_S = (15e-6, 100e-6)  # of a collective inside a node, and over Ethernet
_STEP_S = 2e-3  # sampling and launches of one step
# The host's part of a step, for each sequence: it runs while the GPU computes, and bounds small models. Qwen2.5-0.5B on an H100
# (vLLM 0.25.1, 2026-11, tests/data/measured): 256 sequences took 8.5 ms a step, of which the GPU needed less than 1.5.
_SEQUENCE_S = 22e-6
_FILLED = 0.8  # of the KV cache by running sequences: longer ones come in when one ends, and some are computed again
# FP8 multiplications are twice as fast as 16-bit ones by the data sheets of GPUs that have them (L40, H100, RTX PRO 6000,
# MI300X), less what quantizing the activations takes. On others vLLM multiplies FP8 weights in 16 bit (0.32, Marlin kernels).
_FP8_KERNELS = ("sm89", "sm9", "sm10", "sm12", "gfx942", "gfx95")
_FP8_GAIN = 1.85


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
    length = prompt_tokens + output_tokens / 2  # of a sequence half way
    running = min(most_sequences(model, gpu), _FILLED * memory.kv_tokens / max(1.0, length))
    micro = max(1, int(running) // model.pipeline_parallel)  # the stages work on different sequences at the same time
    speed = _Speed.of(metadata, model, gpu)
    link = _link(model, gpu, partition)
    prefill = prompt_tokens * speed.operations / speed.flops
    prefill += _sending(metadata, model, link, prompt_tokens, latency=False)
    if not output_tokens:  # vectors and scores: prompts are read, and nothing is decoded
        return model.data_parallel / max(prefill, _SEQUENCE_S)
    compute = (
        max(
            _touched(metadata, micro) * memory.weights_per_gpu / speed.memory,
            micro * speed.operations / speed.flops,
        )
        + micro * length * memory.kv_per_token / speed.memory
    )
    step = max(compute + _sending(metadata, model, link, micro, latency=True), micro * _SEQUENCE_S) + _STEP_S
    # In the time in which `micro` sequences leave the last stage, each made its output tokens, and as many were prefilled.
    return model.data_parallel * micro / (max(1.0, output_tokens) * step + micro * prefill)


def most_sequences(model: ModelConfig, gpu: Gpu) -> int:
    """Sequences vLLM runs at once: max_num_seqs, or its server's default (0.32, engine/arg_utils.py, get_batch_defaults)."""
    stated = model.vllm.get("max_num_seqs")
    if isinstance(stated, int) and stated > 0:
        return stated
    large = gpu.memory >= 70 * GIB and gpu.kernels != "sm80"  # vLLM looks for `a100` in the device's name
    return 1024 if large else 256


@dataclass(frozen=True)
class _Speed:
    """What a GPU does in a second, and what one token asks of it."""

    memory: float  # bytes/s
    flops: float
    operations: float  # of a token on one GPU

    @classmethod
    def of(cls, metadata: ModelMetadata, model: ModelConfig, gpu: Gpu) -> "_Speed":
        architecture = metadata.architecture
        flops = gpu.flops * _COMPUTE_SHARE * (_FP8_GAIN if _multiplies_in_fp8(metadata, model, gpu) else 1.0)
        if architecture.has_experts:
            flops *= _EXPERTS_SHARE
        operations = 2 * architecture.active_parameters / model.pipeline_parallel / model.tensor_parallel
        return cls(gpu.bandwidth * _MEMORY_SHARE, flops, operations)


def _multiplies_in_fp8(metadata: ModelMetadata, model: ModelConfig, gpu: Gpu) -> bool:
    stored = metadata.architecture.quantization
    in_8_bits = str(model.quantization).startswith(("fp8", "mxfp8")) if stored is None else stored.multiplies_in_8_bits
    return in_8_bits and gpu.kernels.startswith(_FP8_KERNELS)


def _touched(metadata: ModelMetadata, micro: int) -> float:
    """The part of the weights that some sequence of a step needs: a few sequences do not need all experts."""
    architecture = metadata.architecture
    return min(1.0, micro * architecture.active_parameters / architecture.parameters)


@dataclass(frozen=True)
class _Link:
    """How GPUs of tensor parallelism reach each other, and how a stage reaches the next."""

    collective: float  # bytes/s
    latency: float
    next_stage: float
    next_latency: float


def _link(model: ModelConfig, gpu: Gpu, partition: Partition) -> _Link:
    inside = (gpu.link or _PCIE) * _LINK_SHARE
    per_node = max(1, model.placement.gpus_per_node)
    across = model.tensor_parallel > per_node
    over = model.tensor_parallel * model.pipeline_parallel > per_node
    return _Link(
        partition.link if across else inside,
        _LATENCY_S[across],
        partition.link if over else inside,
        _LATENCY_S[over],
    )


def _sending(metadata: ModelMetadata, model: ModelConfig, link: _Link, vectors: float, *, latency: bool) -> float:
    """Seconds in which a stage exchanges the activations of so many tokens. `latency`: they are few, and it counts."""
    tensor, architecture = model.tensor_parallel, metadata.architecture
    size = vectors * architecture.hidden * 2  # bytes, 16 bit
    seconds = 0.0
    if model.pipeline_parallel > 1:
        seconds += size / link.next_stage + latency * link.next_latency
    if tensor > 1:
        layers = architecture.layers / model.pipeline_parallel
        seconds += 2 * layers * (2 * (tensor - 1) / tensor * size / link.collective + latency * link.latency)
    return seconds


def load_seconds(weight_bytes: int) -> float:
    """Seconds from a job's start to the first answer, where none was measured.

    A minute and a half for processes, Ray and compiled graphs, and the weights at 0.5 GB/s from the shared file system: 671 GB
    in 30 to 40 minutes on Lustre (a published figure) are 0.3 GB/s. More nodes make it no shorter: each reads all tensors and
    keeps its part (vLLM 0.32, model_loader/weight_utils.py, safetensors_weights_iterator).
    """
    return 90.0 + weight_bytes / 0.5e9
