"""What vLLM itself says of the models of a campaign, as the plan tells it."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from campaign.config import CampaignConfig, ModelConfig
from campaign.core.errors import PlanRefused, ServerError
from campaign.core.text import did_you_mean, nearest
from campaign.models.source import Folder, source_of
from campaign.models.staged import folder_here
from campaign.plan.checks.requests.check import AskedRequests, diagnose_requests, requests_to_ask
from campaign.plan.checks.runner_check import other_task
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.memory.memory_model import speculation
from campaign.plan.placement.cluster_limits import gpu_of
from campaign.plan.runners import all_endpoints_of
from campaign.requests.asked_endpoints import writes_text
from campaign.requests.rows.sampled_rows import sample_requests
from campaign.server.check.vllm_answers import KNOWN, Question, VllmAnswer, ask_vllm, capability_of
from campaign.server.check.vllm_arguments import Names, load_names
from campaign.server.engine.command_line import engine_build, server_command
from campaign.site.cluster_records import Site
from campaign.site.table import load_table

log = logging.getLogger(__name__)

_MODULE = "vllm.entrypoints.openai.api_server"
_ANY_GPU = (9, 0)
_PARSER = re.compile(r"(?P<before>.*parser.*)(?:chose from \{|[Aa]vailable parsers:)(?P<known>[^}]*)", re.DOTALL)
_OFFLINE = re.compile(r"outgoing traffic has been disabled|Invalid repository ID|offline mode|couldn't connect")
_LONGEST = 500  # characters of vLLM's words; some name every method there is
# One of them is in every model folder that vLLM makes a tokenizer from (transformers, mistral_common, tiktoken).
_TOKENIZERS = ("tokenizer*", "vocab*", "tekken.json", "*.model", "*.tiktoken", "spiece*")


def check_staged(config: CampaignConfig, name: str) -> None:
    """Ask about a model of the hub once its files are here; the plan asked about folders. Raises PlanRefused."""
    model = config.models[name]
    if isinstance(source_of(model), Folder):
        return
    site = load_table(config.site) if config.on_slurm else None
    try:
        versions = engine_build(config.engine).versions
    except ServerError as error:  # the allocation says so; here the model is fetched all the same
        log.warning("%s: vLLM is not asked about it: %s", name, error)
        return
    samples = {dataset: sample_requests(settings) for dataset, settings in config.datasets_of(name).items()}
    asked = requests_to_ask(samples, samples)
    for answer in ask_about_models(config, site, versions, [name], {name: asked}).values():
        found = list(diagnose_answer(name, model, answer, load_names(), all_endpoints_of(config, name)))
        found += diagnose_requests(config, name, asked, answer)
        if refused := [str(diagnostic) for diagnostic in found if not diagnostic.warning]:
            raise PlanRefused(refused)


def ask_about_models(
    config: CampaignConfig,
    site: Site | None,
    versions: Mapping[str, str],
    names: Collection[str] | None = None,
    requests: Mapping[str, AskedRequests] | None = None,
) -> dict[str, VllmAnswer]:
    """vLLM's answers, by model. Nothing of a model whose files are not here; nothing at all without an engine that it knows.

    `site` None: the models are served on this machine. `versions`: of the engine's packages. `names`: of the models; None: all
    that are used. `requests`: some that each would get.
    """
    if not config.ask_vllm or not versions.get("vllm", "").startswith(KNOWN):
        return {}
    chosen = {name: model for name, model in config.used_models.items() if names is None or name in names}
    asked = {name: _question(config, name, model, site) for name, model in chosen.items()}
    questions = {
        name: replace(question, requests=tuple(each.request for each in (requests or {}).get(name, AskedRequests()).requests))
        for name, question in asked.items()
        if question is not None
    }
    return dict(zip(questions, ask_vllm(config.engine, versions, list(questions.values())), strict=True))


def _question(config: CampaignConfig, name: str, model: ModelConfig, site: Site | None) -> Question | None:
    """A server of the model as it would be started, but for Ray: no node of it is here."""
    folder = folder_here(model)
    if folder is None or not (folder / "config.json").is_file():
        return None
    command = server_command(config.engine, model, name, str(folder), "127.0.0.1", 8000)
    words = tuple(command[command.index(_MODULE) + 1 :])
    if site is None or not model.placement.gpus_per_node:
        return Question(words, folder, model.env)
    partition = site.partitions.get(str(model.placement.partition))
    gpu = gpu_of(model, partition, site) if partition else None
    capability = capability_of(gpu.kernels) if gpu else _ANY_GPU  # an unknown name is another check's problem
    return None if capability is None else Question(words, folder, model.env, capability)


def diagnose_answer(
    name: str, model: ModelConfig, answer: VllmAnswer, names: Names, endpoints: Collection[str] = ("chat",)
) -> Iterator[Diagnostic]:
    """Tell what an answer means for the plan. `names`: those vLLM knows, for the nearest one to a flag that it refuses.

    `endpoints`: that the model is asked at.
    """
    key = f"models.{name}"
    if answer.refused is not None:
        yield Diagnostic(key, "vllm", f"vLLM would not start: {_shortened(answer.refused)}", _remedy(model, answer, names))
    elif answer.failed is not None:
        reason = f"vLLM could not be asked whether it takes this model ({_shortened(answer.failed)})"
        yield Diagnostic(key, "vllm_silent", reason, "its flags are checked by their names alone", warning=True)
    elif answer.runner == "pooling" and writes_text(endpoints) is not False:
        reason = f"vLLM serves {answer.architecture} for embeddings and scores alone: it generates no text"
        yield Diagnostic(key, "runner", reason, "name a model that generates text")
    yield from other_task(key, endpoints, answer)
    yield from _unknown_variables(key, answer, names)
    if answer.failed is None and not _has_tokenizer(model):
        reason = f"{folder_here(model)} holds no tokenizer, without which vLLM does not start"
        yield Diagnostic(key, "tokenizer", reason, "copy the model's tokenizer files too, or name one: vllm: {tokenizer: ...}")


def _unknown_variables(key: str, answer: VllmAnswer, names: Names) -> Iterator[Diagnostic]:
    """Variables of the environment that are misspelt, or of another version; some have become flags."""
    for name, near in answer.unknown_variables.items():
        flag = name.removeprefix("VLLM_").replace("_", "-").lower()
        otherwise = f"it is a flag now: vllm: {{{flag}: ...}}" if flag in names.flags else "remove it"
        reason = "this vLLM knows no such variable, and passes over it"
        yield Diagnostic(f"{key}.env.{name}", "variable", reason, did_you_mean(near, otherwise, mark="`"), warning=True)


def _has_tokenizer(model: ModelConfig) -> bool:
    folder = folder_here(model)
    elsewhere = {flag.replace("-", "_") for flag in model.vllm} & {"tokenizer", "skip_tokenizer_init"}
    return folder is None or bool(elsewhere) or any(any(folder.glob(pattern)) for pattern in _TOKENIZERS)


def _shortened(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _remedy(model: ModelConfig, answer: VllmAnswer, names: Names) -> str:
    said = str(answer.refused)
    if "trust_remote_code" in said:
        return "if you trust the code in the model's folder: vllm: {trust-remote-code: true}"
    if _OFFLINE.search(said) and (on_hub := list(_of_the_hub(model))):
        return f"a server reaches no hub: download {' and '.join(on_hub)} into a folder, and name that"
    if "does not appear to have a file named" in said:
        return "copy or download the model again, its own code (.py) with it"
    if "configure handler" in said and "VLLM_LOGGING_LEVEL" in model.env:
        return "env VLLM_LOGGING_LEVEL takes DEBUG, INFO, WARNING or ERROR"
    if "unrecognized value" in said:
        return "write true to set it, false to leave it out, without quotes"
    if "unrecognized arguments" in said:
        unknown = names.unknown_flags(model.vllm).items()
        near = [near for flag, near in unknown if near and not _is_opposite(flag, near)]
        return did_you_mean(near[0] if near else None, "remove it", mark="`")
    if parser := _PARSER.search(said):
        asked = {str(value) for value in model.vllm.values()}
        wrong = next((name for name in asked if name in parser["before"]), "")
        near_to_it = nearest(wrong, parser["known"].replace(",", " ").split(), cutoff=0.5)
        return did_you_mean(near_to_it, "name one of them", mark="`")
    return ""


def _of_the_hub(model: ModelConfig) -> Iterator[str]:
    """What flags name that is no folder here: a tokenizer, a model that speculates."""
    named = [model.vllm.get("tokenizer"), model.vllm.get("hf_config_path"), speculation(model).get("model")]
    yield from (name for name in named if isinstance(name, str) and not Path(name).exists())


def _is_opposite(flag: str, near: str) -> bool:
    """Flags that turned off what this vLLM turns on with the other one: it is off without either."""
    return flag.replace("_", "-").startswith("disable-") and near.startswith("enable-")
