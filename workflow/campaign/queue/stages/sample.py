"""Requests that a stage makes of answers that are there already, before its own shards are: what the plan looks at."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import CampaignConfig, DatasetConfig, Source
from campaign.config.row_fields import row_fields
from campaign.core import exact_json
from campaign.core.errors import CampaignError
from campaign.queue.stages.chain import Chain
from campaign.queue.stages.derive import answered_rows
from campaign.requests.answer.request import asked_for
from campaign.requests.endpoints import APIS
from campaign.requests.problems import RowProblem
from campaign.requests.rows import bad_rows
from campaign.requests.rows.sampled_rows import ROWS, Sample, SampledRequest
from campaign.requests.stages.prepare import shard_count
from campaign.requests.stages.render import AnsweredRow, StageRenderer

log = logging.getLogger(__name__)

_PARTS = 20  # of a source that are looked for, the first ones


@dataclass
class StageSample:
    """Requests a stage makes of the first answers to its sources.

    `problems`: of rows that make none, with the config key of each.
    """

    requests: list[SampledRequest] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    left_out: int = 0

    @property
    def sample(self) -> Sample:
        """Requests that stand for all of the stage's, which come later."""
        return Sample(tuple(self.requests))


def stage_sample(config: CampaignConfig, name: str) -> StageSample:
    """Make requests of a stage's first sources; none where no answers are there, or they cannot be read."""
    found = StageSample()
    chain = Chain(config, seconds=0.0)
    try:
        manifests = {source.dataset: chain.manifest(source.dataset) for source in config.sources_of(name)}
        render = StageRenderer(config, name, manifests)
        for source in config.sources_of(name):
            for row in islice(_answered(chain, source, render), ROWS // len(config.sources_of(name))):
                _look(render, source, row, found)
    except (CampaignError, RowProblem, OSError, KeyError, pa.ArrowException) as error:
        log.debug("%s: %s", name, error)  # nothing was run yet, or what is wrong is told elsewhere
    found.requests = found.requests or list(_made_up(config.datasets[name]))
    return found


def _made_up(dataset: DatasetConfig) -> Iterator[SampledRequest]:
    """A request with the fields that every row will have, where there is no answer to make one of."""
    if row_fields(dataset.sampling):
        return
    try:
        fields = exact_json.loads(exact_json.dumps(dataset.sampling, option=orjson.OPT_NON_STR_KEYS))
        fields |= asked_for(dataset.answer) if dataset.answer is not None else {}
    except (TypeError, RowProblem):
        return  # a problem of requests.dataset_check
    yield SampledRequest("any row", None, dataset.endpoint, {**APIS[dataset.endpoint].short_prompt, **fields})


def _answered(chain: Chain, source: Source, render: StageRenderer) -> Iterator[AnsweredRow]:
    for index in range(min(_PARTS, shard_count(chain.manifest(source.dataset)))):
        shard = chain.shard_of_source(source, index)
        if shard is not None and shard.is_done(0.0):
            with pq.ParquetFile(shard.part) as part, pq.ParquetFile(shard.requests_path) as requests:
                yield from (row for row in answered_rows(render.needed, part, requests) if row is not None)


def _look(render: StageRenderer, source: Source, row: AnsweredRow, found: StageSample) -> None:
    found.rows += 1
    try:
        made = render(source, row)
    except RowProblem as error:
        found.problems.setdefault(error.config_key, str(error))
        return
    if made is None:
        found.left_out += 1
    elif made.endpoint != bad_rows.ENDPOINT:
        place = f"row {made.row_id} of {source.dataset}"
        # Without its id: rows of several sources, and samples, have the same one.
        found.requests.append(SampledRequest(place, None, made.endpoint, exact_json.loads(made.body), tuple(row.columns)))
