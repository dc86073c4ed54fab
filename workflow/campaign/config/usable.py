"""What of a config that is refused can be used all the same, so that its files and models are checked in the same round."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from campaign.config.base import Section
from campaign.config.campaign import CampaignConfig, unknown_models
from campaign.config.datasets import DatasetConfig
from campaign.config.models import ModelConfig
from campaign.config.stages import wrong_sources
from campaign.core.text import nearest

S = TypeVar("S", bound=Section)

_APART = ("models", "datasets")
_NAME = "campaign"
# Something valid, in whose place comes what is usable.
_NOTHING: Mapping[str, Any] = {
    "models": {"m": {"source": "m"}},
    "datasets": {"d": {"files": ["d.jsonl"], "models": ["m"]}},
}


@dataclass(frozen=True)
class Usable:
    """`config`: models, datasets and other sections that are valid by themselves; each dataset asks models that are.

    `without_model`: datasets that ask none of them. `broken`: what other datasets name as their files. `unknown`: sentences
    about names that datasets have and the config does not.
    """

    config: CampaignConfig
    without_model: Mapping[str, DatasetConfig] = field(default_factory=dict)
    broken: Mapping[str, list[str]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def usable_part(raw: Mapping[str, Any]) -> Usable:
    """The valid part of a config. A key that is misspelt is taken as the one that is meant."""
    models = dict(_valid(raw.get("models"), ModelConfig))
    datasets = dict(_valid(raw.get("datasets"), DatasetConfig))
    asked = {name: [model for model in dataset.models if model in models] for name, dataset in datasets.items()}
    with_model = {name: dataset.model_copy(update={"models": asked[name]}) for name, dataset in datasets.items() if asked[name]}
    config = _others(raw).model_copy(update={"models": models, "datasets": _of_whole_chains(with_model)})
    without = {name: dataset for name, dataset in datasets.items() if not asked[name] and not dataset.is_stage}
    return Usable(config, without, dict(_files_of_others(raw.get("datasets"), datasets)), tuple(_wrong_names(raw, datasets)))


def _of_whole_chains(datasets: dict[str, DatasetConfig]) -> dict[str, DatasetConfig]:
    """Without the stages of which a source is missing, or its model."""
    left = datasets
    while lines := list(wrong_sources(left)):
        left = {name: dataset for name, dataset in left.items() if not any(f"datasets.{name}.from" in line for line in lines)}
    return left


def _wrong_names(raw: Mapping[str, Any], datasets: Mapping[str, DatasetConfig]) -> Iterator[str]:
    named, sources = raw.get("models"), raw.get("datasets")
    if isinstance(named, dict):
        yield from unknown_models(datasets, named)
    if isinstance(sources, dict) and sources.keys() == datasets.keys():
        yield from wrong_sources(datasets)


def _valid(raw: Any, kind: type[S]) -> Iterator[tuple[str, S]]:
    """Keep the members of named sections that are valid."""
    for name, section in raw.items() if isinstance(raw, dict) else ():
        meant = _as_meant(section, kind) if isinstance(section, dict) else None
        try:
            yield str(name), kind.model_validate(meant)
        except ValidationError:
            continue


def _as_meant(section: Mapping[str, Any], kind: type[Section]) -> dict[str, Any]:
    """A section with the right names of its misspelt keys; without those of which it has the right one too."""
    known = [of_key.alias or name for name, of_key in kind.model_fields.items()]
    meant = {key: key if key in known else nearest(str(key), known) or key for key in section}
    return {meant[key]: value for key, value in section.items() if meant[key] == key or meant[key] not in section}


def _others(raw: Mapping[str, Any]) -> CampaignConfig:
    """A config of nothing but its other sections, as far as they are valid."""
    known = CampaignConfig.model_fields.keys() - set(_APART)
    named = {name: value for name, value in _as_meant(raw, CampaignConfig).items() if name in known}
    base = {**_NOTHING, _NAME: "campaign"}
    for name, value in named.items():
        try:
            CampaignConfig.model_validate({**base, name: value})
        except ValidationError:
            continue
        base[name] = value
    return CampaignConfig.model_validate(base)


def _files_of_others(raw: Any, valid: Mapping[str, DatasetConfig]) -> Iterator[tuple[str, list[str]]]:
    for name, section in raw.items() if isinstance(raw, dict) else ():
        files = section.get("files") if isinstance(section, dict) and name not in valid else None
        files = [files] if isinstance(files, str) else files
        if isinstance(files, list) and all(isinstance(file, str) for file in files):
            yield str(name), files
