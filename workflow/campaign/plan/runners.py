"""Which of vLLM's runners serves a model: the one its datasets need.

A server writes text, or it pools: the routes of the other kind are not there (vLLM 0.32 answers them with HTTP 404). A model
that writes text is served for vectors and scores with `--runner pooling`; what it is turned into (`--convert`) vLLM finds.
"""

from collections.abc import Mapping

from campaign.config import CampaignConfig, ModelConfig
from campaign.requests.asked_endpoints import asked_endpoints, writes_text

RUNNER = "runner"  # vLLM's flag


def with_runners(config: CampaignConfig) -> CampaignConfig:
    """The campaign with the flag at each model of which only vectors, scores or classes are asked; the config's own wins."""
    pooling = {name: _pooling(model) for name, model in config.used_models.items() if _only_pools(config, name, model)}
    return config.model_copy(update={"models": {**config.models, **pooling}}) if pooling else config


def _only_pools(config: CampaignConfig, name: str, model: ModelConfig) -> bool:
    return RUNNER not in model.vllm and writes_text(all_endpoints_of(config, name)) is False


def _pooling(model: ModelConfig) -> ModelConfig:
    return model.model_copy(update={"vllm": {**model.vllm, RUNNER: "pooling"}})


def endpoints_of(config: CampaignConfig, model: str) -> Mapping[str, tuple[str, ...]]:
    """The endpoints that each dataset of a model asks."""
    return {dataset: asked_endpoints(config, dataset) for dataset in config.datasets_of(model)}


def all_endpoints_of(config: CampaignConfig, model: str) -> set[str]:
    """The endpoints that a model is asked at."""
    return {endpoint for endpoints in endpoints_of(config, model).values() for endpoint in endpoints}
