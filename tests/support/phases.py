"""What comes before an allocation's phases, without Snakemake."""

from campaign.config import CampaignConfig
from campaign.core.files import write_json
from campaign.models.stage import stage_model
from campaign.queue.enqueue import enqueue
from campaign.requests.prepare import prepare


def prepare_all(config: CampaignConfig) -> CampaignConfig:
    """Write the config, render its requests, look at its models and list what is to be asked, as the rules do."""
    write_json(config.paths.config, config.model_dump(mode="json"))
    for dataset in config.datasets:
        prepare(config, dataset)
    for model in config.used_models:
        stage_model(config, model)
    for model in config.used_models:
        enqueue(config, model)
    return config
