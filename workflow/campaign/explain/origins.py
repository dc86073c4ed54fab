"""What can be done about an exception that has no signature: by the part of the engine whose code raised it."""

import re
from typing import NamedTuple


class Origin(NamedTuple):
    """A part of the engine. `words` go on from "An exception in"; `remedy` does without the part, or changes it."""

    pattern: str  # searched in the path of a frame
    words: str
    remedy: str


_NEWER = "a newer vLLM, or the version that the model's page names"

ORIGINS = (
    Origin(
        r"kv_transfer/|kv_offload|/lmcache/|/nixl|mooncake|simple_kv_offload",
        "the connector that keeps or moves the KV cache",
        f"leave vllm: {{kv-transfer-config, kv-offloading-size}} out; {_NEWER}, with the connector's version for it",
    ),
    Origin(r"/spec_decode/", "speculative decoding", f"leave speculative-config out; {_NEWER}"),
    Origin(
        r"vllm/lora/",
        "the code for LoRA adapters",
        "check that the adapter was made for this model (its target modules, no trained embeddings); a newer vLLM; or weights "
        "into which it is merged",
    ),
    Origin(
        r"/structured_output/|xgrammar/|llguidance|outlines",
        "structured output",
        "another backend: vllm: "
        "{structured-outputs-config.backend: guidance}; or correct the dataset's response_format or structured_outputs",
    ),
    Origin(
        r"tool_parsers?/|/reasoning/|_parser\.py",
        "the parser of tool calls or reasoning",
        "the tool-call-parser and reasoning-parser that the model's page names, or none",
    ),
    Origin(
        r"layers/mamba/|/fla/|mamba_ssm|causal_conv1d",
        "the kernels for linear attention (Mamba, gated delta networks)",
        f"vllm: {{enforce-eager: true}} as a test; {_NEWER}",
    ),
    Origin(
        r"v1/attention/|attention/backends/|attention/ops/|vllm_flash_attn|flash_attn/|layers/mla|/flashinfer/",
        "an attention kernel",
        f"another one: vllm: {{attention-backend: FLASH_ATTN}}, TRITON_ATTN or FLASHINFER; leave kv-cache-dtype out; {_NEWER}",
    ),
    Origin(
        r"fused_moe/|/moe/|eplb/|all2all|deep_ep|triton_kernels",
        "the kernels for a mixture of experts",
        f"leave enable-expert-parallel, enable-eplb and all2all-backend out; another tensor_parallel; {_NEWER}",
    ),
    Origin(
        r"vllm/multimodal/|processing_\w+\.py|image_processing|feature_extraction",
        "the processing of images and sounds",
        "the transformers version that the model's page names; leave mm-processor-kwargs out; for text alone "
        "vllm: {limit-mm-per-prompt: '{\"image\": 0}'}",
    ),
    Origin(
        r"vllm/v1/core/",
        "vLLM's scheduler and its KV cache",
        "start again: what was answered is kept; if it stays, as tests vllm: {enable-prefix-caching: false} and "
        f"{{async-scheduling: false}}; {_NEWER}",
    ),
    Origin(
        r"model_loader/",
        "the loading of the weights",
        f"leave load-format and quantization out; check that the files are whole; {_NEWER}",
    ),
    Origin(
        r"torch/_inductor|torchinductor|torch/_dynamo|_functorch|vllm/compilation/|compilation/passes",
        "torch.compile or a graph that it made",
        "vllm: {enforce-eager: true} does without (slower); remove ~/.cache/vllm/torch_compile_cache; a newer vLLM",
    ),
    Origin(
        r"/triton/|triton_ops|_triton_",
        "a Triton kernel",
        "another attention backend or weights quantized otherwise; the triton version that vLLM pins; a newer vLLM",
    ),
    Origin(
        r"model_executor/models/|transformers_modules/",
        "the model's code",
        "the vLLM and transformers versions that the model's page names; as a test pipeline_parallel: 1 or another "
        "tensor_parallel",
    ),
    Origin(
        r"/transformers/|/tokenizers?/|mistral_common|huggingface_hub",
        "transformers or the model's own files",
        "the transformers version that the model's page names; copy the model's files again",
    ),
    Origin(
        r"device_communicators/(?!shm_broadcast)|distributed/(?:parallel_state|communication_op)",
        "the communication between the GPUs",
        "as tests vllm: {disable-custom-all-reduce: true} and env: {NCCL_P2P_DISABLE: 1}; instead of data_parallel "
        "placement.allocations: N, each a server of its own; a newer vLLM",
    ),
    Origin(
        r"cudagraph\w*\.py|cuda_graph\.py",
        "the capture of CUDA graphs",
        "vllm: {enforce-eager: true} does without graphs (slower); leave speculative-config and compilation-config out; a "
        "newer vLLM",
    ),
    Origin(
        r"/v1/sample/",
        "the sampler",
        "env: {VLLM_USE_FLASHINFER_SAMPLER: 0}; check the sampling of the dataset; a newer vLLM",
    ),
    Origin(
        r"vllm/v1/worker/",
        "vLLM's model runner",
        f"as tests vllm: {{enforce-eager: true}} and {{async-scheduling: false}}; {_NEWER}",
    ),
    Origin(
        r"vllm/config|/arg_utils\.py",
        "vLLM's check of its flags",
        "correct the key of models.<name>, or the flag below vllm, that the message speaks of",
    ),
    Origin(
        r"executor/ray|/ray/",
        "Ray",
        "the version of Ray that vLLM pins, and one only on all nodes: make engine; start again",
    ),
)

# The config and the model's layers are made of files alone. What comes after them (weights, memory, graphs, processes) may
# go well at another time or on another node: one start more costs minutes, a run that is given up a night.
_START = re.compile(
    r'(?:models/\w+|configuration_\w+)\.py", line \d+, in __init__|'
    r"in (?:initialize_model|create_engine_config|create_model_config)\b|"
    r'vllm/config(?:/\w+)?\.py", line \d+, in (?:__post_init__|_?(?:verify|validate)\w*)\b'
)
_ALWAYS_THE_SAME = re.compile(r"(?!.*'NoneType' object)(?:Assertion|Attribute|Key|Type|Value|Index|Name)Error\b")


def origin_of(frames: str) -> Origin | None:
    """The part whose code stands innermost in a traceback."""
    for frame in reversed(frames.splitlines()):
        if frame.startswith('File "'):
            path = frame.split('"')[1]
            origin = next((one for one in ORIGINS if re.search(one.pattern, path)), None)
            if origin is not None:
                return origin
    return None


def fails_each_start(text: str, frames: str) -> bool:
    """Whether an exception was raised by what is made of files alone, which no further start can change."""
    return text.startswith("NotImplementedError") or bool(_START.search(frames) and _ALWAYS_THE_SAME.match(text))
