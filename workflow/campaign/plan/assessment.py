"""What is known of a plan: the site, each model, and everything that is wrong or odd about them."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from campaign.config import CampaignConfig, ModelConfig
from campaign.core.errors import ModelUnreadable, ServerError
from campaign.models.hub import HubError
from campaign.plan import cpu_cache, feasibility
from campaign.plan.cpu_cache import CpuCache
from campaign.plan.feasibility import Finding
from campaign.plan.memory_model import ModelFacts
from campaign.plan.model_metadata import model_facts
from campaign.plan.vllm_argument_check import misspelt
from campaign.server.engine import engine_build
from campaign.server.host_memory import HostMemory, host_memory, visible_nodes
from campaign.site.live import current_site
from campaign.site.model import Site
from campaign.site.table import load_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assessment:
    """The findings about all models of a campaign, and what they rest on. `site` None: this machine."""

    site: Site | None
    facts: Mapping[str, ModelFacts]
    findings: tuple[Finding, ...]
    caches: Mapping[str, CpuCache] = field(default_factory=dict)  # of models that a CPU serves

    @property
    def refusals(self) -> list[str]:
        return _told([finding for finding in self.findings if not finding.warning])

    @property
    def warnings(self) -> list[str]:
        return _told([finding for finding in self.findings if finding.warning])


def _told(findings: list[Finding]) -> list[str]:
    """Findings for people: a remedy that mends several is told once."""
    remedies: set[str] = set()
    lines = []
    for finding in findings:
        lines.append(str(replace(finding, remedy="") if finding.remedy in remedies else finding))
        remedies.add(finding.remedy)
    return lines


def assess(config: CampaignConfig, site: Site | None = None) -> Assessment:
    """Look at the cluster and at every model. `site`: the cluster to plan for, when it is not the one here."""
    if site is None and config.on_slurm:
        site = this_site(config.site)
    facts: dict[str, ModelFacts] = {}
    caches: dict[str, CpuCache] = {}
    findings: list[Finding] = []
    on_cpu = _is_for_cpus(config.engine)
    for name, model in config.used_models.items():
        findings += _look(name, model, facts)
        findings += feasibility.judge(name, model, facts.get(name), site)
        if on_cpu and (site is None or not model.placement.gpus_per_node):
            memory = host_memory_of(model) if site is None else cpu_cache.memory_of_placement(model, site.job_defaults)
            caches[name] = cpu_cache.planned(config, model, facts.get(name), memory, os.environ if site is None else {})
            findings += _too_little(name, caches[name])
        if on_cpu and site is None:
            findings += _too_many_workers(name, model)
    findings += misspelt(config)
    return Assessment(site, facts, tuple(findings), caches)


def _is_for_cpus(engine: str) -> bool:
    try:
        return engine_build(engine).on_cpu
    except ServerError as error:  # check.check_engine tells it
        log.debug("%s", error)
        return False


def host_memory_of(model: ModelConfig) -> HostMemory:
    """What this machine has for each worker of a model's engine."""
    return host_memory(cpu_cache.workers_on_a_node(model), {**os.environ, **model.env})


def _too_many_workers(name: str, model: ModelConfig) -> Iterator[Finding]:
    """vLLM (0.32, utils/ompmultiprocessing.py) binds each worker to a NUMA node of its own, unless it is told the cores."""
    workers, nodes = cpu_cache.workers_on_a_node(model), len(visible_nodes({**os.environ, **model.env}))
    if workers > nodes and model.env.get("VLLM_CPU_OMP_THREADS_BIND", "auto") == "auto":
        yield Finding(
            f"models.{name}",
            "cpu_workers",
            f"tensor_parallel {model.tensor_parallel} x pipeline_parallel {model.pipeline_parallel} x data_parallel "
            f"{model.data_parallel} are {workers} workers, and on CPUs each needs a NUMA node: this machine has {nodes}",
            f"make it {nodes} worker{'s' * (nodes > 1)}: one uses all cores of its node",
        )


def _too_little(name: str, cache: CpuCache) -> Iterator[Finding]:
    """What is too small for ever is refused; what other programs hold now may be free when the server starts."""
    if not cache.fits:
        yield Finding(f"models.{name}", "cpu_memory", cache.told, cache.remedy, warning=not cache.lasting)


@cache
def this_site(name: str) -> Site:
    """A cluster as its Slurm tells it, asked once."""
    return current_site(load_table(name))


def _look(name: str, model: ModelConfig, facts: dict[str, ModelFacts]) -> Iterator[Finding]:
    """Read a model's facts. What the hub refuses is not told here: models.model_check does."""
    try:
        facts[name] = model_facts(model)
    except ModelUnreadable as error:
        yield Finding(f"models.{name}.source", "unreadable", f"{error}", "its memory is not checked", warning=True)
    except HubError as error:
        log.debug("%s: %s", name, error)
