"""Make a stage's shard from its source's part."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.config import Source
from campaign.core.errors import RequestsDamaged
from campaign.core.files import patiently
from campaign.queue.parts.part import answers_digest_of
from campaign.queue.shard import Shard, part_digest
from campaign.queue.stages.chain import Chain, Counts, MadeFrom, StageShardId, footer_of, part_state
from campaign.requests.problems import RowProblem
from campaign.requests.rows import bad_rows
from campaign.requests.rows.samples import sample_body, sample_columns, sample_key
from campaign.requests.shards import DIGEST, ShardRow, write_shard
from campaign.requests.stages.render import AnsweredRow, StageRenderer

_ROWS_AT_ONCE = 500
_DAMAGED = (OSError, KeyError, pa.ArrowException)


class Deriver:
    """Makes shards of stages. Raises RequestsDamaged where the config or a source has to be mended first, StorageError."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._renderers: dict[str, StageRenderer] = {}

    def derive(self, shard_id: StageShardId) -> bool:
        """Make the shard, unless it is current. False while what it is made of is not there.

        Whoever calls it holds the shard's lease, or the campaign's lock: two at once would make the same file twice.
        """
        wanted = self.chain.made_from(shard_id)
        if wanted is None:
            return False
        if self.chain.derived(shard_id) is not None:
            return True
        if wanted.room == 0:
            self._write(shard_id, wanted, iter(()), Counter())
            return True
        source, index = self.chain.source(shard_id)
        shard = self.chain.shard_of_source(source, index)
        if shard is None:
            return False
        try:
            return patiently(shard.part, partial(self._derive_from, shard_id, wanted, source, shard), self.chain.seconds)
        except FileNotFoundError:
            return False
        except _DAMAGED as error:
            raise RequestsDamaged(
                f"Cannot make {shard_id.name} of {shard.part}: {error}. Run the same command again."
            ) from None

    def _derive_from(self, shard_id: StageShardId, wanted: MadeFrom, source: Source, shard: Shard) -> bool:
        """From files that are opened once: one that is replaced meanwhile is not the one that was asked for."""
        with ExitStack() as stack:
            part, requests = (stack.enter_context(pq.ParquetFile(path)) for path in (shard.part, shard.requests_path))
            of_requests = (requests.schema_arrow.metadata or {}).get(DIGEST, b"").decode()
            digest = (part.schema_arrow.metadata or {}).get(DIGEST, b"").decode()
            if part_state(digest, answers_digest_of(part)) != wanted.part:
                return False
            if part_digest(of_requests, self.chain.identity(source.model)) != digest:
                return False
            counted: Counter[str] = Counter()
            answered = answered_rows(self._renderer(shard_id).needed, part, requests)
            self._write(shard_id, wanted, self._rows(shard_id, source, answered, wanted, counted), counted)
        return True

    def _write(self, shard_id: StageShardId, wanted: MadeFrom, rows: Iterator[ShardRow], counted: Counter[str]) -> None:
        path = self.chain.path(shard_id)
        write_shard(path.parent, shard_id.index, rows, lambda: footer_of(wanted, Counts(**counted)))

    def _rows(
        self,
        shard_id: StageShardId,
        source: Source,
        answered: Iterator[AnsweredRow | None],
        wanted: MadeFrom,
        counted: Counter[str],
    ) -> Iterator[ShardRow]:
        """The stage's requests; what becomes of each row is counted."""
        render = self._renderer(shard_id)
        for row in answered:
            counted["source_rows"] += 1
            if row is None:
                counted["failed"] += 1
            elif wanted.room is not None and counted["taken"] >= wanted.room:
                counted["beyond_limit"] += 1
            else:
                yield from self._of_row(shard_id, render, source, row, counted)

    def _of_row(
        self, shard_id: StageShardId, render: StageRenderer, source: Source, row: AnsweredRow, counted: Counter[str]
    ) -> Iterator[ShardRow]:
        try:
            rendered = render(source, row)
        except RowProblem as error:
            raise RequestsDamaged(_unusable(shard_id, error)) from None
        if rendered is None:
            counted["left_out"] += 1
            return
        counted["taken"] += 1
        counted["set_aside"] += rendered.endpoint == bad_rows.ENDPOINT
        key, samples = render.key(source, row, rendered), render.dataset.samples
        place = (str(row.values["row_id"]), row.values["source_file"], row.values["source_row"], rendered.endpoint)
        if samples == 1:
            yield (key, *place, rendered.body, rendered.columns)
            return
        for number in range(samples):
            columns = sample_columns(rendered.columns, number, render.renamed)
            yield (sample_key(key, number), *place, sample_body(rendered, number), columns)

    def _renderer(self, shard_id: StageShardId) -> StageRenderer:
        if shard_id.dataset not in self._renderers:
            config = self.chain.config
            manifests = {source.dataset: self.chain.manifest(source.dataset) for source in config.sources_of(shard_id.dataset)}
            try:
                self._renderers[shard_id.dataset] = StageRenderer(config, shard_id.dataset, manifests)
            except RowProblem as error:
                raise RequestsDamaged(_unusable(shard_id, error)) from None
        return self._renderers[shard_id.dataset]


def answered_rows(needed: Collection[str], part: pq.ParquetFile, requests: pq.ParquetFile) -> Iterator[AnsweredRow | None]:
    """The rows of a part with what their requests know of them; None for one that failed. `needed`: columns to read."""
    held = set(part.schema_arrow.names)
    columns, missing = [name for name in needed if name in held], dict.fromkeys(set(needed) - held)
    answers = (row for batch in part.iter_batches(_ROWS_AT_ONCE, columns=columns) for row in batch.to_pylist())
    own = ["content_key", "columns"]
    asked = (row for batch in requests.iter_batches(_ROWS_AT_ONCE, columns=own) for row in batch.to_pylist())
    for values, request in zip(answers, asked, strict=True):
        is_answered = values["status"] == "ok"
        own_columns = orjson.loads(request["columns"])
        yield AnsweredRow(request["content_key"], {**missing, **values}, own_columns) if is_answered else None


def _unusable(shard_id: StageShardId, error: RowProblem) -> str:
    return (
        f"datasets.{shard_id.dataset}.{error.config_key}: {error}. Mend it, or set such rows aside (on_bad_row: set_aside), "
        "and run the same command again: answers so far are kept."
    )
