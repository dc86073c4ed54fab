"""The campaign's config: one pydantic model per section, read and refused as a whole."""

from campaign.config.campaign import CampaignConfig, served_name, variant_name
from campaign.config.datasets import DatasetConfig
from campaign.config.load import keep, kept_config, load_resolved, validate
from campaign.config.models import ModelConfig, PlacementConfig
from campaign.config.notify import NotifyConfig
from campaign.config.runtime import BenchmarkConfig, InferenceConfig
from campaign.config.stages import Source
from campaign.config.tuning import TuningConfig

__all__ = [
    "BenchmarkConfig",
    "CampaignConfig",
    "DatasetConfig",
    "InferenceConfig",
    "ModelConfig",
    "NotifyConfig",
    "PlacementConfig",
    "Source",
    "TuningConfig",
    "keep",
    "kept_config",
    "load_resolved",
    "served_name",
    "validate",
    "variant_name",
]
