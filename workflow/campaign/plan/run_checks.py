"""Everything that is wrong or odd about a campaign, found before anything is started and told all at once."""

import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from campaign.config import CampaignConfig, ModelConfig
from campaign.core.errors import ModelUnreadable, ServerError
from campaign.explain import signature_problems
from campaign.models.hub_access import HubError
from campaign.models.model_check import check_model
from campaign.plan.checks.adapter_check import adapter_problems
from campaign.plan.checks.budget_check import budget
from campaign.plan.checks.engine_check import other_device
from campaign.plan.checks.folders import check_folders
from campaign.plan.checks.names_check import unknown_vllm_names
from campaign.plan.checks.notify_check import notify_notes
from campaign.plan.checks.requests.check import AskedRequests, requests_to_ask
from campaign.plan.checks.requests.written import as_written
from campaign.plan.checks.runner_check import runner_problems
from campaign.plan.checks.samples_check import equal_samples
from campaign.plan.checks.settings_check import odd_settings
from campaign.plan.checks.slurm_check import SlurmAnswer, ask_slurm
from campaign.plan.checks.stage_check import stage_rows
from campaign.plan.checks.stage_columns_check import stage_column_notes
from campaign.plan.checks.template_check import template_notes
from campaign.plan.checks.vllm_check import ask_about_models, diagnose_answer
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.forecast.campaign_forecast import CampaignForecast, forecast_campaign
from campaign.plan.memory import cpu_kv_cache
from campaign.plan.memory.cpu_kv_cache import CpuCache
from campaign.plan.memory.memory_model import ModelMetadata
from campaign.plan.memory.model_metadata import read_metadata, weight_bytes
from campaign.plan.memory.started import started_otherwise, with_started
from campaign.plan.placement import feasibility, placements
from campaign.plan.runners import all_endpoints_of
from campaign.queue.stages.sample import stage_sample
from campaign.requests.dataset_check import check_dataset, dataset_notes
from campaign.requests.rows.sampled_rows import sample_requests
from campaign.server.check.vllm_answers import VllmAnswer
from campaign.server.check.vllm_arguments import load_names
from campaign.server.engine.command_line import EngineBuild, engine_build, engine_processor
from campaign.server.host.host_memory import HostMemory, host_memory, visible_nodes
from campaign.site.cluster_records import Site
from campaign.site.live import current_site
from campaign.site.table import load_table
from campaign.slurm import resources
from campaign.slurm.job_options import Profile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Diagnosis:
    """The diagnostics of all models of a campaign, and what they rest on. `site` None: this machine."""

    site: Site | None
    metadata: Mapping[str, ModelMetadata]
    diagnostics: tuple[Diagnostic, ...]
    caches: Mapping[str, CpuCache] = field(default_factory=dict)  # of models that a CPU serves
    slurm: SlurmAnswer = field(default_factory=SlurmAnswer)
    vllm: Mapping[str, VllmAnswer] = field(default_factory=dict)  # of models that it was asked about
    asked: Mapping[str, AskedRequests] = field(default_factory=dict)  # of each model

    @property
    def refusals(self) -> list[str]:
        return _sentences([diagnostic for diagnostic in self.diagnostics if not diagnostic.warning])

    @property
    def warnings(self) -> list[str]:
        return _sentences([diagnostic for diagnostic in self.diagnostics if diagnostic.warning])


def _sentences(diagnostics: list[Diagnostic]) -> list[str]:
    """Diagnostics for people: a remedy that several of one model or dataset share stands behind the first of them."""
    said: set[tuple[tuple[str, ...], str]] = set()
    lines = []
    for diagnostic in diagnostics:
        remedy = (tuple(diagnostic.config_key.split(".")[:2]), diagnostic.remedy)
        lines.append(str(replace(diagnostic, remedy="") if remedy in said else diagnostic))
        said.add(remedy)
    return lines


def problems(
    config: CampaignConfig,
    diagnosis: Diagnosis | None = None,
    forecast: CampaignForecast | None = None,
    *,
    here: bool = True,
    profile: Profile | None = None,
) -> list[str]:
    """List what would make the campaign fail, each with the config key it comes from and a remedy; empty when it can start.

    `here`: it is to run on this machine, or from it; a plan for a cluster may be made elsewhere.
    """
    diagnosis = diagnosis or diagnose(config, profile=profile)
    lines = [*check_engine(config.engine), *check_folders(config.paths), *diagnosis.slurm.account] if here else []
    lines += signature_problems()
    for name, model in config.used_models.items():
        if here or not _told_by_table(diagnosis.metadata.get(name)):
            lines += check_model(name, model)
    lines += diagnosis.refusals
    for name in config.datasets:
        lines += check_dataset(config, name)
    if config.budget_su is not None and diagnosis.site is not None:
        expected = forecast or forecast_campaign(config, diagnosis.site, diagnosis.metadata)
        lines += [str(found) for found in budget(config, expected) if not found.warning]
    return lines


def runs_here(config: CampaignConfig, diagnosis: Diagnosis) -> bool:
    """Whether the campaign is of this machine, or of a cluster that answered here."""
    return diagnosis.site is None or diagnosis.site.source != load_table(config.site).source


def problems_beside(config: CampaignConfig, unplaced: Collection[str], *, here: bool = True) -> list[str]:
    """What else is wrong with a plan in which some models have no placement: of these, what vLLM says of their flags.

    `here`: the campaign is to run from this machine; a plan for a cluster may be made elsewhere.
    """
    asked = {name: [model for model in row.models if model not in unplaced] for name, row in config.datasets.items()}
    datasets = {name: row.model_copy(update={"models": asked[name]}) for name, row in config.datasets.items()}
    others = config.model_copy(update={"datasets": datasets})
    diagnosis = diagnose(others)
    lines = problems(others, diagnosis, here=here or runs_here(others, diagnosis))
    build = _build(config.engine)
    answers = ask_about_models(config, this_site(config.site), build.versions if build else {}, unplaced)
    found: list[Diagnostic] = []
    for name, answer in answers.items():
        found += diagnose_answer(name, config.models[name], answer, load_names(), all_endpoints_of(config, name))
    flags = unknown_vllm_names(config, [name for name, answer in answers.items() if answer.failed is None])
    mine = tuple(f"models.{name}." for name in unplaced)
    found += [line for line in flags if line.config_key.startswith(mine)]
    return [*lines, *_sentences([line for line in found if not line.warning])]


def _told_by_table(metadata: ModelMetadata | None) -> bool:
    """Whether the hub did not tell of a model that is known all the same: the cluster may reach it, and have a token."""
    return metadata is not None and metadata.told_instead is not None


# --- the engine ---------------------------------------------------------------------------------------------------------


def check_engine(engine: str) -> list[str]:
    """Whether the engine's environment exists."""
    prefix = Path(engine)
    if prefix.suffix == ".sif":
        if not prefix.is_file():
            return [f"engine: there is no image {engine}; correct the path or build the image"]
        return [] if shutil.which("apptainer") else [f"engine: {engine} is an Apptainer image, but there is no apptainer here"]
    python = prefix / "bin" / "python"
    if not os.access(python, os.X_OK):
        return [f"engine: there is no {python}; `make engine` makes .venv-engine, or name another environment with vllm"]
    return []


# --- models ---------------------------------------------------------------------------------------------------------------


@cache
def this_site(name: str) -> Site:
    """The cluster this process runs on, asked once."""
    return current_site(load_table(name))


def diagnose(config: CampaignConfig, site: Site | None = None, profile: Profile | None = None) -> Diagnosis:
    """Check every model against the cluster, and ask Slurm about every job.

    `site`: the cluster to plan for, when it is not the one here. `profile`: Snakemake's, as far as it is known.
    """
    if site is not None or not config.on_slurm:
        return _diagnose(config, site, SlurmAnswer())
    with ThreadPoolExecutor(1) as pool:  # beside each other: a controller that does not answer is waited for once
        asked = pool.submit(ask_slurm, config, profile)
        site = replace(this_site(config.site), unit=resources.unit_of_bill(config))
        return _diagnose(config, site, asked.result())


def _diagnose(config: CampaignConfig, site: Site | None, slurm: SlurmAnswer) -> Diagnosis:
    metadata: dict[str, ModelMetadata] = {}
    caches: dict[str, CpuCache] = {}
    build = _build(config.engine)
    diagnostics = list(other_device(config.engine, build, config.used_models, site))
    on_cpu = build is not None and build.on_cpu
    stages = {name: stage_sample(config, name) for name in config.stages}
    samples = {name: stages[name].sample if name in stages else sample_requests(row) for name, row in config.datasets.items()}
    asked = {name: requests_to_ask(samples, config.datasets_of(name)) for name in config.used_models}
    answers = ask_about_models(config, site, build.versions if build else {}, requests=asked)
    for name, model in config.used_models.items():
        diagnostics += _read(name, config, metadata, site)
        diagnostics += slurm.beside_table(name, feasibility.diagnose_model(name, model, metadata.get(name), site))
        diagnostics += odd_settings(name, model, on_slurm=site is not None)
        diagnostics += _other_processor(name, model, metadata.get(name), config.engine, site)
        if _on_cpu(model, on_cpu, site, known=name in metadata):
            caches[name] = _cpu_cache(config, model, metadata.get(name), site)
            diagnostics += _too_little_memory(name, caches[name])
        if on_cpu and site is None:
            diagnostics += _too_many_workers(name, model)
        if name in answers:
            diagnostics += diagnose_answer(name, model, answers[name], load_names(), all_endpoints_of(config, name))
    diagnostics += runner_problems(config)
    diagnostics += adapter_problems(config)
    diagnostics += equal_samples(config)
    diagnostics += stage_rows(config, stages)
    diagnostics += template_notes(config)
    diagnostics += stage_column_notes(config)
    diagnostics += unknown_vllm_names(config, [name for name, answer in answers.items() if answer.failed is None])
    diagnostics += [
        Diagnostic(f"datasets.{name}", "files", note, warning=True)
        for name in config.datasets
        for note in dataset_notes(config, name)
    ]
    diagnostics += as_written(config, samples)
    diagnostics += notify_notes(config)
    told = (*slurm.other_diagnostics(config.used_models), *diagnostics)
    return Diagnosis(site, metadata, told, caches, slurm, answers, asked)


def _read(name: str, config: CampaignConfig, metadata: dict[str, ModelMetadata], site: Site | None) -> Iterator[Diagnostic]:
    """Read a model's metadata. An answer of the hub that refuses it is a problem of models.model_check."""
    model = config.models[name]
    try:
        found = with_started(read_metadata(model), model, config.site, config.paths.results_dir)
        metadata[name] = found
        yield from started_otherwise(name, model, found, config.site)
        if found.told_instead:
            yield Diagnostic(f"models.{name}.source", "table", found.told_instead, warning=True)
    except ModelUnreadable as error:
        yield Diagnostic(f"models.{name}.source", "unreadable", f"{error}", "its memory is not checked", warning=True)
        if site is not None:
            yield from feasibility.files_too_large(name, model, weight_bytes(model), site)
    except HubError as error:
        log.debug("%s: %s", name, error)


_USUAL_PROCESSOR = "x86_64"


def _other_processor(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, engine: str, site: Site | None
) -> Iterator[Diagnostic]:
    """Nodes on which no program of the engine starts: a GH200's processor is an ARM."""
    partition = site.partitions.get(str(model.placement.partition)) if site else None
    built = engine_processor(engine)
    if site is None or partition is None or partition.processor == (built or _USUAL_PROCESSOR):
        return
    nodes, key = f"nodes of {partition.name} have {partition.processor} processors", f"models.{name}.placement.partition"
    own = f"or make an engine on a node of {partition.name}, and name it (engine)"
    if built is None:
        reason = f"{nodes}, and it cannot be seen here what engine {engine} is built for"
        yield Diagnostic(key, "processor", reason, f"take another partition, {own}", warning=True)
        return
    shape = _shape_elsewhere(name, model, metadata, site, built)
    remedy = f"what works: {shape}, without qos" if shape else "take another partition"
    reason = f"{nodes}, and engine {engine} is built for {built}: nothing of it starts there"
    yield Diagnostic(key, "processor", reason, f"{remedy}, {own}")


def _shape_elsewhere(
    name: str, model: ModelConfig, metadata: ModelMetadata | None, site: Site, processor: str
) -> placements.Shape | None:
    """The nearest shape on nodes with the processor, under the site's usual QoS."""
    if metadata is None or not model.placement.gpus_per_node:
        return None

    def works(shaped: ModelConfig) -> bool:
        found = feasibility.diagnose_model(name, shaped, metadata, site)
        here = site.partitions[str(shaped.placement.partition)].processor == processor
        return here and all(problem.warning for problem in found)

    usual = model.model_copy(update={"placement": model.placement.model_copy(update={"qos": None})})
    return placements.nearest(usual, metadata, site, works)


def _build(engine: str) -> EngineBuild | None:
    try:
        return engine_build(engine)
    except ServerError as error:  # check_engine names the problem
        log.debug("%s", error)
        return None


def _on_cpu(model: ModelConfig, engine: bool, site: Site | None, *, known: bool) -> bool:
    """Whether CPUs serve a model. `engine`: it is built for them; on a cluster that may be another than the one here."""
    if site is None:
        return engine
    return not model.placement.gpus_per_node and (engine or known)


def _cpu_cache(config: CampaignConfig, model: ModelConfig, metadata: ModelMetadata | None, site: Site | None) -> CpuCache:
    if site is None:
        return cpu_kv_cache.planned(config, model, metadata, host_memory_of(model), os.environ)
    return cpu_kv_cache.planned(config, model, metadata, cpu_kv_cache.memory_of_placement(model, site.job_defaults), {})


def host_memory_of(model: ModelConfig) -> HostMemory:
    """What this machine has for each worker of a model's engine."""
    return host_memory(cpu_kv_cache.workers_on_a_node(model), {**os.environ, **model.env})


def _too_little_memory(name: str, cache: CpuCache) -> Iterator[Diagnostic]:
    """What is too small for ever is refused; what other programs hold now may be free when the server starts."""
    if not cache.fits:
        yield Diagnostic(f"models.{name}", "cpu_memory", cache.told, cache.remedy, warning=not cache.lasting)


def _too_many_workers(name: str, model: ModelConfig) -> Iterator[Diagnostic]:
    """vLLM (0.32, utils/ompmultiprocessing.py) binds each worker to a NUMA node of its own, unless it is told the cores."""
    workers, nodes = cpu_kv_cache.workers_on_a_node(model), len(visible_nodes({**os.environ, **model.env}))
    if workers > nodes and model.env.get("VLLM_CPU_OMP_THREADS_BIND", "auto") == "auto":
        yield Diagnostic(
            f"models.{name}",
            "cpu_workers",
            f"tensor_parallel {model.tensor_parallel} x pipeline_parallel {model.pipeline_parallel} x data_parallel "
            f"{model.data_parallel} are {workers} workers, and on CPUs each needs a NUMA node: this machine has {nodes}",
            f"make it {nodes} worker{'s' * (nodes > 1)}: one uses all cores of its node",
        )
