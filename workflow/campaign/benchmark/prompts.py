"""The prompts a benchmark sends: this campaign's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain as joined
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from campaign.config import CampaignConfig, served_name
from campaign.queue.stages.chain import Chain
from campaign.requests.endpoints import APIS, Api
from campaign.requests.media.sending import MediaReader
from campaign.requests.rows import bad_rows
from campaign.requests.shards import shard_path

_BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request of the campaign: where it goes, and the body without `model`."""

    api: Api
    body: dict[str, Any]
    adapter: str | None = None

    @property
    def route(self) -> str:
        """The route of the server that is asked."""
        return self.api.route

    def sent(self, model: str, salt: str) -> bytes:
        """The body to send: the campaign's own fields, all of them, as a stream that ends with its token counts.

        Vectors and scores are no stream.

        `salt` keeps the engine's prefix cache of one point apart from all others: its requests share prefixes with each other,
        as they do in the campaign, but find nothing that an earlier point (or infer) left behind.
        """
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self.api.is_streamed else {}
        return self.api.with_head(
            orjson.dumps({**self.body, "model": served_name(model, self.adapter), "cache_salt": salt, **stream})
        )


def campaign_prompts(config: CampaignConfig, model: str, count: int) -> list[Prompt]:
    """The first `count` requests of the model's datasets, one of each dataset in turn; fewer if there are fewer."""
    turns = zip_longest(*(_requests(config, model, dataset) for dataset in config.datasets_of(model)))
    return list(islice((prompt for prompt in joined.from_iterable(turns) if prompt is not None), count))


def _shard_paths(config: CampaignConfig, dataset: str) -> Iterator[Path]:
    """The request shards of a dataset, those of a stage as far as they are made."""
    chain = Chain(config)
    if shard_ids := chain.shard_ids(dataset):
        yield from (chain.path(shard_id) for shard_id in shard_ids if chain.derived(shard_id) is not None)
        return
    for shard in chain.manifest(dataset)["shards"]:
        yield shard_path(config.paths.request_shards(dataset), shard["index"])


def _requests(config: CampaignConfig, model: str, dataset: str) -> Iterator[Prompt]:
    media, has_media = MediaReader(config.paths.media(dataset)), config.datasets[dataset].has_media
    adapter = config.datasets[dataset].adapters.get(model)
    for path in _shard_paths(config, dataset):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["endpoint", "body"]):
                for row in batch.to_pylist():
                    if row["endpoint"] != bad_rows.ENDPOINT:
                        body = media.filled(row["body"]) if has_media else row["body"]
                        yield Prompt(APIS[row["endpoint"]], orjson.loads(body), adapter)
