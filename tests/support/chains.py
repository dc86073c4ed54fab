"""Configs with stages: datasets made of other models' answers."""

from typing import Any

from campaign.config import CampaignConfig


def chain(plain: CampaignConfig, allocations: int = 1, on_slurm: bool = False, **datasets: tuple[Any, ...]) -> CampaignConfig:
    """A campaign of datasets given as name=(model, source, ...); a source is a dataset, or (dataset, model).

    `plain`: a campaign of one model and one dataset of files, which those without a source are like.
    """
    (model,), (words,) = plain.models.values(), plain.datasets.values()
    model = model.model_copy(update={"placement": model.placement.model_copy(update={"allocations": allocations})})
    raw = plain.model_dump(mode="json")
    names = sorted({name for first, *_ in datasets.values() for name in _models(first)})
    raw["models"] = {name: model.model_dump(mode="json") for name in names}
    files = words.model_dump(mode="json")
    raw["datasets"] = {name: _dataset(files, _models(first), others) for name, (first, *others) in datasets.items()}
    config = CampaignConfig.model_validate(raw)
    return config.model_copy(update={"site": "alpine"}) if on_slurm else config


def _models(first: Any) -> list[str]:
    return [first] if isinstance(first, str) else list(first)


def _dataset(files: dict[str, Any], models: list[str], others: list[Any]) -> dict[str, Any]:
    if not others:
        return {**files, "models": models}
    named = [other if isinstance(other, str) else {"dataset": other[0], "model": other[1]} for other in others]
    return {
        "from": named,
        "prompt": "Is <{{ id }}> {{ text }} good?",
        "models": models,
        "sampling": files["sampling"],
    }
