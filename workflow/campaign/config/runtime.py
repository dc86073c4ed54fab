"""`inference:` and `benchmark:` how the requests are sent and what is measured."""

from typing import Annotated, Literal

from pydantic import Field

from campaign.config.base import Duration, Section

Concurrency = Annotated[int, Field(ge=1, le=4096)]


class InferenceConfig(Section):
    """How requests are sent."""

    concurrency: Literal["auto"] | Concurrency = Field(
        "auto", description="requests in flight per allocation; auto keeps the engine's waiting queue just above empty"
    )
    request_timeout: Duration = Field(600.0, description="longest wait for one answer")
    max_attempts: int = Field(5, ge=1, le=100, description="tries of a request while the server is up")
    max_failed_fraction: float = Field(0.02, ge=0, le=1, description="collect fails above it; all rows are kept")
    drain: Duration = Field(
        300.0,
        description="time to finish what is in flight after a stop, or before the walltime: at most 20 % of it, until up to 45 "
        "s before its end",
    )
    idle: Duration = Field(
        300.0,
        description="how long an allocation without a prompt waits for another model's answers that make some (`from`); then "
        "it gives its nodes back until they come",
    )


class BenchmarkConfig(Section):
    """What is measured against the running server after its requests are answered."""

    enabled: bool = Field(
        True, description="whether to measure at all; a point that a server of this kind has is not measured again"
    )
    requests: int = Field(64, ge=1, le=100_000, description="requests per point, taken from the campaign's own prompts")
    concurrency: list[Concurrency] = Field([1, 8, 32], min_length=1, description="one point each")
