"""Known failures of vLLM, torch, Ray, NCCL and Slurm as their logs show them, each with cause and remedy.

One table serves `campaign explain LOG`, the error a failing phase prints, and the supervisor's decision whether another start
could help.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from campaign.errors import CampaignError


@dataclass(frozen=True)
class Signature:
    """A failure: what its log lines look like, why it happens, what to do. `permanent`: another start fails the same way."""

    name: str
    pattern: str
    cause: str
    remedy: str
    permanent: bool = True


@dataclass(frozen=True)
class Explanation:
    """A signature found in a log, with the line that shows it."""

    signature: Signature
    line: str
    line_number: int

    def __str__(self) -> str:
        return f"{self.signature.cause} To mend it: {self.signature.remedy}"


SIGNATURES = (
    Signature(
        "port_in_use",
        r"\[Errno 98\]|address already in use|EADDRINUSE",
        "Another process listens on the port the server wanted.",
        "nothing to do, the next start takes another port; if it stays, look who listens: ss -ltnp",
        permanent=False,
    ),
    Signature(
        "no_weights",
        r"Cannot find any model weights with|No such file or directory.*safetensors",
        "The model's folder holds no weights.",
        "copy or download the model again; `source` must name the folder with *.safetensors",
    ),
    Signature(
        "no_model_config",
        r"Invalid repository ID or local directory specified|does not appear to have a file named config\.json|"
        r"Should have a `model_type` key|Unrecognized model in",
        "The model's folder has no usable config.json.",
        "`source` must name a Hugging Face model folder: config.json, tokenizer and *.safetensors",
    ),
    Signature(
        "broken_model_config",
        r"It looks like the config file at .* is not a valid JSON file|json\.decoder\.JSONDecodeError",
        "A JSON file of the model is broken.",
        "copy or download the model again",
    ),
    Signature(
        "broken_weights",
        r"SafetensorError(?!: Error while serializing)|HeaderTooLarge|MetadataIncompleteBuffer|"
        r"Error while deserializing header",
        "A weight file is cut off or broken.",
        "copy or download the model again; check that the disk was not full",
    ),
    Signature(
        "unsupported_architecture",
        r"Model architectures? \[?.*\]? (?:are|is) not supported|is not supported for now\. Supported architectures",
        "This vLLM does not know the model's architecture.",
        "use a newer vLLM in the engine's environment, or another model",
    ),
    Signature(
        "transformers_too_old",
        r"but Transformers does not recognize this architecture",
        "The transformers package in the engine's environment is older than the model.",
        "upgrade transformers (or vllm) in the engine's environment",
    ),
    Signature(
        "unknown_flag",
        r"error: unrecognized arguments|error: argument .*: invalid|error: ambiguous option",
        "vLLM does not know a flag of `models.<name>.vllm`, or not with this value.",
        "correct it: .venv-engine/bin/python -m vllm.entrypoints.openai.api_server --help=all lists all flags",
    ),
    Signature(
        "context_too_long",
        r"User-specified max_model_len .* is greater than the derived max_model_len",
        "max_model_len is longer than the model's own context.",
        "lower max_model_len, or leave it out",
    ),
    Signature(
        "kv_cache_too_small",
        r"larger than the (?:available|maximum).*KV cache|No available memory for the cache blocks|"
        r"is larger than the maximum number of tokens that can be stored in KV cache",
        "After the weights there is too little memory for the KV cache of one request of max_model_len tokens.",
        "lower max_model_len; or raise gpu_memory_utilization (on a CPU: env VLLM_CPU_KVCACHE_SPACE, GiB); or use more GPUs",
    ),
    Signature(
        "ray_out_of_memory",
        r"Task was killed due to the node running low on memory|killed due to memory pressure \(OOM\)",
        "Ray ended a worker, because it takes the node for nearly full: it may look at the whole node instead of the job.",
        "ask for more memory (placement.mem_per_node); or leave it to Slurm: env: {RAY_memory_monitor_refresh_ms: 0}",
    ),
    Signature(
        "gpu_out_of_memory",
        r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|HIP out of memory|CUDA error: out of memory",
        "The GPU's memory is used up.",
        "lower gpu_memory_utilization or max_model_len, use quantization, or split the model over more GPUs (tensor_parallel)",
    ),
    Signature(
        "gpu_memory_taken",
        r"Free memory on device .* is less than desired GPU memory utilization",
        "Another process holds memory of the GPU.",
        "look with nvidia-smi; lower gpu_memory_utilization or wait for the other process",
    ),
    Signature(
        "host_out_of_memory",
        r"oom-kill|Out of memory: Killed process|Detected \d+ oom[_-]kill|"
        r"DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory",
        "The machine's (or the job's) memory is used up.",
        "free memory or ask for more of it (mem in the profile); on a CPU lower VLLM_CPU_KVCACHE_SPACE",
    ),
    Signature(
        "shared_memory_full",
        r"No space left on device.*/dev/shm|/dev/shm.*No space left|unable to (?:open|allocate) shared memory|Bus error|"
        r"Error while creating shared memory segment /dev/shm",
        "/dev/shm is full or too small.",
        "free it (ls -l /dev/shm shows what dead processes left) or enlarge it",
    ),
    Signature(
        "disk_full",
        r"No space left on device|Disk quota exceeded",
        "A disk or quota is full.",
        "free some space; curc-quota (on Alpine) or df -h shows where",
    ),
    Signature(
        "dtype_unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability|torch\.bfloat16.*is not supported|"
        r"(?:The model type|dtype) .* does not support|Unknown dtype|error: argument --dtype",
        "The device or the model cannot compute in this dtype.",
        "set dtype: float16 (older GPUs) or dtype: bfloat16 (CPU)",
    ),
    Signature(
        "quantization_unsupported",
        r"quantization method .* is not supported|Unknown quantization method|The quantization method .* does not match",
        "The device or this vLLM cannot run the weights' quantization.",
        "leave `quantization` out, or use weights quantized otherwise",
    ),
    Signature(
        "heads_not_divisible",
        r"must be divisible by tensor parallel size|attention heads .* divisible",
        "tensor_parallel does not divide the model's attention heads.",
        "choose a tensor_parallel that does (1, 2, 4 ...), and put the other GPUs into pipeline_parallel",
    ),
    Signature(
        "hub_offline",
        r"outgoing traffic has been disabled|LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to 'https://huggingface",
        "The server wanted to download from the model hub, which it may not while it is billed.",
        "stage the whole model first, tokenizer and chat template included, and name its folder in `source`",
    ),
    Signature(
        "hub_gated",
        r"GatedRepoError|Access to model .* is restricted|401 Client Error.*huggingface",
        "The model is gated: the hub wants a token of a user who accepted its licence.",
        "accept the licence on the model's page and set HF_TOKEN, or stage the model by hand",
    ),
    Signature(
        "no_chat_template",
        r"default chat template is no longer allowed|chat template.*(?:is not set|not found|must provide)",
        "The model has no chat template (it is a base model).",
        "use endpoint: completions in the dataset, or give one: vllm: {chat-template: file.jinja}",
    ),
    Signature(
        "cuda_mismatch",
        r"The NVIDIA driver on your system is too old|CUDA driver version is insufficient|no kernel image is available",
        "The engine's CUDA does not fit the GPU or its driver.",
        "use a vLLM built for this CUDA, or another partition",
    ),
    Signature(
        "no_gpu",
        r"No CUDA GPUs are available|Failed to infer device type|CUDA-capable device\(s\) is/are busy",
        "vLLM sees no GPU.",
        "ask for GPUs (placement.gpus_per_node), or use a CPU build of vLLM as the engine",
    ),
    Signature(
        "library_missing",
        r"error while loading shared libraries|cannot open shared object file|undefined symbol",
        "A library of the engine's environment is missing or does not fit.",
        "make the environment again: make engine",
    ),
    Signature(
        "module_missing",
        r"ModuleNotFoundError: No module named|ImportError: cannot import name",
        "A Python package is missing in the engine's environment, or has another version.",
        "make the environment again: make engine",
    ),
    Signature(
        "nccl_network",
        r"NCCL (?:error|WARN).*(?:Connect|socket|No interface)|NCCL error: unhandled system error|"
        r"ncclSystemError|ncclRemoteError|ncclInternalError",
        "The GPUs of the nodes cannot reach each other through NCCL.",
        "check the interface (NCCL_SOCKET_IFNAME); NCCL_DEBUG=INFO shows what it uses; NCCL_IB_DISABLE=1 as a test",
        permanent=False,
    ),
    Signature(
        "gloo_network",
        r"Gloo connectFullMesh failed|gloo.*(?:Connection refused|timed out)|Unable to resolve hostname to a \(local\) address",
        "The processes cannot reach each other through Gloo.",
        "set GLOO_SOCKET_IFNAME to the interface that owns the node's address",
        permanent=False,
    ),
    Signature(
        "ray_socket_path",
        r"AF_UNIX path (?:length cannot exceed|too long)",
        "Ray's folder for temporary files has so long a path that no socket fits below it (107 bytes).",
        "Ray has to start with a short --temp-dir below /tmp; TMPDIR must not point to scratch",
    ),
    Signature(
        "hip_devices",
        r"HIP error: invalid device ordinal|use HIP_VISIBLE_DEVICES instead of ROCR_VISIBLE_DEVICES",
        "Ray and Slurm number the AMD GPUs differently.",
        "env: {RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES: 1}, and only one of HIP_ and ROCR_VISIBLE_DEVICES may be set",
    ),
    Signature(
        "ray_unique_address",
        r"Every node should have a unique IP address",
        "Ray knows a node under two addresses.",
        "VLLM_HOST_IP and --node-ip-address must be the same on each node, and differ between nodes",
    ),
    Signature(
        "ray_token",
        r"AuthenticationError.*token|RAY_AUTH_TOKEN|InvalidAuthToken",
        "A Ray process was started without the cluster's token.",
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH must be set for every process",
    ),
    Signature(
        "ray_resources",
        r"No available node types can fulfill resource request|The number of required (?:GPUs|CPUs) exceeds the total|"
        r"Current node has no GPU available",
        "The Ray cluster has fewer GPUs than the model is split over.",
        "check that every node joined (ray status) and that tensor_parallel x pipeline_parallel = nodes x gpus_per_node",
    ),
    Signature(
        "ray_timeout",
        r"RayChannelTimeoutError|RayTaskError.*timed out",
        "A stage of the pipeline did not answer in time.",
        "raise RAY_CGRAPH_get_timeout before Ray starts; look for a dead worker in Ray's logs",
        permanent=False,
    ),
    Signature(
        "slurm_time_limit",
        r"CANCELLED AT .* DUE TO TIME LIMIT",
        "The job reached its walltime.",
        "nothing is lost: the same command continues; a longer placement.walltime means fewer starts",
        permanent=False,
    ),
    Signature(
        "slurm_preempted",
        r"CANCELLED AT .* DUE TO PREEMPTION|DUE TO NODE FAILURE",
        "Slurm took the node away.",
        "nothing is lost: the same command continues",
        permanent=False,
    ),
    Signature(
        "slurm_step_waits",
        r"step creation (?:temporarily|still) disabled.*Requested nodes are busy",
        "A step waits for cores or memory that another step of the same job holds.",
        "start it with srun --overlap, and give each step its --mem",
        permanent=False,
    ),
    Signature(
        "slurm_credential",
        r"Job credential expired|Invalid job credential",
        "The node took too long to start the step, or its clock is wrong.",
        "nothing is lost: the same command continues; if it stays, tell the cluster's support the node's name",
        permanent=False,
    ),
    Signature(
        "slurm_unreachable",
        r"Could not establish a configuration source|Unable to contact slurm controller|"
        r"Connection refused.*slurm|slurm_persist_conn_open",
        "Slurm does not answer here.",
        "run it on a host of the cluster (on a login node: module load slurm/alpine), or wait until Slurm is back",
        permanent=False,
    ),
    Signature(
        "slurm_bad_request",
        r"Invalid (?:account|partition|qos|generic resource)|Requested node configuration is not available|"
        r"Requested time limit is invalid",
        "Slurm refuses what the job asks for.",
        "correct account and placement; sacctmgr -p show associations user=$USER lists yours",
    ),
    Signature(
        "engine_core_died",
        r"EngineDeadError|Engine core (?:proc|initialization).*(?:died|failed)|EngineCore encountered a fatal error",
        "The engine's core process died; the lines above it say why.",
        "read the log above this line",
        permanent=False,
    ),
)  # fmt: skip

_LONGEST_LINE = 300


def explain(text: str) -> list[Explanation]:
    """Known failures in a log, each once, in the order of the table (the general ones last)."""
    lines = text.splitlines()
    return [found for signature in SIGNATURES if (found := _find(signature, lines)) is not None]


def _find(signature: Signature, lines: list[str]) -> Explanation | None:
    pattern = re.compile(signature.pattern)
    for number, line in enumerate(lines, 1):
        if pattern.search(line):
            return Explanation(signature, line.strip()[:_LONGEST_LINE], number)
    return None


def explain_failure(log: Path) -> tuple[str, bool]:
    """Why an engine died, from its log, as one message; and whether another start would fail the same way."""
    text = log.read_text(errors="replace") if log.exists() else ""
    found = explain(text)
    if not found:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "it wrote nothing")
        return f"The engine died; its last line: {last.strip()[:_LONGEST_LINE]} (log: {log})", False
    return f"{found[0]} (log: {log}:{found[0].line_number})", any(e.signature.permanent for e in found[:1])


def explain_file(path: Path) -> list[dict[str, Any]]:
    """Findings in a log file (`-`: standard input) as plain values. Raises CampaignError when it cannot be read."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(errors="replace")
    except OSError as error:
        raise CampaignError(f"{path} cannot be read ({error.strerror}). Logs lie below logs/<campaign>/.") from None
    return [
        {
            "name": found.signature.name,
            "cause": found.signature.cause,
            "remedy": found.signature.remedy,
            "line": found.line,
            "line_number": found.line_number,
        }
        for found in explain(text)
    ]


def render(findings: list[dict[str, Any]], path: Path) -> RenderableType:
    """The findings for a terminal."""
    if not findings:
        return Text(f"No known failure in {path}. Its last lines usually say what happened.")
    return Group(*(line for finding in findings for line in _render_one(finding, path)))


def _render_one(finding: dict[str, Any], path: Path) -> Iterator[Text]:
    yield Text(f"{path}:{finding['line_number']}", style="bold")
    yield Text(f"  {finding['line']}", style="dim")
    yield Text(f"  cause:  {finding['cause']}")
    yield Text(f"  remedy: {finding['remedy']}\n")
