"""`models:` what is served, and where."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from campaign.config.base import Duration, Name, Section
from campaign.core import ports
from campaign.core.text import did_you_mean, nearest

# Flags of the server that the workflow sets itself; in `vllm:` they would contradict it.
OWN_FLAGS = {
    "model": "source",
    "served_model_name": "the model's name in the config",
    "host": "chosen by the workflow",
    "port": "chosen by the workflow",
    "api_key": "made by the workflow",
    "revision": "revision",
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "data_parallel_size": "data_parallel",
    "max_model_len": "max_model_len",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "dtype": "dtype",
    "quantization": "quantization",
    "distributed_executor_backend": "derived from placement",
    **dict.fromkeys(("nnodes", "node_rank", "master_addr", "master_port"), "derived from placement.nodes"),
    **dict.fromkeys(
        ("data_parallel_rank", "data_parallel_start_rank", "data_parallel_size_local", "data_parallel_address",
         "data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_multi_port_external_lb"),
        "derived from data_parallel and placement",
    ),
    # Without these the workflow reaches the server, by http and at a port.
    "headless": "a server that nobody could ask",
    **dict.fromkeys(("uds", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs"), "it asks by http, at a port"),
    "config": "a file of flags, which go below `vllm`",
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "dp": "data_parallel",
}  # fmt: skip
# Variables of the engine's environment that the workflow makes: with others no request would be answered.
_OWN_VARIABLES = ("VLLM_API_KEY", "CAMPAIGN_SERVER")

_DTYPES = ("auto", "bfloat16", "float16", "float32", "half", "float")  # vllm/config/model.py, ModelDType
_SHORT = {"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "fp32": "float32", "f32": "float32"}
_TRUTH = {"true": True, "false": False}


Granted = Literal["nodes", "gpus", "cores", "memory", "walltime"]


class PlacementConfig(Section):
    """Where an allocation of the model runs. On one machine `walltime` and `allocations` count."""

    auto: bool = Field(
        False, description="choose the cheapest shape that fits, within what else is given; `placement: auto` is short for it"
    )
    partition: str | None = Field(None, description="Slurm partition")
    # It becomes a word of the sbatch line, which a shell reads.
    gpu: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="GPU type as Slurm spells it, for example a100-40gb or a100_80gb",
    )
    nodes: int = Field(1, ge=1, description="nodes of one allocation")
    gpus_per_node: int = Field(0, ge=0, description="GPUs on each node; 0 serves on the CPU")
    walltime: Duration = Field(
        8 * 3600.0,
        description="length of one run of an allocation, and of its server; a longer campaign continues in the next",
    )
    allocations: int = Field(1, ge=1, le=1000, description="allocations that share the model's queue of shards")
    qos: str | None = Field(None, description="Slurm QoS; null takes the cluster's usual one, with or without GPUs")
    constraint: str | None = Field(None, description="features of its nodes, as Slurm's --constraint has them: A100&rh8")
    cpus_per_gpu: int = Field(8, ge=1, description="cores for each GPU, or of each node that has none; they are billed too")
    mem_per_node: int | None = Field(
        None,
        ge=1,
        description="GiB of each node; null takes what the cluster gives each core; the plan tells where that bills more",
    )
    granted: list[Granted] = Field(
        [],
        description="limits of the cluster that do not hold for you: nodes (of a job), gpus (of a user), cores, memory (of a "
        "GPU), walltime; the plan tells what each lets pass",
    )
    max_runs: int = Field(
        20,
        ge=1,
        description="most runs of an allocation's job, the first included; after the last it is not queued again. A retry of "
        "Snakemake is a new job",
    )

    @property
    def cpus_per_node(self) -> int:
        """Cores of each node."""
        return self.cpus_per_gpu * max(1, self.gpus_per_node)


class RayConfig(Section):
    """The Ray cluster of an allocation of several nodes; what is not given is derived."""

    num_cpus: int | None = Field(None, ge=1, description="CPUs Ray may count on each node; null takes the node's cores")
    object_store_memory: int = Field(
        1 << 30, ge=80 << 20, description="bytes of each node's object store (/dev/shm); vLLM passes little through it"
    )
    port: int | None = Field(
        None,
        ge=1024,
        le=ports.LAST + 1 - ports.BLOCK,
        description=f"first port to try, of {ports.BLOCK} in a row; null derives it from the job id",
    )
    interface: str | None = Field(None, description="network interface between the nodes; null takes that of Slurm's addresses")


class ModelConfig(Section):
    """One model: its weights, its parallelism, its server flags, its placement."""

    source: str = Field(description="a local folder, or a hub id like meta-llama/Llama-3.1-8B-Instruct", min_length=1)
    revision: str | None = Field(None, description="branch, tag or commit of a hub model; pinned to a commit when staged")
    tensor_parallel: int = Field(1, ge=1, description="GPUs a layer is split over, inside a node")
    pipeline_parallel: int = Field(1, ge=1, description="stages the layers are split over, across nodes")
    data_parallel: int = Field(1, ge=1, description="replicas behind one endpoint; for more nodes prefer placement.allocations")
    max_model_len: int | None = Field(None, ge=1, description="context in tokens; null takes the model's own")
    gpu_memory_utilization: float = Field(
        0.90, gt=0, le=1, description="share of GPU memory vLLM may take; on a CPU the default derives the KV cache instead"
    )
    dtype: str = Field("auto", description="auto, bfloat16, float16 (half) or float32 (float)")
    quantization: str | None = Field(None, description="fp8, awq, gptq ...; null takes what the weights say")
    adapters: dict[Name, str] = Field(
        {}, description="LoRA adapters that its server has beside it, name: folder; datasets ask them as `model:name`"
    )
    vllm: dict[str, Any] = Field({}, description="any further flag of the server, name: value (true for a bare flag)")
    ray: RayConfig = Field(RayConfig(), description="Ray cluster of an allocation of several nodes")
    env: dict[str, str] = Field({}, description="environment of the engine, for example VLLM_LOGGING_LEVEL")
    placement: PlacementConfig = Field(PlacementConfig(), description="where an allocation runs")
    variants: dict[Name, dict[str, Any]] = Field(
        {}, description="other settings to measure beside it in a sweep: name: the keys that differ"
    )
    variant_of: str | None = Field(None, description="set by a sweep: the model this one is a variant of")

    @property
    def replica_gpus(self) -> int:
        """GPUs one replica is split over."""
        return self.tensor_parallel * self.pipeline_parallel

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without adapters as versions had it that knew none: digests of a model stay."""
        values: dict[str, Any] = serialize(self)
        return values if self.adapters else {name: value for name, value in values.items() if name != "adapters"}

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, dtype: str) -> str:
        if dtype in _DTYPES:
            return dtype
        near = nearest(_SHORT.get(dtype, dtype), _DTYPES)
        raise ValueError(f"is none of {', '.join(_DTYPES)}" + (f"; {did_you_mean(near, '', mark='')}" if near else ""))

    @field_validator("vllm")
    @classmethod
    def _no_own_flags(cls, flags: dict[str, Any]) -> dict[str, Any]:
        named = _as_flags(flags)
        if taken := [*own_flags(named)]:
            raise ValueError(f"sets what the workflow sets itself: {', '.join(taken)}; remove it here")
        return named

    @field_validator("placement", mode="before")
    @classmethod
    def _auto(cls, placement: Any) -> Any:
        return {"auto": True} if placement == "auto" else placement

    @field_validator("variants")
    @classmethod
    def _no_variants_of_variants(cls, variants: dict[str, Any]) -> dict[str, Any]:
        if nested := [name for name, changes in variants.items() if "variants" in changes]:
            raise ValueError(f"{', '.join(nested)}: a variant has no `variants` of its own; put them beside it")
        return variants

    @field_validator("env", mode="before")
    @classmethod
    def _as_text(cls, env: Any) -> Any:
        if not isinstance(env, dict):
            return env
        if taken := [name for name in _OWN_VARIABLES if name in env]:
            raise ValueError(f"sets what the workflow sets itself: {', '.join(taken)}; remove it here")
        if empty := [str(name) for name, value in env.items() if value is None]:
            raise ValueError(f"has no value for {', '.join(empty)}; give one, or leave it out")
        # vLLM takes 1 and 0 wherever it takes true and false, and not the other way round.
        return {name: str(int(value) if isinstance(value, bool) else value) for name, value in env.items()}

    @model_validator(mode="after")
    def _usable_variants(self) -> "ModelConfig":
        problems = {}
        for name in self.variants:
            try:
                self.variant(name)
            except ValidationError as error:
                problems[name] = error.errors(include_url=False)
        if problems:
            raise PydanticCustomError("variants", "variants", {"problems": problems})
        return self

    def variant(self, name: str) -> "ModelConfig":
        """This model with the keys of one of its variants changed. Raises ValidationError."""
        changes = self.variants[name]
        if isinstance(flags := changes.get("vllm"), dict):
            changes = {**changes, "vllm": _as_flags(flags)}
        own = self.model_dump(exclude_unset=True, exclude={"variants"})
        return ModelConfig.model_validate(_changed(own, changes))


def own_flags(named: Iterable[str]) -> Iterator[str]:
    """Flags the workflow sets itself, with what sets them; beginnings of their names too, which vLLM's parser completes."""
    for name in named:
        if own := next((flag for flag in OWN_FLAGS if flag.startswith(name)), None):
            yield f"{name} ({OWN_FLAGS[own]})"


def _as_flags(named: dict[str, Any]) -> dict[str, Any]:
    """Flags by their names with underscores; a true or false in quotes is one without."""
    flags = {name.lstrip("-").replace("-", "_"): value for name, value in named.items()}
    return {name: _TRUTH.get(value.lower(), value) if isinstance(value, str) else value for name, value in flags.items()}


def _changed(value: Any, change: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(change, dict):
        return change
    return {**value, **{key: _changed(value.get(key), new) for key, new in change.items()}}
