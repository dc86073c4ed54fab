"""What the plan expects of a server that starts, to be held against what it reports."""

import logging

from campaign.config import ModelConfig
from campaign.core.errors import ModelUnreadable
from campaign.models.hub import HubError
from campaign.plan.memory_model import cpu_cache_tokens
from campaign.plan.model_metadata import model_facts
from campaign.plan.placements import needs_of
from campaign.site.table import gpu_type

log = logging.getLogger(__name__)


def expected_cache_tokens(model: ModelConfig, site: str) -> int | None:
    """Tokens of the KV cache of one replica at a site; None where the plan cannot tell (unknown model or GPU)."""
    try:
        facts = model_facts(model)
    except (ModelUnreadable, HubError) as error:
        log.debug("%s", error)
        return None
    on_cpu = cpu_cache_tokens(facts.architecture, model.env, model.dtype, str(model.vllm.get("kv_cache_dtype", "auto")))
    if on_cpu is not None:
        return on_cpu
    gpu = gpu_type(model.placement.gpu or "", site)
    return None if gpu is None else needs_of(facts, model, gpu).kv_tokens
