"""`tuning:` how the best settings are searched for with --config tune=true."""

from typing import Any

from pydantic import Field, field_validator

from campaign.config.base import Duration, Section
from campaign.config.models import own_flags
from campaign.config.runtime import Concurrency


class TuningConfig(Section):
    """How `--config tune=true` looks for the settings that answer most, while it answers prompts of the campaign."""

    budget_su: float | None = Field(
        None, gt=0, description="most SUs, or the site's unit, for each model; null: as many as `time` takes"
    )
    time: Duration = Field(3600.0, description="longest search of a model, the loads of its servers included")
    window: Duration = Field(60.0, description="a point is measured for so long, after at most as long to get there")
    concurrency: list[Concurrency] = Field(
        [2**n for n in range(2, 12)], min_length=1, description="requests in flight that may be measured"
    )
    flags: dict[str, list[Any]] | None = Field(
        None,
        description="server flags to try, name: values; null takes max-num-seqs and max-num-batched-tokens, {} none",
    )
    parallel: bool = Field(True, description="also try how tensor and data parallelism share the GPUs of one node")

    @field_validator("flags")
    @classmethod
    def _tunable(cls, flags: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
        if flags is None:
            return None
        named = {name.lstrip("-").replace("-", "_"): values for name, values in flags.items()}
        if taken := [*own_flags(named)]:
            raise ValueError(f"sets what the workflow sets itself: {', '.join(taken)}; remove it here")
        if empty := [name for name, values in named.items() if not values]:
            raise ValueError(f"{', '.join(empty)}: no value to try")
        return named
