"""Whether the engine's vLLM was built for what computes where the models are placed: CPUs, GPUs of NVIDIA or of AMD. Pure."""

from collections.abc import Iterator, Mapping

from campaign.config import ModelConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.placement.cluster_limits import gpu_of
from campaign.server.engine.command_line import EngineBuild
from campaign.site.cluster_records import Site


def other_device(
    engine: str, build: EngineBuild | None, models: Mapping[str, ModelConfig], site: Site | None
) -> Iterator[Diagnostic]:
    """Models that the engine would not serve where they are placed. Warnings: the cluster's engine may be another than this."""
    if build is None or site is None:
        return
    idle = [name for name, model in models.items() if build.on_cpu and model.placement.gpus_per_node]
    if idle:
        reason = f"{engine} has a vLLM for CPUs, which leaves the GPUs of {', '.join(idle)} idle"
        remedy = "make one on the cluster, from workflow/envs/engine.yaml"
        yield Diagnostic("engine", "engine_build", reason, remedy, warning=True)
        return
    built = _vendor(build)
    other = [name for name, model in models.items() if built and _wanted(model, site) not in (None, built)]
    if other:
        reason = f"{engine} has a PyTorch for {built}, and not for what serves {', '.join(other)}"
        yield Diagnostic("engine", "engine_build", reason, "name an engine that is built for it", warning=True)


def _vendor(build: EngineBuild) -> str | None:
    """The platform that PyTorch's version says it is built for; None where it does not say (PyPI's)."""
    local = build.versions.get("torch", "").partition("+")[2]
    return next((name for start, name in (("cu", "CUDA"), ("rocm", "ROCm")) if local.startswith(start)), None)


def _wanted(model: ModelConfig, site: Site) -> str | None:
    """The platform that the placement needs; None where the GPU type is not known."""
    if not model.placement.gpus_per_node:
        return "CPUs"
    partition = site.partitions.get(str(model.placement.partition))
    gpu = gpu_of(model, partition, site) if partition else site.gpus.get(model.placement.gpu or "")
    return None if gpu is None else "ROCm" if gpu.kernels.startswith("gfx") else "CUDA"
