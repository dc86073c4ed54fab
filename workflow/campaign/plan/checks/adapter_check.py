"""Whether the adapters of a model are there, and of this model. (What vLLM says of their settings: vllm_check.)"""

import json
from collections.abc import Iterator
from pathlib import Path

from campaign.config import CampaignConfig, ModelConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.keys.adapters import CONFIG, WEIGHTS


def adapter_problems(config: CampaignConfig) -> Iterator[Diagnostic]:
    """Adapters that cannot be loaded; a warning for those that say another base model."""
    for name, model in config.used_models.items():
        for adapter, folder in model.adapters.items():
            yield from _adapter(f"models.{name}.adapters.{adapter}", model, Path(folder))


def _adapter(key: str, model: ModelConfig, folder: Path) -> Iterator[Diagnostic]:
    file = folder / CONFIG
    if not file.is_file():
        remedy = "name the folder of a LoRA adapter, as PEFT saves it; paths count from the working directory"
        yield Diagnostic(key, "adapter", f"there is no {file}", remedy)
        return
    try:
        settings = json.loads(file.read_text())
        base, rank = settings.get("base_model_name_or_path"), settings.get("r")
    except (OSError, ValueError, AttributeError) as error:
        yield Diagnostic(key, "adapter", f"{file} cannot be read ({error})", "copy or save it again")
        return
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        yield Diagnostic(key, "adapter", f"{folder} holds no {WEIGHTS[0]}", "copy the adapter's weights too")
    if not isinstance(rank, int):
        yield Diagnostic(key, "adapter", f"{file} says no rank (`r`)", "vLLM serves LoRA adapters of PEFT's form")
    if isinstance(base, str) and base and Path(base).name != Path(model.source).name:
        reason = f"it was trained for {base}, and {model.source} is served"
        yield Diagnostic(key, "adapter_base", reason, "check that these are the same weights", warning=True)
