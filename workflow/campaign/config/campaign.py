"""The whole config."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from campaign.config.base import Name, Section
from campaign.config.datasets import DatasetConfig
from campaign.config.models import ModelConfig
from campaign.config.notify import NotifyConfig
from campaign.config.runtime import BenchmarkConfig, InferenceConfig
from campaign.config.stages import Source, in_order, sources_of, upstream, wrong_sources
from campaign.config.tuning import TuningConfig
from campaign.core.paths import CampaignPaths
from campaign.core.sites import LOCAL, own_file, site_names
from campaign.core.text import did_you_mean, nearest


class CampaignConfig(Section):
    """A campaign: every prompt of its datasets answered once by each of the dataset's models."""

    campaign: Name = Field(description="results/<campaign>/ and logs/<campaign>/")
    account: str | None = Field(None, min_length=1, description="Slurm account that every job is charged to; not used locally")
    engine: str = Field(".venv-engine", min_length=1, description="where vllm and ray live: a prefix, or an Apptainer image")
    ask_vllm: bool = Field(True, description="the plan asks the engine's vLLM whether it takes each model and its flags")
    budget_su: float | None = Field(
        None,
        gt=0,
        description="SUs, or the site's unit; plan refuses what surely passes it, and no allocation begins that may",
    )
    models: dict[Name, ModelConfig] = Field(min_length=1, description="name in paths and in the served endpoint: model")
    datasets: dict[Name, DatasetConfig] = Field(min_length=1, description="name in paths: dataset")
    inference: InferenceConfig = Field(InferenceConfig(), description="how requests are sent")
    benchmark: BenchmarkConfig = Field(BenchmarkConfig(), description="what is measured")
    notify: NotifyConfig | None = Field(None, description="who is told when a run ends, stalls, reaches its budget or fails")
    retry_failed: bool = Field(False, description="ask failed requests again; usually given as --config retry_failed=true")
    earlier_answers: Literal["keep", "ask_anew"] | None = Field(
        None,
        description="what becomes of answers to requests whose keys version 0.1 sorted; the plan says when to give it, usually "
        "as --config earlier_answers=keep",
    )
    rehearse: bool = Field(
        False, description="20 prompts on the smallest shape, as <campaign>-rehearsal; usually given as --config rehearse=true"
    )
    sweep: bool = Field(
        False,
        description="measure models and their variants, as <campaign>-sweep; usually given as --config sweep=true",
    )
    tune: bool = Field(False, description="look for the settings that answer most per SU; usually given as --config tune=true")
    tuning: TuningConfig = Field(TuningConfig(), description="how they are looked for")
    site: str = Field(LOCAL, description="set by the profile: local, a cluster's name, or the TOML file of one of your own")

    @field_validator("tune", mode="before")
    @classmethod
    def _no_settings(cls, tune: object) -> object:
        if isinstance(tune, dict):  # --config tune=true would take their place
            raise ValueError("is true or false; how to tune are keys of `tuning`: tuning: {budget_su: 40}")
        return tune

    @field_validator("site")
    @classmethod
    def _known_site(cls, site: str) -> str:
        path, known = own_file(site), site_names()
        if path is not None:
            if not path.is_file():
                raise ValueError("is not there; paths count from the working directory")
        elif site not in known:
            remedy = did_you_mean(nearest(site, known), f"known: {', '.join(known)}")
            raise ValueError(f"is no site that is known; {remedy}")
        return site

    @model_validator(mode="after")
    def _names_fit(self) -> "CampaignConfig":
        if problems := [
            *unknown_models(self.datasets, self.models),
            *_unknown_adapters(self.datasets, self.models),
            *self._names_taken_twice(),
            *wrong_sources(self.datasets),
        ]:
            # Several problems of one validator: load.validate prints each on its own line.
            raise PydanticCustomError("lines", "{lines}", {"lines": "\n".join(problems)})
        return self

    def _names_taken_twice(self) -> Iterator[str]:
        known = Counter([*self.models, *(variant_name(m, v) for m, model in self.models.items() for v in model.variants)])
        for name, model in self.models.items():
            for variant in model.variants:
                if known[own := variant_name(name, variant)] > 1 and not self.models.get(own, model).variant_of:
                    yield f"models.{name}.variants.{variant}: another model or variant is called {own!r}; rename it"

    @property
    def on_slurm(self) -> bool:
        """Whether allocations are Slurm jobs of a cluster, and not processes of this machine."""
        return self.site != LOCAL

    @property
    def paths(self) -> CampaignPaths:
        return CampaignPaths(self.campaign)

    def datasets_of(self, model: str) -> dict[str, DatasetConfig]:
        """The datasets that `model` answers, in the config's order."""
        return {name: dataset for name, dataset in self.datasets.items() if model in dataset.models}

    @property
    def stages(self) -> dict[str, DatasetConfig]:
        """The datasets that are made of others' answers, each behind those it is made of."""
        return {name: self.datasets[name] for name in in_order(self.datasets) if self.datasets[name].is_stage}

    def sources_of(self, dataset: str) -> list[Source]:
        """Whose answers a stage is made of, in the order of its rows; none for a dataset of files."""
        return sources_of(self.datasets, dataset)

    def upstream_of(self, model: str) -> list[Source]:
        """All sources that a model's datasets hang on, its own ones too, each once."""
        return list(dict.fromkeys(source for name in self.datasets_of(model) for source in upstream(self.datasets, name)))

    @property
    def has_answer(self) -> bool:
        """Whether a dataset says what an answer must be: then all responses have the column `answer`."""
        return any(dataset.answer is not None for dataset in self.datasets.values())

    @property
    def used_models(self) -> dict[str, ModelConfig]:
        """Models that at least one dataset asks."""
        return {name: model for name, model in self.models.items() if self.datasets_of(name)}


def unknown_models(datasets: Mapping[str, DatasetConfig], models: Collection[str]) -> Iterator[str]:
    """A sentence for each model that a dataset names and that is none of `models`."""
    for name, dataset in datasets.items():
        for model in dataset.models:
            if model not in models:
                remedy = did_you_mean(nearest(model, models), f"known: {', '.join(models)}")
                yield f"datasets.{name}.models: there is no model {model!r}; {remedy}"


def _unknown_adapters(datasets: Mapping[str, DatasetConfig], models: Mapping[str, ModelConfig]) -> Iterator[str]:
    for name, dataset in datasets.items():
        for model, adapter in dataset.adapters.items():
            known = models[model].adapters if model in models else {adapter: ""}
            if adapter not in known:
                remedy = did_you_mean(nearest(adapter, known), f"give it one: models.{model}.adapters: {{{adapter}: folder}}")
                yield f"datasets.{name}.models: {model} has no adapter {adapter!r}; {remedy}"


def served_name(model: str, adapter: str | None) -> str:
    """What a model, or an adapter of it, is called at its server: the field `model` of requests."""
    return f"{model}:{adapter}" if adapter else model


def variant_name(model: str, variant: str) -> str:
    """The name under which a variant is a model of a sweep."""
    return f"{model}-{variant}"
